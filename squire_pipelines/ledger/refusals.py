"""Which facts wait after a no: those whose newest task ended in a pull request that was closed and not merged."""

from collections.abc import Mapping, Sequence

from sqlalchemy import func, or_, select

from squire_pipelines.domain.authority import SignalDecision, TrustRules
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.refusals import ClosedTask, is_asked_again
from squire_pipelines.domain.signals import Signal
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.ledger.tables import archived_tasks, outcomes, signals, task_signals, tasks


def refusals(tx: Transaction, repository: str) -> Mapping[str, ClosedTask]:
    """Return the facts whose newest task's pull request was closed, by ref; archived tasks count too.

    A task that was cancelled without a pull request took nothing back: the one before it counts.
    """
    of_task = task_signals.c
    state = func.coalesce(outcomes.c.state, archived_tasks.c.outcome)
    status = func.coalesce(tasks.c.status, archived_tasks.c.status)
    rows = tx.execute(
        select(
            *of_task["kind", "key", "version", "task_id", "at"],
            state.label("state"),
            outcomes.c.closed_at,
            archived_tasks.c.ended_at,
            func.coalesce(tasks.c.title, archived_tasks.c.title).label("title"),
        )
        .select_from(
            task_signals.outerjoin(tasks, tasks.c.id == of_task.task_id)
            .outerjoin(outcomes, outcomes.c.task_id == of_task.task_id)
            .outerjoin(archived_tasks, archived_tasks.c.id == of_task.task_id)
        )
        .where(of_task.repository == repository, or_(status.is_distinct_from(TaskStatus.CANCELLED), ~state.is_(None)))
        .order_by(of_task.at, of_task.task_id)
    )
    newest = {f"{row.kind}:{row.key}": row for row in rows}
    return {
        ref: ClosedTask(
            row.task_id, row.title or "", row.version, row.closed_at or row.ended_at or row.at, row.ended_at is not None
        )
        for ref, row in newest.items()
        if row.state == PullRequestState.CLOSED
    }


def asked_again(
    tx: Transaction, repository: str, present: Sequence[Signal], rules: TrustRules
) -> tuple[Mapping[str, ClosedTask], Mapping[str, ClosedTask]]:
    """Return the refused facts among those that are there: which still wait, and which somebody has asked for since."""
    refused = refusals(tx, repository)
    waiting: dict[str, ClosedTask] = {}
    asked: dict[str, ClosedTask] = {}
    if not refused:
        return waiting, asked
    decisions = _decisions(tx, repository)
    for signal in present:
        refusal = refused.get(signal.ref)
        if refusal is not None:
            again = is_asked_again(signal, refusal, rules, decisions.get(signal.ref))
            (asked if again else waiting)[signal.ref] = refusal
    return waiting, asked


def _decisions(tx: Transaction, repository: str) -> Mapping[str, SignalDecision | None]:
    row = signals.c
    rows = tx.execute(
        select(row.kind, row.key, row.decision).where(row.repository == repository, ~row.decision.is_(None))
    )
    return {f"{row.kind}:{row.key}": read_json(SignalDecision, row.decision) for row in rows}
