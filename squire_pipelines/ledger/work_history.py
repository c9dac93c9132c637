"""What the ledger tells a planner of a repository's past: its tasks, why attempts failed, what reviewers ask for."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, or_, select

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.repeated_remarks import MAX_REMARKS, ReviewRemark, repeated
from squire_pipelines.domain.repository_facts import Lesson, OpenPullRequestTitle, PastTask, WorkHistory
from squire_pipelines.domain.signals import OpenPullRequest, ReviewFinding, Signal, SignalKind
from squire_pipelines.domain.verification import VerificationReport
from squire_pipelines.ledger.plan_retries import REPLACED
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.ledger.tables import attempts, outcomes, signals, tasks

TASK_DAYS = 30
LESSON_DAYS = 90
MAX_TASKS = 40
MAX_LESSONS = 15
_MAX_ATTEMPTS = 200
_MAX_PULL_REQUESTS = 50
_MESSAGE_CHARS = 300

TEACHING = (
    *(Cause.AGENT_ERROR, Cause.TIMEOUT, Cause.OUT_OF_MEMORY, Cause.BUDGET_EXHAUSTED, Cause.LOG_OVERFLOW),
    *(Cause.BUNDLE_INVALID, Cause.POLICY_REJECTED),
)
"""Endings from which the next task can learn: a smaller one, other paths or words. A lost engine teaches nothing."""

NOT_VERIFIED = "not_verified"
"""The cause of a lesson whose attempt was completed and whose checks did not pass."""


def work_history(tx: Transaction, repository: str) -> WorkHistory:
    """Return what is known of a repository's past, the newest first in each part; each part is bounded."""
    return WorkHistory(
        tasks=tuple(_tasks(tx, repository)),
        lessons=tuple(_lessons(tx, repository)),
        remarks=repeated(tuple(_remarks(tx, repository))),
        pull_requests=tuple(_pull_requests(tx, repository)),
    )


def _tasks(tx: Transaction, repository: str) -> Iterator[PastTask]:
    row, outcome = tasks.c, outcomes.c
    rows = tx.execute(
        select(
            *(row.id, row.title, row.kind, row.status, row.cause, row.message, row.ended_at),
            *(outcome.pr_number, outcome.state, outcome.checks),
        )
        .select_from(tasks.outerjoin(outcomes, outcome.task_id == row.id))
        .where(
            row.repository == repository,
            ~row.fingerprint.startswith(REPLACED),
            or_(
                row.ended_at.is_(None),
                outcome.state == PullRequestState.OPEN,
                row.ended_at >= tx.now - timedelta(days=TASK_DAYS),
            ),
        )
        .order_by(row.created_at.desc(), row.id.desc())
        .limit(MAX_TASKS)
    )
    for task in rows:
        yield PastTask(
            id=task.id,
            title=task.title,
            kind=task.kind,
            status=task.status,
            cause=task.cause,
            message=(task.message or "")[:_MESSAGE_CHARS] or None,
            pull_request=task.pr_number,
            outcome=task.state,
            checks=task.checks,
            ended_at=task.ended_at,
        )


def _lessons(tx: Transaction, repository: str) -> Iterator[Lesson]:
    """Yield one lesson for each cause and message, so that what fails again and again is told once with its count."""
    row = attempts.c
    rows = tx.execute(
        select(row.cause, row.message, row.ended_at, row.verification, tasks.c.title)
        .join(tasks, tasks.c.id == row.task_id)
        .where(row.repository == repository, row.ended_at >= tx.now - timedelta(days=LESSON_DAYS), _teaches())
        .order_by(row.ended_at.desc(), row.id.desc())
        .limit(_MAX_ATTEMPTS)
    )
    newest: dict[tuple[str, str], Lesson] = {}
    for attempt in rows:
        cause, message = attempt.cause, (attempt.message or "")[:_MESSAGE_CHARS]
        if cause == Cause.COMPLETED:
            report = read_json(VerificationReport, attempt.verification)
            if report is None or report.passed is not False or not report.checks:
                continue
            cause, message = NOT_VERIFIED, _failed_checks(report)
        lesson = newest.get((cause, message)) or _lesson(cause, message, attempt.title, attempt.ended_at)
        newest[cause, message] = lesson.model_copy(update={"count": lesson.count + 1})
    yield from list(newest.values())[:MAX_LESSONS]


def _lesson(cause: str, message: str, title: str, at: datetime) -> Lesson:
    return Lesson(count=0, cause=cause, message=message, task=title, at=at)


def _teaches() -> ColumnElement[bool]:
    completed = and_(attempts.c.cause == Cause.COMPLETED, attempts.c.verification.is_not(None))
    return or_(attempts.c.cause.in_(TEACHING), completed)


def _failed_checks(report: VerificationReport) -> str:
    failed = [f"{check.name}: {check.detail}" for check in report.checks if not check.passed]
    return f"these checks did not pass: {'; '.join(failed)}"[:_MESSAGE_CHARS]


def _remarks(tx: Transaction, repository: str) -> Iterator[ReviewRemark]:
    """Yield remarks of those who may give orders: what anybody can write is nobody's habit."""
    for signal in _signals(tx, repository, SignalKind.REVIEW_FINDING, limit=2 * MAX_REMARKS):
        may_order = signal.verdict is not None and signal.verdict.may_start
        if isinstance(signal.details, ReviewFinding) and may_order:
            finding = signal.details
            yield ReviewRemark(finding.pull_request, finding.author, finding.body)


def _pull_requests(tx: Transaction, repository: str) -> Iterator[OpenPullRequestTitle]:
    for signal in _signals(tx, repository, SignalKind.OPEN_PR, limit=_MAX_PULL_REQUESTS, is_open=True):
        if isinstance(signal.details, OpenPullRequest):
            pull = signal.details
            yield OpenPullRequestTitle(number=pull.number, title=signal.title, author=pull.author, draft=pull.is_draft)


def _signals(
    tx: Transaction, repository: str, kind: SignalKind, *, limit: int, is_open: bool = False
) -> Iterator[Signal]:
    """Yield the signals of a kind, the newest first: those that are gone too, unless `is_open`."""
    row = signals.c
    conditions = [row.gone_at.is_(None)] if is_open else []
    rows = tx.execute(
        select(row.signal)
        .where(
            row.repository == repository,
            row.kind == kind,
            row.last_seen_at >= tx.now - timedelta(days=LESSON_DAYS),
            *conditions,
        )
        .order_by(row.id.desc())
        .limit(limit)
    )
    for stored in rows.scalars():
        if (signal := read_json(Signal, stored)) is not None:
            yield signal
