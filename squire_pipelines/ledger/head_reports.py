"""What was reported on which commit of ours: where, what, whether that was the last word, how often it was tried."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, insert, or_, select, update

from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.own_reports import HeadReport, ReportPlace
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import head_reports, outcomes
from squire_pipelines.ledger.telling_tries import MAX_TRIES, next_try

_PLACE_LASTS = timedelta(days=1)
"""After this it is found out again where a repository takes reports: a token may have been given more."""

_PER_LOOK = 200


@dataclass(frozen=True, slots=True)
class ReportedHead:
    """A commit on which something was reported, or tried to be.

    `reported_digest` is of what GitHub has, `tried_digest` of what was tried last.
    """

    repository: str
    head_sha: str
    task_id: str
    number: int
    place: ReportPlace | None
    check_run_id: int | None
    reported_digest: str | None
    tried_digest: str
    reports: int
    settled: bool
    tries: int
    again_at: datetime | None

    def is_due(self, report: HeadReport, now: datetime) -> bool:
        """Return whether this report is to be written now."""
        if self.reported_digest == report.digest or (self.again_at is not None and self.again_at > now):
            return False
        return self.tried_digest != report.digest or self.tries < MAX_TRIES


@dataclass(frozen=True, slots=True)
class UnsettledHead:
    """A commit with a report that is not the last one, and its pull request as it is now; None where it is unknown."""

    head: ReportedHead
    state: str | None
    reason: str | None
    url: str
    present_head: str | None
    is_open: bool


def of_heads(tx: Transaction, heads: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], ReportedHead]:
    """Return what was reported on these commits, by repository and commit."""
    shas = {sha for _, sha in heads}
    rows = tx.execute(select(head_reports).where(head_reports.c.head_sha.in_(shas)))
    return {(row.repository, row.head_sha): _head(row) for row in rows}


def unsettled(tx: Transaction) -> tuple[UnsettledHead, ...]:
    """Return the commits that are no longer the head of an open pull request, and whose report is not the last one."""
    row = head_reports.c
    is_past = or_(
        outcomes.c.task_id.is_(None),
        outcomes.c.state != PullRequestState.OPEN,
        outcomes.c.head_sha != row.head_sha,
        outcomes.c.pr_number != row.number,
    )
    query = (
        select(head_reports, outcomes.c.state, outcomes.c.follow_state, outcomes.c.follow_reason, outcomes.c.pr_url)
        .add_columns(outcomes.c.head_sha.label("present_head"), outcomes.c.pr_number)
        .outerjoin(outcomes, outcomes.c.task_id == row.task_id)
        .where(row.settled.is_(False), is_past)
        .order_by(row.updated_at, row.head_sha)
        .limit(_PER_LOOK)
    )
    return tuple(
        UnsettledHead(
            head=_head(row_of_head),
            state=row_of_head.follow_state if row_of_head.pr_number == row_of_head.number else None,
            reason=row_of_head.follow_reason,
            url=row_of_head.pr_url or "",
            present_head=row_of_head.present_head if row_of_head.pr_number == row_of_head.number else None,
            is_open=row_of_head.state == PullRequestState.OPEN and row_of_head.pr_number == row_of_head.number,
        )
        for row_of_head in tx.execute(query)
    )


def begin(tx: Transaction, head: ReportedHead, report: HeadReport) -> ReportedHead | None:
    """Record that a try begins; return the row as it was, None where another process has begun one meanwhile."""
    tx.exclusive("head_reports")
    known = of_heads(tx, [(head.repository, head.head_sha)]).get((head.repository, head.head_sha))
    if known is not None and not known.is_due(report, tx.now):
        return None
    tries = 1 + (known.tries if known is not None and known.tried_digest == report.digest else 0)
    # Until the try is over, and where it is killed: what it may have written is found then.
    values: dict[str, Any] = {"tried_digest": report.digest, "tries": tries, "again_at": next_try(tx.now, tries)}
    if known is None:
        place = {"repository": head.repository, "head_sha": head.head_sha, "task_id": head.task_id}
        values |= place | {"number": head.number, "reports": 0, "settled": False}
        tx.execute(insert(head_reports).values(**values, updated_at=tx.now))
    else:
        _set(tx, head, values)
    return known or head


def record_report(
    tx: Transaction, head: ReportedHead, report: HeadReport, place: ReportPlace, *, check_run_id: int | None
) -> None:
    """Record that something was reported on a commit, or, with `NONE`, that it can be reported nowhere."""
    values: dict[str, Any] = {"settled": report.settled, "tries": 0, "again_at": None, "error": None}
    if place is ReportPlace.NONE:
        values |= {"error": "the token may write neither check runs nor statuses"}
    else:
        values |= {"reported_digest": report.digest, "reports": head_reports.c.reports + 1}
    if check_run_id is not None:
        values["check_run_id"] = check_run_id
    _set(tx, head, values)
    if place_of(tx, head.repository) is not place:
        _set(tx, head, {"place": place, "place_at": tx.now})


def record_error(tx: Transaction, head: ReportedHead, report: HeadReport, error: str) -> bool:
    """Record why nothing could be reported; return whether it is given up. A last report counts as written then."""
    row = head_reports.c
    of_head = (row.repository == head.repository, row.head_sha == head.head_sha)
    given_up = int(tx.execute(select(row.tries).where(*of_head)).scalar_one()) >= MAX_TRIES
    _set(tx, head, {"error": error} | ({"settled": report.settled} if given_up else {}))
    return given_up


def place_of(tx: Transaction, repository: str) -> ReportPlace | None:
    """Return where a repository takes reports, as it was found out within a day; None where it has to be asked."""
    row = head_reports.c
    query = select(row.place).where(row.repository == repository, row.place_at > tx.now - _PLACE_LASTS)
    newest = tx.execute(query.order_by(row.place_at.desc()).limit(1)).scalar_one_or_none()
    return ReportPlace(newest) if newest is not None else None


def last_error(tx: Transaction, task_id: str) -> str | None:
    """Return why nothing could be reported on the newest commit of a task's pull request; None where it could."""
    row = head_reports.c
    query = select(row.error).where(row.task_id == task_id).order_by(row.updated_at.desc()).limit(1)
    return tx.execute(query).scalar_one_or_none()


def new_head(repository: str, head_sha: str, *, task_id: str, number: int) -> ReportedHead:
    """Return a commit on which nothing was reported yet."""
    return ReportedHead(
        repository, head_sha, task_id, number, None, None, None, "", reports=0, settled=False, tries=0, again_at=None
    )


def _set(tx: Transaction, head: ReportedHead, values: Mapping[str, Any]) -> None:
    row = head_reports.c
    of_head = (row.repository == head.repository, row.head_sha == head.head_sha)
    tx.execute(update(head_reports).where(*of_head).values(**values, updated_at=tx.now))


def _head(row: Row[Any]) -> ReportedHead:
    values = {name: getattr(row, name) for name in ReportedHead.__slots__}
    return ReportedHead(**values | {"place": ReportPlace(row.place) if row.place else None})
