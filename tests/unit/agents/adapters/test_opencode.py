"""OpenCode's events as entries, its configuration and its judgement; the lines are shaped as 1.18 prints them."""

import json

import pytest

from squire_pipelines.agents.adapters.opencode import OpenCodeAgent, permission_config
from squire_pipelines.agents.adapters.program_agent import PLACEHOLDER_KEY
from squire_pipelines.agents.adapters.protocol import AgentConfig, Marker, SessionResult, allow, deny
from squire_pipelines.agents.adapters.transcript import (
    Entry,
    ModelStep,
    ModelText,
    SessionError,
    SessionNote,
    SessionTotals,
    ToolCall,
    total,
)
from squire_pipelines.errors import ConfigError


def read(line: str) -> tuple[Entry, ...]:
    return tuple(OpenCodeAgent().parser()(line))


def event(kind: str, **more: object) -> str:
    return json.dumps({"type": kind, "timestamp": 1_700_000_000_000, "sessionID": "ses_1", **more})


def summarize(lines: list[str]) -> SessionTotals:
    return total(entry for line in lines for entry in read(line))


STEP = {
    "type": "step-finish",
    "reason": "stop",
    "cost": 0.25,
    "tokens": {"input": 100, "output": 10, "reasoning": 5, "cache": {"read": 50, "write": 7}},
}
FAILED = {"name": "APIError", "data": {"message": "Service unavailable", "statusCode": 503}}
TOOL = {
    "type": "tool",
    "tool": "bash",
    "state": {
        "status": "completed",
        "title": "append",
        "input": {"command": "echo"},
        "output": "x" * 10_000,
        "time": {"start": 1000, "end": 1250},
    },
}


def test_each_event_has_its_entry() -> None:
    (step,) = read(event("step_finish", part=STEP))
    assert isinstance(step, ModelStep)
    assert (step.input_tokens, step.cache_read_tokens, step.cache_write_tokens, step.cost_usd) == (100, 50, 7, 0.25)
    assert (step.session, step.reason) == ("ses_1", "stop")
    assert step.at is not None
    assert step.at.isoformat() == "2023-11-14T22:13:20+00:00"
    (tool,) = read(event("tool_use", part=TOOL))
    assert isinstance(tool, ToolCall)
    assert (tool.tool, tool.status, tool.title, tool.input, tool.seconds) == (
        "bash",
        "completed",
        "append",
        '{"command": "echo"}',
        0.25,
    )
    assert len(tool.output) <= 4000
    assert tool.output.endswith("more characters)")
    (text,) = read(event("text", part={"text": "done"}))
    assert text.kind == ModelText(text="done").kind
    (begun,) = read(event("step_start", part={"type": "step-start"}))
    assert isinstance(begun, SessionNote)


def test_an_answer_without_content_is_the_providers_failure() -> None:
    """1.18.33 ends so, with 0, when a stream of status 200 has no content (measured)."""
    tokens = {"input": 0, "output": 0, "reasoning": 0, "cache": {"read": 0, "write": 0}}
    step, error = read(event("step_finish", part={"type": "step-finish", "reason": "unknown", "tokens": tokens}))
    assert isinstance(error, SessionError)
    judged = OpenCodeAgent().judge(SessionResult(total([step, error]), 0, changed=False))
    assert judged is not None
    assert judged.fault == "provider"


def test_a_failed_and_an_unfinished_tool_call_are_told_apart() -> None:
    failed = {"type": "tool", "tool": "bash", "state": {"status": "error", "error": "denied", "input": None}}
    (first,) = read(event("tool_use", part=failed))
    (second,) = read(event("tool_use", part={"type": "tool", "tool": "bash", "state": {"status": "running"}}))
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert (first.status, first.error, first.seconds) == ("error", "denied", None)
    assert second.status == "unknown"
    assert total([first, second]).failed_tool_calls == 1


def test_steps_tools_tokens_and_cost_are_added_up() -> None:
    lines = [
        "squire: agent started",
        event("step_start", part={"type": "step-start"}),
        event("tool_use", part={"type": "tool", "tool": "bash"}),
        event("step_finish", part=STEP),
        event("text", part={"type": "text", "text": "done"}),
        event("step_finish", part=STEP),
    ]
    summary = summarize(lines)
    assert summary.session_id == "ses_1"
    assert (summary.steps, summary.tool_calls, summary.entries) == (2, 1, 5)
    assert (summary.input_tokens, summary.output_tokens, summary.reasoning_tokens) == (200, 20, 10)
    assert summary.cache_read_tokens == 100
    assert summary.cost_usd == 0.5
    assert summary.fatal_error is None


def test_an_error_at_the_end_is_fatal_and_one_that_was_overcome_is_not() -> None:
    error, step = event("error", error=FAILED), event("step_finish", part=STEP)
    fatal = summarize([step, error]).fatal_error
    assert fatal is not None
    assert fatal.provider
    assert summarize([step, error]).facts()["errors"] == ["APIError: Service unavailable"]
    overcome = summarize([error, step])
    assert overcome.fatal_error is None
    assert len(overcome.errors) == 1


def test_an_error_of_the_sessions_own_is_not_the_providers() -> None:
    (entry,) = read(event("error", error={"name": "MessageAbortedError", "data": {"message": "x"}}))
    assert isinstance(entry, SessionError)
    assert not entry.provider


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "{}",
        '{"type": 3}',
        "[1]",
        '{"a":' * 50_000,
        '{"type": "text", "part": {"text": ""}}',
        '{"type": "something_new"}',
        "plain",
    ],
)
def test_a_line_that_is_no_event_is_left_alone(line: str) -> None:
    assert read(line) == ()


@pytest.mark.parametrize(
    "part", [{"tokens": "many"}, {"tokens": {"input": -1, "output": True}}, {"cost": float("inf")}, {"cost": "1"}]
)
def test_a_field_of_another_type_counts_as_missing(part: dict[str, object]) -> None:
    (step,) = read(event("step_finish", part=part))
    assert isinstance(step, ModelStep)
    assert (step.input_tokens, step.output_tokens, step.cost_usd) == (0, 0, 0.0)


def test_errors_are_bounded() -> None:
    long = {"name": "n" * 1000, "data": {"message": "m" * 10_000}}
    summary = summarize([event("error", error=long)] * 100 + [event("error", error={"data": {"message": 3}})])
    assert len(summary.errors) == 20
    assert len(summary.errors[0].message) == 500
    assert summary.errors[-1].message == ""


def test_its_permissions_are_the_whole_list_and_everything_else_is_denied() -> None:
    config = json.loads(OpenCodeAgent().launch(AgentConfig(model="m")).files["opencode.json"])
    rules = config["permission"]
    assert next(iter(rules)) == "*", "the last match wins: the general rule comes first"
    assert rules["*"] == "deny"
    assert next(iter(rules["bash"])) == "*"
    assert rules["bash"]["git push *"] == "deny"
    assert rules["webfetch"] == rules["websearch"] == rules["question"] == rules["doom_loop"] == rules["task"] == "deny"
    assert rules["external_directory"] == {
        "*": "deny",
        f"{Marker.INPUTS}/skills/*": "allow",
        "/tmp/*": "allow",  # noqa: S108 - the container's own
    }
    assert '"ask"' not in json.dumps(rules), "nobody is there to be asked"
    assert {permission.subject for permission in OpenCodeAgent().permissions} == {*rules, "repository"}
    assert all(permission.why for permission in OpenCodeAgent().permissions)


def test_rules_keep_their_order() -> None:
    config = permission_config((deny("*", "*", ""), allow("bash", "*", ""), deny("bash", "rm *", "")))
    assert config == {"*": "deny", "bash": {"*": "allow", "rm *": "deny"}}


def test_its_configuration_fetches_shares_and_updates_nothing() -> None:
    launch = OpenCodeAgent().launch(AgentConfig(model="family/m")).checked("opencode")
    config = json.loads(launch.files["opencode.json"])
    for name in ("autoupdate", "snapshot", "lsp", "formatter"):
        assert config[name] is False
    assert (config["share"], config["plugin"], config["enabled_providers"]) == ("disabled", [], ["squire"])
    assert config["provider"]["squire"]["options"] == {
        "baseURL": "http://127.0.0.1:@SQUIRE_PORT@/v1",
        "apiKey": PLACEHOLDER_KEY,
    }
    assert config["model"] == config["small_model"] == "squire/family/m"
    assert launch.stdin == Marker.PROMPT
    assert "--title" in launch.argv, "a model would be asked for one"
    assert launch.environment["OPENCODE_DISABLE_PROJECT_CONFIG"] == "1"


def test_it_needs_a_model() -> None:
    with pytest.raises(ConfigError, match=r"agent\.model is not set"):
        OpenCodeAgent().check(AgentConfig())
    OpenCodeAgent().check(AgentConfig(model="m"))
    assert OpenCodeAgent().title(AgentConfig(model="m" * 500)) == f"opencode:{'m' * 91}"


PROVIDER = SessionTotals(
    steps=1, errors=(SessionError(name="APIError", message="503", provider=True),), ended_in_error=True
)
OWN = SessionTotals(steps=1, errors=(SessionError(name="ContextOverflowError"),), ended_in_error=True)


@pytest.mark.parametrize(
    ("seen", "fault"),
    [
        (SessionResult(SessionTotals(steps=2), 0, changed=True), None),
        (SessionResult(SessionTotals(steps=2), 0, changed=False), None),
        (SessionResult(SessionTotals(steps=2, errors=PROVIDER.errors), 0, changed=True), None),
        (SessionResult(PROVIDER, 0, changed=True), "provider"),
        (SessionResult(PROVIDER, 1, changed=None), "provider"),
        (SessionResult(OWN, 0, changed=True), "agent"),
        (SessionResult(SessionTotals(steps=2), 1, changed=True), "agent"),
        (SessionResult(SessionTotals(), 0, changed=False), "agent"),
        (SessionResult(SessionTotals(), 0, changed=True), None),
    ],
)
def test_it_is_judged_by_events_exit_code_and_change(seen: SessionResult, fault: str | None) -> None:
    judged = OpenCodeAgent().judge(seen)
    assert (judged.fault if judged else None) == fault
    assert judged is None or (judged.message and judged.code)


REJECTED = "The user rejected permission to use this specific tool call."
BY_RULE = "The user has specified a rule which prevents you from using this specific tool call. Here are the rules: []"


def refused(tool: str, error: str) -> str:
    return event("tool_use", part={"tool": tool, "state": {"status": "error", "input": None, "error": error}})


@pytest.mark.parametrize(
    ("lines", "tool"),
    [
        ([refused("edit", REJECTED)], "edit"),
        ([refused("bash", BY_RULE)], "bash"),
        (["permission requested: external_directory (/data/*); auto-rejecting"], "external_directory"),
        (["! permission requested: external_directory (/); auto-rejecting\n"], "external_directory"),
        ([refused("edit", REJECTED), event("text", part={"text": "I may not."})], "edit"),
    ],
)
def test_a_session_that_changed_nothing_since_a_tool_was_refused_has_failed_and_names_it(
    lines: list[str], tool: str
) -> None:
    totals = summarize([event("step_finish", part=STEP), *lines])
    judged = OpenCodeAgent().judge(SessionResult(totals, 0, changed=False))
    assert judged is not None
    assert (judged.fault, judged.code) == ("agent", "tool_refused")
    assert f"the tool {tool}:" in judged.message


@pytest.mark.parametrize("changed", [True, False])
def test_a_refusal_that_the_agent_got_over_is_no_failure(*, changed: bool) -> None:
    totals = summarize([event("step_finish", part=STEP), refused("edit", REJECTED), event("tool_use", part=TOOL)])
    assert OpenCodeAgent().judge(SessionResult(totals, 0, changed=changed)) is None
    last = summarize([event("step_finish", part=STEP), refused("edit", REJECTED)])
    assert OpenCodeAgent().judge(SessionResult(last, 0, changed=True)) is None


def test_a_failed_tool_is_none_that_was_refused() -> None:
    totals = summarize([event("step_finish", part=STEP), refused("bash", f"a file says: {REJECTED}")])
    assert totals.failed_tool_calls == 1
    assert OpenCodeAgent().judge(SessionResult(totals, 0, changed=False)) is None


def test_events_with_nulls_and_texts_for_objects_are_read() -> None:
    (step,) = read(event("step_finish", part={"tokens": None, "cost": None, "reason": None}))
    assert isinstance(step, ModelStep)
    assert (step.input_tokens, step.cost_usd) == (0, 0)
    assert read(event("text", part={"text": None})) == ()
    (error,) = read(event("error", error="boom"))
    assert isinstance(error, SessionError)
    assert (error.name, error.message) == ("UnknownError", "boom")
    (nothing,) = read(event("error", error=None))
    assert isinstance(nothing, SessionError)
    (call,) = read(event("tool_use", part={"tool": None, "state": {"status": None, "input": None, "output": None}}))
    assert isinstance(call, ToolCall)
    assert (call.tool, call.status) == ("unknown", "unknown")
    assert read('{"type": "text", "timestamp": null, "sessionID": null, "part": {"text": "hi"}}')
