"""`squire plans replay`: another model or prompt plans from what a plan was made from, and the two are compared."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.ledger import plans
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import metadata
from squire_pipelines.planning.planner import make_plan
from squire_pipelines.settings.model import load_settings
from tests.support.cli import Squire
from tests.support.ledgers import new_sqlite_ledger
from tests.support.model_server import Call, ModelServer, Turn
from tests.support.provider import plain, serve_upstream
from tests.support.signal_samples import issue
from tests.support.task_drafts import task_draft

PAID = frozenset({"budgets", "model_calls", "plan_cache", "audit", "audit_batches"})


@pytest.fixture
def squire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Squire:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "sk-" + "t" * 30)
    return Squire(tmp_path / "home")


def configure(squire: Squire, url: str) -> None:
    squire.config(f'repositories = ["o/r"]\n[planner]\nmodel = "first"\nbase_url = "{url}"\nmax_retries = 0\n')


def answer(**fields: Any) -> Turn:
    return Turn(calls=(Call("final_result", {"tasks": [task_draft(**fields)]}),))


def plan_once(squire: Squire, ledger: Ledger) -> str:
    """Make and save a plan as a cycle does, from an issue and no more; its id."""
    plan = asyncio.run(
        make_plan(
            load_settings(squire.home / "config.toml"),
            "o/r",
            [issue(10)],
            default_branch="main",
            covered=(),
            find_key=lambda _name: None,
            on_call=lambda _call: None,
            reserve=lambda _provider: None,
        )
    )
    with ledger.write() as tx:
        return plans.save(tx, plan, (), trace_id="ab" * 16, run_id=None).id


def rows(ledger: Ledger) -> dict[str, list[str]]:
    with ledger.read() as tx:
        return {
            table.name: [repr(row) for row in tx.execute(table.select())]
            for table in metadata.sorted_tables
            if table.name not in PAID
        }


def test_another_model_and_another_prompt_plan_from_the_same_and_save_nothing(squire: Squire, tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "instructions.md").write_text("Plan with great care.", encoding="utf-8")
    ledger = new_sqlite_ledger(squire.home / "ledger.sqlite")
    with ModelServer([answer(), answer(title="Mend it", confidence=0.5), answer()]) as model:
        configure(squire, model.url)
        plan_id = plan_once(squire, ledger)
        before = rows(ledger)
        other = squire.json("plans", "replay", plan_id, "--model", "second")
        assert squire.json("plans", "replay", plan_id, "--model", "second")["after"]["use"]["cache_hit"] is True
        text = squire.ok("plans", "replay", plan_id, "--prompt", str(folder))
        first, second, third = model.main_requests
    assert rows(ledger) == before
    assert (first.body["model"], second.body["model"], third.body["model"]) == ("first", "second", "first")
    assert json.dumps(first.body["messages"][-1]) == json.dumps(second.body["messages"][-1])
    assert "Plan with great care." in third.text
    (difference,) = other["differences"]
    assert (difference["difference"], difference["before"], difference["after"]) == ("changed", "fix", "fix")
    assert {change["name"] for change in difference["changes"]} == {"title", "confidence"}
    assert (other["before"]["model"], other["after"]["model"]) == ("first", "second")
    assert f"compared with the plan {plan_id}: 1 same" in text
    ledger.close()


def test_what_cannot_be_replayed_is_told_with_its_exit_code(squire: Squire, tmp_path: Path) -> None:
    ledger = new_sqlite_ledger(squire.home / "ledger.sqlite")
    with serve_upstream() as upstream:
        configure(squire, upstream.url)
        upstream.answer = plain(401, {"error": {"message": "No.", "code": "invalid_api_key"}})
        plan_id = plan_once(squire, ledger)
        before = rows(ledger)
        assert "key" in squire.fails(3, "plans", "replay", plan_id, "--model", "second")
        upstream.answer = plain(404, {"error": {"message": "No.", "code": "model_not_found"}})
        unknown = squire.fails(3, "plans", "replay", plan_id, "--model", "unknown")
        assert "does not know the model unknown" in unknown
        assert "name another one: `--model NAME`" in unknown
        upstream.answer = plain(503, {"error": {"message": "No."}})
        assert "HTTP status 503" in squire.fails(4, "plans", "replay", plan_id, "--model", "third")
        assert "there is no plan" in squire.fails(1, "plans", "replay", "p0")
        (tmp_path / "instructions.md").write_text("", encoding="utf-8")
        assert "it is empty" in squire.fails(3, "plans", "replay", plan_id, "--prompt", str(tmp_path))
    squire.config('repositories = ["o/r"]\n')
    assert "no model is set" in squire.fails(3, "plans", "replay", plan_id)
    alone = squire.fails(3, "plans", "replay", plan_id, "--model", "alone")
    assert "is no provider:model" in alone
    assert "name another one: `--model NAME`" in alone
    assert rows(ledger) == before
    ledger.close()
