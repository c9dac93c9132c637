"""`squire plans make` as a person uses it: on a forge, with a model on loopback, and the ledger before and after."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines.ledger import plans, tasks
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import metadata
from tests.support.children import PATIENCE_S
from tests.support.cli import Squire
from tests.support.model_server import Call, ModelServer, Turn
from tests.support.pipeline import HANDBOOK, LEDGERLIB, QUIET, WEBSHOP, Pipeline
from tests.support.provider import plain, serve_upstream
from tests.support.task_drafts import task_draft

PAID = frozenset({"budgets", "model_calls", "plan_cache"})
"""What a model that is asked costs, and its answer."""
AS_EVER = frozenset({"github_limits", "audit", "audit_batches"})
"""GitHub's limits, which every process obeys, and which secrets a command has read."""

UseModel = Callable[..., None]


@pytest.fixture
def squire(pipeline: Pipeline, forge: ForgeProcess, monkeypatch: pytest.MonkeyPatch) -> Squire:
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", forge.token)
    return Squire(pipeline.home)


@pytest.fixture
def use_model(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> UseModel:
    """Have a model at an address plan, with goals that ask for work."""

    def write(url: str, *, more: str = "", limits: str = "") -> None:
        monkeypatch.setenv("SQUIRE_MODEL_KEY", "sk-" + "t" * 30)
        planner = f'kind = "llm"\nmodel = "scripted"\nbase_url = "{url}"\ngoals = "A manual."\n{more}'
        pipeline.configure(limits)
        file = pipeline.home / "config.toml"
        file.write_text(file.read_text(encoding="utf-8").replace('kind = "rules"', planner), encoding="utf-8")

    return write


def answer(*drafts: dict[str, Any]) -> Turn:
    return Turn(calls=(Call("final_result", {"tasks": list(drafts)}),), prompt_tokens=700, completion_tokens=50)


def goal_task(title: str = "Write a manual", **fields: Any) -> dict[str, Any]:
    return task_draft(title=title, kind="other", signals=[], evidence=[], **fields)


def rows(ledger: Ledger, *, without: frozenset[str]) -> dict[str, list[str]]:
    with ledger.read() as tx:
        return {
            table.name: [repr(row) for row in tx.execute(table.select())]
            for table in metadata.sorted_tables
            if table.name not in without
        }


@pytest.mark.slow
def test_a_dry_run_shows_the_plan_and_writes_nothing_but_what_the_model_costs_and_answers(
    pipeline: Pipeline, squire: Squire, use_model: UseModel
) -> None:
    pipeline.collect(WEBSHOP)
    with ModelServer([answer(goal_task(confidence=0.5))]) as model:
        use_model(model.url)
        before, paid = rows(pipeline.ledger, without=PAID | AS_EVER), rows(pipeline.ledger, without=frozenset())
        (first,) = squire.json("plans", "make", WEBSHOP, "--dry-run")
        assert rows(pipeline.ledger, without=PAID | AS_EVER) == before
        changed = {name for name, now in rows(pipeline.ledger, without=AS_EVER).items() if now != paid[name]}
        assert changed == PAID
        (second,) = squire.json("plans", "make", WEBSHOP, "--dry-run")
        assert len(model.main_requests) == 1
    assert (first["cache_hit"], second["cache_hit"]) == (False, True)
    assert (first["use"]["input_tokens"], second["use"]["input_tokens"]) == (700, 0)
    assert first["plan"] is None
    (planned,) = (task for task in first["tasks"] if not task["requested"])
    assert planned["title"] == "Write a manual"
    assert planned["why"] == "the goals ask for it; the issue names the line"
    assert planned["starts"] is False
    assert planned["cost"][0]["why"] == "the agent command calls no model that the settings name"


@pytest.mark.slow
def test_a_plan_is_saved_and_becomes_tasks_and_the_next_says_what_covers_its_facts(
    pipeline: Pipeline, squire: Squire
) -> None:
    pipeline.collect(LEDGERLIB, HANDBOOK)
    made = {one["repository"]: one for one in squire.json("plans", "make", LEDGERLIB, HANDBOOK, "--no-collect")}
    with pipeline.ledger.read() as tx:
        saved = {name: plans.latest(tx, name) for name in made}
        created = {name: [tasks.get(tx, task["id"]) for task in one["created"]] for name, one in made.items()}
    assert {name: one.id for name, one in saved.items() if one is not None} == {
        name: one["plan"] for name, one in made.items()
    }
    assert {name: len(rows) for name, rows in created.items()} == {LEDGERLIB: 1, HANDBOOK: 1}
    assert created[LEDGERLIB][0].plan_id == made[LEDGERLIB]["plan"]
    assert created[HANDBOOK][0].plan_id is None, "a label asked for it"
    assert [task["requested"] for task in made[HANDBOOK]["tasks"]] == [True]
    text = squire.ok("plans", "make", LEDGERLIB, "--no-collect", "--dry-run", "--diff")
    task_id = created[LEDGERLIB][0].id
    assert "0 tasks would be made (dry run: nothing was changed), by rules" in text
    assert f"the task {task_id} is under way, or its pull request is open" in text
    assert f"compared with the plan {made[LEDGERLIB]['plan']}" in text
    assert "1 removed" in text


@pytest.mark.slow
def test_it_reads_before_it_makes_tasks(squire: Squire) -> None:
    message = squire.fails(1, "plans", "make", LEDGERLIB, "--no-collect", "--dry-run")
    assert f"{LEDGERLIB} has not been read yet" in message
    (made,) = squire.json("plans", "make", LEDGERLIB)
    assert [task["status"] for task in made["created"]] == ["ready"]


@pytest.mark.slow
def test_repositories_are_planned_side_by_side(pipeline: Pipeline, squire: Squire, use_model: UseModel) -> None:
    pipeline.collect(QUIET, WEBSHOP)
    both = threading.Barrier(2, timeout=PATIENCE_S)

    def when_both_have_asked(handler: BaseHTTPRequestHandler) -> None:
        both.wait()
        call = {"id": "c", "type": "function", "function": {"name": "final_result", "arguments": '{"tasks": []}'}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        body = {"id": "a", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
        plain(200, body)(handler)

    with serve_upstream() as upstream:
        upstream.answer = when_both_have_asked
        use_model(upstream.url)
        result = squire("plans", "make", QUIET, WEBSHOP, "--no-collect", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "Barrier" not in result.output
    assert f"{QUIET}: planned" in result.stderr


def refusal(code: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": "No.", "type": kind, "code": code}}


NO_PLAN = {
    "wrong key": (401, refusal("invalid_api_key"), 3, "key"),
    "unknown model": (404, refusal("model_not_found"), 3, "model"),
    "quota": (429, refusal("insufficient_quota", "insufficient_quota"), 3, "quota"),
    "down": (503, refusal("overloaded", "server_error"), 4, "HTTP status 503"),
    "no answer in form": (200, {"choices": []}, 1, "cannot be read"),
}


@pytest.mark.slow
def test_a_model_that_gives_no_plan_is_an_error_and_nothing_is_planned(
    pipeline: Pipeline, squire: Squire, use_model: UseModel
) -> None:
    pipeline.collect(HANDBOOK)
    with serve_upstream() as upstream:
        use_model(upstream.url, more="timeout_s = 5\nmax_retries = 0")
        before = rows(pipeline.ledger, without=PAID | AS_EVER)
        for status, body, code, words in NO_PLAN.values():
            upstream.answer = plain(status, body)
            for option in ([], ["--dry-run"]):
                message = squire.fails(code, "plans", "make", HANDBOOK, "--no-collect", *option)
                assert words in message
                assert "hint:" in message
    assert rows(pipeline.ledger, without=PAID | AS_EVER) == before


@pytest.mark.slow
def test_without_a_key_or_room_in_a_budget_nobody_is_asked(
    pipeline: Pipeline, squire: Squire, use_model: UseModel
) -> None:
    pipeline.collect(QUIET)
    file = pipeline.home / "config.toml"
    openai = file.read_text(encoding="utf-8").replace(
        'kind = "rules"', 'model = "openai:gpt-5-mini"\ngoals = "A manual."'
    )
    file.write_text(openai, encoding="utf-8")
    assert "squire secrets set" in squire.fails(3, "plans", "make", QUIET, "--no-collect", "--dry-run")
    limits = "[budgets.plan]\ntokens = 1000\n[budgets.day]\ntokens = 1000\n"
    with ModelServer([answer()]) as model:
        use_model(model.url, limits=limits)
        squire.ok("plans", "make", QUIET, "--no-collect", "--dry-run")
        use_model(model.url, more="max_tasks = 3", limits=limits)
        assert "has no room for a plan" in squire.fails(5, "plans", "make", QUIET, "--no-collect", "--dry-run")
        assert len(model.main_requests) == 1
    assert "not among the repositories of the settings" in squire.fails(3, "plans", "make", "demo/none", "--dry-run")
