"""The model planner against a real server that speaks OpenAI's chat completions on loopback."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from squire_pipelines.errors import PlanningError
from squire_pipelines.planning import model_clients
from squire_pipelines.planning.conversation import ModelOptions
from squire_pipelines.planning.llm import MAX_KEPT_CHARS, MAX_NOTE_CHARS, plan_by_model
from squire_pipelines.planning.planner import make_plan
from squire_pipelines.planning.schema import ModelCall
from squire_pipelines.planning.selection import PlanInputs
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.sections.services import PlannerSettings
from squire_pipelines.settings.model import Settings
from tests.support.model_server import Call, ModelServer, Turn
from tests.support.provider import serve_upstream
from tests.support.signal_samples import issue
from tests.support.task_drafts import task_draft

KEY = "sk-" + "t" * 30


def answer(**fields: Any) -> Turn:
    return Turn(
        calls=(Call("final_result", {"tasks": [task_draft(**fields)]}),), prompt_tokens=1000, completion_tokens=50
    )


def settings(url: str, **planner: Any) -> Settings:
    return Settings(planner=PlannerSettings(model="local-model", base_url=url, **planner))


def plan(own: Settings, calls: list[ModelCall], **options: Any) -> Any:
    return asyncio.run(
        make_plan(
            own,
            "o/r",
            [issue(10)],
            default_branch="main",
            covered=frozenset(),
            find_key=lambda _name: Secret(KEY),
            on_call=calls.append,
            reserve=lambda _provider: None,
            **options,
        )
    )


def test_plan_comes_from_the_endpoint_after_its_first_answer_was_sent_back() -> None:
    calls: list[ModelCall] = []
    with ModelServer([answer(base_branch="nowhere"), answer()]) as server:
        got = plan(settings(server.url), calls)
        requests = server.main_requests
    assert (got.planner, [task.key for task in got.tasks]) == ("llm:local-model", ["fix"])
    assert [request.headers["authorization"] for request in requests] == [f"Bearer {KEY}"] * 2
    assert {request.body["model"] for request in requests} == {"local-model"}
    assert "allowed are" in requests[1].text
    (call,) = calls
    assert (call.ok, call.input_tokens, call.output_tokens) == (True, 2000, 100)


def test_a_server_that_counts_less_than_nothing_is_paid_nothing() -> None:
    calls: list[ModelCall] = []
    with ModelServer([replace(answer(), prompt_tokens=-5, completion_tokens=-(10**18))]) as server:
        assert [task.key for task in plan(settings(server.url), calls).tasks] == ["fix"]
    assert [(call.ok, call.input_tokens, call.output_tokens) for call in calls] == [(True, 0, 0)]


def test_each_ask_is_a_step_with_its_reason_and_the_plan_tells_what_was_used() -> None:
    with ModelServer([answer(base_branch="nowhere"), answer(title=7), answer()]) as server:
        got = plan(settings(server.url), [])
        assert len(server.main_requests) == 3
    asked = [(step.kind, step.provider, step.number, step.taken) for step in got.steps]
    assert asked == [("ask", "default", 1, False), ("ask", "default", 2, False), ("ask", "default", 3, True)]
    assert "has the base branch 'nowhere'" in got.steps[0].reason
    assert got.steps[1].reason == "tasks.0.title: is no text"
    assert (got.use.asks, got.use.input_tokens, got.use.output_tokens) == (3, 3000, 150)
    assert not got.provisional


def test_after_three_asks_what_can_be_taken_of_the_texts_is_taken() -> None:
    def second_is_wrong(whole: dict[str, Any]) -> None:
        function = whole["choices"][0]["message"]["tool_calls"][0]["function"]
        form = json.loads(function["arguments"])
        form["tasks"].append({**form["tasks"][0], "key": "other", "signals": ["open_issue:99"]})
        function["arguments"] = json.dumps(form)

    with ModelServer([replace(answer(), change=second_is_wrong)] * 4) as server:
        got = plan(settings(server.url), [])
        assert len(server.main_requests) == 3
    assert (got.planner, [task.key for task in got.tasks]) == ("llm:local-model", ["fix"])
    assert "the task other was left out" in got.notes[0]
    assert [(step.kind, step.taken) for step in got.steps] == [*[("ask", False)] * 3, ("parse", True)]


def test_answers_of_which_nothing_can_be_taken_lead_to_the_rules_and_are_an_answer() -> None:
    with ModelServer([answer(base_branch="nowhere")] * 4) as server:
        got = plan(settings(server.url), [])
        assert len(server.main_requests) == 3
    assert (got.planner, got.provisional, got.model_failed) == ("rules", False, True)
    assert [step.kind for step in got.steps] == ["ask", "ask", "ask", "parse", "rules"]
    assert "3 answers could not be taken; the last: task 'fix': has the base branch" in got.notes[0]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_providers_trouble_is_no_answer(status: int) -> None:
    with ModelServer([Turn(status=status, headers={"x-should-retry": "false"})]) as server:
        got = plan(settings(server.url), [])
    assert (got.planner, got.provisional, got.model_failed) == ("rules", True, True)
    assert f"its provider answers with the HTTP status {status}" in got.steps[0].reason


@pytest.mark.parametrize(("status", "hint"), [(503, "try again later"), (400, "check `planner.model`")])
def test_the_next_step_is_to_wait_for_a_provider_in_trouble_and_else_to_check_the_settings(
    status: int, hint: str
) -> None:
    turns = [Turn(status=status, headers={"x-should-retry": "false"})]
    with ModelServer(turns) as server, pytest.raises(PlanningError) as caught:
        plan(settings(server.url), [], fall_back=False)
    assert (caught.value.hint or "").startswith(hint)


def test_the_reason_of_a_wrong_choice_names_what_there_is_to_choose_from() -> None:
    with ModelServer([answer(kind="goal"), answer()]) as server:
        got = plan(settings(server.url), [])
    assert "tasks.0.kind: is none of the values that are allowed: 'fix_ci', 'address_review'" in got.steps[0].reason


def test_the_whole_tasks_of_a_cut_answer_are_taken_without_a_second_request() -> None:
    def cut_in_the_second(whole: dict[str, Any]) -> None:
        function = whole["choices"][0]["message"]["tool_calls"][0]["function"]
        form = json.loads(function["arguments"])
        form["tasks"].append({**form["tasks"][0], "key": "other"})
        function["arguments"] = json.dumps(form)[:-30]
        whole["choices"][0]["finish_reason"] = "length"

    with ModelServer([replace(answer(), change=cut_in_the_second), answer()]) as server:
        got = plan(settings(server.url), [])
        assert len(server.main_requests) == 1
    assert [task.key for task in got.tasks] == ["fix"]
    assert got.notes[0] == "the answer was cut: its last task was left out"
    assert [(step.kind, step.taken) for step in got.steps] == [("ask", False), ("parse", True)]


def test_answers_that_were_not_taken_come_with_the_plan_without_secrets_and_cut() -> None:
    with ModelServer([answer(prompt=f"Use {KEY}. " + "x" * 30_000, base_branch="nowhere"), answer()]) as server:
        got = plan(settings(server.url), [])
    (refused,) = got.refused
    assert (refused.provider, refused.model, refused.number) == ("default", "local-model", 1)
    assert "has the base branch 'nowhere'" in refused.reason
    assert "[redacted]" in refused.text
    assert KEY not in refused.text
    assert len(refused.text) <= MAX_KEPT_CHARS < refused.chars
    assert "refused" not in got.model_dump()


def test_a_secret_in_an_answer_is_in_no_reason_why_it_was_not_taken() -> None:
    calls: list[ModelCall] = []
    wrong_field = answer(**{KEY: 1, "base_branch": "x"})
    with ModelServer([answer(base_branch=KEY), answer(base_branch=KEY), wrong_field]) as server:
        got = plan(settings(server.url), calls)
    assert (got.planner, got.steps[2].reason) == ("rules", "tasks.0.[redacted]: is no field of the form")
    assert KEY not in f"{got.model_dump_json()} {got.refused} {calls}"


def test_a_long_note_is_cut() -> None:
    form = {"tasks": [task_draft()], "notes": ["x\x1b[2J" * 1_000]}
    with ModelServer([Turn(calls=(Call("final_result", form),))]) as server:
        (note,) = plan(settings(server.url), []).notes
    assert len(note) <= MAX_NOTE_CHARS
    assert note.isprintable()


def test_an_answer_without_end_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_clients, "MAX_BYTES", 100_000)
    block, most, sent = b" " * 2**20, 256, []

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("content-type", "application/json")
        handler.send_header("x-should-retry", "false")
        handler.end_headers()
        for _ in range(most):
            handler.wfile.write(block)
            sent.append(len(block))

    with serve_upstream() as server:
        server.answer = endless
        got = plan(settings(server.url), [])
    assert len(sent) < most
    assert (got.planner, got.provisional) == ("rules", True)
    assert "broke the connection off" in got.notes[0]


def test_two_plans_in_two_event_loops_of_one_process_both_work() -> None:
    with ModelServer([answer(), answer()]) as server:
        for _ in range(2):
            assert plan(settings(server.url), []).planner == "llm:local-model"


def cut(whole: dict[str, Any]) -> None:
    function = whole["choices"][0]["message"]["tool_calls"][0]["function"]
    function["arguments"] = function["arguments"][:60]
    whole["choices"][0]["finish_reason"] = "length"


def broken_off(whole: dict[str, Any]) -> None:
    whole["choices"][0] |= {"message": {"role": "assistant", "content": ""}, "finish_reason": "error"}


def filtered(whole: dict[str, Any]) -> None:
    broken_off(whole)
    whole["choices"][0]["finish_reason"] = "guardrail_intervened"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (cut, "its answer was cut at 50 tokens (finish_reason length)"),
        (broken_off, "the server broke its answer off (finish_reason error)"),
        (filtered, "the server broke its answer off (finish_reason guardrail_intervened)"),
    ],
)
def test_an_answer_that_did_not_end_by_itself_is_not_asked_for_again_and_is_counted(
    change: Callable[[dict[str, Any]], None], says: str
) -> None:
    calls: list[ModelCall] = []
    with ModelServer([replace(answer(), change=change), answer()]) as server:
        got = plan(settings(server.url), calls)
        assert len(server.main_requests) == 1
    assert (got.planner, [task.key for task in got.tasks]) == ("rules", ["issue-10"])
    assert says in got.notes[0]
    (call,) = calls
    assert (call.ok, call.input_tokens, call.output_tokens) == (False, 1000, 50)
    assert says in call.error


def test_a_whole_plan_is_taken_although_the_server_says_that_it_was_cut() -> None:
    def only_said(whole: dict[str, Any]) -> None:
        whole["choices"][0]["finish_reason"] = "length"

    with ModelServer([replace(answer(), change=only_said)]) as server:
        assert plan(settings(server.url), []).planner == "llm:local-model"


def test_nulls_that_mean_nothing_cost_no_plan() -> None:
    calls: list[ModelCall] = []

    def nulls(whole: dict[str, Any]) -> None:
        whole |= {"id": None, "object": None, "created": None}
        whole["choices"][0]["index"] = None
        whole["choices"][0]["message"]["tool_calls"][0]["id"] = None

    with ModelServer([replace(answer(), change=nulls)]) as server:
        assert plan(settings(server.url), calls).planner == "llm:local-model"
    assert [(call.ok, call.input_tokens, call.output_tokens) for call in calls] == [(True, 1000, 50)]


def test_an_answer_that_cannot_be_read_leads_to_the_rules_and_is_counted() -> None:
    calls: list[ModelCall] = []

    def unreadable(whole: dict[str, Any]) -> None:
        whole["choices"][0]["message"] = None

    with ModelServer([replace(answer(), change=unreadable)]) as server:
        got = plan(settings(server.url), calls)
    assert got.planner == "rules"
    assert "cannot be read as one of this interface" in got.notes[0]
    assert [(call.ok, call.input_tokens, call.output_tokens) for call in calls] == [(False, 1000, 50)]


def test_a_plan_in_a_code_fence_is_taken() -> None:
    def fenced(whole: dict[str, Any]) -> None:
        message = whole["choices"][0]["message"]
        arguments = message.pop("tool_calls")[0]["function"]["arguments"]
        message["content"] = f"Here it is:\n```json\n{arguments}\n```"
        whole["choices"][0]["finish_reason"] = "stop"

    with ModelServer([replace(answer(), change=fenced)]) as server:
        assert [task.key for task in plan(settings(server.url), []).tasks] == ["fix"]


@pytest.mark.parametrize("status", [400, 401, 404])
def test_endpoint_that_refuses_leads_to_the_rules_with_a_note(status: int) -> None:
    calls: list[ModelCall] = []
    with ModelServer([Turn(status=status)]) as server:
        got = plan(settings(server.url), calls)
    assert (got.planner, [task.key for task in got.tasks]) == ("rules", ["issue-10"])
    assert str(status) in got.notes[0]
    assert [call.ok for call in calls] == [False]


def test_endpoint_that_is_not_there_leads_to_the_rules_with_a_note() -> None:
    with ModelServer([answer()]) as server:
        url = server.url
    got = plan(settings(url, timeout_s=10), [])
    assert got.planner == "rules"
    assert "gave no usable plan" in got.notes[0]


def test_key_is_not_in_the_error_of_a_refusal() -> None:
    async def ask(url: str) -> None:
        inputs = PlanInputs("o/r", [issue(10)], "main", ("squire",), frozenset(), max_tasks=5)
        options = ModelOptions(
            "openai:local-model",
            provider=settings(url).planner_providers()[0],
            api_key=KEY,
            timeout_s=20,
            max_retries=0,
        )
        assert KEY not in repr(options)
        await plan_by_model(inputs, options, on_call=lambda _: None)

    with ModelServer([Turn(status=401)]) as server, pytest.raises(PlanningError) as caught:
        asyncio.run(ask(server.url))
    assert KEY not in str(caught.value)
