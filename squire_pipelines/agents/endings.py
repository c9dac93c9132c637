"""From what was observed of a run to its ending: one pure function, read as a table from the surest fact down.

No I/O: the runners collect the facts.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import JsonValue

from squire_pipelines.agents.adapters.protocol import SessionFailure
from squire_pipelines.agents.logs import clean
from squire_pipelines.agents.model import AgentResult, ResultStatus
from squire_pipelines.domain.endings import Cause, Ending, Evidence

EXIT_INPUT = 120
EXIT_GIT = 121
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
EXIT_KILLED = 137
EXIT_TERMINATED = 143
IMAGE_HINT = "run `make engine` and `scripts/images.sh worker`"
_MAX_MESSAGE_CHARS = 500


class StopReason(StrEnum):
    """Why we stopped a run ourselves."""

    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    LOG_OVERFLOW = "log_overflow"
    DISK_FULL = "disk_full"


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known of a run that is over.

    `exit_code` is None when the engine could not tell it. `engine_lost` says that the connection to the engine broke
    at some time, `engine_error` that we gave up because of it. `result_error` says why `result` or the bundle could
    not be taken over.
    """

    exit_code: int | None = None
    oom_killed: bool = False
    stop: StopReason | None = None
    engine_lost: bool = False
    engine_error: str | None = None
    result: AgentResult | None = None
    result_error: str | None = None
    has_bundle: bool = False
    judgement: SessionFailure | None = None
    session: dict[str, JsonValue] = field(default_factory=dict)
    log_tail: tuple[str, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)
    facts: dict[str, JsonValue] = field(default_factory=dict)


_STOPPED = {
    StopReason.TIMEOUT: (Cause.TIMEOUT, "the agent was stopped: it ran longer than its wall clock allows"),
    StopReason.CANCELLED: (Cause.CANCELLED, "the agent was stopped because the attempt was cancelled"),
    StopReason.LOG_OVERFLOW: (Cause.LOG_OVERFLOW, "the agent was stopped: it wrote more output than its log may hold"),
    StopReason.DISK_FULL: (Cause.DISK_FULL, "the agent was stopped: its output outgrew its limit, or the disk is full"),
}


def decide(seen: RunFacts) -> Ending:
    """How the attempt ended, with its evidence."""
    cause, message, error_code = _verdict(seen)
    facts = dict(seen.facts)
    if seen.oom_killed and cause is not Cause.OUT_OF_MEMORY:
        # The flag is the whole container's: a child died of it while the main process had its own ending.
        facts["child_oom_killed"] = True
    if seen.engine_lost:
        facts["engine_connection_lost"] = True
    if seen.stop is not None:
        facts["stopped_for"] = seen.stop.value
    if seen.session:
        facts["session"] = seen.session
    evidence = Evidence(
        exit_code=seen.exit_code,
        oom_killed=seen.oom_killed,
        killed_by_us=seen.stop is not None,
        error_code=error_code,
        log_tail=seen.log_tail,
        timings_s=seen.timings_s,
        facts=facts,
    )
    return Ending(cause=cause, message=message, evidence=evidence)


def _verdict(seen: RunFacts) -> tuple[Cause, str, str | None]:
    if seen.stop is not None:
        cause, message = _STOPPED[seen.stop]
        return cause, message, seen.stop.value
    if seen.engine_error is not None or seen.exit_code is None:
        return Cause.ENGINE_LOST, f"the container engine was lost: {seen.engine_error or 'no exit code'}", "engine"
    if seen.exit_code in {EXIT_KILLED, EXIT_TERMINATED}:
        return _killed(seen)
    return _failed_at_start(seen) or _failed_in_session(seen) or _finished(seen)


def _said(seen: RunFacts) -> tuple[str, str | None]:
    """The entrypoint's message with a colon before it, or nothing, and its error code."""
    error = seen.result.error if seen.result is not None else None
    if error is None:
        return "", None
    text = clean(error.message)[:_MAX_MESSAGE_CHARS]
    return (f": {text}" if text else ""), error.code


def _failed_at_start(seen: RunFacts) -> tuple[Cause, str, str | None] | None:
    said, code = _said(seen)
    if seen.exit_code in {EXIT_NOT_FOUND, EXIT_NOT_EXECUTABLE}:
        what = "was not found" if seen.exit_code == EXIT_NOT_FOUND else "cannot be executed"
        return Cause.AGENT_NOT_FOUND, f"the agent's command {what}{said}", code
    # An agent may end with these numbers too; only the entrypoint's own failure leaves no exit code of the agent.
    never_ran = seen.result is not None and seen.result.agent_exit_code is None
    if seen.exit_code in {EXIT_INPUT, EXIT_GIT} and never_ran:
        return Cause.WORKSPACE_ERROR, f"the workspace could not be prepared{said}", code
    return None


def _failed_in_session(seen: RunFacts) -> tuple[Cause, str, str | None] | None:
    said, code = _said(seen)
    if seen.judgement is not None:
        cause = Cause.PROVIDER_ERROR if seen.judgement.fault == "provider" else Cause.AGENT_ERROR
        return cause, f"{clean(seen.judgement.message)[:_MAX_MESSAGE_CHARS]}{said}", code or seen.judgement.code
    if seen.exit_code != 0:
        return Cause.AGENT_ERROR, f"the agent ended with exit code {seen.exit_code}{said}", code
    return None


def _killed(seen: RunFacts) -> tuple[Cause, str, str | None]:
    if seen.exit_code == EXIT_KILLED and seen.oom_killed:
        return Cause.OUT_OF_MEMORY, "the agent was killed because it used more memory than its limit", "oom"
    if seen.engine_lost:
        return Cause.ENGINE_LOST, "the container ended while the engine was away", "engine"
    signal = "SIGKILL" if seen.exit_code == EXIT_KILLED else "SIGTERM"
    return Cause.KILLED, f"the agent was ended by {signal}, and not by us", "killed"


def _finished(seen: RunFacts) -> tuple[Cause, str, str | None]:
    said, code = _said(seen)
    if seen.result is None or seen.result_error is not None:
        why = seen.result_error or "result.json is missing"
        return Cause.WORKSPACE_ERROR, f"the agent's result cannot be taken over: {why}", "result"
    if seen.result.status is ResultStatus.NO_CHANGES:
        return Cause.NO_CHANGES, "the agent ended without changing anything", None
    if seen.result.status is ResultStatus.ERROR:
        return Cause.WORKSPACE_ERROR, f"the worker could not finish{said}", code
    if not seen.has_bundle:
        return Cause.WORKSPACE_ERROR, "the agent says that it changed something, but left no bundle", "result"
    commits = seen.result.commits
    return Cause.COMPLETED, f"the agent ended with {commits} commit{'' if commits == 1 else 's'}", None


def engine_refusal(status: int, explanation: str) -> tuple[Cause, str]:
    """The cause when the engine refuses to create or start a container (HTTP `status`), and a sentence for people."""
    said = clean(explanation)[:_MAX_MESSAGE_CHARS]
    lowered = said.lower()
    if "no space left" in lowered or "disk quota" in lowered:
        return Cause.DISK_FULL, f"the engine's disk is full: {said}"
    if "bind source path does not exist" in lowered:
        return Cause.WORKSPACE_ERROR, (
            f"the engine does not have the attempt's folder: one that is not on this machine needs SQUIRE_HOME at the "
            f"same path ({said})"
        )
    if "executable file not found" in lowered or "no such file or directory" in lowered:
        return Cause.AGENT_NOT_FOUND, f"the image lacks what it is to run: {said} ({IMAGE_HINT})"
    if status >= 500:  # noqa: PLR2004 - HTTP's server errors
        return Cause.ENGINE_LOST, f"the engine failed: {said}"
    return Cause.INTERNAL_ERROR, f"the engine refused the container: {said}"
