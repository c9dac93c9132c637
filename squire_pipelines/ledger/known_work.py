"""Tasks that a new one must not repeat: those under way, and those that ended lately."""

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import or_, select

from squire_pipelines.domain.duplicates import KnownWork, text_of
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.similar_text import WorkText
from squire_pipelines.domain.tasks import TaskSpec, TaskStatus
from squire_pipelines.ledger.plan_retries import REPLACED, replaceable_tasks
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.ledger.tables import archived_tasks, outcomes, tasks

MAX_TASKS = 500
"""The newest of those in the ledger, and as many of those in the archive's rows."""


def known_work(tx: Transaction, repository: str, *, days: float) -> tuple[KnownWork, ...]:
    """Return the tasks of a repository that are not ended, whose pull request is open, or that ended lately.

    `days` says how long ago that may be. Of an archived task the title is left, and no more. The newest come first.
    What was planned provisionally and a model's plan has replaced, or is to replace, does not count.
    """
    return (*_in_ledger(tx, repository, days), *_archived(tx, repository, days))


def _in_ledger(tx: Transaction, repository: str, days: float) -> Iterator[KnownWork]:
    is_open = outcomes.c.state == PullRequestState.OPEN
    rows = tx.execute(
        select(tasks.c.id, tasks.c.title, tasks.c.status, tasks.c.spec, is_open.label("is_open"))
        .select_from(tasks.outerjoin(outcomes, outcomes.c.task_id == tasks.c.id))
        .where(
            tasks.c.repository == repository,
            ~tasks.c.fingerprint.startswith(REPLACED),
            tasks.c.id.not_in(replaceable_tasks(tx, repository)),
            or_(tasks.c.ended_at.is_(None), is_open, tasks.c.ended_at >= tx.now - timedelta(days=days)),
        )
        .order_by(tasks.c.created_at.desc(), tasks.c.id.desc())
        .limit(MAX_TASKS)
    )
    for row in rows:
        status, spec = TaskStatus(row.status), read_json(TaskSpec, row.spec)
        answers = spec.signals if spec is not None and (row.is_open or not status.is_final) else ()
        text = WorkText(row.title) if spec is None else text_of(spec)
        yield KnownWork(row.id, text, status, frozenset(answers))


def _archived(tx: Transaction, repository: str, days: float) -> Iterator[KnownWork]:
    rows = tx.execute(
        select(archived_tasks.c.id, archived_tasks.c.title, archived_tasks.c.status)
        .where(
            archived_tasks.c.repository == repository,
            ~archived_tasks.c.fingerprint.startswith(REPLACED),
            archived_tasks.c.ended_at >= tx.now - timedelta(days=days),
        )
        .order_by(archived_tasks.c.ended_at.desc(), archived_tasks.c.id.desc())
        .limit(MAX_TASKS)
    )
    for row in rows:
        yield KnownWork(row.id, WorkText(row.title), TaskStatus(row.status))
