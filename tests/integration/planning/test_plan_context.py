"""What is known of a repository is a part of the question to the model, and no reason of its own to ask."""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.domain.repository_facts import PastTask, RepositoryContext, WorkHistory
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.planning.plan_context import SAMPLE_CONTEXT, PlanContext
from tests.support.ledgers import new_sqlite_ledger
from tests.support.model_server import Call, ModelServer, Turn
from tests.support.shared_questions import Asker, answer, keys
from tests.support.signal_samples import issue
from tests.support.task_drafts import task_draft


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Ledger]:
    ledger = new_sqlite_ledger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


def _readme_alone(_branch: str, paths: Sequence[str]) -> Collection[str]:
    return {"README.md"}.intersection(paths)


class Reader:
    """Counts how often it is asked for a context."""

    def __init__(self, context: RepositoryContext) -> None:
        self.context = PlanContext((context,), existing={"o/r": _readme_alone})
        self.calls = 0

    async def __call__(self) -> PlanContext:
        """Return it."""
        self.calls += 1
        return self.context


def at(sha: str, **history: Any) -> RepositoryContext:
    code = SAMPLE_CONTEXT.code
    assert code is not None
    changed = {"code": code.model_copy(update={"sha": sha}), "history": WorkHistory(**history)}
    return SAMPLE_CONTEXT.model_copy(update=changed)


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
    reader = Reader(SAMPLE_CONTEXT)
    folders = tuple(f"folder-{number}/: a.py" for number in range(600))
    code = SAMPLE_CONTEXT.code
    assert code is not None
    long = SAMPLE_CONTEXT.model_copy(update={"code": code.model_copy(update={"folders": folders})})
    reader.context = replace(reader.context, repositories=(long,))
    with ModelServer([answer(), answer()]) as server:
        asyncio.run(Asker(store, server.url, reader).plan())
        asyncio.run(Asker(store, server.url, reader).plan(context_tokens=6_000))
        large, small = (len(request.text) for request in server.main_requests)
    assert small < large - 1_000


def naming(*paths: str) -> Turn:
    """Return a plan whose task changes these files."""
    form = {"tasks": [task_draft(implementation={"files_to_modify": list(paths)})]}
    return Turn(calls=(Call("final_result", form),), prompt_tokens=1000)


def test_a_path_that_is_not_there_is_told_to_the_model_which_names_another(store: Ledger) -> None:
    with ModelServer([naming("src/made_up.py"), naming("README.md")]) as server:
        plan = asyncio.run(Asker(store, server.url, Reader(at("ab" * 20))).plan())
        first, second = server.main_requests
    assert [task.implementation.files_to_modify for task in plan.tasks] == [("README.md",)]
    assert "names 'src/made_up.py' in `implementation.files_to_modify`" in second.text
    assert "names 'src/made_up.py'" not in first.text
    assert "src/made_up.py" in plan.steps[1].reason


def test_a_task_that_names_a_missing_path_to_the_end_is_left_out_of_the_plan(store: Ledger) -> None:
    two = [task_draft(), task_draft(key="other", signals=["open_issue:11"], evidence=["open_issue:11"])]
    two[1]["context"] = {"files_to_read": ["made/up.md"]}
    turn = Turn(calls=(Call("final_result", {"tasks": two}),))
    with ModelServer([turn] * 3) as server:
        plan = asyncio.run(Asker(store, server.url, Reader(at("ab" * 20))).plan(issue(10), issue(11)))
    assert keys(plan) == ["fix"]
    assert "the task other was left out: it names 'made/up.md' in `context.files_to_read`" in plan.notes[0]


def test_without_the_code_no_path_is_wrong(store: Ledger) -> None:
    reader = Reader(RepositoryContext(repository="o/r", why_no_code="no net"))
    reader.context = PlanContext(reader.context.repositories)
    with ModelServer([naming("src/anything.py")]) as server:
        assert keys(asyncio.run(Asker(store, server.url, reader).plan())) == ["fix"]


def test_a_protected_path_that_a_task_changes_is_flagged_on_it(store: Ledger) -> None:
    reader = Reader(RepositoryContext(repository="o/r", why_no_code="no net"))
    reader.context = PlanContext(reader.context.repositories)
    with ModelServer([naming("AGENTS.md", "src/app.py")]) as server:
        (task,) = asyncio.run(Asker(store, server.url, reader).plan()).tasks
    assert (task.protected_paths, task.allow_protected) == (("AGENTS.md",), ())
