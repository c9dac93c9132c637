"""Which signals may become tasks at all, whoever plans: neither what strangers ask for nor what we caused. Pure.

- A signal that is covered (an active task or an open pull request answers it) is left out.
- A signal that is held by its verdict, or that nobody judged, is left out with a note: see `domain.authority`.
- An issue is chosen by one of the labels, or by somebody who released it.
- A failed check or a remark on a pull request from a fork is left out with a note: its branch is not ours to build on.
- A failed check whose second run is waited for is left out with a note.
- A bot's remark about older code is left out with a note: it judges anew what is there now.
- A failed check on a draft is left out: its author is at work on it.
- Failed checks and remarks on a pull request that Squire opened are left out: it is followed, see `domain.following`.
- An issue that an open pull request says it closes is left out with a note, unless somebody released it.
- An open pull request is background, not work.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from squire_pipelines.domain.branches import MAX_BRANCH_CHARS, OWN_BRANCHES, is_own_branch
from squire_pipelines.domain.duplicates import KnownWork, open_pull_requests
from squire_pipelines.domain.filters import NO_FILTERS, OpenPullRequests, SignalFilters, left_out_by
from squire_pipelines.domain.group_members import GroupMember
from squire_pipelines.domain.plans import DEFAULT_BOUNDS, SizeBounds
from squire_pipelines.domain.signals import (
    FailedCheck,
    ManualTask,
    OpenIssue,
    OpenPullRequest,
    PluginFact,
    ReviewFinding,
    Signal,
)


@dataclass(frozen=True, slots=True)
class PlanInputs:
    """What a plan of one repository is made from, whoever plans.

    Args:
        repository: `owner/name`.
        signals: All current signals of the repository, in any order.
        default_branch: None for an empty repository.
        issue_labels: An issue with one of these becomes a task; upper and lower case are the same, as for GitHub.
        covered: Refs of signals that an active task or an open pull request already answers, or that as many tasks were
            made for as may be.
        max_tasks: Most tasks in the plan.
        filters: What the settings leave out.
        bounds: How large the change of one task may be.
        protected_paths: Globs of what a task may not change unasked.
        own_branch: The branch of an open pull request of ours whose facts are asked for; those of all others of ours
            are left out, and without it those of all.
        branch_prefix: What the names of our branches begin with.
        members: Of a plan over several repositories, whose group `repository` then names; it has no signals and no
            protected paths itself.
    """

    repository: str
    signals: Sequence[Signal]
    default_branch: str | None
    issue_labels: Collection[str]
    covered: Collection[str]
    max_tasks: int
    filters: SignalFilters = NO_FILTERS
    bounds: SizeBounds = DEFAULT_BOUNDS
    protected_paths: Sequence[str] = ()
    own_branch: str | None = None
    branch_prefix: str = OWN_BRANCHES
    members: tuple[GroupMember, ...] = ()

    def protected_paths_in(self, repository: str | None) -> Sequence[str]:
        """Return the protected paths of the repository that a task is for; None is for the only one."""
        own = (member.protected_paths for member in self.members if member.repository == repository)
        return next(own, self.protected_paths)

    @property
    def open_pull_requests(self) -> dict[str, tuple[KnownWork, ...]]:
        """The open pull requests that a task must not repeat, by repository."""
        pulls = {member.repository: open_pull_requests(member.signals) for member in self.members}
        return pulls or {self.repository: open_pull_requests(self.signals)}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A signal that may become a task, and the branch that the task's pull request goes into."""

    signal: Signal
    base_branch: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What may be planned, the open pull requests as background, and notes on what was left out and why."""

    candidates: tuple[Candidate, ...]
    background: tuple[Signal, ...]
    notes: tuple[str, ...]


ANSWERED = (
    "a task of it is under way, its pull request is open, or as many tasks were made of it as may be; or its pull "
    "request was closed, and nobody has asked for it since"
)
BACKGROUND = "an open pull request is background, and no work by itself"
NOT_CHOSEN = "it has none of the labels that choose an issue"
HELD = "held, see `squire signals show`"
_NOT_WORTH_A_NOTE = frozenset({ANSWERED, BACKGROUND, NOT_CHOSEN})


@dataclass(frozen=True, slots=True)
class _Rules:
    """What decides about each signal of a repository: the inputs, and what its other signals say."""

    inputs: PlanInputs
    labels: frozenset[str]
    drafts: frozenset[int]
    pulls: OpenPullRequests

    @classmethod
    def of(cls, inputs: PlanInputs, signals: Collection[Signal]) -> "_Rules":
        drafts = frozenset(
            signal.details.number
            for signal in signals
            if isinstance(signal.details, OpenPullRequest) and signal.details.is_draft
        )
        labels = frozenset(label.casefold() for label in inputs.issue_labels)
        return cls(inputs, labels, drafts, OpenPullRequests.among(signals))

    def decide(self, signal: Signal) -> tuple[str | None, str]:
        """Return the branch that a task's pull request goes into; None with the reason where there is to be none."""
        if signal.ref in self.inputs.covered:
            return None, ANSWERED
        base, reason = _choose(signal, self.inputs, labels=self.labels, drafts=self.drafts)
        if base is None:
            return None, reason
        if (filter_name := left_out_by(signal, self.inputs.filters, self.pulls)) is not None:
            return None, f"by filters.{filter_name} of the settings"
        if (linked := self._linked(signal)) is not None:
            return None, linked
        if not 0 < len(base) <= MAX_BRANCH_CHARS:
            return None, "a branch whose name cannot be used"
        return base, ""

    def _linked(self, signal: Signal) -> str | None:
        """Return why an issue is left to an open pull request; None where there is none, or somebody released it."""
        issue = signal.details
        if not isinstance(issue, OpenIssue) or (signal.verdict is not None and signal.verdict.released):
            return None
        numbers = sorted(number for number, pull in self.pulls.by_number.items() if issue.number in pull.closes)
        if not numbers:
            return None
        return f"issue #{issue.number}, since the open pull request #{numbers[0]} says that it closes it"


def select(inputs: PlanInputs) -> Selection:
    """Choose the signals that may become tasks, in an order that does not depend on the input's."""
    # By content, so that of two signals with one name it is always the same that stands for it.
    by_ref = {signal.ref: signal for signal in sorted(inputs.signals, key=lambda signal: signal.model_dump_json())}
    by_ref = dict(sorted(by_ref.items()))
    rules = _Rules.of(inputs, by_ref.values())
    candidates: list[Candidate] = []
    left_out: Counter[str] = Counter()
    for signal in by_ref.values():
        base, reason = rules.decide(signal)
        if base is not None:
            candidates.append(Candidate(signal, base))
        elif reason not in _NOT_WORTH_A_NOTE:
            left_out[reason] += 1
    return Selection(
        candidates=tuple(candidates),
        background=tuple(signal for signal in by_ref.values() if isinstance(signal.details, OpenPullRequest)),
        notes=tuple(f"left out {count}: {reason}" for reason, count in sorted(left_out.items())),
    )


def why_left_out(inputs: PlanInputs, signal: Signal) -> str | None:
    """Return why a plan would make no task of a signal; None where it may."""
    base, reason = _Rules.of(inputs, inputs.signals).decide(signal)
    return reason if base is None else None


def all_left_out(inputs: PlanInputs) -> dict[str, str]:
    """Return, for each signal of which a plan would make no task, why, by ref; open pull requests are none to plan."""
    rules = _Rules.of(inputs, inputs.signals)
    decided = {signal.ref: rules.decide(signal) for signal in inputs.signals}
    return {ref: reason for ref, (base, reason) in decided.items() if base is None and reason != BACKGROUND}


def _choose(
    signal: Signal, inputs: PlanInputs, *, labels: frozenset[str], drafts: frozenset[int]
) -> tuple[str | None, str]:
    """Return the base branch, or None with the reason."""
    base, reason = inputs.default_branch, "the repository has no default branch, that is, no commit yet"
    match signal.details:
        case FailedCheck() as check:
            base, reason = _choose_check(check, drafts, inputs)
        case ReviewFinding() as finding:
            base, reason = _choose_remark(finding, inputs)
        case OpenIssue() as issue if not _is_chosen(issue, signal, labels):
            return None, NOT_CHOSEN
        case OpenPullRequest():
            return None, BACKGROUND
        case ManualTask(branch=str() as branch) | PluginFact(branch=str() as branch):
            base = branch
        case _:
            pass
    if base is not None and not _may_start(signal):
        return None, f"{HELD}: {signal.kind}"
    return base, reason


def _is_chosen(issue: OpenIssue, signal: Signal, labels: frozenset[str]) -> bool:
    if signal.verdict is not None and signal.verdict.released:
        return True
    return not labels.isdisjoint(label.casefold() for label in issue.labels)


def _may_start(signal: Signal) -> bool:
    """Return the verdict. A person's own request needs none: rows of earlier versions have none."""
    if signal.verdict is None:
        return isinstance(signal.details, ManualTask)
    return signal.verdict.may_start


def _choose_remark(finding: ReviewFinding, inputs: PlanInputs) -> tuple[str | None, str]:
    reason = ""
    if finding.from_fork:
        reason = f"remark on #{finding.pull_request}, whose branch lies in a fork"
    elif is_own_branch(finding.head_ref, inputs.branch_prefix) and finding.head_ref != inputs.own_branch:
        reason = f"remark on #{finding.pull_request}, which Squire opened and follows"
    elif finding.is_bot and finding.outdated:
        reason = f"remark of a bot on #{finding.pull_request} that is about older code"
    return (None, reason) if reason else (finding.head_ref, "")


def _choose_check(check: FailedCheck, drafts: frozenset[int], inputs: PlanInputs) -> tuple[str | None, str]:
    reason = ""
    if check.waits_until is not None:
        reason = f"failed check that runs again first, since {check.failure_reason}"
    elif not check.on_default_branch:
        if check.from_fork:
            reason = f"failed check on #{check.pull_request}, whose branch lies in a fork"
        elif check.branch == inputs.own_branch:
            pass  # also on a draft: its author is at work on it, and that is us
        elif is_own_branch(check.branch, inputs.branch_prefix):
            reason = f"failed check on #{check.pull_request}, which Squire opened and follows"
        elif check.pull_request in drafts:
            reason = f"failed check on #{check.pull_request}, which is a draft"
    return (None, reason) if reason else (check.branch, "")
