"""Agents' programs in their images, through Squire and bare, without a network: `make bench-agents`.

For each program: how long it takes to its first call of the model through Squire (image found, hardened container,
clone, relay, gateway) beside the bare program in a container of the same image and limits, in which a shell clones the
repository and the provider is asked directly; by turns. Then what it uses, and whether the gateway counted what the
scripted provider billed, with answers that fail and streams that are cut. `SQUIRE_BENCH_AGENTS=codex,pi` chooses,
`SQUIRE_BENCH_TURNS` says how often; the images are built where the engine has none.
"""

import os
import random
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import docker

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from squire_pipelines.agent_names import PROGRAMS
from squire_pipelines.agents import engine
from squire_pipelines.agents.adapters.protocol import Agent
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.domain.endings import Cause
from tests.support.agent_programs import (
    MEASURE,
    WITH_TOOLS,
    ProgramRun,
    Room,
    commands_of,
    image_of,
    run_through_squire,
    seconds_to_first_call_bare,
    text_of,
)
from tests.support.attempts import Origin, make_origin
from tests.support.billing import Bill
from tests.support.figures import Figure, by_turns, ratio, report
from tests.support.scripted_provider import FAILS, IS_CUT, ScriptedProvider, serve_provider

NAMES = os.environ.get("SQUIRE_BENCH_AGENTS", ",".join(PROGRAMS)).split(",")
TURNS = int(os.environ.get("SQUIRE_BENCH_TURNS", "3"))
OVERHEAD_RATIO = 1.15
MIN_CALLS = 200
LEAST_COST_USD = 1e-9
"""Below that, two sums of the same prices differ by their rounding."""
EDIT = "echo 'by a model' >> README.md"
COMMANDS = (EDIT, "ls", "git status --short", "cat README.md", MEASURE)
BRANCH = "squire/t000000001-do-it"
# A Responses stream reports at its very end, so that one that is cut tells nothing to compare with.
# aider takes what came of a stream that is cut for the whole answer.
FAULTS = {name: [FAILS, "", IS_CUT] for name in PROGRAMS} | {"codex": [FAILS], "aider": [FAILS]}


@dataclass
class Counted:
    """The calls of all sessions: how many, and by how much the gateway's count differs from the bills."""

    calls: int = 0
    tokens: int = 0
    usd: float = 0.0

    def compare(self, run: ProgramRun, provider: ScriptedProvider) -> None:
        """Add one session."""
        counted = sorted((c.input_tokens, c.cached_tokens or 0, c.output_tokens) for c in run.calls if c.output_tokens)
        billed = sorted((bill.asked, bill.cached, bill.output) for bill in provider.bills)
        self.calls += len(billed)
        self.tokens += abs(sum(call.total_tokens for call in run.calls) - sum(bill.tokens for bill in provider.bills))
        self.tokens += 0 if counted == billed else 1
        self.usd += abs(sum(call.cost_usd or 0.0 for call in run.calls) - sum(bill.usd for bill in provider.bills))


def bill_maker(name: str) -> Callable[[], Bill]:
    """Return a maker of bills with all that the protocol's reports can tell."""
    generator = random.Random(name)  # noqa: S311 - not for secrets
    writes = "anthropic" in find(name).protocols[:1]

    def make() -> Bill:
        written, hourly = (generator.randrange(500) if writes else 0 for _ in range(2))
        return Bill(
            generator.randrange(1, 2000),
            generator.randrange(2000),
            written,
            generator.randrange(50, 900),
            generator.randrange(300),
            hourly,
        )

    return make


@dataclass
class Bench:
    """One program's runs."""

    client: docker.DockerClient
    origin: Origin
    folder: Path
    name: str
    counted: Counted
    rooms: list[Room] = field(default_factory=list)
    before_program_s: list[float] = field(default_factory=list)
    number: int = 0

    @property
    def agent(self) -> Agent:
        """The adapter."""
        return find(self.name)

    def through_squire(self, image: str, *faults: str) -> float:
        """Run a whole attempt; return the seconds to its first call."""
        self.number += 1
        folder = self.folder / f"{self.name}-{self.number}"
        folder.mkdir()
        commands = commands_of(self.name, *COMMANDS)
        with serve_provider(
            *commands, text=text_of(self.name), make_bill=bill_maker(self.name), faults=list(faults)
        ) as provider:
            run = run_through_squire(
                self.client, self.origin, self.agent, image=image, provider=provider, folder=folder
            )
        if run.run.ending.cause is not Cause.COMPLETED or run.run.bundle is None:
            sys.exit(f"{self.name} ended as {run.run.ending}\n{run.log[-3000:]}")
        self.counted.compare(run, provider)
        if self.name in WITH_TOOLS:  # aider's model cannot have the measure taken
            self.rooms.append(Room.parse(self.origin.file_after(run.run.bundle, BRANCH, "measured.txt")))
        timings = run.run.timings
        self.before_program_s.append(timings["total_s"] - timings["agent_s"] - timings.get("bundle_out_s", 0.0))
        return provider.arrived[0] - run.began

    def bare(self, image: str) -> float:
        """Run the bare program; return the seconds to its first call."""
        commands = commands_of(self.name, *COMMANDS)
        with serve_provider(*commands, text=text_of(self.name), make_bill=bill_maker(self.name)) as provider:
            return seconds_to_first_call_bare(self.client, self.origin, self.agent, image=image, provider=provider)

    def figures(self) -> list[Figure]:
        """Measure, by turns; the attempt with faults is not among what is timed."""
        image = image_of(self.client, self.name)
        times = by_turns({"squire": partial(self.through_squire, image), "bare": partial(self.bare, image)}, TURNS)
        self.through_squire(image, *FAULTS[self.name])
        return [
            Figure(
                f"{self.name}: first call, Squire / bare", ratio(times["squire"], times["bare"]), "x", OVERHEAD_RATIO
            ),
            Figure(f"{self.name}: first call through Squire, median", statistics.median(times["squire"]), "s"),
            Figure(f"{self.name}: first call of the bare program, median", statistics.median(times["bare"]), "s"),
            Figure(f"{self.name}: before the program starts, median", statistics.median(self.before_program_s), "s"),
            *self._room_figures(),
        ]

    def _room_figures(self) -> list[Figure]:
        return [
            figure
            for room in self.rooms[-1:]
            for figure in (
                Figure(f"{self.name}: memory, HOME in it", room.memory / 1e6, "MB"),
                Figure(f"{self.name}: HOME", room.home / 1e6, "MB"),
            )
        ]


def main() -> int:
    """Measure the programs and print the table; the exit code tells whether a figure fell short."""
    client = engine.connect(120)
    counted = Counted()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="sq-") as name:
        origin = make_origin(Path(name))
        for program in NAMES:
            figures += Bench(client, origin, Path(name), program, counted).figures()
    client.close()
    is_whole = set(NAMES) == set(PROGRAMS)
    figures += [
        Figure(f"calls compared, short of {MIN_CALLS}", max(0, MIN_CALLS - counted.calls), "", 0 if is_whole else None),
        Figure("calls compared with the provider's bills", counted.calls, ""),
        Figure("difference of tokens", counted.tokens, "", 0),
        Figure("difference of cost", counted.usd, "USD", LEAST_COST_USD),
    ]
    return report("agents", figures)


if __name__ == "__main__":
    sys.exit(main())
