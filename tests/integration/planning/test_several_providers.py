"""A planner with several providers: who is asked when one does not begin to answer, and what is told and recorded."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import select

from squire_pipelines.domain.tasks import Plan
from squire_pipelines.errors import LedgerError
from squire_pipelines.ledger import plans
from squire_pipelines.ledger.model_calls import ModelCallRow, record_model_call
from squire_pipelines.ledger.store import Ledger, open_ledger
from squire_pipelines.ledger.tables import budgets, model_calls
from squire_pipelines.ledger.tables import plans as plan_table
from squire_pipelines.planning.account import PlanAccount
from squire_pipelines.planning.planner import make_plan
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.settings.model import load_settings
from tests.integration.planning.test_protocols import ANSWERS, PLACES
from tests.support.ledgers import sqlite_ledger_file
from tests.support.provider import DirectedProvider, plain, serve_upstream
from tests.support.signal_samples import issue

DOWN = plain(503, {"error": {"message": "overloaded"}}, {"x-should-retry": "false"})
WRONG_KEY = plain(401, {"error": {"code": "invalid_api_key"}})
KEYS = {"first-key": "first-" + "f" * 20, "second-key": "second-" + "s" * 20}
ORDER = 'provider = ["first", "second"]'
Row = tuple[Any, ...]


class Rig(NamedTuple):
    """Two providers, of different protocols, and where what they cost is recorded."""

    folder: Path
    first: DirectedProvider
    second: DirectedProvider
    ledger: Ledger

    def plan(
        self, order: str = ORDER, keys: dict[str, str] = KEYS, *, repository: str = "o/r", limit: str = ""
    ) -> Plan:
        """Make a plan by the two, and store it."""
        path = self.folder / "config.toml"
        tables = ""
        for name, protocol, upstream in (("first", "openai", self.first), ("second", "anthropic", self.second)):
            url = upstream.url.removesuffix("/v1") + PLACES[protocol][0]
            tables += f'[providers.{name}]\nprotocol = "{protocol}"\nbase_url = "{url}"\nsecret = "{name}-key"\n'
            tables += limit if name == "first" else ""
        tables += 'models = ["grand"]\naliases = { big = "grand" }\n'
        path.write_text(f'{tables}[planner]\n{order}\nmodel = "big"\nmax_retries = 0\ntimeout_s = 30\n')
        settings = load_settings(path)
        account = PlanAccount(self.ledger, settings, repository, trace_id="0" * 32)
        making = make_plan(
            settings,
            repository,
            [issue(10)],
            default_branch="main",
            covered=frozenset(),
            find_key=lambda name: Secret(keys[name]) if name in keys else None,
            on_call=account.settle,
            reserve=account.reserve,
        )
        plan = asyncio.run(making)
        with self.ledger.write() as tx:
            plans.save(tx, plan, (), trace_id="0" * 32, run_id=None)
        return plan

    def rows(self, *columns: Any) -> list[Row]:
        """Stored rows, the oldest first."""
        with self.ledger.read() as tx:
            return [tuple(row) for row in tx.execute(select(*columns))]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    sqlite_ledger_file(tmp_path / "ledger.sqlite")
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    with serve_upstream() as first, serve_upstream() as second:
        first.answer, second.answer = plain(200, ANSWERS["openai"]), plain(200, ANSWERS["anthropic"])
        yield Rig(tmp_path, first, second, ledger)


def test_the_first_one_plans_and_the_plan_says_who_did(rig: Rig) -> None:
    plan = rig.plan()
    assert (plan.planner, plan.model, plan.provider, plan.notes) == ("llm:big", "big", "first", ())
    assert rig.second.seen == []
    assert rig.rows(plan_table.c.provider, plan_table.c.model) == [("first", "big")]


def test_no_model_is_asked_while_the_ledger_does_not_take_the_reservation(rig: Rig) -> None:
    impatient = Ledger(str(rig.ledger.url), busy_timeout_s=0.05)
    with rig.ledger.write(), pytest.raises(LedgerError):
        rig._replace(ledger=impatient).plan()
    impatient.close()
    assert (rig.first.seen, rig.second.seen, rig.rows(budgets.c.state)) == ([], [], [])


@pytest.mark.parametrize(
    ("answer", "says"),
    [(DOWN, "503"), (WRONG_KEY, "the provider first refuses the key first-key (401 invalid_api_key)")],
)
def test_the_next_one_plans_when_one_does_not_begin_to_answer_and_each_call_is_recorded(
    rig: Rig, answer: Any, says: str
) -> None:
    rig.first.answer = answer
    plan = rig.plan()
    assert (plan.planner, plan.provider) == ("llm:grand", "second")
    assert plan.notes[0].startswith("the provider first was left: ")
    assert says in plan.notes[0]
    assert (len(rig.first.seen), len(rig.second.seen)) == (1, 1)
    assert rig.second.seen[0].headers["x-api-key"] == KEYS["second-key"]
    assert KEYS["first-key"] not in str(rig.second.seen)
    calls = rig.rows(model_calls.c.provider, model_calls.c.model, model_calls.c.ok, model_calls.c.input_tokens)
    assert calls == [("first", "big", False, 0), ("second", "grand", True, 100)]
    assert sorted(rig.rows(budgets.c.state, budgets.c.spent_tokens)) == [("settled", 0), ("settled", 107)]


def test_one_without_its_key_is_left_without_a_request(rig: Rig) -> None:
    plan = rig.plan(keys={"second-key": KEYS["second-key"]})
    assert plan.provider == "second"
    assert "the provider first needs the key first-key, which is not set" in plan.notes[0]
    assert rig.first.seen == []


def test_a_plan_that_is_wrong_is_no_reason_to_ask_another_one(rig: Rig) -> None:
    rig.first.answer = plain(200, {**ANSWERS["openai"], "choices": [{"index": 0, "message": {"content": "no plan"}}]})
    assert rig.plan().planner == "rules"
    assert rig.second.seen == []


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "code"), [(WRONG_KEY, "configuration"), (DOWN, "model_unavailable")])
def test_when_none_answers_it_is_the_users_to_change_only_if_each_says_so(rig: Rig, answer: Any, code: str) -> None:
    rig.first.answer, rig.second.answer = WRONG_KEY, answer
    plan = rig.plan()
    assert (plan.planner, plan.provider) == ("rules", None)
    assert f"since the model failed ({code}): first: " in plan.notes[0]
    assert "second: " in plan.notes[0]


@pytest.mark.slow
def test_by_weights_plans_are_spread_and_each_stays_with_its_provider(rig: Rig) -> None:
    drawn = [
        rig.plan("provider = { first = 1, second = 1 }", repository=f"o/r{number}").provider for number in range(6)
    ]
    again = [
        rig.plan("provider = { first = 1, second = 1 }", repository=f"o/r{number}").provider for number in range(6)
    ]
    assert set(drawn) == {"first", "second"}
    assert drawn == again


def test_one_whose_day_is_used_up_is_left_before_it_is_asked(rig: Rig) -> None:
    spent = ModelCallRow(
        "plan", "big", ok=True, input_tokens=1, output_tokens=1, latency_s=1, trace_id="t", cost_usd=0.95
    )
    with rig.ledger.write() as tx:
        record_model_call(tx, replace(spent, provider="first"))
    plan = rig.plan(limit="max_usd_per_day = 1\n")
    assert plan.provider == "second"
    assert "the provider first may cost 1.00 USD a day (max_usd_per_day), of which 0.95 USD" in plan.notes[0]
    assert rig.first.seen == []
