"""Attempts for tests of the runners: a real repository, its bundle, and an attempt's folder with the inputs in it."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.agents.adapters.caches import Cache
from squire_pipelines.agents.adapters.protocol import Agent, AgentConfig
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.agents.attempt_files import write_inputs
from squire_pipelines.agents.model import AttemptInputs
from squire_pipelines.sections.agents import LimitSettings
from tests.support.worker import git

MIB = 2**20

# The local runner ends whatever bears its attempt's id; tests that run beside each other must not share one.
ATTEMPT_ID = f"t{os.getpid():09d}-1"


def small_limits(**changes: float) -> LimitSettings:
    """Limits that a test reaches soon."""
    known: dict[str, float] = {
        "cpus": 1,
        "memory": 256 * MIB,
        # gVisor's own threads count too: some 60, and ten for each process.
        "pids": 1024 if os.environ.get("SQUIRE_TEST_OTHER_ENGINE") == "gvisor" else 64,
        "workspace": 64 * MIB,
        "home": 32 * MIB,
        "tmp": 32 * MIB,
        "open_files": 1024,
        "wall_clock_s": 60,
        "log": 4 * MIB,
        "output": 16 * MIB,
        "grace_s": 4,
    }
    return LimitSettings.model_validate(known | changes)


def make_inputs(
    folder: Path,
    *,
    command: tuple[str, ...] = (),
    model: str | None = None,
    limits: LimitSettings | None = None,
    attempt_id: str = ATTEMPT_ID,
    base_sha: str = "a" * 40,
    prompt: str = "Do it.",
    image: str = "squire-worker:latest",
    agent: Agent | None = None,
    order: AgentConfig | None = None,
    caches: tuple[Cache, ...] = (),
) -> AttemptInputs:
    """An attempt of a command, or of OpenCode when `model` is given, or of another `agent`. Writes nothing."""
    kind = agent or find("command" if model is None else "opencode")
    return AttemptInputs(
        attempt_id=attempt_id,
        task_id="t000000001",
        run_id=None,
        trace_id="f" * 32,
        repository="acme/sample",
        base_ref="main",
        base_sha=base_sha,
        branch="squire/t000000001-do-it",
        bot_name="squire[bot]",
        bot_email="squire@example.invalid",
        commit_message="Do it",
        task_json=json.dumps({"title": "Do it"}),
        prompt=prompt,
        agent=kind,
        launch=kind.launch(order or AgentConfig(command, model)),
        limits=limits or small_limits(),
        image=image,
        attempt_dir=folder / "attempt",
        caches=caches,
    )


@dataclass(frozen=True)
class Origin:
    """A repository with one commit on `main`, and a bundle of it."""

    path: Path
    bundle: Path
    sha: str

    def prepared(
        self,
        folder: Path,
        *,
        command: tuple[str, ...] = (),
        model: str | None = None,
        limits: LimitSettings | None = None,
        attempt_id: str = ATTEMPT_ID,
        prompt: str = "Do it.",
        image: str = "squire-worker:latest",
        agent: Agent | None = None,
        order: AgentConfig | None = None,
        caches: tuple[Cache, ...] = (),
    ) -> AttemptInputs:
        """An attempt at this repository, its folder written."""
        inputs = make_inputs(
            folder,
            command=command,
            model=model,
            limits=limits,
            attempt_id=attempt_id,
            base_sha=self.sha,
            prompt=prompt,
            image=image,
            agent=agent,
            order=order,
            caches=caches,
        )
        write_inputs(inputs, self.bundle)
        return inputs

    def file_after(self, bundle: Path, branch: str, name: str) -> str:
        """The text of a file at the tip of the branch in an agent's bundle."""
        git(self.path, "fetch", "--quiet", str(bundle), f"+refs/heads/{branch}:refs/squire/result")
        return git(self.path, "show", f"refs/squire/result:{name}")


def make_origin(folder: Path) -> Origin:
    """Make the repository and its bundle with real git."""
    path = folder / "origin"
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=main")
    (path / "README.md").write_text("# Sample\n", encoding="utf-8")
    git(path, "add", "--all")
    git(path, "commit", "--quiet", "--message=first")
    bundle = folder / "origin.bundle"
    git(path, "bundle", "create", "--quiet", str(bundle), "refs/heads/main")
    return Origin(path, bundle, git(path, "rev-parse", "HEAD"))


def go_on() -> bool:
    """A heartbeat that never cancels."""
    return True


class StopAfterStart:
    """A heartbeat that asks to cancel once the agent's log holds `mark`."""

    def __init__(self, log: Path, mark: str) -> None:
        self._log = log
        self._mark = mark
        self.beats = 0

    def __call__(self) -> bool:
        self.beats += 1
        return self._mark not in self._log.read_text(encoding="utf-8")
