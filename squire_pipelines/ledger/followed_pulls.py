"""Where the open pull requests of ours stand: read with their tasks and the work on them, written step by step."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import and_, or_, select, update

from squire_pipelines.domain.base_updates import BaseFacts, ForeignHead, MergeState
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.merging import OwnMerge
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.domain.tasks import FollowUp, FollowUpKind, TaskStatus
from squire_pipelines.ledger import base_merges, merges
from squire_pipelines.ledger.attempts import of_task as attempts_of
from squire_pipelines.ledger.base_merges import BaseMerge, foreign_head
from squire_pipelines.ledger.bulk import bulk_update, retry
from squire_pipelines.ledger.outcomes import Outcome, outcome_of
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.stored_json import read_json
from squire_pipelines.ledger.tables import attempts, outcomes, tasks
from squire_pipelines.ledger.telling_tries import next_try
from squire_pipelines.ledger.transitions import EventContext, record_event
from squire_pipelines.ledger.unpublished_work import with_unpublished_work

MAX_FOLLOWED = 500
"""So many open pull requests are followed in one look, those first that have waited longest for one."""


PULL_ENDED = "its pull request has ended"
"""Why Squire cancels work on a pull request."""

_UNPUBLISHED = frozenset({Cause.PUBLISH_REFUSED, Cause.GITHUB_UNAVAILABLE})


@dataclass(frozen=True, slots=True)
class OwnWork:
    """A task that adds to a pull request of ours: by itself, or, without `follow_up`, since a person asked for it."""

    task_id: str
    status: TaskStatus
    follow_up: FollowUp | None
    created_at: datetime
    cause: str | None = None
    message: str | None = None
    ended_at: datetime | None = None
    signals: tuple[str, ...] = ()
    keeps_work: bool = False
    """Whether what an agent made for it is kept and was not published, whatever ended the last attempt."""

    @property
    def is_refused(self) -> bool:
        """Whether it has failed since what it made, which is kept, could not be published."""
        return self.status is TaskStatus.FAILED and (self.keeps_work or self.cause in _UNPUBLISHED)

    @property
    def is_cancelled_by_people(self) -> bool:
        """Whether somebody has cancelled it, and not Squire itself."""
        return self.status is TaskStatus.CANCELLED and self.message != PULL_ENDED


@dataclass(frozen=True, slots=True)
class Followed:
    """A pull request of ours with its task's branch and base, the work on it, our heads, and its merge."""

    outcome: Outcome
    branch: str
    base_branch: str
    trace_id: str
    work: tuple[OwnWork, ...]
    own_heads: frozenset[str]
    merge: OwnMerge | None = None
    base_merges: tuple[BaseMerge, ...] = ()

    @property
    def under_way(self) -> FollowUpKind | None:
        """The work on it that has not ended; a person's request counts as an answer to a remark."""
        for work in self.work:
            if not work.status.is_final:
                return work.follow_up.kind if work.follow_up is not None else FollowUpKind.REMARKS
        return None

    @property
    def present_work(self) -> tuple[OwnWork, ...]:
        """The work that Squire gave itself since a person had it take the pull request up again, oldest first."""
        since = self.outcome.taken_up_at
        return tuple(
            work for work in self.work if work.follow_up is not None and (since is None or work.created_at > since)
        )

    @property
    def is_to_be_asked(self) -> bool:
        """Whether work on it has ended since GitHub was asked: what that met with is not known yet."""
        asked_at = self.outcome.polled_at
        return any(work.ended_at and (asked_at is None or work.ended_at > asked_at) for work in self.work)

    def count(self, kind: FollowUpKind, *, head_sha: str | None = None) -> int:
        """Return how much present work of a kind there is, in all or for one head; what was cancelled is none."""
        return sum(work.status is not TaskStatus.CANCELLED for work in self._of_kind(self.present_work, kind, head_sha))

    def count_others(self, kind: FollowUpKind, *, head_sha: str | None = None) -> int:
        """Return how much work of a kind there is that `count` leaves out."""
        return len(self._of_kind(self.work, kind, head_sha)) - self.count(kind, head_sha=head_sha)

    @staticmethod
    def _of_kind(works: Sequence[OwnWork], kind: FollowUpKind, head_sha: str | None) -> Sequence[OwnWork]:
        return [
            work
            for work in works
            if work.follow_up and work.follow_up.kind is kind and head_sha in {None, work.follow_up.head_sha}
        ]

    def rounds_of(self, remark: str, *, until: str | None = None) -> int:
        """Return in how many rounds Squire dealt with a remark, by its ref, up to the one of the task `until`."""
        return sum(
            work.status is not TaskStatus.CANCELLED
            and remark in work.signals
            and (until is None or work.task_id <= until)
            for work in self._of_kind(self.present_work, FollowUpKind.REMARKS, None)
        )

    @property
    def base_merge(self) -> BaseMerge | None:
        """What came of merging the base's present head into the present head; None where nobody has tried."""
        heads = self.outcome.head_sha, self.outcome.base_sha
        return next((one for one in self.base_merges if (one.head_sha, one.base_sha) == heads), None)

    @property
    def foreign_head(self) -> ForeignHead | None:
        """What is known of the present head where Squire did not give it; None where it did.

        Of a pull request from before heads were recorded, nobody knows.
        """
        if not self.own_heads or self.outcome.head_sha in self.own_heads:
            return None
        return foreign_head(self.base_merges, self.outcome.head_sha)

    def pushed_at(self, head_sha: str) -> datetime | None:
        """Return when Squire pushed a merge of the base that is this head, whose own date is an older one."""
        return next((one.created_at for one in self.base_merges if one.result_sha == head_sha), None)

    def base_facts(self, now: datetime) -> BaseFacts:
        """Return what is known of its base."""
        outcome, merge = self.outcome, self.base_merge
        since = outcome.taken_up_at
        conflicts = [
            work.follow_up
            for work in self.present_work
            if work.follow_up
            and work.follow_up.kind is FollowUpKind.CONFLICT
            and work.status is not TaskStatus.CANCELLED
        ]
        return BaseFacts(
            is_known=outcome.base_sha is not None,
            is_gone=outcome.base_ref is not None and outcome.base_sha is None,
            merge=MergeState(merge.state) if merge is not None else None,
            is_spent=merge is not None and merge.is_spent(now),
            may_try=merge is None or (merge.again_at is not None and merge.again_at <= now),
            error=(merge.error or "") if merge is not None else "",
            updates=sum(one.is_update and (since is None or one.created_at > since) for one in self.base_merges),
            resolves=len(conflicts),
            resolves_of_base=sum(conflict.base_sha == outcome.base_sha for conflict in conflicts),
        )


_MORE_ATTEMPTS = 3
"""Of work that GitHub did not take: with one alone, a run that dies loses what is kept, and an agent does it again."""

_TAKEN = (FollowState.MERGED, FollowState.LANDED_ELSEWHERE)
_NOT_TAKEN = (FollowState.CLOSED, FollowState.REVERTED)
_NEVER_TRIED: Mapping[str, None] = MappingProxyType({"tell_tries": None, "tell_again_at": None, "tell_error": None})
_OPEN = [state for state in FollowState if not state.is_final]


def read_followed(
    tx: Transaction, *, task_ids: Collection[str] | None = None, limit: int = MAX_FOLLOWED
) -> tuple[Followed, ...]:
    """Return the open pull requests of ours, those first that were changed the longest ago, and those just ended.

    With `task_ids`, only those of these tasks.
    """
    is_followed = or_(
        outcomes.c.state == PullRequestState.OPEN,
        outcomes.c.follow_state.in_(_OPEN),
        # What has landed, and what was reverted or is in the base again, after it had ended.
        and_(outcomes.c.state == PullRequestState.MERGED, outcomes.c.follow_state.in_(_NOT_TAKEN)),
        and_(outcomes.c.state == PullRequestState.REVERTED, outcomes.c.follow_state.in_(_TAKEN)),
    )
    query = (
        select(outcomes, tasks.c.branch, tasks.c.base_branch, tasks.c.trace_id.label("task_trace"))
        .join(tasks, tasks.c.id == outcomes.c.task_id)
        .where(is_followed, *([outcomes.c.task_id.in_(task_ids)] if task_ids is not None else []))
        .order_by(outcomes.c.updated_at, outcomes.c.task_id)
        .limit(limit)
    )
    rows = tx.execute(query).all()
    work = _work_on(tx, {(row.repository, row.branch) for row in rows})
    of_base = base_merges.of_tasks(tx, [row.task_id for row in rows])
    heads = _heads_of(tx, [row.task_id for row in rows] + [one.task_id for works in work.values() for one in works])
    merging = merges.recorded(tx, [row.task_id for row in rows])
    followed = []
    for row in rows:
        on_it = work.get((row.repository, row.branch), ())
        own = {head for task_id in (row.task_id, *(one.task_id for one in on_it)) for head in heads[task_id]}
        merge = merging[row.task_id].own if row.task_id in merging else None
        merged = of_base.get(row.task_id, ())
        own |= {row.taken_up_head, *(one.result_sha for one in merged)} - {None}
        followed.append(
            Followed(
                outcome_of(row),
                row.branch,
                row.base_branch,
                row.task_trace,
                tuple(on_it),
                frozenset(own),
                merge,
                merged,
            )
        )
    return tuple(followed)


def read_work(tx: Transaction, task_ids: Collection[str]) -> Mapping[str, tuple[OwnWork, ...]]:
    """Return the work on the pull requests of these tasks, oldest first, whether or not they are open."""
    columns = (tasks.c.id, tasks.c.repository, tasks.c.branch)
    rows = tx.execute(select(*columns).where(tasks.c.id.in_(task_ids))).all()
    work = _work_on(tx, {(row.repository, row.branch) for row in rows})
    return {row.id: tuple(work.get((row.repository, row.branch), ())) for row in rows}


def _work_on(tx: Transaction, branches: set[tuple[str, str]]) -> Mapping[tuple[str, str], Sequence[OwnWork]]:
    """Return the tasks whose commits go to these branches, oldest first, by repository and branch."""
    branches_of: dict[str, set[str]] = defaultdict(set)
    for repository, branch in branches:
        branches_of[repository].add(branch)
    by_branch: dict[tuple[str, str], list[OwnWork]] = defaultdict(list)
    for repository, names in branches_of.items():
        query = select(
            *(tasks.c.id, tasks.c.status, tasks.c.spec, tasks.c.base_branch, tasks.c.created_at),
            *(tasks.c.cause, tasks.c.message, tasks.c.ended_at),
        ).where(tasks.c.repository == repository, tasks.c.base_branch.in_(names))
        for row in tx.execute(query.order_by(tasks.c.id)):
            stored = row.spec.get("follow_up")
            follow_up = read_json(FollowUp, stored)
            by_branch[repository, row.base_branch].append(
                OwnWork(
                    row.id,
                    TaskStatus(row.status),
                    follow_up,
                    row.created_at,
                    row.cause,
                    row.message,
                    row.ended_at,
                    tuple(row.spec.get("signals", ())),
                    row.status == TaskStatus.FAILED and with_unpublished_work(attempts_of(tx, row.id)) is not None,
                )
            )
    return by_branch


def _heads_of(tx: Transaction, task_ids: Sequence[str]) -> Mapping[str, set[str]]:
    """Return the commits that the tasks' attempts pushed, or were about to push."""
    heads: dict[str, set[str]] = defaultdict(set)
    query = select(attempts.c.task_id, attempts.c.head_sha).where(
        attempts.c.task_id.in_(task_ids), attempts.c.head_sha.is_not(None)
    )
    for row in tx.execute(query):
        heads[row.task_id].add(row.head_sha)
    return heads


def record_state(
    tx: Transaction, followed: Followed, state: FollowState, reason: str, *, handed_over: str | None = None
) -> bool:
    """Record where a pull request stands; return False, and change nothing, where that is known."""
    outcome = followed.outcome
    if (outcome.follow_state, outcome.follow_reason or "") == (state, reason) and handed_over == outcome.handed_over:
        return False
    columns: dict[str, Any] = {"follow_state": state, "follow_reason": reason, "handed_over": handed_over}
    if outcome.follow_state != state:
        columns["follow_since"] = tx.now
        event = EventContext(task_id=outcome.task_id, actor="follow", reason=reason, trace_id=followed.trace_id)
        record_event(tx, EventSubject.FOLLOW, outcome.follow_state, state, event)
    if handed_over is not None and handed_over != outcome.handed_over:
        columns |= _NEVER_TRIED  # the comment that says so has tries of its own
    _set(tx, outcome.task_id, columns)
    return True


def ask_again(tx: Transaction, task_id: str) -> None:
    """Have GitHub asked about a task's pull request at the next look, since something has just changed there."""
    tx.execute(update(outcomes).where(outcomes.c.task_id == task_id).values(polled_at=None))


def record_base(tx: Transaction, task_id: str, *, base_ref: str, base_sha: str) -> None:
    """Record which head the base of a task's pull request has, as it was fetched just now."""
    row = update(outcomes).where(outcomes.c.task_id == task_id)
    tx.execute(row.values(base_ref=base_ref, base_sha=base_sha, updated_at=tx.now))


def record_note(tx: Transaction, followed: Followed, reason: str, *, actor: str) -> None:
    """Write into a task's history what was done on its pull request, which stands where it stood."""
    outcome = followed.outcome
    state = outcome.follow_state or FollowState.WAITING_FOR_CI
    event = EventContext(task_id=outcome.task_id, actor=actor, reason=reason, trace_id=followed.trace_id)
    record_event(tx, EventSubject.FOLLOW, state, state, event)


def begin_telling(tx: Transaction, task_id: str) -> int | None:
    """Record that one more try begins to say something on a pull request; return which.

    None where another process has begun one meanwhile. A process that is killed leaves the time of the next one.
    """
    tx.exclusive("outcomes")
    query = select(outcomes.c.tell_tries, outcomes.c.tell_again_at).where(outcomes.c.task_id == task_id)
    row = tx.execute(query).one_or_none()
    if row is None or (row.tell_again_at is not None and row.tell_again_at > tx.now):
        return None
    tries = (row.tell_tries or 0) + 1
    _set(tx, task_id, {"tell_tries": tries, "tell_again_at": next_try(tx.now, tries)})
    return tries


def end_telling(tx: Transaction, task_id: str, *, error: str | None) -> None:
    """Record that there is no more to say: all was said, or, with an error, it was given up, which stays to be seen."""
    _set(tx, task_id, {**_NEVER_TRIED, "tell_error": error})


def record_tell_error(tx: Transaction, task_id: str, error: str) -> None:
    """Record why something could not be said on a pull request; when it is tried again is recorded already."""
    _set(tx, task_id, {"tell_error": error})


def record_announced(tx: Transaction, task_id: str, reason: str | None) -> None:
    """Record that people were told on GitHub why a pull request is left to them; None: that it is not any more."""
    _set(tx, task_id, {"announced_reason": reason})


def record_answered(tx: Transaction, task_id: str, work_id: str) -> None:
    """Record that the remarks which a task dealt with were answered, and those of earlier ones."""
    _set(tx, task_id, {"answered_task_id": work_id})


def take_up(tx: Transaction, task_id: str, *, actor: str, reason: str) -> bool:
    """Follow a pull request again that was left to people, from its present head; return whether it was left to them.

    Its tries count from now on, and what people pushed to it is built upon. What GitHub would not take is tried again,
    as it is kept. A merge by us that GitHub refused, or that a person took back, may be asked for again.
    """
    row = tx.execute(
        select(outcomes, tasks.c.trace_id.label("task_trace"))
        .join(tasks, tasks.c.id == outcomes.c.task_id)
        .where(outcomes.c.task_id == task_id)
    ).one_or_none()
    is_permitted = merges.permit_again(tx, task_id)
    if row is None or (row.handed_over is None and not is_permitted):
        return False
    if row.handed_over is None:
        event = EventContext(task_id=task_id, actor=actor, reason=reason, trace_id=row.task_trace)
        record_event(tx, EventSubject.FOLLOW, row.follow_state, row.follow_state, event)
        return True
    base_merges.try_again(tx, task_id)
    columns = {"handed_over": None, "taken_up_at": tx.now, "taken_up_head": row.head_sha}
    columns |= _NEVER_TRIED
    state = FollowState.WAITING_FOR_CI
    _set(tx, task_id, {**columns, "follow_state": state, "follow_reason": "taken up again", "follow_since": tx.now})
    event = EventContext(task_id=task_id, actor=actor, reason=reason, trace_id=row.task_trace)
    record_event(tx, EventSubject.FOLLOW, row.follow_state, state, event)
    for followed in read_followed(tx, task_ids=[task_id]):
        last = next((work for work in reversed(followed.work) if work.follow_up is not None), None)
        if last is not None and last.is_refused:
            bulk_update(tx, [last.task_id], retry(_MORE_ATTEMPTS), actor=actor, trace_id=row.task_trace)
    return True


def owner_of(tx: Transaction, task_id: str) -> str | None:
    """Return the task whose pull request a task adds to; None for one that adds to none."""
    work, owner = tasks.alias(), tasks.alias()
    query = (
        select(owner.c.id)
        .join(work, (work.c.repository == owner.c.repository) & (work.c.base_branch == owner.c.branch))
        .where(work.c.id == task_id)
    )
    owner_id: str | None = tx.execute(query).scalar_one_or_none()
    return owner_id


def _set(tx: Transaction, task_id: str, columns: Mapping[str, Any]) -> None:
    tx.execute(update(outcomes).where(outcomes.c.task_id == task_id).values(**columns, updated_at=tx.now))
