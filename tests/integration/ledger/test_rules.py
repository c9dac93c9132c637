"""What the database itself refuses, whatever the code does: illegal changes of state, changes of history."""

from collections.abc import Callable
from itertools import product

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.states import ATTEMPT_TRANSITIONS, TASK_TRANSITIONS
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.model_calls import ModelCallRow, record_model_call
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import attempts, audit, model_calls, task_events, tasks
from tests.support.ledgers import NONE_APPROVED, START, TRACE, add_task, dispatch, start_attempt

TASK_PATHS = {
    TaskStatus.READY: (),
    TaskStatus.PROPOSED: None,
    TaskStatus.RUNNING: (TaskStatus.RUNNING,),
    TaskStatus.SUCCEEDED: (TaskStatus.RUNNING, TaskStatus.SUCCEEDED),
    TaskStatus.FAILED: (TaskStatus.RUNNING, TaskStatus.FAILED),
    TaskStatus.CANCELLED: (TaskStatus.CANCELLED,),
}
ATTEMPT_PATHS = {
    AttemptStatus.QUEUED: None,
    AttemptStatus.RUNNING: (),
    AttemptStatus.PUBLISHING: (AttemptStatus.PUBLISHING,),
    AttemptStatus.ENDED: (AttemptStatus.ENDED,),
}


def force_task(ledger: Ledger, task_id: str, status: TaskStatus) -> None:
    """Write a state without asking our code."""
    ended = START if status.is_final else None
    with ledger.write() as tx:
        tx.execute(update(tasks).where(tasks.c.id == task_id).values(status=status, ended_at=ended))


def force_attempt(ledger: Ledger, attempt_id: str, status: AttemptStatus) -> None:
    """Likewise."""
    cause = Cause.LOST if status is AttemptStatus.ENDED else None
    with ledger.write() as tx:
        tx.execute(update(attempts).where(attempts.c.id == attempt_id).values(status=status, cause=cause))


def refused(change: Callable[[], None]) -> bool:
    """Whether the database refuses it."""
    try:
        change()
    except IntegrityError as error:
        return "a change of status that no rule allows" in str(error)
    return False


def test_the_database_knows_every_change_of_a_task(ledger: Ledger) -> None:
    for before, after in product(TaskStatus, TaskStatus):
        path = TASK_PATHS[before]
        task_id = add_task(ledger, **({"approval": NONE_APPROVED} if path is None else {}))
        for step in path or ():
            force_task(ledger, task_id, step)
        allowed = before is after or after in TASK_TRANSITIONS[before]
        assert refused(lambda: force_task(ledger, task_id, after)) != allowed, (before, after)  # noqa: B023 - called at once


def test_the_database_knows_every_change_of_an_attempt(ledger: Ledger) -> None:
    for before, after in product(AttemptStatus, AttemptStatus):
        path = ATTEMPT_PATHS[before]
        if path is None:
            add_task(ledger)
            attempt_id = dispatch(ledger)[-1].id
        else:
            attempt_id = start_attempt(ledger).id
        for step in path or ():
            force_attempt(ledger, attempt_id, step)
        allowed = before is after or after in ATTEMPT_TRANSITIONS[before]
        assert refused(lambda: force_attempt(ledger, attempt_id, after)) != allowed, (before, after)  # noqa: B023 - likewise


def test_history_is_never_rewritten(ledger: Ledger) -> None:
    start_attempt(ledger)
    with ledger.write() as tx:
        record_audit(tx, actor="ann", action="a", subject="s", trace_id=TRACE)
        record_model_call(
            tx,
            ModelCallRow(
                purpose="plan", model="m", ok=True, input_tokens=1, output_tokens=1, latency_s=1.0, trace_id=TRACE
            ),
        )
    for table, values in ((task_events, {"actor": "x"}), (audit, {"actor": "x"}), (model_calls, {"model": "x"})):
        with pytest.raises(IntegrityError, match="rows are never changed"), ledger.write() as tx:
            tx.execute(update(table).values(**values))


def test_a_final_task_has_an_end_and_no_other_has(ledger: Ledger) -> None:
    task_id = add_task(ledger)
    with pytest.raises(IntegrityError), ledger.write() as tx:
        tx.execute(update(tasks).where(tasks.c.id == task_id).values(status="cancelled"))
    with pytest.raises(IntegrityError), ledger.write() as tx:
        tx.execute(update(tasks).where(tasks.c.id == task_id).values(ended_at=START))
