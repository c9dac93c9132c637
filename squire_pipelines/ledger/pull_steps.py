"""The tasks whose commits go to the branch of a pull request of ours, as steps of its life."""

from sqlalchemy import select

from squire_pipelines.domain.pull_life import WorkStep
from squire_pipelines.domain.tasks import FollowUp, TaskStatus
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.ledger.tables import tasks

MAX_STEPS = 200


def steps_on_branch(tx: Transaction, repository: str, branch: str) -> tuple[WorkStep, ...]:
    """Return the tasks on a pull request's branch, oldest first: of Squire itself, and those that people asked for."""
    rows = tx.execute(
        select(
            *(tasks.c.id, tasks.c.spec, tasks.c.status, tasks.c.created_at),
            *(tasks.c.ended_at, tasks.c.cause, tasks.c.trace_id),
        )
        .where(tasks.c.repository == repository, tasks.c.base_branch == branch)
        .order_by(tasks.c.id)
        .limit(MAX_STEPS)
    )
    steps = []
    for row in rows:
        stored = row.spec.get("follow_up")
        follow_up = read_json(FollowUp, stored) if stored else None
        steps.append(
            WorkStep(
                row.id,
                follow_up.kind if follow_up is not None else None,
                TaskStatus(row.status),
                row.created_at,
                row.trace_id,
                ended_at=row.ended_at,
                head_sha=follow_up.head_sha if follow_up is not None else None,
                cause=row.cause,
            )
        )
    return tuple(steps)
