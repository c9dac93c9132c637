"""The common end of every run: close the log, take the result over, decide, and put the `RunResult` together."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pydantic import JsonValue

from squire_pipelines.agents import workspace
from squire_pipelines.agents.endings import Observed, StopReason, decide
from squire_pipelines.agents.logs import LogSink
from squire_pipelines.agents.model import AgentKind, AgentResult, AttemptInputs, ResultStatus, RunResult
from squire_pipelines.agents.opencode import OpenCodeReader
from squire_pipelines.domain.endings import Cause, Ending, Evidence
from squire_pipelines.errors import SquireError, WorkspaceError


@dataclass(frozen=True, slots=True)
class Watched:
    """What a run's supervision has seen; see `Observed` for the fields."""

    exit_code: int | None = None
    oom_killed: bool = False
    stop: StopReason | None = None
    engine_lost: bool = False
    engine_error: str | None = None


@dataclass(slots=True)
class Recorder:
    """One run's log, its reader of OpenCode's events and its clock."""

    inputs: AttemptInputs
    redact: Callable[[str], str]
    reader: OpenCodeReader = field(default_factory=OpenCodeReader)
    timings: dict[str, float] = field(default_factory=dict)
    facts: dict[str, JsonValue] = field(default_factory=dict)
    image_digest: str | None = None
    began: float = field(default_factory=time.monotonic)
    sink: LogSink = field(init=False)

    def __post_init__(self) -> None:
        """Open the log. Raises WorkspaceError."""
        # Any other program may print what looks like OpenCode's events.
        on_line = self.reader.line if self.inputs.agent_kind is AgentKind.OPENCODE else None
        try:
            self.sink = LogSink(
                self.inputs.folder.log, limit_bytes=self.inputs.limits.log, redact=self.redact, on_line=on_line
            )
        except OSError as error:
            message = f"the log {self.inputs.folder.log} cannot be written: {error.strerror}"
            raise WorkspaceError(message, hint="check the free space and the owner of the attempts folder") from error

    def lap(self, name: str) -> None:
        """Note how many seconds have passed since the beginning."""
        self.timings[name] = round(time.monotonic() - self.began, 3)

    def problem(self) -> StopReason | None:
        """What the run has outgrown."""
        if self.sink.overflowed:
            return StopReason.LOG_OVERFLOW
        if self.sink.failure is not None:
            return StopReason.DISK_FULL
        if workspace.measure(self.inputs.folder.out).exceeds(self.inputs.limits.output):
            return StopReason.DISK_FULL
        return None

    def finish(self, watched: Watched) -> RunResult:
        """Take over what was left and decide how the run ended."""
        self.sink.close()
        result, bundle, result_error = self._harvest()
        self.lap("total_s")
        if result is not None:
            self._note(result)
        if self.sink.failure is not None:
            self.facts["log_failure"] = self.sink.failure.strerror
        ending = decide(
            Observed(
                exit_code=watched.exit_code,
                oom_killed=watched.oom_killed,
                stop=watched.stop,
                engine_lost=watched.engine_lost,
                engine_error=watched.engine_error,
                result=result,
                result_error=result_error,
                has_bundle=bundle is not None,
                opencode=self.reader.summary,
                log_tail=self.sink.tail,
                timings_s=dict(self.timings),
                facts=dict(self.facts),
            )
        )
        return RunResult(
            ending=ending.model_copy(update={"message": self.redact(ending.message)}),
            result=result,
            bundle=bundle,
            image_digest=self.image_digest,
            agent_started_at=self.sink.agent_started_at,
            timings=MappingProxyType(dict(self.timings)),
        )

    def _harvest(self) -> tuple[AgentResult | None, Path | None, str | None]:
        folder = self.inputs.folder
        result: AgentResult | None = None
        try:
            result = workspace.read_result(folder.out)
            if result.status is not ResultStatus.CHANGED:
                return result, None, None
            return result, workspace.take_bundle(folder, self.inputs.limits.output), None
        except WorkspaceError as error:
            return result, None, error.message

    def _note(self, result: AgentResult) -> None:
        times = result.timings
        for name, value in (("clone_s", times.clone_s), ("bundle_s", times.bundle_s)):
            if value is not None:
                self.timings[name] = round(value, 3)
        if result.agent_version:
            self.facts["agent_version"] = result.agent_version


def not_run(
    cause: Cause,
    error: SquireError | str,
    *,
    timings: Mapping[str, float] | None = None,
    facts: Mapping[str, JsonValue] | None = None,
) -> RunResult:
    """The result of a run that never came to its agent."""
    known = dict(timings or {})
    code = error.code if isinstance(error, SquireError) else cause.value
    evidence = Evidence(error_code=code, timings_s=known, facts=dict(facts or {}))
    return RunResult(ending=Ending(cause=cause, message=str(error), evidence=evidence), timings=MappingProxyType(known))
