"""What becomes of an open pull request of ours next: one state machine, from what GitHub and the ledger say. Pure.

The state follows from the facts as they are now. So a fact that comes late or twice changes nothing, and a step that
was lost in a crash is decided again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from squire_pipelines.domain.base_updates import (
    DEFAULT_RULES,
    NOTHING_KNOWN,
    BaseAct,
    BaseFacts,
    BaseUpdateRules,
    BaseUpdateStep,
    conflict_step,
    update_step,
)
from squire_pipelines.domain.outcomes import ChecksState, Mergeability, PullRequestState, ReviewDecision
from squire_pipelines.domain.tasks import FollowUpKind


class FollowState(StrEnum):
    """What a pull request of ours waits for, or how it ended."""

    WAITING_FOR_CI = "waiting_for_ci"
    FIXING = "fixing"
    WAITING_FOR_REVIEW = "waiting_for_review"
    ANSWERING = "answering"
    UPDATING = "updating"
    WAITING_FOR_MERGE = "waiting_for_merge"
    HANDED_OVER = "handed_over"
    MERGED = "merged"
    LANDED_ELSEWHERE = "landed_elsewhere"
    CLOSED = "closed"
    REVERTED = "reverted"

    @property
    def is_final(self) -> bool:
        """Whether the pull request has ended; one that was closed may be opened again all the same."""
        return self in _FINAL


_FINAL = frozenset({FollowState.MERGED, FollowState.LANDED_ELSEWHERE, FollowState.CLOSED, FollowState.REVERTED})


@dataclass(frozen=True, slots=True)
class FollowRules:
    """How much Squire does on a pull request of its own before it hands over to a person.

    Args:
        max_fixes: Tries at failed checks, of the pull request as a whole.
        max_fixes_of_head: Of one head.
        max_answers: Rounds of answers to remarks.
        max_answers_of_thread: Of these, to one remark and what is said in its thread.
        settling_s: Seconds for which the checks of a head must have stayed as they are, since others may still run.
        unread_s: Seconds after which a failure of which nothing is read counts as no work for an agent.
        checks: Whether an agent mends failed checks; where it does not, people do.
        remarks: Whether an agent answers remarks.
        base: What is done about a base that has moved on.
    """

    max_fixes: int = 3
    max_fixes_of_head: int = 2
    max_answers: int = 5
    max_answers_of_thread: int = 3
    settling_s: float = 30.0
    unread_s: float = 600.0
    checks: bool = True
    remarks: bool = True
    base: BaseUpdateRules = DEFAULT_RULES


@dataclass(frozen=True, slots=True)
class FollowedPull:
    """What is known of a pull request of ours.

    Args:
        state: By GitHub.
        landed: Whether it counts as merged since its change is in the base, although GitHub calls it closed.
        checks: Of its head; None where nothing is known.
        checks_since: When the checks came to say so.
        failed_checks: How many facts there are from which a task could mend the checks of this head.
        remarks: How many open remarks wait for an answer.
        spent_remarks: How many more do that Squire has answered as often as it may.
        mergeability: By GitHub.
        review: What its reviews say.
        needs_approval: Whether the policy holds it for a person's approval.
        draft: Whether it is a draft.
        people_pushed: Whether its head has commits that are neither ours nor merges of its base alone.
        unread_head: Whether its head is none of ours, and nobody has looked yet what it has.
        under_way: The work on it that has not ended.
        fixes: How often Squire tried to mend checks.
        fixes_of_head: Of these, on the present head.
        answers: How many rounds of remarks Squire answered.
        refused: The last work on it, where what it made is kept and could not be published; None where it was.
        cancelled: Whether somebody has cancelled the last work on its present head.
        handed_over: Why Squire has left it to people; None while it has not.
        merging: What its merge by Squire waits for, where the settings want one; None where people merge it.
        base: What is known of its base.
    """

    state: PullRequestState
    landed: bool = False
    checks: ChecksState | None = None
    checks_since: datetime | None = None
    failed_checks: int = 0
    remarks: int = 0
    spent_remarks: int = 0
    mergeability: Mergeability = Mergeability.UNKNOWN
    review: ReviewDecision = ReviewDecision.NONE
    needs_approval: bool = False
    draft: bool = False
    people_pushed: bool = False
    unread_head: bool = False
    under_way: FollowUpKind | None = None
    fixes: int = 0
    fixes_of_head: int = 0
    answers: int = 0
    refused: str | None = None
    cancelled: bool = False
    handed_over: str | None = None
    merging: str | None = None
    base: BaseFacts = NOTHING_KNOWN


@dataclass(frozen=True, slots=True)
class NextStep:
    """Where a pull request stands, in words what it waits for, and the work to begin, if any.

    `act` is what is done about its base without an agent; `looks_at_head` asks whose its head is.
    """

    state: FollowState
    reason: str = ""
    begin: FollowUpKind | None = None
    act: BaseAct | None = None
    looks_at_head: bool = False


_UNDER_WAY: Mapping[FollowUpKind, NextStep] = MappingProxyType(
    {
        FollowUpKind.CHECKS: NextStep(FollowState.FIXING, "an agent mends its checks"),
        FollowUpKind.REMARKS: NextStep(FollowState.ANSWERING, "an agent answers its remarks"),
        FollowUpKind.CONFLICT: NextStep(FollowState.UPDATING, "an agent resolves its conflict with its base"),
    }
)


JUST_OPENED = NextStep(FollowState.WAITING_FOR_CI, "its checks are not known yet")
"""Where a pull request stands when it was opened."""


NO_WORK = "a check fails that is no work for an agent"
"""Why a pull request is left to people until GitHub says otherwise; every other reason holds until people say so."""


def next_step(pull: FollowedPull, rules: FollowRules, now: datetime) -> NextStep:
    """Return where a pull request stands, and what Squire does next.

    Args:
        pull: What is known of it.
        rules: How much Squire does by itself.
        now: The time by which checks have settled.
    """
    if pull.state is not PullRequestState.OPEN:
        return NextStep(_ended(pull))
    if pull.handed_over is not None and not _is_answered(pull):
        return NextStep(FollowState.HANDED_OVER, pull.handed_over)
    if pull.people_pushed:
        return _hand_over("somebody else has pushed to its branch")
    if pull.unread_head:
        return NextStep(
            FollowState.WAITING_FOR_CI, "its head is none of ours; whose it is, is looked at", looks_at_head=True
        )
    if pull.under_way is not None:
        return _UNDER_WAY[pull.under_way]
    # While it conflicts, GitHub begins no checks of it.
    conflict = _step_of(pull, conflict_step(pull.mergeability, pull.base, rules.base))
    return conflict or _mend(pull, rules, now) or _answer(pull, rules) or _update(pull, rules) or _wait(pull)


def _is_answered(pull: FollowedPull) -> bool:
    """Return whether it was left to people for a failed check of which GitHub has said more or better since."""
    is_better = pull.checks not in {ChecksState.FAILED, None}
    return pull.handed_over == NO_WORK and (is_better or pull.failed_checks > 0)


def _ended(pull: FollowedPull) -> FollowState:
    if pull.state is PullRequestState.MERGED:
        return FollowState.LANDED_ELSEWHERE if pull.landed else FollowState.MERGED
    return FollowState.CLOSED if pull.state is PullRequestState.CLOSED else FollowState.REVERTED


def _mend(pull: FollowedPull, rules: FollowRules, now: datetime) -> NextStep | None:
    """Return the step that failed checks ask for; None where none has failed."""
    if pull.checks is not ChecksState.FAILED or not rules.checks:
        return None
    since = pull.checks_since or now
    if now < since + timedelta(seconds=rules.settling_s):
        return NextStep(FollowState.WAITING_FOR_CI, "a check has failed; others may still run")
    if (stopped := _stopped(pull) or _spent(pull, rules)) is not None:
        return _hand_over(stopped)
    if pull.failed_checks:
        return NextStep(FollowState.FIXING, "its checks fail", begin=FollowUpKind.CHECKS)
    if now < since + timedelta(seconds=rules.unread_s):
        return NextStep(FollowState.WAITING_FOR_CI, "a check has failed, and what it says is not read yet")
    return _hand_over(NO_WORK)


def _stopped(pull: FollowedPull) -> str | None:
    """Return why no more work is begun, although there is some and tries are left; None where it is."""
    if pull.refused is not None:
        return f"what was done last could not be published; it is kept, and task {pull.refused} says why"
    return "somebody has cancelled the work on it" if pull.cancelled else None


def _spent(pull: FollowedPull, rules: FollowRules) -> str | None:
    """Return which bound the tries have reached; None while there are some left."""
    if pull.fixes >= rules.max_fixes:
        return f"its checks fail after {_times(pull.fixes)} to mend them"
    if pull.fixes_of_head >= rules.max_fixes_of_head:
        return f"its checks fail, and {_times(pull.fixes_of_head)} changed nothing"
    return None


def _times(count: int) -> str:
    return "one try" if count == 1 else f"{count} tries"


def _answer(pull: FollowedPull, rules: FollowRules) -> NextStep | None:
    """Return the step that open remarks ask for; None where there are none."""
    if not pull.remarks or not rules.remarks:
        return None
    count = f"{pull.remarks} remark{'' if pull.remarks == 1 else 's'}"
    if pull.answers >= rules.max_answers:
        return _hand_over(f"{count} came after {pull.answers} rounds of answers")
    if (stopped := _stopped(pull)) is not None:
        return _hand_over(stopped)
    return NextStep(FollowState.ANSWERING, f"{count} to answer", begin=FollowUpKind.REMARKS)


def _update(pull: FollowedPull, rules: FollowRules) -> NextStep | None:
    """Return the step that a base which has moved on asks for, once there is no other work; None where it asks none."""
    if pull.draft or pull.checks not in {ChecksState.PASSED, ChecksState.NONE}:
        return None
    return _step_of(pull, update_step(pull.mergeability, pull.base, rules.base))


def _step_of(pull: FollowedPull, step: BaseUpdateStep | None) -> NextStep | None:
    if step is None:
        return None
    if step.act is BaseAct.HAND_OVER:
        return _hand_over(step.reason)
    if step.act is BaseAct.RESOLVE and (stopped := _stopped(pull)) is not None:
        return _hand_over(stopped)
    begin = FollowUpKind.CONFLICT if step.act is BaseAct.RESOLVE else None
    act = step.act if step.act in {BaseAct.UPDATE, BaseAct.MERGE} else None
    return NextStep(FollowState.UPDATING, step.reason, begin=begin, act=act)


def _wait(pull: FollowedPull) -> NextStep:
    if pull.checks is None:
        return JUST_OPENED
    if pull.checks is ChecksState.PENDING:
        return NextStep(FollowState.WAITING_FOR_CI, "its checks run")
    waits = (
        (pull.checks is ChecksState.FAILED, "its checks fail, which the settings leave to people"),
        (pull.base.is_gone, "its base branch is gone; a person gives it another"),
        (pull.mergeability is Mergeability.CONFLICTING, "it conflicts with its base, which a person resolves"),
        (pull.needs_approval, "the policy wants a person's approval"),
        (pull.review is ReviewDecision.CHANGES_REQUESTED, "a reviewer has asked for changes"),
        (pull.review is ReviewDecision.REVIEW_REQUIRED, "the base branch wants an approving review"),
        (pull.draft, "it is a draft"),
        (pull.spent_remarks > 0, "remarks that Squire has answered before are left to people"),
        (pull.mergeability is Mergeability.BEHIND, "its branch is behind its base, which the settings leave to people"),
    )
    for holds, reason in waits:
        if holds:
            return NextStep(FollowState.WAITING_FOR_REVIEW, reason)
    return NextStep(FollowState.WAITING_FOR_MERGE, pull.merging or "nothing but its merge")


def _hand_over(reason: str) -> NextStep:
    return NextStep(FollowState.HANDED_OVER, reason)
