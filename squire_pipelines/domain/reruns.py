"""A second run of what failed of the infrastructure or by chance, before an agent is paid for it. Pure.

A workflow's run on one head is run again once. Until that has ended, or its time is over, no task is made of the checks
that it is to decide. What failed of the code is not run again.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum

from squire_pipelines.domain.failures import FailureClass
from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.domain.signals import FailedCheck, Signal


class RerunState(StrEnum):
    """What became of a second run."""

    WAITING = "waiting"
    PASSED = "passed"
    FAILED = "failed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Rerun(FrozenModel):
    """The second run of a workflow's run on one head.

    `check_runs` are the ids of the failed runs that led to it: a check that fails in another has failed again. `note`
    says why it was refused. It is waited for until `until`.
    """

    repository: str
    head_sha: str
    workflow_run: int
    check_runs: tuple[int, ...] = ()
    checks: str = ""
    failure: FailureClass
    reason: str
    state: RerunState = RerunState.WAITING
    note: str = ""
    requested_at: datetime
    until: datetime

    @property
    def subject(self) -> tuple[str, int]:
        """The head and the workflow's run, which have one second run at most."""
        return self.head_sha, self.workflow_run


def failed_checks(signals: Iterable[Signal]) -> list[FailedCheck]:
    """Return the failed checks among signals."""
    return [signal.details for signal in signals if isinstance(signal.details, FailedCheck)]


def that_may_start(signals: Iterable[Signal]) -> list[FailedCheck]:
    """Return the failed checks that a task may be made of, as far as they were judged."""
    return failed_checks(signal for signal in signals if signal.verdict is None or signal.verdict.may_start)


def is_doubtful(check: FailedCheck) -> bool:
    """Return whether a failed check is worth a second run: a job of a workflow that the code need not have failed."""
    return check.failure is not FailureClass.CODE and check.workflow_run is not None and check.check_run is not None


def to_request(
    repository: str,
    checks: Sequence[FailedCheck],
    known: Mapping[tuple[str, int], Rerun],
    *,
    now: datetime,
    until: datetime,
) -> tuple[Rerun, ...]:
    """Return the second runs to request: one for each workflow's run with a doubtful check that has had none."""
    reruns: dict[tuple[str, int], Rerun] = {}
    for check in checks:
        if not is_doubtful(check) or check.workflow_run is None or check.from_fork:
            continue
        subject = (check.head_sha, check.workflow_run)
        if subject in known or subject in reruns:
            continue
        of_run = [other for other in checks if (other.head_sha, other.workflow_run) == subject]
        reruns[subject] = Rerun(
            repository=repository,
            head_sha=check.head_sha,
            workflow_run=check.workflow_run,
            check_runs=tuple(sorted(other.check_run for other in of_run if other.check_run is not None)),
            checks=", ".join(other.check for other in of_run)[:500],
            failure=check.failure,
            reason=check.failure_reason,
            requested_at=now,
            until=until,
        )
    return tuple(reruns.values())


def settle(rerun: Rerun, checks: Sequence[FailedCheck], *, passed: bool | None, now: datetime) -> Rerun:
    """Return a second run that was waited for, as it stands now.

    Args:
        rerun: Waited for.
        checks: The checks that fail now.
        passed: Whether its jobs have passed; None where they have not ended, or nobody knows.
        now: Its time is over then.
    """
    again = [
        check
        for check in checks
        if (check.head_sha, check.workflow_run) == rerun.subject and check.check_run not in rerun.check_runs
    ]
    if again or passed is False:
        return rerun.model_copy(update={"state": RerunState.FAILED})
    if passed:
        return rerun.model_copy(update={"state": RerunState.PASSED})
    return rerun.model_copy(update={"state": RerunState.UNKNOWN}) if now >= rerun.until else rerun


def with_reruns(signals: Sequence[Signal], known: Mapping[tuple[str, int], Rerun]) -> tuple[Signal, ...]:
    """Return the signals with what is known of the second runs of their checks.

    A signal that waits has a version of its own, so that it is planned when it waits no longer.
    """
    return tuple(_with_rerun(signal, known) for signal in signals)


def _with_rerun(signal: Signal, known: Mapping[tuple[str, int], Rerun]) -> Signal:
    check = signal.details
    if not isinstance(check, FailedCheck) or check.workflow_run is None:
        return signal
    rerun = known.get((check.head_sha, check.workflow_run))
    if rerun is None:
        return signal
    waits = rerun.state is RerunState.WAITING and is_doubtful(check)
    update = {"rerun": rerun.state.value, "rerun_note": rerun.note, "waits_until": rerun.until if waits else None}
    changed = signal.model_copy(update={"details": check.model_copy(update=update)})
    return changed.model_copy(update={"version": f"{signal.version}:waits"}) if waits else changed
