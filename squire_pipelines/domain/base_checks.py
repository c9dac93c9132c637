"""What the checks of a base branch say of a merge: whether it broke them, and whether a revert is proposed. Pure.

A merge has broken a check that passed on the commit before it, fails on the merge's commit, and failed there again.
Paths that fail are evidence for or against that: what fails where the change touched nothing may have other causes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from squire_pipelines.domain.outcomes import ChecksState
from squire_pipelines.domain.reruns import RerunState
from squire_pipelines.domain.reverts import own_lines

_MAX_SHOWN = 5
_CHECKS_BEGIN_WITHIN = timedelta(minutes=30)


class BaseVerdict(StrEnum):
    """What became of the base branch's checks after a merge.

    They run; they passed; what fails has failed before the merge; it fails elsewhere than the change touched; the merge
    broke it; nobody can tell.
    """

    WAITING = "waiting"
    PASSED = "passed"
    RED_BEFORE = "red_before"
    ELSEWHERE = "elsewhere"
    BROKEN = "broken"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CommitCheck:
    """A check of a commit by its name; `workflow_run` is None of one that GitHub cannot run again."""

    name: str
    state: ChecksState
    check_run: int | None = None
    workflow_run: int | None = None


@dataclass(frozen=True, slots=True)
class SecondRun:
    """The second run of a workflow's run: how it stands, and the check runs that failed before it."""

    state: RerunState
    check_runs: tuple[int, ...] = ()
    until: datetime | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class MergedCommit:
    """A commit as which a pull request was merged.

    Args:
        checks: Of the commit.
        before: Of its first parent.
        second_runs: By the workflow's run.
        failing_paths: The files that the failed checks name; empty where they name none.
        touched: The files that the merge changed; None where not all are known.
        is_revert: Whether it takes back an earlier change.
    """

    checks: tuple[CommitCheck, ...]
    before: tuple[CommitCheck, ...] = ()
    second_runs: Mapping[int, SecondRun] = field(default_factory=dict)
    failing_paths: tuple[str, ...] = ()
    touched: tuple[str, ...] | None = None
    is_revert: bool = False


@dataclass(frozen=True, slots=True)
class BaseRules:
    """How long checks are waited for after a merge, whether they are run again, and whether a revert is proposed."""

    watch_s: float = 7_200.0
    rerun: bool = True
    revert: bool = False


@dataclass(frozen=True, slots=True)
class BaseStep:
    """What is known after a look: the verdict with its reason, the workflow runs to run again, whether to revert."""

    verdict: BaseVerdict
    reason: str
    rerun: tuple[int, ...] = ()
    reverts: bool = False


def judge_base(commit: MergedCommit, rules: BaseRules, *, merged_at: datetime, now: datetime) -> BaseStep:
    """Return what the checks of a merge's commit say, and what is done about it.

    Args:
        commit: What is known of it.
        rules: What the settings want.
        merged_at: When it was merged.
        now: The time.
    """
    failed = tuple(check for check in commit.checks if check.state is ChecksState.FAILED)
    is_over = now >= merged_at + timedelta(seconds=rules.watch_s)
    if any(check.state is ChecksState.PENDING for check in commit.checks):
        return _not_ended(is_over, "the checks of the base branch run", "its checks did not end in time")
    if not commit.checks:
        is_over = is_over or now >= merged_at + _CHECKS_BEGIN_WITHIN
        return _not_ended(is_over, "no check of the base branch has begun", "no check ran on the merge's commit")
    if not failed:
        again = " when run again" if commit.second_runs else ""
        return BaseStep(BaseVerdict.PASSED, f"the checks of the base branch passed{again}")
    known = {check.name: check.state for check in commit.before}
    new = tuple(check for check in failed if known.get(check.name) is not ChecksState.FAILED)
    if not new:
        return BaseStep(BaseVerdict.RED_BEFORE, f"{_names(failed)} failed before the merge, too")
    return _second_runs(new, commit, rules, now) or _attribute(new, known, commit, rules)


def _not_ended(is_over: bool, waits: str, gave_up: str) -> BaseStep:  # noqa: FBT001 - a value of its own
    return BaseStep(BaseVerdict.UNKNOWN, gave_up) if is_over else BaseStep(BaseVerdict.WAITING, waits)


def _second_runs(new: Sequence[CommitCheck], commit: MergedCommit, rules: BaseRules, now: datetime) -> BaseStep | None:
    """Return the second runs to request or to wait for; None where each has been, or cannot be."""
    runs = {check.workflow_run for check in new if check.workflow_run is not None}
    due = tuple(sorted(run for run in runs if run not in commit.second_runs)) if rules.rerun else ()
    if due:
        return BaseStep(BaseVerdict.WAITING, f"{_names(new)} failed on the merge, and is run again", rerun=due)
    for check in new:
        second = commit.second_runs.get(check.workflow_run or 0)
        # Readings of failed checks may have given it up, which does not end it.
        if second is None or second.state is RerunState.REFUSED or check.check_run not in second.check_runs:
            continue
        if second.until is not None and now < second.until:
            return BaseStep(BaseVerdict.WAITING, f"{_names(new)} failed on the merge, and its second run is waited for")
    return None


def _attribute(
    new: Sequence[CommitCheck], known: Mapping[str, ChecksState], commit: MergedCommit, rules: BaseRules
) -> BaseStep:
    broken = tuple(check for check in new if known.get(check.name) is ChecksState.PASSED)
    if not broken:
        return BaseStep(BaseVerdict.UNKNOWN, f"{_names(new)} fails, and nobody knows whether it did before the merge")
    again = _again(broken, commit)
    touched = commit.touched
    if commit.failing_paths and touched is not None and not set(commit.failing_paths) & set(touched):
        where = ", ".join(commit.failing_paths[:_MAX_SHOWN])
        reason = f"{_names(broken)} passed before the merge and fails now{again}, in {where}, which it did not touch"
        return BaseStep(BaseVerdict.ELSEWHERE, reason)
    reason = f"{_names(broken)} passed before the merge and fails now{again}"
    return BaseStep(BaseVerdict.BROKEN, reason, reverts=rules.revert and not commit.is_revert)


def _again(broken: Sequence[CommitCheck], commit: MergedCommit) -> str:
    """Return whether the checks failed a second time, in words."""
    seconds = [(check, commit.second_runs.get(check.workflow_run or 0)) for check in broken]
    failed_again = all(second is not None and check.check_run not in second.check_runs for check, second in seconds)
    return ", in a second run, too" if failed_again else ", and was not run again"


def _names(checks: Sequence[CommitCheck]) -> str:
    names = list(dict.fromkeys(check.name for check in checks))
    more = f" and {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else ""
    return ", ".join(names[:_MAX_SHOWN]) + more


def takes_back(title: str, body: str) -> bool:
    """Return whether a pull request takes an earlier change back, as GitHub's button and git word it.

    What its text quotes, shows as code or leaves in a comment is not its own word.
    """
    return title.startswith('Revert "') or any(
        line.startswith(("Reverts ", "This reverts commit ")) for line in own_lines(body)
    )
