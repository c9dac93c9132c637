"""The tasks that Squire gives itself on its own open pull request: failed checks, remarks. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from squire_pipelines.domain.signals import FailedCheck, ReviewFinding, Signal
from squire_pipelines.domain.tasks import FollowUp, FollowUpKind, Priority, TaskSpec
from squire_pipelines.planning.rules import tasks_of
from squire_pipelines.planning.selection import Candidate, PlanInputs, select

VERDICTS = (
    "In your last message, say for each remark by its number, in a line of its own, what you did: "
    "`Remark 1: done` or `Remark 2: declined: the reason in a sentence`. Reviewers read these lines as answers."
)


MAX_CONFLICTS_SHOWN = 100
_CONFLICT = """\
The branch `{base}`, which pull request #{number} goes into, has moved on, and git cannot merge it into the pull
request's branch by itself. The clone holds that merge already, with the marks of conflict that git leaves: lines that
begin with <<<<<<<, ======= and >>>>>>>. Above ======= is what the pull request has, below it what `{base}` has.

These files conflict:

{files}

Resolve each of them: keep what both sides mean, and take every mark away. Look at the history of both sides
(`git log HEAD^1`, `git log HEAD^2`) to learn what they mean. A file of the list without marks was deleted or moved on
one side, or is no text: keep, change or delete it as is right. Where the clone is right as it is, say so by a commit
without a change: `git commit --allow-empty -m "Keep it"`. Change nothing beyond what the merge needs. What still has
marks is not published, and nothing is without a change or a commit of yours."""


@dataclass(frozen=True, slots=True)
class OwnPull:
    """An open pull request of ours, at the head that the facts are about."""

    number: int
    branch: str
    head_sha: str


@dataclass(frozen=True, slots=True)
class OwnFacts:
    """What could be worked on, on one pull request of ours: the failed checks of its head, and its open remarks.

    `spent_remarks` says how many more remarks are open that were answered as often as they may be.
    """

    checks: tuple[Candidate, ...]
    remarks: tuple[Candidate, ...]
    spent_remarks: int = 0


def own_facts(inputs: PlanInputs, pull: OwnPull) -> OwnFacts:
    """Return what there is to do on a pull request of ours, by the rules of any signal: authority, filters, waits."""
    candidates = select(replace(inputs, own_branch=pull.branch)).candidates
    return OwnFacts(
        checks=tuple(c for c in candidates if _is_failed_check(c.signal, pull)),
        remarks=tuple(c for c in candidates if _is_remark(c.signal, pull)),
    )


def _is_failed_check(signal: Signal, pull: OwnPull) -> bool:
    check = signal.details
    if not isinstance(check, FailedCheck) or check.on_default_branch:
        return False
    return check.branch == pull.branch and check.head_sha == pull.head_sha and check.pull_request == pull.number


def _is_remark(signal: Signal, pull: OwnPull) -> bool:
    finding = signal.details
    return isinstance(finding, ReviewFinding) and (finding.pull_request, finding.head_ref) == (pull.number, pull.branch)


def conflict_task(pull: OwnPull, *, base: str, base_sha: str, conflicts: Sequence[str]) -> TaskSpec:
    """Return the task that resolves the conflicts of a pull request with its base, on its branch.

    Args:
        pull: Where the merge goes.
        base: The base branch.
        base_sha: Its head.
        conflicts: The files that git could not merge.
    """
    files = "\n".join(f"- {path}" for path in conflicts[:MAX_CONFLICTS_SHOWN])
    more = len(conflicts) - MAX_CONFLICTS_SHOWN
    return TaskSpec(
        key=f"conflict-{pull.number}",
        title=f"Merge {base[:120]} into the branch of pull request {pull.number}",
        prompt=_CONFLICT.format(base=base, number=pull.number, files=files + (f"\n- {more} more" if more > 0 else "")),
        priority=Priority.HIGH,
        base_branch=pull.branch,
        follow_up=FollowUp(kind=FollowUpKind.CONFLICT, head_sha=pull.head_sha, base_sha=base_sha),
    )


def follow_up_task(kind: FollowUpKind, pull: OwnPull, facts: Sequence[Candidate]) -> TaskSpec:
    """Return the one task that deals with these facts, of which there is at least one, on the pull request's branch.

    Args:
        kind: Which of them it is.
        pull: Where its commits go.
        facts: The failed checks, or the remarks.
    """
    (spec,) = tasks_of(facts)
    prompt = f"{spec.prompt}\n\n{VERDICTS}" if kind is FollowUpKind.REMARKS else spec.prompt
    follow_up = FollowUp(kind=kind, head_sha=pull.head_sha)
    return spec.model_copy(update={"follow_up": follow_up, "priority": Priority.HIGH, "prompt": prompt})
