"""Decides how a run ended from the facts about it, the surest fact first. Pure: the runners collect the facts."""

from dataclasses import dataclass, field
from typing import NamedTuple

from pydantic import JsonValue

from squire_pipelines.agent_names import WITH_IMAGE, image_of
from squire_pipelines.agents.adapters.protocol import SessionFailure
from squire_pipelines.agents.model import AgentResult, ResultStatus
from squire_pipelines.domain.endings import SESSION_FACT, STOPPED_FOR, Cause, Ending, Evidence
from squire_pipelines.domain.terminal_text import one_line

EXIT_INPUT = 120
EXIT_GIT = 121
EXIT_OUT_FULL = 122
EXIT_DOOR_AWAY = 123
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
EXIT_KILLED = 137
EXIT_TERMINATED = 143
IMAGE_HINT = "run `make engine` and `scripts/images.sh worker`"
_PROGRAM_IMAGES = {image_of(name): name for name in WITH_IMAGE}
_MAX_MESSAGE_CHARS = 500


def image_hint(image: str) -> str:
    """Return the command that makes the image, which is the worker's unless it is the default one of a program."""
    name = _PROGRAM_IMAGES.get(image)
    return f"run `squire agents build {name}`" if name else IMAGE_HINT


class PlatformVerdict(NamedTuple):
    """Why whatever runs containers ended one by itself: the cause, a whole sentence, and a code for the evidence."""

    cause: Cause
    message: str
    code: str


@dataclass(frozen=True)
class SupervisionResult:
    """How a supervised run ended.

    `exit_code` is None when the engine could not tell it, `stop` says why we stopped the run ourselves. `engine_lost`
    says that the connection to the engine broke at some time, `engine_error` that we gave up because of it. `platform`
    is what the platform itself says of the end.
    """

    exit_code: int | None = None
    oom_killed: bool = False
    stop: Cause | None = None
    engine_lost: bool = False
    engine_error: str | None = None
    platform: PlatformVerdict | None = None

    @property
    def own_exit_code(self) -> int | None:
        """The exit code; 0 for a program that we ended since it stayed after its last word."""
        ended = self.stop is Cause.COMPLETED and self.exit_code in {EXIT_KILLED, EXIT_TERMINATED}
        return 0 if ended else self.exit_code


@dataclass(frozen=True)
class RunFacts(SupervisionResult):
    """What is known of a run that is over.

    `result_error` says why `result` or the bundle could not be taken over. `failure` is what the agent's own rule says
    of the session, `build` names what `squire agents build` would put into the image, if it has such an agent, and
    `hint` says what the program seems to lack where it failed by itself.
    """

    result: AgentResult | None = None
    result_error: str | None = None
    has_bundle: bool = False
    failure: SessionFailure | None = None
    build: str | None = None
    hint: str = ""
    session: dict[str, JsonValue] = field(default_factory=dict)
    log_tail: tuple[str, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)
    facts: dict[str, JsonValue] = field(default_factory=dict)


# Why we stop a run ourselves.
STOPS = {
    Cause.TIMEOUT: "the agent was stopped: it ran longer than its wall clock allows",
    Cause.CANCELLED: "the agent was stopped because the attempt was cancelled",
    Cause.LOG_OVERFLOW: "the agent was stopped: it wrote more output than its log may hold",
    Cause.DISK_FULL: "the agent was stopped: its output outgrew its limit, or the disk is full",
}


_BY_FAULT = {"provider": Cause.PROVIDER_ERROR, "configuration": Cause.CONFIGURATION}


def decide(run: RunFacts) -> Ending:
    """Return how the attempt ended, with its evidence."""
    cause, message, error_code = _verdict(run)
    facts = dict(run.facts)
    if run.oom_killed and cause is not Cause.OUT_OF_MEMORY:
        # The flag is the whole container's: a child died of it while the main process had its own ending.
        facts["child_oom_killed"] = True
    if run.engine_lost:
        facts["engine_connection_lost"] = True
    if run.stop is not None:
        facts[STOPPED_FOR] = run.stop.value
    if run.session:
        facts[SESSION_FACT] = run.session
    evidence = Evidence(
        exit_code=run.exit_code,
        oom_killed=run.oom_killed,
        killed_by_us=run.stop is not None,
        error_code=error_code,
        log_tail=run.log_tail,
        timings_s=run.timings_s,
        facts=facts,
    )
    return Ending(cause=cause, message=message, evidence=evidence)


def _verdict(run: RunFacts) -> tuple[Cause, str, str | None]:
    if run.stop is not None and run.stop is not Cause.COMPLETED:
        return run.stop, STOPS[run.stop], run.stop.value
    # A program that had ended by itself before its machine was taken away has an ending of its own.
    if run.platform is not None and run.exit_code in {None, EXIT_KILLED, EXIT_TERMINATED} and not run.oom_killed:
        return run.platform
    if run.engine_error is not None or run.exit_code is None:
        return Cause.ENGINE_LOST, f"the container engine was lost: {run.engine_error or 'no exit code'}", "engine"
    if run.stop is Cause.COMPLETED:
        cause, message, code = _failed_in_session(run) or _finished(run)
        return cause, f"{message}; it was ended, since it stayed after its last word", code
    if run.exit_code in {EXIT_KILLED, EXIT_TERMINATED}:
        return _killed(run)
    return _failed_at_start(run) or _failed_in_session(run) or _finished(run)


def _entrypoint_error(run: RunFacts) -> tuple[str, str | None]:
    """Return the entrypoint's message with a colon before it, or nothing, and its error code."""
    error = run.result.error if run.result is not None else None
    if error is None:
        return "", None
    text = one_line(error.message, limit=_MAX_MESSAGE_CHARS)
    return (f": {text}" if text else ""), error.code


def _failed_at_start(run: RunFacts) -> tuple[Cause, str, str | None] | None:
    detail, code = _entrypoint_error(run)
    if run.exit_code in {EXIT_NOT_FOUND, EXIT_NOT_EXECUTABLE}:
        problem = "was not found" if run.exit_code == EXIT_NOT_FOUND else "cannot be executed"
        step = f"; run `squire agents build {run.build}`" if run.build is not None else ""
        return Cause.AGENT_NOT_FOUND, f"the agent's command {problem}{detail}{step}", code
    if run.exit_code == EXIT_OUT_FULL and (run.result is None or code == "output_full"):
        return Cause.DISK_FULL, f"the worker could not write its result, since /out is full{detail}", "output_full"
    if run.exit_code == EXIT_DOOR_AWAY and run.result is None:
        return Cause.ENGINE_LOST, "the container could not hand its result out: it reached no worker", "door_away"
    # An agent may end with these numbers too; only the entrypoint's own failure leaves no exit code of the agent.
    never_ran = run.result is not None and run.result.agent_exit_code is None
    if run.exit_code in {EXIT_INPUT, EXIT_GIT} and never_ran:
        return Cause.WORKSPACE_ERROR, f"the workspace could not be prepared{detail}", code
    return None


def _failed_in_session(run: RunFacts) -> tuple[Cause, str, str | None] | None:
    detail, code = _entrypoint_error(run)
    hint = f"; {run.hint}" if run.hint else ""
    if run.failure is not None:
        cause = _BY_FAULT.get(run.failure.fault, Cause.AGENT_ERROR)
        message = f"{one_line(run.failure.message, limit=_MAX_MESSAGE_CHARS)}{detail}"
        return cause, message + hint if cause is Cause.AGENT_ERROR else message, code or run.failure.code
    if run.own_exit_code != 0:
        return Cause.AGENT_ERROR, f"the agent ended with exit code {run.exit_code}{detail}{hint}", code
    return None


def _killed(run: RunFacts) -> tuple[Cause, str, str | None]:
    if run.exit_code == EXIT_KILLED and run.oom_killed:
        return Cause.OUT_OF_MEMORY, "the agent was killed because it used more memory than its limit", "oom"
    if run.engine_lost:
        return Cause.ENGINE_LOST, "the container ended while the engine was away", "engine"
    signal = "SIGKILL" if run.exit_code == EXIT_KILLED else "SIGTERM"
    return Cause.KILLED, f"the agent was ended by {signal}, and not by us", "killed"


def _finished(run: RunFacts) -> tuple[Cause, str, str | None]:
    detail, code = _entrypoint_error(run)
    if run.result is None or run.result_error is not None:
        why = run.result_error or "result.json is missing"
        return Cause.WORKSPACE_ERROR, f"the agent's result cannot be taken over: {why}", "result"
    if run.result.status is ResultStatus.NO_CHANGES:
        return Cause.NO_CHANGES, "the agent ended without changing anything", None
    if run.result.status is ResultStatus.ERROR:
        return Cause.WORKSPACE_ERROR, f"the worker could not finish{detail}", code
    if not run.has_bundle:
        return Cause.WORKSPACE_ERROR, "the agent reports a change, but left no bundle", "result"
    commits = run.result.commits
    return Cause.COMPLETED, f"the agent ended with {commits} commit{'' if commits == 1 else 's'}", None


def engine_refusal(status: int, explanation: str) -> tuple[Cause, str]:
    """Return the cause when the engine refuses to create or start a container (HTTP `status`), and a message."""
    reason = one_line(explanation, limit=_MAX_MESSAGE_CHARS)
    lowered = reason.lower()
    if "no space left" in lowered or "disk quota" in lowered:
        return Cause.DISK_FULL, f"the engine's disk is full: {reason}"
    if "bind source path does not exist" in lowered:
        return Cause.WORKSPACE_ERROR, (
            f"the engine does not have the attempt's folder: one that is not on this machine needs SQUIRE_HOME at the "
            f"same path ({reason})"
        )
    if "executable file not found" in lowered or "no such file or directory" in lowered:
        return Cause.AGENT_NOT_FOUND, f"the image lacks what it is to run: {reason} ({IMAGE_HINT})"
    if status >= 500:  # noqa: PLR2004 - HTTP's server errors
        return Cause.ENGINE_LOST, f"the engine failed: {reason}"
    return Cause.INTERNAL_ERROR, f"the engine refused the container: {reason}"
