"""One question to a model is asked once: by one process, while others wait, and not again while its answer is kept."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from squire_pipelines.domain.tasks import Plan
from squire_pipelines.errors import ModelUnavailableError, PlanningError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import plan_cache
from squire_pipelines.planning.schema import ModelCall
from squire_pipelines.planning.shared_answers import SharedAnswers
from squire_pipelines.sections.services import PlannerSettings
from tests.support.ledgers import new_sqlite_ledger
from tests.support.model_server import Call, ModelServer, Turn
from tests.support.shared_questions import Asker, answer, ask_in_processes, keys
from tests.support.signal_samples import issue

DOWN = Turn(status=503, headers={"x-should-retry": "false"})


def empty() -> Turn:
    return Turn(calls=(Call("final_result", {"tasks": []}),))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Ledger]:
    ledger = new_sqlite_ledger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


def test_the_same_question_is_answered_from_what_is_kept(store: Ledger) -> None:
    calls: list[ModelCall] = []
    with ModelServer([answer(), answer("again")]) as server:
        asker = Asker(store, server.url)
        first = asyncio.run(asker.plan())
        hidden = issue(11, labels=("x",))  # it is not offered to the model
        second = asyncio.run(asker.plan(issue(10), hidden, calls=calls))
        assert len(server.main_requests) == 1
    assert (keys(second), second.planner, second.notes) == (["fix"], "llm:local-model", ("easy",))
    assert (second.model, second.provider, second.prompt_version) == (
        first.model,
        first.provider,
        first.prompt_version,
    )
    assert second.signals_digest != first.signals_digest
    assert second.use is not None
    assert first.use is not None
    assert (first.use.cache_hit, first.use.asks, second.use.cache_hit, second.use.asks) == (False, 1, True, 0)
    assert second.use.cost_usd == 0.0
    assert [(step.kind, step.taken) for step in second.steps] == [("cache", True)]
    assert calls == []


@pytest.mark.parametrize(
    "change",
    [{"goals": "Be quick."}, {"max_tasks": 3}, {"fresh": True}, {"cache_ttl_s": 0.0}],
)
def test_whatever_changes_the_question_is_asked_anew(store: Ledger, change: dict[str, Any]) -> None:
    with ModelServer([answer(), answer("again")]) as server:
        asker = Asker(store, server.url)
        ttl = {name: value for name, value in change.items() if name == "cache_ttl_s"}
        asyncio.run(asker.plan(**ttl))
        assert keys(asyncio.run(asker.plan(**change))) == ["again"]
    with ModelServer([answer("other")]) as server:
        assert keys(asyncio.run(Asker(store, server.url).plan(issue(10, body="another text")))) == ["other"]


def test_a_question_that_names_no_repository_is_answered_for_each_of_them(store: Ledger, tmp_path: Path) -> None:
    (tmp_path / "question.md").write_text("Plan {{signals}}.", encoding="utf-8")
    own: dict[str, Any] = {"prompts": tmp_path, "goals": "Be quick."}
    asked: list[tuple[str, dict[str, Any]]] = [("o/r", {}), ("o/other", {}), ("o/other", {"max_tasks": 1})]
    with ModelServer([empty(), empty(), empty()]) as server:
        asker = Asker(store, server.url)
        made = [
            asyncio.run(asker.plan(issue(11, labels=()), repository=name, **own, **more))
            for name, more in (*asked, ("o/other", {}))
        ]
        assert len(server.main_requests) == 3
    assert [plan.repository for plan in made] == ["o/r", "o/other", "o/other", "o/other"]


def test_those_who_ask_at_once_wait_for_one_answer(store: Ledger) -> None:
    async def ask_all(asker: Asker) -> list[Plan]:
        return await asyncio.gather(*(asker.plan() for _ in range(8)))

    with ModelServer([answer()], delay_s=0.3) as server:
        made = asyncio.run(ask_all(Asker(store, server.url)))
        assert len(server.main_requests) == 1
    assert [keys(plan) for plan in made] == [["fix"]] * 8
    assert sum(plan.use is not None and plan.use.cache_hit for plan in made) == 7


def test_those_who_wait_for_one_that_fails_are_told_and_the_next_asks_anew(store: Ledger) -> None:
    async def ask_all(asker: Asker) -> list[Plan]:
        return await asyncio.gather(*(asker.plan() for _ in range(4)))

    with ModelServer([DOWN, answer()], delay_s=0.3) as server:
        asker = Asker(store, server.url)
        made = asyncio.run(ask_all(asker))
        assert len(server.main_requests) == 1
        assert [(plan.planner, plan.provisional) for plan in made] == [("rules", True)] * 4
        assert all("its provider answers with the HTTP status 503" in plan.notes[0] for plan in made)
        assert keys(asyncio.run(asker.plan())) == ["fix"]


def test_a_claim_of_one_that_was_killed_ends_by_itself(store: Ledger) -> None:
    planner = PlannerSettings(timeout_s=0.001)
    shared = SharedAnswers(store, planner)

    async def interrupted() -> Plan:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(shared.get("k", interrupted, providers=1))
    with store.read() as tx:
        assert tx.execute(select(plan_cache)).all() == []


def test_an_error_of_one_is_of_the_same_type_for_those_who_waited(store: Ledger) -> None:
    async def failing(error: PlanningError) -> Plan:
        await asyncio.sleep(0)
        raise error

    async def both(error: PlanningError) -> tuple[object, object]:
        shared = SharedAnswers(store, PlannerSettings())
        ask = partial(failing, error)
        return await asyncio.gather(
            shared.get("k", ask, providers=1), shared.get("k", ask, providers=1), return_exceptions=True
        )

    for error in (ModelUnavailableError("down", hint="wait"), PlanningError("wrong", hint="mend")):
        first, second = asyncio.run(both(error))
        assert type(first) is type(second) is type(error)
        assert str(first) == str(second)


def test_of_many_answers_the_newest_are_kept(store: Ledger) -> None:
    with ModelServer([answer(), answer(), answer(), answer("anew")]) as server:
        asker = Asker(store, server.url)
        for goals in ("a", "b", "c"):
            asyncio.run(asker.plan(goals=goals, cache_entries=2))
        with store.read() as tx:
            assert len(tx.execute(select(plan_cache)).all()) == 2
        assert keys(asyncio.run(asker.plan(goals="c"))) == ["fix"]
        assert keys(asyncio.run(asker.plan(goals="a"))) == ["anew"]


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_sixteen_processes_with_one_question_make_one_call(tmp_path: Path) -> None:
    made = ask_in_processes(f"sqlite:///{tmp_path / 'ledger.sqlite'}", 16)
    assert made.calls == 1
    assert made.tasks == [["fix"]] * 16
    assert sorted(made.hits) == [False, *[True] * 15]
