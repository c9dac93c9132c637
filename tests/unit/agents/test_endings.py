"""What was observed, and the ending it means: the whole table."""

from dataclasses import replace

import pytest

from squire_pipelines.agents.adapters.protocol import SessionFailure
from squire_pipelines.agents.endings import STOPS, RunFacts, decide, engine_refusal
from squire_pipelines.agents.model import AgentResult
from squire_pipelines.domain.endings import Cause


def result(status: str, *, agent_exit: int | None = 0, code: str | None = None, message: str = "why") -> AgentResult:
    error = {"code": code, "message": message} if code else None
    return AgentResult.model_validate(
        {"schema": 1, "status": status, "agent_exit_code": agent_exit, "commits": 2, "error": error}
    )


CHANGED = RunFacts(exit_code=0, result=result("changed"), has_bundle=True)
PROVIDER = SessionFailure("provider", "the model's provider failed: 503", "APIError")
WRONG_KEY = SessionFailure("configuration", "the provider refuses the key; set another one", "provider_refused")
ABORTED = SessionFailure("agent", "OpenCode failed", "MessageAbortedError")

TABLE = {
    "it changed something": (CHANGED, Cause.COMPLETED),
    "it changed nothing": (RunFacts(exit_code=0, result=result("no_changes")), Cause.NO_CHANGES),
    "only a child ran out of memory": (replace(CHANGED, oom_killed=True), Cause.COMPLETED),
    "it ran out of memory": (RunFacts(exit_code=137, oom_killed=True), Cause.OUT_OF_MEMORY),
    "a child's memory, its own error": (RunFacts(exit_code=1, oom_killed=True), Cause.AGENT_ERROR),
    "killed by somebody": (RunFacts(exit_code=137), Cause.KILLED),
    "asked to end by somebody": (RunFacts(exit_code=143), Cause.KILLED),
    "ended while the engine was away": (RunFacts(exit_code=137, engine_lost=True), Cause.ENGINE_LOST),
    "finished though the engine was away": (replace(CHANGED, engine_lost=True), Cause.COMPLETED),
    "the engine stays away": (RunFacts(engine_error="gone"), Cause.ENGINE_LOST),
    "no exit code": (RunFacts(), Cause.ENGINE_LOST),
    "nobody took its result": (RunFacts(exit_code=123), Cause.ENGINE_LOST),
    "its program's own exit code": (RunFacts(exit_code=123, result=result("changed")), Cause.AGENT_ERROR),
    "timed out": (RunFacts(exit_code=143, stop=Cause.TIMEOUT), Cause.TIMEOUT),
    "timed out and killed": (RunFacts(exit_code=137, stop=Cause.TIMEOUT), Cause.TIMEOUT),
    "stayed after its last word": (replace(CHANGED, exit_code=143, stop=Cause.COMPLETED), Cause.COMPLETED),
    "stayed and was killed": (replace(CHANGED, exit_code=137, stop=Cause.COMPLETED), Cause.COMPLETED),
    "stayed and had changed nothing": (
        RunFacts(exit_code=143, stop=Cause.COMPLETED, result=result("no_changes", agent_exit=None, code="terminated")),
        Cause.NO_CHANGES,
    ),
    "stayed after a provider's error": (
        replace(CHANGED, exit_code=143, stop=Cause.COMPLETED, failure=PROVIDER),
        Cause.PROVIDER_ERROR,
    ),
    "stayed, and its worker was killed": (
        RunFacts(exit_code=137, stop=Cause.COMPLETED, result_error="result.json is missing"),
        Cause.WORKSPACE_ERROR,
    ),
    "cancelled": (RunFacts(exit_code=143, stop=Cause.CANCELLED), Cause.CANCELLED),
    "flooded its log": (RunFacts(exit_code=137, stop=Cause.LOG_OVERFLOW), Cause.LOG_OVERFLOW),
    "filled the disk": (RunFacts(exit_code=137, stop=Cause.DISK_FULL), Cause.DISK_FULL),
    "not found": (
        RunFacts(exit_code=127, result=result("error", agent_exit=None, code="agent_not_found")),
        Cause.AGENT_NOT_FOUND,
    ),
    "not executable": (RunFacts(exit_code=126), Cause.AGENT_NOT_FOUND),
    "input invalid": (
        RunFacts(exit_code=120, result=result("error", agent_exit=None, code="input_invalid")),
        Cause.WORKSPACE_ERROR,
    ),
    "git failed": (
        RunFacts(exit_code=121, result=result("error", agent_exit=None, code="git_failed")),
        Cause.WORKSPACE_ERROR,
    ),
    "an agent's own exit code 121": (
        RunFacts(exit_code=121, result=result("changed", agent_exit=121)),
        Cause.AGENT_ERROR,
    ),
    "an agent's error": (RunFacts(exit_code=3, result=result("changed", agent_exit=3)), Cause.AGENT_ERROR),
    "an error without a result": (RunFacts(exit_code=1, result_error="missing"), Cause.AGENT_ERROR),
    "a bad result": (RunFacts(exit_code=0, result_error="a symlink"), Cause.WORKSPACE_ERROR),
    "no result": (RunFacts(exit_code=0), Cause.WORKSPACE_ERROR),
    "a bad bundle": (replace(CHANGED, result_error="too large"), Cause.WORKSPACE_ERROR),
    "no bundle": (replace(CHANGED, has_bundle=False), Cause.WORKSPACE_ERROR),
    "the worker failed afterwards": (
        RunFacts(exit_code=0, result=result("error", code="internal")),
        Cause.WORKSPACE_ERROR,
    ),
    "the provider failed, exit 1": (RunFacts(exit_code=1, failure=PROVIDER), Cause.PROVIDER_ERROR),
    "the provider failed, exit 0": (replace(CHANGED, failure=PROVIDER), Cause.PROVIDER_ERROR),
    "the user has to change something": (RunFacts(exit_code=1, failure=WRONG_KEY), Cause.CONFIGURATION),
    "the user has to change something, exit 0": (replace(CHANGED, failure=WRONG_KEY), Cause.CONFIGURATION),
    "the agent itself failed": (RunFacts(exit_code=1, failure=ABORTED), Cause.AGENT_ERROR),
    "it judges itself failed with exit 0": (replace(CHANGED, failure=ABORTED), Cause.AGENT_ERROR),
    "timed out with a failing provider": (
        RunFacts(exit_code=143, stop=Cause.TIMEOUT, failure=PROVIDER),
        Cause.TIMEOUT,
    ),
}


@pytest.mark.parametrize(("seen", "cause"), TABLE.values(), ids=TABLE.keys())
def test_each_observation_has_one_cause(seen: RunFacts, cause: Cause) -> None:
    ending = decide(seen)
    assert ending.cause is cause
    assert ending.message


def test_a_program_that_is_not_in_the_image_is_named_with_how_it_gets_there() -> None:
    seen = RunFacts(
        exit_code=127,
        result=result("error", agent_exit=None, code="agent_not_found", message="claude was not found; PATH is /bin"),
    )
    assert decide(seen).message == "the agent's command was not found: claude was not found; PATH is /bin"
    assert decide(replace(seen, build="claude-code")).message.endswith("; run `squire agents build claude-code`")


def test_what_the_user_has_to_change_is_not_tried_again() -> None:
    assert not Cause.CONFIGURATION.transient


def test_out_of_memory_is_never_inferred_from_137() -> None:
    causes = {
        decide(RunFacts(exit_code=137, stop=stop, engine_lost=lost)).cause
        for stop in (None, *STOPS)
        for lost in (True, False)
    }
    assert Cause.OUT_OF_MEMORY not in causes


def test_a_childs_death_of_memory_is_noted_in_the_facts() -> None:
    evidence = decide(replace(CHANGED, oom_killed=True)).evidence
    assert evidence.facts["child_oom_killed"] is True
    assert evidence.oom_killed
    assert not evidence.killed_by_us


def test_evidence_says_why_we_stopped_it_and_keeps_the_last_lines() -> None:
    seen = RunFacts(exit_code=137, stop=Cause.TIMEOUT, log_tail=("bye",), session={"steps": 2}, engine_lost=True)
    evidence = decide(seen).evidence
    assert evidence.killed_by_us
    assert evidence.log_tail == ("bye",)
    assert evidence.facts["stopped_for"] == "timeout"
    assert evidence.facts["engine_connection_lost"] is True
    assert evidence.session == {"steps": 2}


def test_a_message_of_the_agents_is_cut_and_cleaned() -> None:
    seen = RunFacts(exit_code=127, result=result("error", agent_exit=None, code="x", message="\x1b[31m" + "y" * 5000))
    message = decide(seen).message
    assert "\x1b" not in message
    assert len(message) < 600


@pytest.mark.parametrize(
    ("status", "explanation", "cause"),
    [
        (500, "write /var/lib/x: no space left on device", Cause.DISK_FULL),
        (500, "context deadline exceeded", Cause.ENGINE_LOST),
        (400, "OCI runtime create failed: exec: python3: executable file not found in $PATH", Cause.AGENT_NOT_FOUND),
        (400, "invalid seccomp profile", Cause.INTERNAL_ERROR),
    ],
)
def test_a_refusal_of_the_engine_has_a_cause(status: int, explanation: str, cause: Cause) -> None:
    assert engine_refusal(status, explanation)[0] is cause
