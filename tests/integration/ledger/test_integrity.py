"""A check of the ledger finds what was changed behind its back."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import delete, text, update

from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import LedgerError, NotFoundError
from squire_pipelines.ledger import outcomes
from squire_pipelines.ledger.integrity import MAX_PROBLEMS, check_integrity, history_problems
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import attempts, task_events, tasks
from squire_pipelines.ledger.tables import outcomes as outcome_table
from tests.support.ledgers import add_task, add_tasks, settle, spec, start_attempt


def problems(ledger: Ledger) -> list[str]:
    with ledger.read() as tx:
        return list(history_problems(tx))


def tamper(ledger: Ledger, *statements: object) -> list[str]:
    """What a check says after these statements."""
    with ledger.write() as tx:
        for statement in statements:
            tx.execute(statement)  # type: ignore[arg-type] # all are statements
    return problems(ledger)


@pytest.mark.slow
def test_a_ledger_that_nobody_tampered_with_has_no_problem(ledger: Ledger) -> None:
    add_tasks(ledger, *(spec(f"k{number}") for number in range(510)))  # more than are looked at together
    settle(ledger, start_attempt(ledger), Cause.LOST)
    assert problems(ledger) == []


def test_a_status_that_no_event_tells_of_is_found(ledger: Ledger) -> None:
    task_id = add_task(ledger)
    change = update(tasks).where(tasks.c.id == task_id).values(status="running")
    assert tamper(ledger, change) == [f"task {task_id}: status is running, by its history ready"]


def test_an_attempt_that_was_made_up_or_removed_is_found(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    settle(ledger, attempt, Cause.AGENT_ERROR)
    change = update(attempts).where(attempts.c.id == attempt.id).values(cause="completed")
    assert tamper(ledger, change) == [f"attempt {attempt.id}: cause is completed, by its history agent_error"]
    assert tamper(ledger, delete(attempts)) == [f"attempt {attempt.id} has a history and no row"]


def test_events_that_were_removed_are_found(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    first = task_events.c.subject == "attempt"
    findings = tamper(ledger, delete(task_events).where(first, task_events.c.before.is_(None)))
    assert any("was queued before there was an event of it" in finding for finding in findings)
    findings = tamper(ledger, delete(task_events))
    assert findings == [
        f"task {attempt.task_id} is running, and its history has no event",
        f"attempt {attempt.id} is running, and its history has no event",
    ]


def test_an_event_that_was_made_up_is_found(ledger: Ledger) -> None:
    task_id = add_task(ledger)
    columns = "task_id, subject, before, after, actor, reason, trace_id, at"
    values = "SELECT task_id, 'task', {}, {}, actor, reason, trace_id, at FROM task_events"
    made_up = f"INSERT INTO task_events ({columns}) {values}"
    findings = tamper(ledger, text(made_up.format("'proposed'", "'ready'")))
    assert any(f"task {task_id} was ready, not proposed" in finding for finding in findings)
    with ledger.write() as tx:
        tx.execute(delete(task_events))
    add_task(ledger)
    assert any("cannot go from ready to succeeded" in finding for finding in tamper(
        ledger, text(made_up.format("'ready'", "'succeeded'"))
    ))  # fmt: skip
    assert any(
        "is not a valid TaskStatus" in finding for finding in tamper(ledger, text(made_up.format("'x'", "'asleep'")))
    )


def test_a_pull_request_that_was_made_to_look_merged_is_found(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    with ledger.write() as tx:
        outcomes.record_opened(
            tx, task_id=attempt.task_id, repository=attempt.repository, pr_number=1, pr_url="u", head_sha="a" * 40
        )
    assert tamper(ledger, update(outcome_table).values(state="merged")) == [
        f"the pull request of task {attempt.task_id}: state is merged, by its history open"
    ]


def test_examine_shows_the_first_problems_and_quick_looks_at_the_file_alone(
    tmp_path: Path, open_at: Callable[..., Ledger]
) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    with pytest.raises(NotFoundError):
        check_integrity(url)
    ledger = open_at(url)
    ledger.ensure_schema()
    add_tasks(ledger, *(spec(f"k{number}") for number in range(MAX_PROBLEMS + 5)))
    assert check_integrity(url).problems == check_integrity(url, quick=True).problems == ()
    tamper(ledger, update(tasks).values(status="running"))
    assert len(check_integrity(url).problems) == MAX_PROBLEMS
    assert check_integrity(url, quick=True).problems == ()


@pytest.mark.slow
def test_a_file_with_broken_pages_is_told_by_both(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(f"sqlite:///{path}")
    ledger.ensure_schema()
    add_tasks(ledger, *(spec(f"k{number}") for number in range(200)))
    ledger.close()
    data = bytearray(path.read_bytes())
    for page in range(len(data) // 4096 // 2, len(data) // 4096):
        data[page * 4096 : page * 4096 + 200] = b"\x0d" * 200
    path.write_bytes(data)
    for quick in (True, False):
        assert _is_found(f"sqlite:///{path}", quick=quick)
    assert path.read_bytes() == bytes(data)


def _is_found(url: str, *, quick: bool) -> bool:
    """Whether the damage is told, as an error or as problems."""
    try:
        return bool(check_integrity(url, quick=quick).problems)
    except LedgerError as error:
        return "damaged" in error.message
