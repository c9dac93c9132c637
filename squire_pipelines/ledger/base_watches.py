"""Which base branches are watched after a merge of ours, what their checks said, and which reverts were proposed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Row, insert, or_, select, update

from squire_pipelines.domain.base_checks import BaseStep, BaseVerdict
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.pull_endings import PullEnding
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import base_watches, outcomes, task_events, tasks
from squire_pipelines.ledger.telling_tries import MAX_TRIES, next_try

MAX_REVERT_TRIES = 3
_LONGEST_WATCH = timedelta(days=1)
_FIRST_LOOK, _LAST_LOOK = timedelta(minutes=1), timedelta(minutes=15)
_SAID = (BaseVerdict.ELSEWHERE, BaseVerdict.BROKEN)


class RevertTry(StrEnum):
    """What a try to propose a revert does: where there is none, it opens one; after the last it only looks for one."""

    PROPOSE = "propose"
    LOOK = "look"


@dataclass(frozen=True, slots=True)
class WatchedBase:
    """A merged pull request of ours whose base branch is watched, and what is known; `merged_at` is GitHub's."""

    task_id: str
    repository: str
    number: int
    pr_url: str
    trace_id: str
    merged_at: datetime
    verdict: BaseVerdict = BaseVerdict.WAITING
    reason: str = ""
    merge_sha: str | None = None
    revert_tries: int = 0
    revert_number: int | None = None
    revert_url: str | None = None
    revert_error: str | None = None
    tell_tries: int = 0


def due(tx: Transaction, *, limit: int = 500) -> tuple[WatchedBase, ...]:
    """Return the merges of the last day of which no verdict is known, those that are to be looked at now."""
    row = base_watches.c
    is_due = or_(row.task_id.is_(None), (row.verdict == BaseVerdict.WAITING) & (row.look_at <= tx.now))
    merged_there = (outcomes.c.state == PullRequestState.MERGED) & outcomes.c.landed.is_not(True)
    return _read(tx, is_due, merged_there, limit=limit)


def to_revert(tx: Transaction, *, limit: int = 10) -> tuple[WatchedBase, ...]:
    """Return the merges whose revert was begun, and of which it is not known whether there is one."""
    row = base_watches.c
    is_begun = (row.revert_tries > 0) & row.revert_number.is_(None) & row.revert_error.is_(None)
    return _read(tx, is_begun & (row.look_at <= tx.now), outcomes.c.state == PullRequestState.MERGED, limit=limit)


def to_tell(tx: Transaction, *, limit: int = 20) -> tuple[WatchedBase, ...]:
    """Return the failures after a merge of which nothing was said yet, those that are due."""
    row = base_watches.c
    is_due = or_(row.tell_again_at.is_(None), row.tell_again_at <= tx.now)
    is_settled = or_(row.revert_tries.is_(None), row.revert_number.is_not(None), row.revert_error.is_not(None))
    return _read(tx, row.verdict.in_(_SAID) & row.announced_reason.is_(None) & is_due & is_settled, limit=limit)


def get(tx: Transaction, task_id: str) -> WatchedBase | None:
    """Return what is known of the base after a task's merge; None where it was not looked at."""
    return next(iter(_read(tx, base_watches.c.task_id == task_id, limit=1, since=None)), None)


def proposed_reverts(tx: Transaction, task_ids: Collection[str]) -> Mapping[int, int]:
    """Return the pull requests that take the merges of these tasks back, of which none was: the number of each merge.

    A merge that was taken back once is not among them: its revert may have been taken back since.
    """
    row, event = base_watches.c, task_events.c
    is_reverted = (event.subject == EventSubject.ENDING) & (event.after == PullEnding.REVERTED)
    known = select(event.task_id).where(event.task_id.in_(task_ids), is_reverted)
    query = select(row.revert_number, row.pr_number).where(row.task_id.in_(task_ids), row.task_id.not_in(known))
    return {one.revert_number: one.pr_number for one in tx.execute(query.where(row.revert_number.is_not(None)))}


def _read(
    tx: Transaction, *conditions: Any, limit: int, since: timedelta | None = _LONGEST_WATCH
) -> tuple[WatchedBase, ...]:
    query = (
        select(
            outcomes.c.task_id,
            outcomes.c.repository,
            outcomes.c.pr_number,
            outcomes.c.pr_url,
            outcomes.c.merged_at,
            tasks.c.trace_id,
            *(column for column in base_watches.c if column.name not in {"task_id", "repository", "pr_number"}),
        )
        .join(tasks, tasks.c.id == outcomes.c.task_id)
        .outerjoin(base_watches, base_watches.c.task_id == outcomes.c.task_id)
        .where(outcomes.c.merged_at.is_not(None), *conditions)
        .order_by(outcomes.c.merged_at)
        .limit(limit)
    )
    if since is not None:
        query = query.where(outcomes.c.merged_at > tx.now - since)
    return tuple(map(_watched, tx.execute(query)))


def _watched(row: Row[Any]) -> WatchedBase:
    return WatchedBase(
        task_id=row.task_id,
        repository=row.repository,
        number=row.pr_number,
        pr_url=row.pr_url,
        trace_id=row.trace_id,
        merged_at=row.merged_at,
        verdict=BaseVerdict(row.verdict or BaseVerdict.WAITING),
        reason=row.reason or "",
        merge_sha=row.merge_sha,
        revert_tries=row.revert_tries or 0,
        revert_number=row.revert_number,
        revert_url=row.revert_url,
        revert_error=row.revert_error,
        tell_tries=row.tell_tries or 0,
    )


def record_step(tx: Transaction, watched: WatchedBase, step: BaseStep, *, merge_sha: str | None) -> RevertTry | None:
    """Record what a look showed, and when the next one is: the longer ago the merge is, the later.

    A revert that follows is begun in the same transaction: where this process dies after it, another one goes on.
    A verdict that is known stays.

    Returns:
        What is to be done about the revert, as `begin_revert` does.
    """
    tx.exclusive("base_watches")
    known = get(tx, watched.task_id)
    if known is not None and known.verdict is not BaseVerdict.WAITING:
        return None
    waited = max(tx.now - watched.merged_at, timedelta(0)) / 4
    look_at = tx.now + min(max(waited, _FIRST_LOOK), _LAST_LOOK) if step.verdict is BaseVerdict.WAITING else None
    values = {"verdict": step.verdict, "reason": step.reason, "look_at": look_at, "merge_sha": merge_sha}
    _put(tx, watched, values)
    return begin_revert(tx, watched) if step.reverts else None


def postpone(tx: Transaction, watched: WatchedBase, reason: str) -> None:
    """Record that a look failed, and why; the next one comes after a while. A verdict that is known stays."""
    known = get(tx, watched.task_id)
    if known is None or known.verdict is BaseVerdict.WAITING:
        _put(tx, watched, {"verdict": BaseVerdict.WAITING, "reason": reason, "look_at": tx.now + _LAST_LOOK})


def begin_revert(tx: Transaction, watched: WatchedBase) -> RevertTry | None:
    """Record that a revert is about to be proposed; None where another process is at it, or its end is known."""
    tx.exclusive("base_watches")
    known = get(tx, watched.task_id)
    if known is None or known.revert_number is not None or known.revert_error is not None:
        return None
    row = tx.execute(select(base_watches.c.look_at).where(base_watches.c.task_id == watched.task_id)).one()
    if known.revert_tries and row.look_at is not None and row.look_at > tx.now:
        return None
    is_last = known.revert_tries >= MAX_REVERT_TRIES
    tries = known.revert_tries if is_last else known.revert_tries + 1
    _put(tx, watched, {"revert_tries": tries, "look_at": tx.now + _LAST_LOOK})
    return RevertTry.LOOK if is_last else RevertTry.PROPOSE


def record_revert(tx: Transaction, watched: WatchedBase, *, number: int, url: str, by_us: bool) -> None:
    """Record the pull request that takes a merge back, with a row of the audit trail where Squire opened it."""
    _put(tx, watched, {"revert_number": number, "revert_url": url, "look_at": None})
    if by_us:
        subject = f"{watched.repository}#{watched.number}"
        detail: Mapping[str, JsonValue] = {"task": watched.task_id, "revert": number}
        action = "pull_request.revert_proposed"
        record_audit(tx, actor="follow", action=action, subject=subject, trace_id=watched.trace_id, detail=detail)


def record_revert_error(tx: Transaction, watched: WatchedBase, error: str) -> None:
    """Record why GitHub proposes no revert; nobody asks again."""
    _put(tx, watched, {"revert_error": error, "look_at": None})


def begin_telling(tx: Transaction, watched: WatchedBase) -> bool:
    """Record that one more try begins to say what failed; False where another process is at it, or has said it."""
    tx.exclusive("base_watches")
    if not any(one.task_id == watched.task_id and one.tell_tries == watched.tell_tries for one in to_tell(tx)):
        return False
    tries = watched.tell_tries + 1
    _put(tx, watched, {"tell_tries": tries, "tell_again_at": next_try(tx.now, tries)})
    return True


def record_telling(tx: Transaction, watched: WatchedBase, error: str | None) -> None:
    """Record how a try to say it ended; after the last that failed, it counts as said."""
    values: dict[str, Any] = {"tell_error": error}
    if error is None or watched.tell_tries + 1 >= MAX_TRIES:
        values |= {"announced_reason": watched.reason, "tell_again_at": None}
    _put(tx, watched, values)


def _put(tx: Transaction, watched: WatchedBase, values: Mapping[str, Any]) -> None:
    row = base_watches.c
    changed = tx.execute(update(base_watches).where(row.task_id == watched.task_id).values(**values, updated_at=tx.now))
    if not changed.rowcount:
        place = {"task_id": watched.task_id, "repository": watched.repository, "pr_number": watched.number}
        tx.execute(insert(base_watches).values(**place, **values, updated_at=tx.now))
