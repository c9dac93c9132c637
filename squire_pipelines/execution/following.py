"""Takes the next step on each open pull request of ours: records where it stands, and makes the task that mends it.

What the step is, `domain.following` decides; what GitHub says was recorded before, by `publishing.follow`. Nothing is
asked or told here.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from squire_pipelines.domain.base_updates import ForeignHead
from squire_pipelines.domain.following import FollowedPull, FollowRules, FollowState, NextStep, next_step
from squire_pipelines.domain.outcomes import ChecksState, Mergeability, ReviewDecision, ReviewState
from squire_pipelines.domain.signals import Signal
from squire_pipelines.domain.tasks import FollowUpKind, TaskSpec
from squire_pipelines.execution.requests import create_request, request_inputs
from squire_pipelines.ledger import collections, followed_pulls, tasks
from squire_pipelines.ledger.base_merges import may_look
from squire_pipelines.ledger.covered_facts import covered_facts
from squire_pipelines.ledger.followed_pulls import Followed, OwnWork
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.task_creation import RequestedTask
from squire_pipelines.planning.follow_ups import OwnFacts, OwnPull, conflict_task, follow_up_task, own_facts
from squire_pipelines.planning.selection import Candidate, PlanInputs
from squire_pipelines.settings.model import Settings

ACTOR = "follow"
SettingsOf = Callable[[str], Settings]
"""Gives the settings that hold in a repository."""


@dataclass(frozen=True, slots=True)
class StepTaken:
    """What was recorded of one pull request: where it stands, and the task that was made, if any."""

    repository: str
    number: int
    step: NextStep
    task_id: str | None = None


def due_steps(ledger: Ledger, settings_of: SettingsOf) -> tuple[str, ...]:
    """Return the tasks whose pull requests have a step to take. Changes nothing."""
    return _due_steps(ledger, settings_of, _is_news)


def _due_steps(
    ledger: Ledger, settings_of: SettingsOf, is_due: Callable[[Followed, NextStep], bool]
) -> tuple[str, ...]:
    with ledger.read() as tx:
        look = _Look(tx, settings_of)
        return tuple(
            followed.outcome.task_id
            for followed in followed_pulls.read_followed(tx)
            if is_due(followed, look.step_of(followed)[0])
        )


def begin_work(ledger: Ledger, settings_of: SettingsOf) -> tuple[StepTaken, ...]:
    """Take the steps that make a task, of pull requests of which GitHub was asked since the last work on them ended.

    People wait for these, and they need neither GitHub nor a run of the job `follow`.
    """
    return _take_all(ledger, settings_of, _is_work)


@dataclass(frozen=True, slots=True)
class DueAct:
    """A pull request whose base, or whose head, is to be looked at or brought up to date."""

    followed: Followed
    step: NextStep


def due_acts(ledger: Ledger, settings_of: SettingsOf) -> tuple[DueAct, ...]:
    """Return what is to be done about bases and heads without an agent, and may be by now. Changes nothing."""
    with ledger.read() as tx:
        look = _Look(tx, settings_of)
        acts = (DueAct(followed, look.step_of(followed)[0]) for followed in followed_pulls.read_followed(tx))
        return tuple(
            due
            for due in acts
            if due.step.act is not None
            or (due.step.looks_at_head and may_look(due.followed.base_merges, due.followed.outcome.head_sha, tx.now))
        )


def take_steps(ledger: Ledger, settings_of: SettingsOf) -> tuple[StepTaken, ...]:
    """Take the step of each pull request for which there is one, each in a transaction of its own.

    Repeating it takes none twice: the task of a step is made once for each head and round, and covers its facts.
    """
    return _take_all(ledger, settings_of, _is_news)


def _take_all(
    ledger: Ledger, settings_of: SettingsOf, is_due: Callable[[Followed, NextStep], bool]
) -> tuple[StepTaken, ...]:
    taken = []
    for task_id in _due_steps(ledger, settings_of, is_due):
        with ledger.write() as tx:
            tx.exclusive("follow")
            look = _Look(tx, settings_of)
            # Decided anew within the lock: another process may have taken it.
            for followed in followed_pulls.read_followed(tx, task_ids=[task_id]):
                step, facts = look.step_of(followed)
                if is_due(followed, step):
                    taken.append(_take(tx, settings_of(followed.outcome.repository), followed, step, facts))
    return tuple(taken)


def _is_news(followed: Followed, step: NextStep) -> bool:
    if step.begin is not None:
        return _is_work(followed, step)
    outcome = followed.outcome
    return (outcome.follow_state, outcome.follow_reason or "") != (step.state, step.reason)


def _is_work(followed: Followed, step: NextStep) -> bool:
    # Of work that has ended, GitHub is asked first what it met with.
    return step.begin is not None and not followed.is_to_be_asked


class _Look:
    """Decides the steps of many pull requests in one transaction; what a repository has is read once."""

    def __init__(self, tx: Transaction, settings_of: SettingsOf) -> None:
        self._tx = tx
        self._settings_of = settings_of
        self._signals: dict[str, tuple[Signal, ...]] = {}
        self._inputs: dict[tuple[str, int], PlanInputs] = {}

    def step_of(self, followed: Followed) -> tuple[NextStep, OwnFacts]:
        """Return the step of a pull request, and what there is to do on it."""
        repository = followed.outcome.repository
        settings = self._settings_of(repository).follow_for(repository)
        facts = self._facts(followed, settings.rules)
        pull = _followed_pull(followed, facts, self._tx.now, merges=settings.merge.enabled)
        return next_step(pull, settings.rules, self._tx.now), facts

    def _facts(self, followed: Followed, rules: FollowRules) -> OwnFacts:
        """Return the checks that may still be tried on this head, and the remarks that no task has dealt with."""
        repository, number = followed.outcome.repository, followed.outcome.pr_number
        if repository not in self._signals:
            self._signals[repository] = collections.active_signals(self._tx, repository)
        if not any(getattr(signal.details, "pull_request", None) == number for signal in self._signals[repository]):
            return OwnFacts((), ())
        pull = _own_pull(followed)
        remarks = own_facts(self._inputs_of(repository, 1), pull).remarks
        most = rules.max_answers_of_thread
        answerable = tuple(remark for remark in remarks if followed.rounds_of(remark.signal.ref) < most)
        # What was cancelled, or tried before a person had it taken up again, is no try.
        times = rules.max_fixes_of_head + followed.count_others(FollowUpKind.CHECKS, head_sha=pull.head_sha)
        return OwnFacts(
            checks=own_facts(self._inputs_of(repository, times), pull).checks,
            remarks=answerable,
            spent_remarks=len(remarks) - len(answerable),
        )

    def _inputs_of(self, repository: str, times: int) -> PlanInputs:
        """Return the repository's facts, of which those are covered for which so many tasks were made."""
        if (repository, times) not in self._inputs:
            settings, signals = self._settings_of(repository), self._signals[repository]
            trust = settings.trust_rules_for(repository)
            covered = covered_facts(self._tx, repository, signals, times=times, rules=trust)
            inputs = request_inputs(settings, repository, signals, covered, default_branch=None)
            self._inputs[repository, times] = inputs
        return self._inputs[repository, times]


def _own_pull(followed: Followed) -> OwnPull:
    return OwnPull(followed.outcome.pr_number, followed.branch, followed.outcome.head_sha)


def _followed_pull(followed: Followed, facts: OwnFacts, now: datetime, *, merges: bool) -> FollowedPull:
    outcome = followed.outcome
    last = followed.present_work[-1] if followed.present_work else None
    # Also work from before somebody had it taken up: that is tried again as it is kept, and may be refused once more.
    newest = next((work for work in reversed(followed.work) if work.follow_up is not None), None)
    is_kept = newest is not None and newest.is_refused and _is_of_head(newest, outcome.head_sha)
    return FollowedPull(
        state=outcome.state,
        landed=bool(outcome.landed),
        checks=ChecksState(outcome.checks) if outcome.checks else None,
        checks_since=outcome.checks_since,
        failed_checks=len(facts.checks),
        remarks=len(facts.remarks),
        spent_remarks=facts.spent_remarks,
        mergeability=Mergeability(outcome.mergeability or Mergeability.UNKNOWN),
        review=ReviewDecision(outcome.review_decision or ReviewDecision.NONE),
        needs_approval=outcome.review_state is ReviewState.NEEDS_APPROVAL,
        draft=bool(outcome.draft),
        people_pushed=followed.foreign_head is ForeignHead.SOMEBODYS,
        unread_head=followed.foreign_head is ForeignHead.UNREAD,
        under_way=followed.under_way,
        fixes=followed.count(FollowUpKind.CHECKS),
        fixes_of_head=followed.count(FollowUpKind.CHECKS, head_sha=outcome.head_sha),
        answers=followed.count(FollowUpKind.REMARKS),
        # On another head, such as one that somebody brought up to date meanwhile, it may be taken.
        refused=newest.task_id if newest is not None and is_kept else None,
        cancelled=last is not None and last.is_cancelled_by_people and _is_of_head(last, outcome.head_sha),
        handed_over=outcome.handed_over,
        merging=followed.merge.reason if merges and followed.merge is not None else None,
        base=followed.base_facts(now),
    )


def _is_of_head(work: OwnWork, head_sha: str) -> bool:
    return work.follow_up is not None and work.follow_up.head_sha == head_sha


def _take(tx: Transaction, settings: Settings, followed: Followed, step: NextStep, facts: OwnFacts) -> StepTaken:
    outcome = followed.outcome
    task_id = None
    if step.begin is not None:
        task_id = _begin(tx, settings, followed, step.begin, facts)
    if step.state.is_final:
        _cancel_work(tx, followed)
    left_to_people = step.state is FollowState.HANDED_OVER
    followed_pulls.record_state(
        tx, followed, step.state, step.reason, handed_over=step.reason if left_to_people else None
    )
    return StepTaken(outcome.repository, outcome.pr_number, step, task_id)


def _cancel_work(tx: Transaction, followed: Followed) -> None:
    """Cancel what is still to be done on a pull request that has ended: no agent is paid for it."""
    for work in followed.work:
        if not work.status.is_final:
            tasks.cancel(tx, work.task_id, actor=ACTOR, reason=followed_pulls.PULL_ENDED)


def _candidates(kind: FollowUpKind, facts: OwnFacts) -> tuple[Candidate, ...]:
    """Return the facts that a task deals with; a conflict is none of a collection."""
    return {FollowUpKind.CHECKS: facts.checks, FollowUpKind.REMARKS: facts.remarks}.get(kind, ())


def _conflict(followed: Followed) -> TaskSpec:
    outcome, merge = followed.outcome, followed.base_merge
    return conflict_task(
        _own_pull(followed),
        base=outcome.base_ref or followed.base_branch,
        base_sha=outcome.base_sha or "",
        conflicts=merge.conflicts if merge is not None else (),
    )


def _begin(tx: Transaction, settings: Settings, followed: Followed, kind: FollowUpKind, facts: OwnFacts) -> str:
    """Make the task of a step; it starts as the settings let tasks of its confidence and risk start."""
    outcome, candidates = followed.outcome, _candidates(kind, facts)
    spec = (
        _conflict(followed) if kind is FollowUpKind.CONFLICT else follow_up_task(kind, _own_pull(followed), candidates)
    )
    # The same step makes the same task, however often it is taken; the next round is another.
    number = followed.count(kind) + followed.count_others(kind)
    basis = f"follow\n{outcome.task_id}\n{kind}\n{outcome.head_sha}\n{number}"
    request = RequestedTask(
        outcome.repository,
        spec,
        ACTOR,
        fingerprint=hashlib.sha256(basis.encode()).hexdigest()[:32],
        versions={candidate.signal.ref: candidate.signal.version for candidate in candidates},
        place=outcome.pr_url,
    )
    return create_request(tx, settings, request, trace_id=followed.trace_id).id
