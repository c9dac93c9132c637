"""The demo: the real pipeline on embedded defaults against the demo forge, followed to its end and then checked.

Nothing of the pipeline is called from here: the driver asks for a collection in the inbox, starts the same processes as
`squire dev`, and reads the ledger, the forge and the warehouse to see what came of it.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from squire_forge import errors
from squire_forge.process import ForgeProcess
from squire_forge.samples.build import build_samples
from squire_pipelines.agents import engine
from squire_pipelines.demo import place
from squire_pipelines.demo.local import LocalRepository, inspect_repository
from squire_pipelines.demo.options import DemoOptions, config_text, shell_command
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import EngineError, ImageMissingError, NotReachableError, PortInUseError, SquireError
from squire_pipelines.ledger import deliveries
from squire_pipelines.ledger.store import Ledger, open_ledger
from squire_pipelines.runtime.cycle import CycleState, TaskRow
from squire_pipelines.runtime.follow import Follower, Say
from squire_pipelines.runtime.ports import check_free
from squire_pipelines.runtime.processes import interruptible
from squire_pipelines.runtime.services import Services
from squire_pipelines.settings import Settings, load_settings
from squire_pipelines.warehouse.query import run_query

_POLL_S = 0.5
_SAMPLES_MERGED = 3


@dataclass(frozen=True, slots=True)
class Check:
    """One step of the main job: what had to happen, whether it did, and why not."""

    name: str
    passed: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What came of it."""

    rows: tuple[TaskRow, ...]
    checks: tuple[Check, ...]
    seconds: float
    forge_url: str
    forge_repositories: Path

    @property
    def passed(self) -> bool:
        """Whether every step of the main job happened."""
        return all(check.passed for check in self.checks)


class Demo:
    """One demo from set-up to its end.

    Args:
        options: What is asked for.
        say: Takes progress, one line at a time.
    """

    def __init__(self, options: DemoOptions, *, say: Say) -> None:
        self._options = options
        self._say = say
        self._own: LocalRepository | None = None

    def run(self, *, then: Callable[[DemoResult, ForgeProcess], None]) -> DemoResult:
        """Run the demo; `then` is called with the forge still up, for what is to be shown or kept waiting.

        Raises:
            RepositoryError: The given repository cannot be used.
            PortInUseError, NotReachableError: A server of the demo could not start.
            EngineError: Containers are asked for, and no engine answers.
            ImageMissingError: There is an engine, but no worker image on it.
            RefusedError, ConfigError: The folder is in use, or not the demo's.
        """
        if self._options.repository is not None:
            self._own = inspect_repository(self._options.repository)
            shell_command(self._options.command)  # refused now rather than with half of a demo set up
        self._look_at_engine()
        with place.only_one(self._options.home), interruptible() as self._check_interrupt:
            if place.end_leftover_forge(self._options.home):
                self._say("ended a forge that an earlier demo had left running")
            memory, goes_on = place.enter(self._options)
            if goes_on:
                self._say("an earlier demo was cut off here: going on with it")
            with self._start_forge(memory) as forge:
                with _forge_errors():
                    settings, names = self._configure(forge, memory)
                started = time.monotonic()
                result = self._work(settings, names, memory, forge, started)
                if result.passed:
                    place.remember(self._options.home, dataclasses.replace(self._memory, finished=True))
                then(result, forge)
        return result

    def _look_at_engine(self) -> None:
        if self._options.runner == "local":
            self._say("agents run as local processes, as asked: this is no sandbox")
            return
        found = engine.engine_available()
        if found is None and self._options.runner == "docker":
            raise EngineError(
                "no container engine answers", hint=f"{engine.HINT}, or take --runner local, which is no sandbox"
            )
        if found is None:
            self._say("no container engine answers: agents run as local processes. THIS IS NO SANDBOX (`make engine`)")
            return
        image = Settings().agent.image
        client = engine.connect(image=image)
        try:
            present = bool(client.images.list(name=image))
        finally:
            client.close()
        if not present:
            raise ImageMissingError(
                f"the engine ({found.name} {found.version}) has no image {image}",
                hint="`make demo` builds it, as does scripts/images.sh worker; or --runner local",
            )
        self._say(f"agents run in containers of {image} ({found.name} {found.version})")

    def _start_forge(self, memory: place.Memory) -> ForgeProcess:
        webhook = f"http://127.0.0.1:{memory.receiver_port}/webhooks/github"
        with _forge_errors():
            forge = ForgeProcess.start(self._options.home / "forge", port=memory.forge_port, webhook_url=webhook)
        self._say(f"demo forge on {forge.url}")
        return forge

    def _configure(self, forge: ForgeProcess, memory: place.Memory) -> tuple[Settings, tuple[str, ...]]:
        home = self._options.home
        if self._own is not None:
            forge.host_repository(self._own.hosting(self._options.issue))
            commands = {self._own.full_name: shell_command(self._options.command)}
        else:
            samples = build_samples(home / "samples")
            for sample in samples:
                forge.host_repository(sample)
            commands = {sample.full_name: sample.agent_command for sample in samples}
        place.write_secret(home, "github-token", forge.token)
        place.write_secret(home, "webhook-secret", forge.webhook_secret)
        (home / "config.toml").write_text(config_text(self._options, memory.ports, commands), encoding="utf-8")
        self._say(f"hosts {', '.join(commands)}")
        return load_settings(), tuple(commands)

    def _work(
        self, settings: Settings, names: tuple[str, ...], memory: place.Memory, forge: ForgeProcess, started: float
    ) -> DemoResult:
        ledger = open_ledger(settings.resolved_ledger_url)
        try:
            self._memory = self._ask(ledger, names, memory)
            asked_at = self._memory.asked_at
            if asked_at is None:
                raise NotReachableError("the demo does not know when it asked", hint="begin anew with --fresh")
            with Services(settings, say=self._say) as services:
                check_free("127.0.0.1", memory.receiver_port, setting="--home (ports are kept in it)")
                services.start_receiver()
                services.start_daemon()
                self._say("Dagster's daemon and the webhook receiver are starting")
                follower = Follower(ledger, names, self._memory.requests, asked_at, say=self._say)
                state = self._follow(follower, services, settings, started)
            checks = tuple(self._check(state, forge, settings))
        finally:
            ledger.close()
        return DemoResult(
            rows=state.rows,
            checks=checks,
            seconds=time.monotonic() - started,
            forge_url=forge.url,
            forge_repositories=forge.home / "repositories",
        )

    def _ask(self, ledger: Ledger, names: tuple[str, ...], memory: place.Memory) -> place.Memory:
        """Ask for the collection, once in the life of this demo."""
        if memory.since is not None:
            return memory
        with ledger.write() as tx:
            requests = deliveries.request_collection(tx, names, source="cli", trace_id=new_trace_id())
            since = tx.now
        asked = dataclasses.replace(memory, since=since.isoformat(), requests=requests)
        place.remember(self._options.home, asked)
        return asked

    def _follow(self, follower: Follower, services: Services, settings: Settings, started: float) -> CycleState:
        deadline = started + self._options.timeout_s
        state = follower.look()
        while time.monotonic() < deadline:
            if _over(state) and _published(settings, state):
                self._say("warehouse published")
                return state
            time.sleep(_POLL_S)
            self._check_interrupt()
            services.keep_up()
            state = follower.look()
        self._say(f"not done after {self._options.timeout_s:g} s; the daemon's last lines:")
        for line in services.log_of("daemon"):
            self._say(f"  {line}")
        return state

    def _check(self, state: CycleState, forge: ForgeProcess, settings: Settings) -> Iterator[Check]:
        silent = [
            f"{reading.repository} {reading.source}" for reading in state.readings if not reading.status.source_answered
        ]
        yield Check("all sources of all repositories were read", state.collected and not silent, ", ".join(silent))
        together = _read_together(settings)
        yield Check("in one Dagster run", together == len({reading.repository for reading in state.readings}))
        yield Check("a plan looked at every reading", state.planned and bool(state.rows), f"{len(state.rows)} tasks")
        ended = [row for row in state.rows if row.status is TaskStatus.SUCCEEDED]
        yield Check(
            "every task's agent ran and ended well", _all(ended, state.rows), f"{len(ended)} of {len(state.rows)}"
        )
        yield self._check_pull_requests(state)
        bodies = _bodies(forge.state())
        traced = [row for row in state.rows if row.trace_id in bodies.get((row.repository, row.pr_number), "")]
        yield Check("each pull request carries its task's trace id", _all(traced, state.rows), f"{len(traced)}")
        yield Check("the warehouse tells the same", _published(settings, state))

    def _check_pull_requests(self, state: CycleState) -> Check:
        merged = [row for row in state.rows if row.outcome is PullRequestState.MERGED]
        held = [row for row in state.rows if row.outcome is PullRequestState.OPEN and row.needs_approval]
        detail = f"{len(merged)} merged" + (f", {len(held)} wait for approval" if held else "")
        if self._own is not None:
            # What the policy holds for a person is a good end for somebody's own repository.
            passed = _all([*merged, *held], state.rows)
            return Check("a pull request was opened and its outcome recorded", passed, detail)
        enough = len(merged) >= _SAMPLES_MERGED and _all(merged, state.rows)
        return Check("every pull request was merged and its outcome recorded", enough, detail)


@contextlib.contextmanager
def _forge_errors() -> Iterator[None]:
    """Raise the forge's errors as Squire's own, which the command knows how to show."""
    try:
        yield
    except errors.ForgeError as error:
        kind = PortInUseError if isinstance(error, errors.PortInUseError) else NotReachableError
        raise kind(error.message, hint=error.hint) from error


def _all(some: list[TaskRow], rows: tuple[TaskRow, ...]) -> bool:
    return bool(rows) and len(some) == len(rows)


def _over(state: CycleState) -> bool:
    """Whether nothing more is going to happen: all merged, or ended without a pull request that could be."""
    if not state.settled:
        return False
    return all(row.outcome is not PullRequestState.OPEN or row.needs_approval for row in state.rows)


def _published(settings: Settings, state: CycleState) -> bool:
    try:
        found = run_query(
            settings.home.warehouse,
            "SELECT (SELECT count(*) FROM outcomes WHERE state = 'merged'),"
            " (SELECT coalesce(max(id), 0) FROM task_events)",
            limit=1,
            timeout_s=5,
        )
    except SquireError:
        return False  # not published yet
    merged, last_event = found.rows[0]
    return int(last_event) >= state.last_event and int(merged) == sum(
        row.outcome is PullRequestState.MERGED for row in state.rows
    )


def _read_together(settings: Settings) -> int:
    """The most repositories that one run has read, as the warehouse knows."""
    sql = "SELECT count(DISTINCT repository) FROM collections GROUP BY run_id ORDER BY 1 DESC"
    try:
        found = run_query(settings.home.warehouse, sql, limit=1, timeout_s=5)
    except SquireError:
        return 0
    return int(found.rows[0][0]) if found.rows else 0


def _bodies(state: dict[str, Any]) -> dict[tuple[str, int | None], str]:
    return {
        (repository["name"], pull["number"]): pull["body"]
        for repository in state["repositories"]
        for pull in repository["pull_requests"]
    }
