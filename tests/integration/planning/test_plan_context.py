"""What is known of a repository is a part of the question to the model, and no reason of its own to ask."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.domain.repository_facts import PastTask, RepositoryContext, WorkHistory
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.planning.plan_context import SAMPLE, PlanContext
from tests.support.ledgers import new_sqlite_ledger
from tests.support.model_server import ModelServer
from tests.support.shared_questions import Asker, answer, keys
from tests.support.signal_samples import issue


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Ledger]:
    ledger = new_sqlite_ledger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


class Reader:
    """Counts how often it is asked for a context."""

    def __init__(self, context: RepositoryContext) -> None:
        self.context = PlanContext(context)
        self.calls = 0

    async def __call__(self) -> PlanContext:
        """Return it."""
        self.calls += 1
        return self.context


def at(sha: str, **history: Any) -> RepositoryContext:
    code = SAMPLE.repository.code
    assert code is not None
    changed = {"code": code.model_copy(update={"sha": sha}), "history": WorkHistory(**history)}
    return SAMPLE.repository.model_copy(update=changed)


def test_a_model_is_told_what_is_known_and_a_step_says_of_which_commit(store: Ledger) -> None:
    reader = Reader(at("ab" * 20))
    with ModelServer([answer()]) as server:
        plan = asyncio.run(Asker(store, server.url, reader).plan())
        (request,) = server.main_requests
    assert "branch b, commit " + "ab" * 20 in request.text
    assert [str(step) for step in plan.steps] == [
        "read the code: taken: b at abababababab",
        "asked default (1): taken",
    ]
    assert reader.calls == 1


def test_code_that_could_not_be_read_keeps_nobody_from_planning(store: Ledger) -> None:
    reader = Reader(RepositoryContext(repository="o/r", why_no_code="GitHub does not answer"))
    with ModelServer([answer()]) as server:
        plan = asyncio.run(Asker(store, server.url, reader).plan())
        assert "Its code is not known: GitHub does not answer" in server.main_requests[0].text
    assert keys(plan) == ["fix"]
    assert str(plan.steps[0]) == "read the code: not taken: GitHub does not answer"


@pytest.mark.parametrize(
    "changed",
    [
        at("cd" * 20),
        at("ab" * 20, tasks=(PastTask(id="1", title="New", kind="other", status="ready"),)),
        RepositoryContext(repository="o/r", why_no_code="no net"),
    ],
)
def test_another_context_is_another_question_and_the_same_is_the_same(
    store: Ledger, changed: RepositoryContext
) -> None:
    with ModelServer([answer(), answer("again")]) as server:
        for context, key in ((at("ab" * 20), "fix"), (at("ab" * 20), "fix"), (changed, "again")):
            assert keys(asyncio.run(Asker(store, server.url, Reader(context)).plan())) == [key]
        assert len(server.main_requests) == 2


def test_nothing_is_read_when_no_model_is_asked(store: Ledger) -> None:
    reader = Reader(at("ab" * 20))
    asker = Asker(store, "http://127.0.0.1:9", reader)
    assert asyncio.run(asker.plan(issue(10, labels=()))).planner == "rules"
    assert asyncio.run(asker.plan(kind="rules")).planner == "rules"
    assert reader.calls == 0


def test_a_small_model_is_told_less(store: Ledger) -> None:
    reader = Reader(SAMPLE.repository)
    folders = tuple(f"folder-{number}/: a.py" for number in range(600))
    code = SAMPLE.repository.code
    assert code is not None
    long = SAMPLE.repository.model_copy(update={"code": code.model_copy(update={"folders": folders})})
    reader.context = replace(reader.context, repository=long)
    with ModelServer([answer(), answer()]) as server:
        asyncio.run(Asker(store, server.url, reader).plan())
        asyncio.run(Asker(store, server.url, reader).plan(context_tokens=6_000))
        large, small = (len(request.text) for request in server.main_requests)
    assert small < large - 1_000
