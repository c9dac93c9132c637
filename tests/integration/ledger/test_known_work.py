"""Known work: what the ledger remembers of a repository's tasks, and for how long."""

from datetime import timedelta
from pathlib import Path

from sqlalchemy import select

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import LeftOutReason, TaskStatus
from squire_pipelines.ledger import plans, tasks
from squire_pipelines.ledger.known_work import known_work
from squire_pipelines.ledger.retention import Retention
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import task_dependencies
from squire_pipelines.warehouse.archive import archive_old_rows
from tests.support.ledgers import (
    ALL_APPROVED,
    REPOSITORY,
    TRACE,
    Clock,
    add_tasks,
    admission,
    claim,
    collect,
    dispatch,
    issue,
    plan,
    settle,
    spec,
)

DAYS, DAY_S = 30, 86_400
TITLE, AGAIN = "Write a tutorial for plugin authors", "Plugin authors need a tutorial"


def finish(ledger: Ledger) -> None:
    for attempt in dispatch(ledger):
        settle(ledger, claim(ledger, attempt.id), Cause.COMPLETED)


def states(ledger: Ledger, days: float = DAYS) -> dict[str, TaskStatus | None]:
    with ledger.read() as tx:
        return {work.text.title: work.state for work in known_work(tx, REPOSITORY, days=days)}


def admit(ledger: Ledger, *titles: str) -> plans.SavedPlan:
    specs = [spec(f"k{number}", title=title, prompt=f"{title}.") for number, title in enumerate(titles)]
    with ledger.write() as tx:
        saved = plans.save(tx, plan(*specs), (), trace_id=TRACE, run_id=None)
    with ledger.write() as tx:
        plans.admit(tx, saved.id, admission(ALL_APPROVED, 1), duplicate_days=DAYS)
        return plans.get(tx, saved.id)


def test_tasks_are_known_while_they_last_and_for_some_days_after_their_end(ledger: Ledger, clock: Clock) -> None:
    add_tasks(ledger, spec("a", title="Done"), max_attempts=1)
    finish(ledger)
    add_tasks(ledger, spec("b", title="Under way"))
    add_tasks(ledger, spec("c", title="Elsewhere"), repository="acme/other")
    assert states(ledger) == {"Under way": TaskStatus.READY, "Done": TaskStatus.SUCCEEDED}
    clock.forward((DAYS + 1) * DAY_S)
    assert states(ledger) == {"Under way": TaskStatus.READY}


def test_an_archived_task_is_known_by_its_title(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    add_tasks(ledger, spec("a", title=TITLE), max_attempts=1)
    finish(ledger)
    clock.forward((DAYS - 1) * DAY_S)
    assert archive_old_rows(ledger, tmp_path, Retention({"tasks": timedelta(days=7)})).tasks == 1
    assert states(ledger) == {TITLE: TaskStatus.SUCCEEDED}


def test_only_unfinished_work_answers_its_signals(ledger: Ledger) -> None:
    collect(ledger, issue(1))
    add_tasks(ledger, spec("a", signals=("open_issue:1",)), max_attempts=1)
    with ledger.read() as tx:
        assert [work.signals for work in known_work(tx, REPOSITORY, days=DAYS)] == [{"open_issue:1"}]
    finish(ledger)
    with ledger.read() as tx:
        assert [work.signals for work in known_work(tx, REPOSITORY, days=DAYS)] == [frozenset()]


def test_a_task_that_came_since_the_plan_was_made_is_not_made_again_and_the_plan_says_so(ledger: Ledger) -> None:
    (first,) = add_tasks(ledger, spec("first", title=TITLE))
    saved = admit(ledger, AGAIN, "Rotate the signing keys")
    assert [task.title for task in saved.plan.tasks] == ["Rotate the signing keys"]
    (omission,) = saved.plan.left_out
    assert (omission.title, omission.reason, omission.duplicate_of) == (AGAIN, LeftOutReason.DUPLICATE, first)


def test_what_depends_on_a_repeated_task_depends_on_the_first_one(ledger: Ledger) -> None:
    (first,) = add_tasks(ledger, spec("first", title=TITLE))
    after = spec("after", title="Translate the handbook", depends_on=("again",))
    (made,) = add_tasks(ledger, spec("again", title=AGAIN), after)
    with ledger.read() as tx:
        assert tasks.get(tx, made).title == "Translate the handbook"
        pairs = tx.execute(select(task_dependencies.c.task_id, task_dependencies.c.depends_on)).all()
    assert [tuple(pair) for pair in pairs] == [(made, first)]
