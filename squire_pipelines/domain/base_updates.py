"""What is done on a pull request of ours whose base has moved on: brought up to date, merged, resolved, or left. Pure.

It is decided from what is known of merging the base's present head into the branch's present head: a base that moves on
again begins anew, within the bounds in all.
"""

from dataclasses import dataclass
from enum import StrEnum

from squire_pipelines.domain.outcomes import Mergeability

MAX_MERGE_TRIES = 5
"""So often what GitHub or git refuses is tried again, for one base head and branch head."""


class MergeState(StrEnum):
    """What came of merging a base's head into a branch's head; `taken` is what somebody else merged."""

    CURRENT = "current"
    REQUESTED = "requested"
    CONFLICT = "conflict"
    MERGED = "merged"
    TAKEN = "taken"
    REFUSED = "refused"


class ForeignHead(StrEnum):
    """What is known of a head that Squire did not give a branch of its own."""

    UNREAD = "unread"
    SOMEBODYS = "somebodys"


class UpdateWhen(StrEnum):
    """When a branch that its base has left behind is brought up to date."""

    REQUIRED = "required"
    ALWAYS = "always"
    NEVER = "never"


class BaseAct(StrEnum):
    """What is done about a base, or a head, that is news."""

    UPDATE = "update"
    MERGE = "merge"
    RESOLVE = "resolve"
    HAND_OVER = "hand_over"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class BaseUpdateRules:
    """How much Squire does about a base that has moved on.

    Args:
        conflicts: Whether conflicts are resolved; where they are not, people do.
        update: When a branch without a conflict is brought up to date.
        max_updates: How often it is in all.
        max_resolves: Tries of agents at conflicts, of the pull request as a whole.
        max_resolves_of_base: Of one head of the base.
    """

    conflicts: bool = True
    update: UpdateWhen = UpdateWhen.REQUIRED
    max_updates: int = 20
    max_resolves: int = 3
    max_resolves_of_base: int = 2


DEFAULT_RULES = BaseUpdateRules()


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """What is known of the base of an open pull request of ours.

    Args:
        is_known: Whether GitHub has said which head the base has.
        is_gone: Whether GitHub says that there is no such branch.
        merge: What came of merging it; None where nobody has tried since one of the two heads moved.
        is_spent: Whether what was refused, or requested and not done, is tried no more.
        may_try: Whether the time to try again has come.
        error: Why it was refused.
        updates: How often the branch was brought up to date.
        resolves: How often an agent tried to resolve a conflict.
        resolves_of_base: Of these, one with the base's present head.
    """

    is_known: bool = False
    is_gone: bool = False
    merge: MergeState | None = None
    is_spent: bool = False
    may_try: bool = True
    error: str = ""
    updates: int = 0
    resolves: int = 0
    resolves_of_base: int = 0


NOTHING_KNOWN = BaseFacts()


@dataclass(frozen=True, slots=True)
class BaseUpdateStep:
    """What is done, and why, or what is waited for."""

    act: BaseAct
    reason: str


def conflict_step(mergeability: Mergeability, facts: BaseFacts, rules: BaseUpdateRules) -> BaseUpdateStep | None:
    """Return what a conflict with the base asks for; None where there is none, or people resolve it.

    Git tries first: GitHub may not have seen yet that it is gone, and gives up on some that git can merge.
    """
    if mergeability is not Mergeability.CONFLICTING or not rules.conflicts or facts.is_gone:
        return None
    if facts.merge is MergeState.CONFLICT:
        return _resolve(facts, rules)
    if not facts.is_known:
        return BaseUpdateStep(BaseAct.WAIT, "it conflicts with its base; where that stands is not known yet")
    return _merge(facts, rules)


def _merge(facts: BaseFacts, rules: BaseUpdateRules) -> BaseUpdateStep:
    if facts.merge in {MergeState.REFUSED, MergeState.REQUESTED} and facts.is_spent:
        return BaseUpdateStep(BaseAct.HAND_OVER, f"it conflicts with its base, which cannot be merged: {facts.error}")
    if facts.merge is not None and not facts.may_try:
        return BaseUpdateStep(BaseAct.WAIT, "its base was merged, or could not be; GitHub is asked again")
    if facts.updates >= rules.max_updates:
        return BaseUpdateStep(BaseAct.HAND_OVER, f"it conflicts with its base after {facts.updates} updates")
    return BaseUpdateStep(BaseAct.MERGE, "it conflicts with its base; git tries to merge it")


def _resolve(facts: BaseFacts, rules: BaseUpdateRules) -> BaseUpdateStep:
    tries = _times(facts.resolves_of_base)
    if facts.resolves_of_base >= rules.max_resolves_of_base:
        return BaseUpdateStep(BaseAct.HAND_OVER, f"it conflicts with its base, and {tries} did not resolve it")
    if facts.resolves >= rules.max_resolves:
        reason = f"it conflicts with its base again after {_times(facts.resolves)} to resolve that"
        return BaseUpdateStep(BaseAct.HAND_OVER, reason)
    return BaseUpdateStep(BaseAct.RESOLVE, "it conflicts with its base")


_SETTLED = frozenset({MergeState.CURRENT, MergeState.CONFLICT, MergeState.MERGED, MergeState.TAKEN})
"""After these, GitHub's word that a branch is behind is an old one."""


def update_step(mergeability: Mergeability, facts: BaseFacts, rules: BaseUpdateRules) -> BaseUpdateStep | None:
    """Return what a base that has left the branch behind asks for; None where nothing is to be done about it."""
    is_behind = mergeability is Mergeability.BEHIND
    may_be_behind = mergeability is Mergeability.MERGEABLE and rules.update is UpdateWhen.ALWAYS
    if rules.update is UpdateWhen.NEVER or not (is_behind or may_be_behind) or facts.is_gone:
        return None
    if not facts.is_known or facts.merge in _SETTLED:
        return None
    if facts.merge in {MergeState.REFUSED, MergeState.REQUESTED}:
        if facts.is_spent:
            reason = f"its branch is behind its base and cannot be updated: {facts.error}"
            # Where the base does not ask for it, it can be merged as it is.
            return BaseUpdateStep(BaseAct.HAND_OVER, reason) if is_behind else None
        if not facts.may_try:
            return BaseUpdateStep(BaseAct.WAIT, "GitHub brings its branch up to date with its base")
    if facts.updates >= rules.max_updates:
        reason = f"its branch is behind its base after {facts.updates} updates"
        return BaseUpdateStep(BaseAct.HAND_OVER, reason) if is_behind else None
    return BaseUpdateStep(BaseAct.UPDATE, "its branch is behind its base")


def _times(count: int) -> str:
    return "one try" if count == 1 else f"{count} tries"
