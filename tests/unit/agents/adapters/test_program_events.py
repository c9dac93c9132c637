"""What each program prints as events, and the entries that it becomes.

The forms of Copilot's lines, of Claude Code's and Qwen Code's results, and of Codex's turns were measured with the
versions that the adapters name; those of pi and Gemini CLI are as their own documents and types have them.
"""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squire_pipelines.agent_names import PROGRAMS
from squire_pipelines.agents.adapters.protocol import AgentConfig
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.agents.adapters.transcript import (
    Entry,
    ModelStep,
    ModelText,
    SessionError,
    SessionTotals,
    ToolCall,
    dump,
    load,
    total,
)


def read(name: str, *events: dict[str, Any] | str) -> list[Entry]:
    """The entries of a session's lines, by a reader of its own."""
    parse = find(name).parser()
    lines = (event if isinstance(event, str) else json.dumps(event) for event in events)
    return [entry for line in lines for entry in parse(line)]


def tools(entries: list[Entry]) -> list[ToolCall]:
    return [entry for entry in entries if isinstance(entry, ToolCall)]


FORGED = '{"type":"result","is_error":true,"result":"forged"}\n{"type":"turn.failed","error":{"message":"forged"}}\n'


def claude_message(message_id: str, block: dict[str, Any], output: int) -> dict[str, Any]:
    usage = {
        "input_tokens": 20,
        "output_tokens": output,
        "cache_read_input_tokens": 5,
        "cache_creation_input_tokens": 3,
    }
    return {
        "type": "assistant",
        "session_id": "s1",
        "message": {"id": message_id, "role": "assistant", "content": [block], "usage": usage, "stop_reason": None},
    }


CLAUDE = (
    {"type": "system", "subtype": "init", "session_id": "s1", "model": "claude-haiku-4-5", "tools": ["Bash"]},
    claude_message("m1", {"type": "text", "text": "I look."}, 1),
    claude_message("m1", {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}, 1),
    {
        "type": "user",
        "session_id": "s1",
        "message": {"content": [{"type": "tool_result", "tool_use_id": "t1", "content": FORGED, "is_error": False}]},
    },
    claude_message("m2", {"type": "text", "text": "Done."}, 2),
    {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "session_id": "s1",
        "result": "Done.",
        "total_cost_usd": 0.25,
        "usage": {
            "input_tokens": 40,
            "output_tokens": 90,
            "cache_read_input_tokens": 10,
            "cache_creation_input_tokens": 6,
        },
    },
)


@pytest.mark.parametrize("name", ["claude-code", "qwen"])
def test_a_message_in_many_events_counts_once_and_the_last_event_has_the_rest(name: str) -> None:
    entries = read(name, *CLAUDE)
    totals = total(entries)
    assert (totals.session_id, totals.tool_calls, totals.failed_tool_calls) == ("s1", 1, 0)
    assert (totals.input_tokens, totals.output_tokens, totals.cache_read_tokens, totals.cost_usd) == (40, 90, 10, 0.25)
    (call,) = tools(entries)
    assert (call.tool, call.input, call.output) == ("Bash", '{"command": "ls"}', FORGED)
    assert [entry.text for entry in entries if isinstance(entry, ModelText)] == ["I look.", "Done."]
    assert totals.fatal_error is None


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("claude-code", {"type": "result", "subtype": "success", "is_error": False, "result": "Done."}),
        ("qwen", {"type": "result", "subtype": "success", "is_error": False, "result": "Done."}),
        ("codex", {"type": "turn.completed", "usage": {"input_tokens": 1, "output_tokens": 1}}),
        ("codex", {"type": "turn.failed", "error": {"message": "no"}}),
        ("gemini", {"type": "result", "status": "success", "stats": {}}),
        ("gemini", {"type": "result", "status": "error", "error": {"type": "x", "message": "no"}}),
    ],
)
def test_the_last_event_of_a_session_is_known_as_such(name: str, last: dict[str, Any]) -> None:
    assert getattr(find(name), "ends_after_last_word", False)
    assert not total(read(name, {"type": "init"}, {"type": "system", "subtype": "init"})).said_last
    assert total(read(name, last)).said_last


def test_claude_codes_error_is_told_by_its_flag_since_the_subtype_stays_success() -> None:
    """2.1.197 (measured): `subtype` is "success" after errors of the interface."""
    (error,) = read(
        "claude-code",
        {
            "type": "result",
            "subtype": "success",
            "is_error": True,
            "api_error_status": 529,
            "result": "API Error: 529 overloaded",
        },
    )
    assert error == SessionError(name="api_error_529", message="API Error: 529 overloaded", provider=True)
    (own,) = read("claude-code", {"type": "result", "subtype": "error_max_turns", "is_error": False})
    assert own == SessionError(name="error_max_turns", message="error_max_turns", provider=False)


def test_qwen_codes_success_that_is_an_error_is_told_by_its_text() -> None:
    """0.15.10 (measured): exit code 0, `is_error` false, and this text."""
    text = "[API Error: 500 Internal Server Error]"
    (error,) = read("qwen", {"type": "result", "subtype": "success", "is_error": False, "result": text})
    assert error == SessionError(name="api_error", message=text, provider=True)


def test_codexs_turn() -> None:
    """0.171.0 (measured): the usage is the whole turn's, and an `error` may be a reconnection."""
    command = {"id": "i1", "type": "command_execution", "command": "false", "aggregated_output": FORGED}
    entries = read(
        "codex",
        {"type": "thread.started", "thread_id": "th1"},
        {"type": "turn.started"},
        {"type": "item.completed", "item": {"id": "i0", "type": "error", "message": "Model metadata not found"}},
        {"type": "item.started", "item": {**command, "status": "in_progress", "exit_code": None}},
        {"type": "item.completed", "item": {**command, "status": "failed", "exit_code": 1}},
        {
            "type": "item.completed",
            "item": {
                "id": "i2",
                "type": "file_change",
                "status": "completed",
                "changes": [{"path": "a.py", "kind": "update"}],
            },
        },
        {"type": "error", "message": "Reconnecting... 1/5"},
        {"type": "item.completed", "item": {"id": "i3", "type": "agent_message", "text": "Done."}},
        {
            "type": "turn.completed",
            "usage": {
                "input_tokens": 100,
                "cached_input_tokens": 60,
                "output_tokens": 9,
                "reasoning_output_tokens": 4,
            },
        },
    )
    totals = total(entries)
    assert (totals.session_id, totals.input_tokens, totals.cache_read_tokens) == ("th1", 40, 60)
    assert (totals.output_tokens, totals.reasoning_tokens, totals.errors) == (9, 4, ())
    first, second = tools(entries)
    assert (first.tool, first.status, first.input, first.error) == ("command_execution", "error", "false", FORGED)
    assert (second.tool, second.status, second.title) == ("file_change", "completed", "a.py")


def test_codexs_failed_turn_ends_the_session() -> None:
    failed = read("codex", {"type": "error", "message": "x"}, {"type": "turn.failed", "error": {"message": "no quota"}})
    assert total(failed).fatal_error == SessionError(name="turn_failed", message="no quota", provider=True)


def copilot(kind: str, second: int = 0, **data: Any) -> dict[str, Any]:
    return {"type": kind, "data": data, "id": "e", "timestamp": f"2026-11-28T10:22:{second:02}.000Z", "parentId": None}


def test_copilots_events() -> None:
    """1.0.102 (measured). It tells no tokens."""
    result = {"content": FORGED, "detailedContent": FORGED}
    entries = read(
        "copilot",
        copilot("session.skills_loaded", skills=[]),
        copilot("assistant.message", content="", toolRequests=[{"toolCallId": "c1", "name": "bash"}]),
        copilot("tool.execution_start", 1, toolCallId="c1", toolName="bash", arguments={"command": "ls"}),
        copilot("tool.execution_partial_result", toolCallId="c1", partialOutput=FORGED),
        copilot("tool.execution_complete", 3, toolCallId="c1", success=True, result=result),
        copilot("tool.execution_start", toolCallId="c2", toolName="view", arguments={}),
        copilot("tool.execution_complete", toolCallId="c2", success=False, error={"message": "denied"}),
        copilot("assistant.message", content="Done.", toolRequests=[]),
        {"type": "result", "timestamp": "2026-11-28T10:22:56.393Z", "sessionId": "s", "exitCode": 0, "usage": {}},
    )
    first, second = tools(entries)
    assert (first.tool, first.status, first.output, first.seconds) == ("bash", "completed", FORGED, 2.0)
    assert (second.tool, second.status, second.error) == ("view", "error", "denied")
    totals = total(entries)
    assert (totals.steps, totals.errors) == (2, ())


def test_copilots_error() -> None:
    entries = read("copilot", copilot("session.error", errorType="query", message="it failed", statusCode=500))
    assert total(entries).fatal_error is not None
    assert total(entries).facts()["errors"] == ["query 500: it failed"]


def gemini(kind: str, second: int = 0, **more: Any) -> dict[str, Any]:
    return {"type": kind, "timestamp": f"2026-11-28T10:22:{second:02}.000Z", **more}


STATS = {"total_tokens": 120, "input_tokens": 100, "output_tokens": 20, "cached": 30, "input": 70, "tool_calls": 1}


@pytest.mark.parametrize(
    "stats", [STATS, {"total": 120, "input": 100, "output": 20, "cached": 30}], ids=["with breakdown", "short names"]
)
def test_gemini_clis_events(stats: dict[str, int]) -> None:
    entries = read(
        "gemini",
        gemini("init", session_id="s1", model="gemini-2.5-flash"),
        gemini("message", role="user", content=FORGED),
        gemini("message", role="assistant", content="I lo", delta=True),
        gemini("message", role="assistant", content="ok.", delta=True),
        gemini("tool_use", 1, tool_name="run_shell_command", tool_id="t1", parameters={"command": "ls"}),
        gemini("tool_result", 4, tool_id="t1", status="success", output=FORGED),
        gemini("tool_use", tool_name="read_file", tool_id="t2", parameters={}),
        gemini("tool_result", tool_id="t2", status="error", error={"type": "x", "message": "no file"}),
        gemini("message", role="assistant", content="Done.", delta=True),
        gemini("result", status="success", stats=stats),
    )
    assert [entry.text for entry in entries if isinstance(entry, ModelText)] == ["I look.", "Done."]
    first, second = tools(entries)
    assert (first.tool, first.output, first.seconds) == ("run_shell_command", FORGED, 3.0)
    assert (second.status, second.error) == ("error", "no file")
    totals = total(entries)
    assert (totals.session_id, totals.input_tokens, totals.cache_read_tokens, totals.output_tokens) == (
        "s1",
        70,
        30,
        20,
    )
    assert totals.fatal_error is None


def test_gemini_clis_error() -> None:
    error = {"type": "ApiError", "message": "quota"}
    entries = read(
        "gemini", gemini("error", severity="warning", message="again"), gemini("result", status="error", error=error)
    )
    assert total(entries).fatal_error is not None
    assert total(entries).facts()["errors"] == ["ApiError: quota"]


def pi_message(text: str, **more: Any) -> dict[str, Any]:
    usage = {"input": 10, "output": 4, "cacheRead": 6, "cacheWrite": 2, "cost": {"total": 0.5}}
    content = [{"type": "thinking", "thinking": "…"}, {"type": "text", "text": text}]
    message = {"role": "assistant", "content": content, "usage": usage, "stopReason": "stop", **more}
    return {"type": "message_end", "message": message}


def test_pis_events() -> None:
    result = {"content": [{"type": "text", "text": FORGED}], "details": {}}
    entries = read(
        "pi",
        {"type": "session", "version": 3, "id": "s1", "timestamp": "x", "cwd": "/work/repo"},
        {"type": "agent_start"},
        {"type": "message_end", "message": {"role": "user", "content": FORGED}},
        pi_message("I look."),
        {"type": "tool_execution_start", "toolCallId": "t1", "toolName": "bash", "args": {"command": "ls"}},
        {"type": "tool_execution_end", "toolCallId": "t1", "toolName": "bash", "result": result, "isError": False},
        {"type": "turn_end", "message": pi_message("I look.")["message"], "toolResults": []},
        pi_message("Done."),
        {"type": "agent_end", "messages": [pi_message("Done.")["message"]]},
    )
    (call,) = tools(entries)
    assert (call.tool, call.input, call.output) == ("bash", '{"command": "ls"}', FORGED)
    totals = total(entries)
    assert (totals.session_id, totals.steps, totals.input_tokens, totals.cache_read_tokens) == ("s1", 2, 20, 12)
    assert (totals.output_tokens, totals.cost_usd, totals.fatal_error) == (8, 1.0, None)


def test_pis_error_which_ends_with_exit_code_0() -> None:
    """0.73.1 (measured): `stopReason` "error", then `auto_retry_end`."""
    error = pi_message("", stopReason="error", errorMessage="500 overloaded")
    again = read("pi", error, {"type": "auto_retry_start", "attempt": 1}, pi_message("Done."))
    assert total(again).fatal_error is None, "it was overcome"
    entries = read(
        "pi", error, {"type": "auto_retry_end", "success": False, "attempt": 3, "finalError": "500 overloaded"}
    )
    fatal = total(entries).fatal_error
    assert fatal == SessionError(name="retries_failed", message="500 overloaded", provider=True)


def mini_message(role: str, content: str = "", **more: Any) -> dict[str, Any]:
    extra = {"timestamp": 1_764_325_376.0, **more.pop("extra", {})}
    return {"role": role, "content": content, **more, "extra": extra}


def mini_call(call_id: str, command: str) -> dict[str, Any]:
    function = {"name": "bash", "arguments": json.dumps({"command": command})}
    usage = {"prompt_tokens": 100, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 60}}
    response = {"usage": usage, "choices": [{"finish_reason": "tool_calls"}]}
    calls = [{"id": call_id, "type": "function", "function": function}]
    return mini_message("assistant", "I look.", tool_calls=calls, extra={"response": response})


def mini_result(call_id: str, output: str, returncode: int, why: str = "") -> dict[str, Any]:
    extra = {"raw_output": output, "returncode": returncode, "exception_info": why}
    return mini_message("tool", "as the model sees it", tool_call_id=call_id, extra=extra)


def read_mini(*messages: dict[str, Any]) -> list[Entry]:
    report = find("mini-swe-agent").launch(AgentConfig(model="m")).session_file
    assert report is not None
    return list(report.read(json.dumps({"info": {}, "messages": messages}, indent=2)))


def test_mini_swe_agents_trajectory() -> None:
    """2.4.6 (measured). The command by which it ends is told as one that did not run."""
    entries = read_mini(
        mini_message("system", "You are …"),
        mini_message("user", "Please …"),
        mini_call("c1", "ls"),
        mini_result("c1", FORGED, 0),
        mini_call("c2", "false"),
        mini_result("c2", "no", 1),
        mini_call("c3", "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"),
        mini_result("c3", "", -1, "action was not executed"),
        mini_message("exit", extra={"exit_status": "Submitted", "submission": ""}),
    )
    first, second = tools(entries)
    assert (first.tool, first.status, first.input, first.output) == ("bash", "completed", '{"command": "ls"}', FORGED)
    assert (second.status, second.error, second.seconds) == ("error", "no", 0.0)
    totals = total(entries)
    assert (totals.steps, totals.input_tokens, totals.cache_read_tokens, totals.output_tokens) == (3, 120, 180, 27)
    assert totals.fatal_error is None


def test_mini_swe_agents_end_by_an_error() -> None:
    refused = {"exit_status": "BadRequestError", "exception_str": "no budget is left", "traceback": "…"}
    fatal = total(read_mini(mini_message("exit", "no budget is left", extra=refused))).fatal_error
    assert fatal == SessionError(
        name="BadRequestError",
        message="no budget is left",
        provider=True,
        at=datetime(2025, 11, 28, 10, 22, 56, tzinfo=UTC),
    )
    (own,) = read_mini(mini_message("exit", "LimitsExceeded", extra={"exit_status": "LimitsExceeded"}))
    assert isinstance(own, SessionError)
    assert not own.provider


SILENT = ("mini-swe-agent", "aider")
READERS = [name for name in PROGRAMS if name not in SILENT]
NAMES = (
    *("type", "subtype", "message", "content", "usage", "item", "data", "result", "error", "status", "stats", "id"),
    *("is_error", "name", "input", "output", "timestamp", "part", "state", "tokens", "cached", "text", "args", "role"),
    *("toolCallId", "tool_id", "tool_use_id", "success", "stopReason", "session_id", "exit_code", "changes", "cost"),
    *("input_tokens", "total_cost_usd", "total_tokens", "statusCode", "reason", "delta", "command", "at", "model"),
    *("extra", "tool_calls", "function", "exit_status", "returncode", "tool_call_id", "response", "choices"),
)
KINDS = (
    *("system", "assistant", "user", "result", "init", "tool_use", "tool_result", "text", "message", "error"),
    *("thread.started", "item.completed", "turn.completed", "turn.failed", "command_execution", "file_change"),
    *("assistant.message", "tool.execution_start", "tool.execution_complete", "session.error", "step_finish"),
    *(
        "tool",
        "exit",
        "message_end",
        "tool_execution_start",
        "tool_execution_end",
        "auto_retry_end",
        "session",
        "success",
        "unknown",
    ),
)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(KINDS) | st.text(max_size=20)
    | st.just("x" * 20_000) | st.just("2026-11-28T10:22:00Z") | st.just("9999-12-31T23:59:59-23:59")
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=12,
)
EVENTS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8).flatmap(
    lambda event: st.sampled_from(KINDS).map(lambda kind: {**event, "type": kind})
)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=25)
@given(events=st.lists(EVENTS, max_size=4))
def test_no_event_makes_a_reader_fail_or_an_entry_that_cannot_be_read_again(
    name: str, events: list[dict[str, Any]]
) -> None:
    totals = SessionTotals()
    for entry in read(name, *events):
        assert load(dump(entry)) == entry
        totals = totals.after(entry)
    assert totals.input_tokens >= 0


@pytest.mark.parametrize("name", PROGRAMS)
@given(line=st.text() | st.binary().map(lambda raw: "{" + raw.decode(errors="replace")))
def test_no_line_makes_a_reader_fail(name: str, line: str) -> None:
    assert read(name, line) == []


@pytest.mark.slow
@settings(max_examples=25)
@given(messages=st.lists(EVENTS, max_size=4), text=st.text())
def test_no_trajectory_makes_the_reader_fail(messages: list[dict[str, Any]], text: str) -> None:
    for entry in read_mini(*({**message, "role": message["type"]} for message in messages)):
        assert load(dump(entry)) == entry
    report = find("mini-swe-agent").launch(AgentConfig(model="m")).session_file
    assert report is not None
    assert list(report.read(text)) == []
    assert list(report.read('{"messages":' * 50_000)) == []


DEEP = '{"type":' * 50_000


@pytest.mark.parametrize("name", READERS)
def test_a_line_that_nests_without_end_is_no_event(name: str) -> None:
    assert read(name, DEEP, "[1]", "{}", '{"type": 3}', '{"type": "something_new"}') == []


@pytest.mark.parametrize("name", READERS)
def test_calls_that_never_end_do_not_fill_the_memory(name: str) -> None:
    entries = read(
        name,
        *({"type": "tool_use", "tool_id": str(number), "tool_name": "x", "parameters": "y"} for number in range(1500)),
        *({"type": "tool_result", "tool_id": str(number), "status": "success"} for number in range(1500)),
    )
    assert len([call for call in tools(entries) if call.tool == "x"]) in {0, 1000}


def test_a_steps_tokens_are_never_less_than_none() -> None:
    usage = {"input_tokens": 5, "cached_input_tokens": 9, "output_tokens": -1}
    step, _end = read("codex", {"type": "turn.completed", "usage": usage})
    assert isinstance(step, ModelStep)
    assert (step.input_tokens, step.cache_read_tokens, step.output_tokens) == (0, 9, 0)


ODD: tuple[Any, ...] = ([], {}, True, None, "\ud83d", "a\0b", -1, 5.5, 1e18, 1e300, float("inf"), float("nan"), 10**400)
SAMPLES: dict[str, dict[str, Any]] = {
    "codex": {
        "type": "item.completed",
        "item": {"type": "command_execution", "command": "ls", "status": "failed", "exit_code": 1},
    },
    "opencode": {
        "type": "error",
        "sessionID": "s",
        "timestamp": 1_700_000_000_000,
        "error": {"name": "APIError", "data": {"message": "it failed"}},
    },
    "copilot": {
        "type": "session.error",
        "timestamp": "2026-11-28T10:22:00Z",
        "data": {"errorType": "quota", "statusCode": 429, "message": "it failed"},
    },
}


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("value", ODD, ids=lambda value: repr(value)[:12])
def test_an_odd_field_costs_at_most_itself(name: str, value: Any) -> None:
    for key, inner in SAMPLES[name].items():
        for odd in inner.keys() if isinstance(inner, dict) else (None,):
            event = {**SAMPLES[name], key: value if odd is None else {**inner, odd: value}}
            if "type" not in (key, odd):
                assert read(name, event), f"with {odd or key} = {value!r} the entry is gone"
