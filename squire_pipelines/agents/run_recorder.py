"""Records a run, whichever runner it has: its log, session, times, and in the end its result and ending."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

from pydantic import JsonValue

from squire_pipelines.agent_names import WITH_IMAGE
from squire_pipelines.agents import attempt_files
from squire_pipelines.agents.adapters.protocol import MAX_SESSION_FILE_BYTES, GatewaySeen
from squire_pipelines.agents.adapters.session import FILE as TRANSCRIPT
from squire_pipelines.agents.adapters.session import SessionReader
from squire_pipelines.agents.endings import RunFacts, SupervisionResult, decide
from squire_pipelines.agents.failure_hints import failure_hint
from squire_pipelines.agents.logs import DEFAULT_OUTPUT, LogSink, OutputOptions
from squire_pipelines.agents.model import AgentResult, AttemptInputs, ResultStatus, ResultTimings, RunResult
from squire_pipelines.agents.program_locks import tried_version
from squire_pipelines.domain.endings import LEFT_OUT_FACT, Cause, Ending, Evidence
from squire_pipelines.domain.terminal_text import plain
from squire_pipelines.errors import SquireError, WorkspaceError
from squire_pipelines.observability.logging import Component, get_logger

_log = get_logger(Component.AGENT)
_MAX_WORK_ENTRIES = 500_000
_MAX_WORK_DEPTH = 64


# The parts of a start, in their order.
START_PARTS = ("image_s", "warm_s", "create_s", "start_s", "workspace_in_s", "agent_start_s")


@dataclass(slots=True)
class RunRecorder:
    """One run's log, its reader of the agent's session and its clock.

    `timings` are seconds, each of one part: `image_s` to find the image; `warm_s` to take a container that waits for an
    attempt and start the agent in it, or else `create_s` and `start_s` for one of its own; `workspace_in_s` for the
    clone; `agent_start_s` for the rest until the agent starts; `agent_s` for the agent; `bundle_out_s` for the bundle;
    and `total_s`.
    """

    inputs: AttemptInputs
    output: OutputOptions = DEFAULT_OUTPUT
    append: bool = False
    resume_after: tuple[str, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    facts: dict[str, JsonValue] = field(default_factory=dict)
    image_digest: str | None = None
    gateway_seen: Callable[[], GatewaySeen] | None = None
    began: float = field(default_factory=time.monotonic)
    started: float | None = None
    ended: float | None = None
    ended_at: datetime | None = None
    session: SessionReader = field(init=False)
    _last_word: tuple[tuple[int, int], float] | None = field(default=None, init=False)
    sink: LogSink = field(init=False)

    def __post_init__(self) -> None:
        """Open the log. Raises WorkspaceError."""
        self.session = SessionReader(
            self.inputs.agent,
            self.inputs.folder.keep / TRANSCRIPT,
            max_bytes=self.inputs.limits.transcript,
            append=self.append,
        )
        try:
            self.sink = LogSink(
                self.inputs.folder.log,
                limit_bytes=self.inputs.limits.log,
                output=self.output,
                on_line=self.session.line,
                append=self.append,
                resume_after=self.resume_after,
            )
        except OSError as error:
            raise WorkspaceError(
                f"the log {self.inputs.folder.log} cannot be written: {error.strerror}",
                hint="check the free space and the owner of the attempts folder",
            ) from error

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Record how many seconds the block takes, also when it fails."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.timings[name] = round(time.monotonic() - start, 3)

    def mark_started(self) -> None:
        """Record that the agent's process or container runs from now on."""
        self.started = time.monotonic()

    def mark_ended(self) -> None:
        """Record that it has ended."""
        self.ended, self.ended_at = time.monotonic(), datetime.now(UTC)

    def problem(self) -> Cause | None:
        """Return which limit the run has exceeded, or `COMPLETED` where it lingers after its last word; else None."""
        if self.sink.overflowed and not self.output.truncate_log:
            return Cause.LOG_OVERFLOW
        if self.sink.failure is not None:
            return Cause.DISK_FULL
        # A container's `/out` is bounded by the kernel; what is taken out of it, file by file, by whoever reads it.
        is_local = self.facts.get("runner") not in {"docker", "kubernetes"}
        if is_local and attempt_files.measure(self.inputs.folder.out).exceeds(self.inputs.limits.output):
            return Cause.DISK_FULL
        if "kept_work" in self.facts and attempt_files.measure(
            self.inputs.folder.work, max_entries=_MAX_WORK_ENTRIES, max_depth=_MAX_WORK_DEPTH
        ).exceeds(self.inputs.limits.workspace):
            return Cause.DISK_FULL
        return Cause.COMPLETED if self._lingers() else None

    def _lingers(self) -> bool:
        """Return whether the program said its last word some time ago, and neither ended nor asked its model since."""
        if not self.session.said_last:
            self._last_word = None
            return False
        calls = self.gateway_seen().calls if self.gateway_seen is not None else 0
        seen = (self.session.totals.entries, calls)
        if self._last_word is None or self._last_word[0] != seen:
            self._last_word = (seen, time.monotonic())
        return time.monotonic() - self._last_word[1] >= self.output.linger_s

    def finish(self, supervision: SupervisionResult) -> RunResult:
        """Take over what was left and decide how the run ended."""
        self.sink.close()
        result, bundle, result_error = self._take_result()
        self._read_session_file()
        self._record_times(result)
        if self.sink.overflowed:
            self.facts["log_dropped_bytes"] = self.sink.dropped_bytes
        if self.sink.failure is not None:
            self.facts["log_failure"] = self.sink.failure.strerror
        ending = decide(
            RunFacts(
                **asdict(supervision),
                result=result,
                result_error=result_error,
                has_bundle=bundle is not None,
                failure=self.session.judge(
                    supervision.own_exit_code,
                    changed=_changed(result),
                    gateway=self.gateway_seen() if self.gateway_seen is not None else None,
                ),
                build=self._to_build(),
                hint=self._hint() if supervision.own_exit_code else "",
                session=self.session.facts(),
                log_tail=self.sink.tail,
                timings_s=dict(self.timings),
                facts=dict(self.facts),
            )
        )
        return RunResult(
            ending=ending.model_copy(update={"message": self.output.redact(ending.message)}),
            result=result,
            bundle=bundle,
            image_digest=self.image_digest,
            agent_started_at=self.sink.agent_started_at,
            agent_ended_at=self._agent_ended_at(),
            timings=MappingProxyType(dict(self.timings)),
        )

    def _to_build(self) -> str | None:
        """Return the agent whose program belongs into an image of its own, as `squire agents build` makes one."""
        name = self.inputs.agent.name
        return name if name in WITH_IMAGE else None

    def _hint(self) -> str:
        name, version = self.inputs.agent.name, self.facts.get("agent_version")
        return failure_hint(
            self.sink.tail,
            self.inputs.limits,
            name=name,
            version=str(version) if version else None,
            checked_version=tried_version(name),
            unread_events=self.session.unread_events,
        )

    def _take_result(self) -> tuple[AgentResult | None, Path | None, str | None]:
        folder = self.inputs.folder
        result: AgentResult | None = None
        try:
            result = attempt_files.read_result(folder.out)
            if result.status is not ResultStatus.CHANGED:
                return result, None, None
            return result, attempt_files.take_bundle(folder, self.inputs.limits.output), None
        except WorkspaceError as error:
            return result, None, error.message

    def _read_session_file(self) -> None:
        """Read the session from the file that the program left, where it prints no events."""
        report = self.inputs.launch.session_file
        if report is None or self.inputs.part:
            return
        try:
            raw = attempt_files.read_output(self.inputs.folder.out, report.name, MAX_SESSION_FILE_BYTES)
        except FileNotFoundError:
            return
        except WorkspaceError as error:
            self.facts["session_file_failure"] = error.message
            return
        lines = raw.decode("utf-8", errors="replace").split("\n")
        self.session.report("\n".join(self.output.redact(plain(line)) for line in lines), report.read)

    def _record_times(self, result: AgentResult | None) -> None:
        times = result.timings if result is not None else ResultTimings()
        if result is not None and result.agent_version:
            self.facts["agent_version"] = result.agent_version
        if result is not None and result.uncommitted_committed:
            self.facts["committed_by_worker"] = True
        if result is not None and result.left_out:
            self.facts[LEFT_OUT_FACT] = list(result.left_out)
        # What the worker says is the agent's word: it is never more than what we measured ourselves.
        total = self.timings["total_s"] = round(time.monotonic() - self.began, 3)
        for name, value in (("workspace_in_s", times.clone_s), ("bundle_out_s", times.bundle_s)):
            if value is not None:
                self.timings[name] = round(min(value, total), 3)
        agent_started = self.sink.agent_started
        if agent_started is not None and self.started is not None:
            until = max(0.0, agent_started - self.started)
            self.timings["agent_start_s"] = round(max(0.0, until - self.timings.get("workspace_in_s", 0.0)), 3)
            self._warn_if_slow()
        if agent_started is not None and self.started is not None and self.ended is not None:
            agent_s = self.ended - agent_started - self.timings.get("bundle_out_s", 0.0)
            self.timings["agent_s"] = round(max(0.0, agent_s), 3)

    def _agent_ended_at(self) -> datetime | None:
        """Return when the agent ended by our clock: what came after it, its bundle, may be the worker's word."""
        started_at = self.sink.agent_started_at
        if started_at is None or self.ended_at is None:
            return None
        return max(started_at, self.ended_at - timedelta(seconds=self.timings.get("bundle_out_s", 0.0)))

    def _warn_if_slow(self) -> None:
        parts = {name: self.timings[name] for name in START_PARTS if name in self.timings}
        total_s = sum(parts.values())
        if total_s <= self.output.slow_start_s:
            return
        slowest = max(parts, key=parts.__getitem__)
        self.facts["slow_start"] = slowest
        _log.warning("agent.slow_start", took_s=round(total_s, 3), slowest=slowest, **parts)


def _changed(result: AgentResult | None) -> bool | None:
    if result is None or result.status is ResultStatus.ERROR:
        return None
    return result.status is ResultStatus.CHANGED


def failed_before_start(cause: Cause, error: SquireError | str, recorder: RunRecorder | None = None) -> RunResult:
    """Return the result of a run that never came to its agent, with what `recorder` has of it."""
    timings = dict(recorder.timings) if recorder else {}
    code = error.code if isinstance(error, SquireError) else cause.value
    evidence = Evidence(error_code=code, timings_s=timings, facts=dict(recorder.facts) if recorder else {})
    ending = Ending(cause=cause, message=str(error), evidence=evidence)
    return RunResult(ending=ending, timings=MappingProxyType(timings))
