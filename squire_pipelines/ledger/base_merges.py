"""What came of merging the base's heads into the heads of our pull requests, and whose their foreign heads are.

One row for each pair of heads, so that what was tried is known for as long as neither moves.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update

from squire_pipelines.domain.base_updates import MAX_MERGE_TRIES, ForeignHead, MergeState
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import base_merges
from squire_pipelines.ledger.telling_tries import next_try

_NO_BASE = ""
"""Stands for the base in rows that are about a head alone."""

_CUT_OFF = "the last try was cut off"
_MAX_CONFLICTS = 200


@dataclass(frozen=True, slots=True)
class BaseMerge:
    """A row: what came of merging `base_sha` into `head_sha`, and the head that it made, if any."""

    head_sha: str
    base_sha: str
    state: str
    result_sha: str | None
    conflicts: tuple[str, ...]
    tries: int
    again_at: datetime | None
    error: str | None
    labelled: bool
    created_at: datetime

    @property
    def is_update(self) -> bool:
        """Whether Squire brought the branch up to date by it, or asked GitHub to."""
        return self.state in {MergeState.REQUESTED, MergeState.MERGED}

    def is_spent(self, now: datetime) -> bool:
        """Return whether it is tried no more; what was requested last has its time to come about."""
        waits = self.state == MergeState.REQUESTED and self.again_at is not None and self.again_at > now
        return self.tries >= MAX_MERGE_TRIES and not waits


@dataclass(frozen=True, slots=True)
class HeadPair:
    """The head of a task's pull request, and the head of its base; None where only the first matters."""

    task_id: str
    head_sha: str
    base_sha: str | None = None


def of_tasks(tx: Transaction, task_ids: Collection[str]) -> Mapping[str, tuple[BaseMerge, ...]]:
    """Return the rows of these tasks' pull requests, oldest first."""
    rows: dict[str, list[BaseMerge]] = defaultdict(list)
    query = select(base_merges).where(base_merges.c.task_id.in_(task_ids))
    for row in tx.execute(query.order_by(base_merges.c.created_at, base_merges.c.head_sha)):
        rows[row.task_id].append(
            BaseMerge(
                head_sha=row.head_sha,
                base_sha=row.base_sha,
                state=row.state,
                result_sha=row.result_sha,
                conflicts=tuple((row.conflicts or "").splitlines()),
                tries=row.tries,
                again_at=row.again_at,
                error=row.error,
                labelled=bool(row.labelled),
                created_at=row.created_at,
            )
        )
    return {task_id: tuple(merges) for task_id, merges in rows.items()}


def foreign_head(merges: Iterable[BaseMerge], head_sha: str) -> ForeignHead:
    """Return what is known of a head that is none of ours; what was looked at in vain often enough is somebody's."""
    row = next((merge for merge in merges if (merge.head_sha, merge.base_sha) == (head_sha, _NO_BASE)), None)
    if row is None or (row.state == ForeignHead.UNREAD and row.tries < MAX_MERGE_TRIES):
        return ForeignHead.UNREAD
    return ForeignHead.SOMEBODYS


def may_look(merges: Iterable[BaseMerge], head_sha: str, now: datetime) -> bool:
    """Return whether the time has come to look, or look again, at a head that is none of ours."""
    row = next((merge for merge in merges if (merge.head_sha, merge.base_sha) == (head_sha, _NO_BASE)), None)
    return row is None or row.again_at is None or row.again_at <= now


def begin(tx: Transaction, pair: HeadPair) -> bool:
    """Record that a try begins to merge a pair, or to look at a head; False where another process has begun one.

    A process that is killed leaves a try that was cut off, which is repeated later.
    """
    tx.exclusive("base_merges")
    row = tx.execute(select(base_merges.c.tries, base_merges.c.again_at).where(*_is(pair))).one_or_none()
    if row is not None and row.again_at is not None and row.again_at > tx.now:
        return False
    tries = (row.tries if row is not None else 0) + 1
    state = ForeignHead.UNREAD if pair.base_sha is None else MergeState.REFUSED
    _put(tx, pair, state=state, tries=tries, again_at=next_try(tx.now, tries), error=_CUT_OFF)
    return True


def record(
    tx: Transaction,
    pair: HeadPair,
    state: MergeState | ForeignHead,
    *,
    result_sha: str | None = None,
    conflicts: Sequence[str] = (),
) -> None:
    """Record what came of a pair, or whose a head is. What was requested is looked for again later."""
    columns: dict[str, Any] = {"state": state, "error": None}
    if state is not MergeState.REQUESTED:
        columns["again_at"] = None
    else:
        columns["error"] = "GitHub was asked to bring its branch up to date, and did not"
    if result_sha is not None:
        columns["result_sha"] = result_sha
    if conflicts:
        columns["conflicts"] = "\n".join(conflicts[:_MAX_CONFLICTS])
    _put(tx, pair, **columns)


def record_result(tx: Transaction, pair: HeadPair, result_sha: str) -> None:
    """Record the head that a pair becomes, before it is pushed: whatever happens then, it is known to be ours."""
    _put(tx, pair, result_sha=result_sha)


def record_error(tx: Transaction, pair: HeadPair, error: str, *, is_final: bool = False) -> None:
    """Record why a pair could not be merged, or a head not be looked at; a final refusal is not tried again."""
    _put(tx, pair, error=error[:1000], **({"tries": MAX_MERGE_TRIES} if is_final else {}))


def forget_pair(tx: Transaction, pair: HeadPair) -> None:
    """Delete what is known of a pair, whose base turned out to be another."""
    tx.execute(delete(base_merges).where(*_is(pair)))


def try_again(tx: Transaction, task_id: str) -> None:
    """Delete what was refused, and what was tried in vain, since a person has the pull request taken up again."""
    passing = base_merges.c.state.in_([MergeState.REFUSED, MergeState.REQUESTED, ForeignHead.UNREAD])
    row = base_merges.c
    tx.execute(delete(base_merges).where(row.task_id == task_id, passing, row.result_sha.is_(None)))


def set_labelled(tx: Transaction, task_id: str, *, labelled: bool) -> None:
    """Record that a pull request has the label which says that it conflicts, or has it no more."""
    tx.execute(update(base_merges).where(base_merges.c.task_id == task_id).values(labelled=labelled))


def _is(pair: HeadPair) -> tuple[Any, ...]:
    row = base_merges.c
    return row.task_id == pair.task_id, row.head_sha == pair.head_sha, row.base_sha == (pair.base_sha or _NO_BASE)


def _put(tx: Transaction, pair: HeadPair, **columns: Any) -> None:
    columns["updated_at"] = tx.now
    if tx.execute(update(base_merges).where(*_is(pair)).values(**columns)).rowcount:
        return
    key = {"task_id": pair.task_id, "head_sha": pair.head_sha, "base_sha": pair.base_sha or _NO_BASE}
    new = {"tries": 0, "created_at": tx.now, **columns}
    tx.execute(insert(base_merges).values(**key, **new))
