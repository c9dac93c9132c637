"""A request may depend on a task that was archived since: what became of it is known from its compact row."""

import pytest
from sqlalchemy import insert, select

from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import NotFoundError, RefusedError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import archived_tasks, task_dependencies
from squire_pipelines.ledger.task_creation import RequestedTask, create_requested
from tests.support.ledgers import REPOSITORY, TRACE, dispatch, spec

OLD = "t0archived00000"


def archive(ledger: Ledger, status: TaskStatus, outcome: PullRequestState | None) -> None:
    with ledger.write() as tx:
        moments = dict.fromkeys(("created_at", "ended_at", "archived_at", "updated_at"), tx.now)
        row = {"id": OLD, "repository": REPOSITORY, "fingerprint": "f", "kind": "other", "title": "t", "attempts": 1}
        tx.execute(insert(archived_tasks).values(**row, **moments, status=status, outcome=outcome))


def ask(ledger: Ledger, *depends_on: str) -> str:
    request = RequestedTask(REPOSITORY, spec("a"), "cli:ann", depends_on=depends_on)
    with ledger.write() as tx:
        return create_requested(tx, request, ready=True, max_attempts=1, trace_id=TRACE).id


@pytest.mark.parametrize("outcome", [None, PullRequestState.MERGED, PullRequestState.OPEN])
def test_one_that_succeeded_is_over_and_keeps_nobody_waiting(ledger: Ledger, outcome: PullRequestState | None) -> None:
    archive(ledger, TaskStatus.SUCCEEDED, outcome)
    task_id = ask(ledger, OLD, OLD)
    with ledger.read() as tx:
        assert tx.execute(select(task_dependencies)).all() == []
    assert [attempt.task_id for attempt in dispatch(ledger)] == [task_id]


@pytest.mark.parametrize(
    ("status", "outcome", "reason"),
    [
        (TaskStatus.FAILED, None, "is failed"),
        (TaskStatus.CANCELLED, None, "is cancelled"),
        (TaskStatus.SUCCEEDED, PullRequestState.CLOSED, "was closed"),
        (TaskStatus.SUCCEEDED, PullRequestState.REVERTED, "was reverted"),
    ],
)
def test_one_that_did_not_is_refused_and_nothing_is_written(
    ledger: Ledger, status: TaskStatus, outcome: PullRequestState | None, reason: str
) -> None:
    archive(ledger, status, outcome)
    with pytest.raises(RefusedError, match=reason) as caught:
        ask(ledger, OLD)
    assert "tasks retry" not in (caught.value.hint or ""), "an archived one cannot run again"
    with pytest.raises(NotFoundError):
        ask(ledger, "t0")
    assert dispatch(ledger) == ()
