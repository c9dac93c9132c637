"""Whether Squire merges a pull request of its own, and how: the settings' conditions and those of the base. Pure.

Nothing is merged unless every condition holds of the head that GitHub has now. What does not hold is named, so that
people see what a merge waits for. Nothing here goes around a protection: a blocked one is waited for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.globs import matches
from squire_pipelines.domain.outcomes import ChecksState, ReviewDecision
from squire_pipelines.domain.policy import protecting_pattern
from squire_pipelines.domain.reading_times import QuietHours

_MAX_SHOWN = 3
ANSWER_LOST_AFTER = timedelta(minutes=5)
"""A request to merge without an answer for so long is sent again, where the pull request is still open."""


class MergeMethod(StrEnum):
    """How commits come into the base branch, by GitHub's names."""

    SQUASH = "squash"
    MERGE = "merge"
    REBASE = "rebase"


class MergeWay(StrEnum):
    """By which of GitHub's ways a pull request is merged."""

    DIRECT = "direct"
    AUTO = "auto_merge"
    QUEUE = "merge_queue"


class MergeStatus(StrEnum):
    """What GitHub calls the state of a merge (`mergeStateStatus`)."""

    BEHIND = "BEHIND"
    BLOCKED = "BLOCKED"
    CLEAN = "CLEAN"
    DIRTY = "DIRTY"
    DRAFT = "DRAFT"
    HAS_HOOKS = "HAS_HOOKS"
    UNKNOWN = "UNKNOWN"
    UNSTABLE = "UNSTABLE"


class MergeProgress(StrEnum):
    """How far Squire's own merge of a pull request has come.

    It waits for conditions; a request was sent whose answer is not known; GitHub's auto-merge or merge queue has it; it
    was refused at this head; a person took it back; it is merged.
    """

    WAITING = "waiting"
    REQUESTED = "requested"
    ARMED = "armed"
    REFUSED = "refused"
    TAKEN_BACK = "taken_back"
    MERGED = "merged"


@dataclass(frozen=True, slots=True)
class MergeRules:
    """The conditions of the settings, all of which must hold.

    Args:
        enabled: Whether Squire merges at all; where it does not, what it asked GitHub for is taken back.
        method: None for the first that the repository allows, in the order of `MergeMethod`.
        approvals: Approving reviews of the head by people who may approve, besides what the base branch wants.
        min_confidence: The least confidence, from 0 to 1, of each review bot that judged the head, and one must have.
        max_files: Of the whole change.
        max_lines: Added and removed ones together.
        allowed_paths: Globs; none means all.
        forbidden_paths: Globs.
        protected_paths: Those of the policy, which are never merged without a person.
        narrower_paths: Further lists of globs; each path must be in each of these lists, too.
        quiet_hours: When nothing is merged.
        zone: Whose clocks they mean.
        more_quiet_hours: Further spans in which nothing is merged, each with its zone.
    """

    enabled: bool = True
    method: MergeMethod | None = None
    approvals: int = 1
    min_confidence: float | None = None
    max_files: int = 20
    max_lines: int = 500
    allowed_paths: tuple[str, ...] = ()
    forbidden_paths: tuple[str, ...] = ()
    protected_paths: tuple[str, ...] = ()
    narrower_paths: tuple[tuple[str, ...], ...] = ()
    quiet_hours: QuietHours | None = None
    zone: tzinfo = UTC
    more_quiet_hours: tuple[tuple[QuietHours, tzinfo], ...] = ()

    @property
    def quiet_spans(self) -> tuple[tuple[QuietHours, tzinfo], ...]:
        """All spans in which nothing is merged."""
        first = ((self.quiet_hours, self.zone),) if self.quiet_hours is not None else ()
        return first + self.more_quiet_hours

    @property
    def path_lists(self) -> tuple[tuple[str, ...], ...]:
        """The lists of globs in each of which a path must be."""
        return (*((self.allowed_paths,) if self.allowed_paths else ()), *self.narrower_paths)


@dataclass(frozen=True, slots=True)
class BotJudgement:
    """How sure a review bot is of the present head, from 0 to 1."""

    bot: str
    confidence: float


@dataclass(frozen=True, slots=True)
class MergeFacts:
    """What is known of an open pull request of ours, all of it about its present head.

    Args:
        stands: Where the follower sees it.
        head_sha: The head by GitHub, now.
        known_head: The head that everything else was judged by.
        draft: Whether it is a draft.
        checks: What all of its checks say.
        status: Whether GitHub would merge it.
        review: What the reviews say that the base branch wants.
        approvals: Approving reviews of this head by people who may approve.
        objectors: Who asked for changes and has not taken that back.
        open_threads: Threads of remarks that nobody resolved.
        judgements: Of the review bots that judged this head.
        paths: All that change, the earlier names of renamed files too; None where not all are known.
        files: How many files change.
        lines: How many lines do.
        methods: Those that the repository allows.
        has_queue: Whether its base branch has a merge queue.
        may_auto_merge: Whether the repository has auto-merge, and the token may switch it on here.
        may_write: Whether the token may write to the repository; None where GitHub does not say.
        is_armed: Whether GitHub's auto-merge or its merge queue has it.
        unarmed_by: Who ended that last, and why, in words; None where nobody did.
    """

    stands: FollowState
    head_sha: str
    known_head: str
    draft: bool = False
    checks: ChecksState = ChecksState.PASSED
    status: MergeStatus = MergeStatus.CLEAN
    review: ReviewDecision = ReviewDecision.NONE
    approvals: int = 0
    objectors: tuple[str, ...] = ()
    open_threads: int = 0
    judgements: tuple[BotJudgement, ...] = ()
    paths: tuple[str, ...] | None = ()
    files: int = 0
    lines: int = 0
    methods: frozenset[MergeMethod] = frozenset(MergeMethod)
    has_queue: bool = False
    may_auto_merge: bool = False
    may_write: bool | None = True
    is_armed: bool = False
    unarmed_by: str | None = None


@dataclass(frozen=True, slots=True)
class OwnMerge:
    """What Squire did about the merge before: how far it came, of which head, by which way, and when it asked last."""

    progress: MergeProgress = MergeProgress.WAITING
    head_sha: str | None = None
    way: MergeWay | None = None
    asked_at: datetime | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MergeDecision:
    """What to do about a merge: ask for it by `way` and `method`, take an earlier request back, or wait.

    `progress` is to be recorded, and `reason` is what it waits for, or why it ended.
    """

    progress: MergeProgress
    reason: str
    way: MergeWay | None = None
    method: MergeMethod | None = None
    takes_back: bool = False


def unmet_conditions(facts: MergeFacts, rules: MergeRules, now: datetime) -> tuple[str, ...]:
    """Return what the settings' conditions wait for, each as it follows "waits for"; none where all hold."""
    return tuple(_unmet_of_head(facts)) + tuple(_unmet_reviews(facts, rules)) + tuple(_unmet_rest(facts, rules, now))


def decide_merge(facts: MergeFacts, rules: MergeRules, own: OwnMerge, now: datetime) -> MergeDecision:
    """Return what to do about the merge of an open pull request.

    Args:
        facts: What is known of it.
        rules: The conditions of the settings.
        own: What Squire did about it before.
        now: The time, for quiet hours.
    """
    same_head = own.head_sha == facts.head_sha
    # A person's word holds whatever the head is.
    if own.progress is MergeProgress.TAKEN_BACK or (own.progress is MergeProgress.REFUSED and same_head):
        return MergeDecision(own.progress, own.reason)
    unmet = unmet_conditions(facts, rules, now)
    if facts.is_armed:
        return _armed(facts, own, unmet)
    if own.progress is MergeProgress.ARMED and same_head:
        return _unarmed(own, facts)
    if unmet:
        return _wait_for(unmet)
    if own.progress is MergeProgress.REQUESTED and same_head and not _is_answer_lost(own, now):
        return _wait_for(("GitHub's word on the merge that was asked for",))
    return _ask(facts, rules)


def next_look(rules: MergeRules, now: datetime, within: timedelta) -> datetime:
    """Return when a merge is looked at again without news of it: within a time, and when quiet hours begin or end.

    What GitHub was asked for before quiet hours is to be taken back as they begin.
    """
    later = now + within
    return later if rules.quiet_hours is None else min(later, rules.quiet_hours.next_change(now, rules.zone))


def _is_answer_lost(own: OwnMerge, now: datetime) -> bool:
    return own.asked_at is None or now >= own.asked_at + ANSWER_LOST_AFTER


def _wait_for(unmet: Sequence[str]) -> MergeDecision:
    more = f" and {len(unmet) - _MAX_SHOWN} more" if len(unmet) > _MAX_SHOWN else ""
    return MergeDecision(MergeProgress.WAITING, f"waits for {', '.join(unmet[:_MAX_SHOWN])}{more}")


def _armed(facts: MergeFacts, own: OwnMerge, unmet: Sequence[str]) -> MergeDecision:
    """Return what becomes of a pull request that auto-merge or the queue has: what no longer holds takes it out."""
    if own.progress not in {MergeProgress.ARMED, MergeProgress.REQUESTED}:
        return MergeDecision(MergeProgress.WAITING, "waits for the merge that somebody else asked GitHub for")
    if own.head_sha != facts.head_sha:
        return MergeDecision(MergeProgress.WAITING, "waits for its new head to be judged", way=own.way, takes_back=True)
    if unmet:
        return MergeDecision(MergeProgress.WAITING, _wait_for(unmet).reason, way=own.way, takes_back=True)
    return MergeDecision(MergeProgress.ARMED, armed_reason(own.way), way=own.way)


def armed_reason(way: MergeWay | None) -> str:
    """Return what a pull request waits for that GitHub merges by itself."""
    return f"waits for GitHub's {'merge queue' if way is MergeWay.QUEUE else 'auto-merge'}"


def _unarmed(own: OwnMerge, facts: MergeFacts) -> MergeDecision:
    """Return what becomes of a pull request that GitHub no longer has: nobody asks again without a person's word."""
    by = facts.unarmed_by or "GitHub does not say why"
    if own.way is MergeWay.QUEUE:
        return MergeDecision(MergeProgress.REFUSED, f"the merge queue dropped it: {by}")
    return MergeDecision(MergeProgress.TAKEN_BACK, f"its auto-merge was switched off: {by}")


def _ask(facts: MergeFacts, rules: MergeRules) -> MergeDecision:
    method = _method(facts, rules)
    if facts.status in {MergeStatus.CLEAN, MergeStatus.HAS_HOOKS}:
        way = MergeWay.QUEUE if facts.has_queue else MergeWay.DIRECT
        return MergeDecision(MergeProgress.REQUESTED, "its merge is asked for", way=way, method=method)
    if facts.status is MergeStatus.BLOCKED and facts.may_auto_merge:
        return MergeDecision(MergeProgress.REQUESTED, "its merge is asked for", way=MergeWay.AUTO, method=method)
    waits = {
        MergeStatus.BEHIND: "the newest commits of its base",
        MergeStatus.BLOCKED: "what its base branch's protection asks for",
        MergeStatus.DIRTY: "the end of its conflict with the base",
        MergeStatus.DRAFT: "its end as a draft",
        MergeStatus.UNSTABLE: "each of its checks, the voluntary ones too",
    }
    return _wait_for((waits.get(facts.status, "GitHub to find out whether it can be merged"),))


def _method(facts: MergeFacts, rules: MergeRules) -> MergeMethod | None:
    if rules.method is not None:
        return rules.method if rules.method in facts.methods else None
    return next((method for method in MergeMethod if method in facts.methods), None)


def _unmet_of_head(facts: MergeFacts) -> Iterator[str]:
    if facts.stands is not FollowState.WAITING_FOR_MERGE:
        yield "what stands before its merge"
    if facts.head_sha != facts.known_head:
        yield "what GitHub says of its new head"
    if facts.draft:
        yield "its end as a draft"
    if facts.checks is ChecksState.NONE:
        yield "a check that passes, and its head has none"
    elif facts.checks is not ChecksState.PASSED:
        yield "its checks to pass"


def _unmet_reviews(facts: MergeFacts, rules: MergeRules) -> Iterator[str]:
    if facts.review is ReviewDecision.REVIEW_REQUIRED:
        yield "the approving review that its base branch wants"
    if facts.review is ReviewDecision.CHANGES_REQUESTED or facts.objectors:
        who = ", ".join(facts.objectors[:_MAX_SHOWN]) or "a reviewer"
        yield f"the changes that {who} asked for"
    if facts.approvals < rules.approvals:
        count = f"{rules.approvals} approving reviews" if rules.approvals > 1 else "an approving review"
        yield f"{count} of its head by people who may approve"
    if facts.open_threads:
        yield "the end of an open thread" if facts.open_threads == 1 else f"the end of {facts.open_threads} threads"
    least = rules.min_confidence
    if least is not None and not facts.judgements:
        yield "a review bot's confidence in its head"
    for judged in facts.judgements:
        if least is not None and judged.confidence < least:
            yield f"a confidence of {least:g} ({judged.bot} has {judged.confidence:g})"


def _unmet_rest(facts: MergeFacts, rules: MergeRules, now: datetime) -> Iterator[str]:
    if not rules.enabled:
        yield "a person, as the settings have it"
    if facts.may_write is False:
        yield "a token that may merge here"
    if _method(facts, rules) is None:
        allowed = ", ".join(method for method in MergeMethod if method in facts.methods) or "none"
        yield f"a merge method that the repository allows ({allowed})"
    if facts.files > rules.max_files:
        yield f"a person: it changes {facts.files} files, more than {rules.max_files}"
    if facts.lines > rules.max_lines:
        yield f"a person: it changes {facts.lines} lines, more than {rules.max_lines}"
    yield from _unmet_paths(facts, rules)
    ends = [f"{span.ends:%H:%M}" for span, zone in rules.quiet_spans if span.contain(now, zone)]
    if ends:
        yield f"the end of the quiet hours at {' and '.join(dict.fromkeys(ends))}"


def _unmet_paths(facts: MergeFacts, rules: MergeRules) -> Iterator[str]:
    if facts.paths is None:
        yield "a person: not all of its paths are known"
        return
    for path in facts.paths:
        if (pattern := matches(path, rules.forbidden_paths)) is not None:
            yield f"a person: {path[:200]} is forbidden by {pattern}"
            return
        if (pattern := protecting_pattern(path, rules.protected_paths)) is not None:
            yield f"a person: {path[:200]} is protected by {pattern}"
            return
    outside = next((path for path in facts.paths for globs in rules.path_lists if not matches(path, globs)), None)
    if outside is not None:
        yield f"a person: {outside[:200]} is not among the allowed paths"
