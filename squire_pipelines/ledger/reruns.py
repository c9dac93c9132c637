"""Second runs of failed checks: claimed before they are requested, so that each is requested once at most."""

from collections.abc import Sequence

from sqlalchemy import insert, or_, select, update

from squire_pipelines.domain.failures import FailureClass
from squire_pipelines.domain.reruns import Rerun, RerunState
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import check_reruns

_MAX_ROWS = 1_000


def known(tx: Transaction, repository: str, heads: set[str]) -> dict[tuple[str, int], Rerun]:
    """Return the second runs on these heads of a repository, and all that are waited for, by head and run."""
    rows = tx.execute(
        select(check_reruns)
        .where(
            check_reruns.c.repository == repository,
            or_(check_reruns.c.head_sha.in_(heads), check_reruns.c.state == RerunState.WAITING),
        )
        .order_by(check_reruns.c.id.desc())
        .limit(_MAX_ROWS)
    )
    reruns = (
        Rerun(
            repository=row.repository,
            head_sha=row.head_sha,
            workflow_run=row.workflow_run,
            check_runs=tuple(row.check_runs),
            checks=row.checks,
            failure=FailureClass(row.failure),
            reason=row.reason,
            state=RerunState(row.state),
            note=row.note or "",
            requested_at=row.requested_at,
            until=row.wait_until,
        )
        for row in rows
    )
    return {rerun.subject: rerun for rerun in reruns}


def waiting(tx: Transaction, names: Sequence[str]) -> tuple[str, ...]:
    """Return which of these repositories have a second run that is waited for: nothing else tells how it ended."""
    query = select(check_reruns.c.repository).where(
        check_reruns.c.state == RerunState.WAITING, check_reruns.c.repository.in_(names)
    )
    return tuple(tx.execute(query.distinct()).scalars())


def give_up(tx: Transaction, names: Sequence[str], note: str) -> None:
    """Wait for the second runs of these repositories no longer: nobody asks how they ended."""
    values = {"state": RerunState.UNKNOWN, "note": note, "settled_at": tx.now, "updated_at": tx.now}
    of_names = check_reruns.c.repository.in_(names)
    tx.execute(update(check_reruns).where(of_names, check_reruns.c.state == RerunState.WAITING).values(**values))


def claim(tx: Transaction, rerun: Rerun, *, trace_id: str) -> bool:
    """Record that a second run is to be requested; return False when it was before."""
    tx.exclusive(f"reruns of {rerun.repository}")
    if rerun.subject in known(tx, rerun.repository, {rerun.head_sha}):
        return False
    tx.execute(
        insert(check_reruns).values(
            repository=rerun.repository,
            head_sha=rerun.head_sha,
            workflow_run=rerun.workflow_run,
            check_runs=list(rerun.check_runs),
            checks=rerun.checks,
            failure=rerun.failure,
            reason=rerun.reason,
            state=rerun.state,
            requested_at=rerun.requested_at,
            wait_until=rerun.until,
            trace_id=trace_id,
            updated_at=tx.now,
        )
    )
    return True


def record(tx: Transaction, rerun: Rerun) -> None:
    """Record what became of a second run; what was settled before stays."""
    settled_at = None if rerun.state is RerunState.WAITING else tx.now
    tx.execute(
        update(check_reruns)
        .where(
            check_reruns.c.repository == rerun.repository,
            check_reruns.c.head_sha == rerun.head_sha,
            check_reruns.c.workflow_run == rerun.workflow_run,
            check_reruns.c.state == RerunState.WAITING,
        )
        .values(state=rerun.state, note=rerun.note or None, settled_at=settled_at, updated_at=tx.now)
    )
