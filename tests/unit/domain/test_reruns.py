from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from squire_pipelines.domain.authority import StartVerdict
from squire_pipelines.domain.failures import FailureClass
from squire_pipelines.domain.reruns import (
    Rerun,
    RerunState,
    failed_checks,
    settle,
    that_may_start,
    to_request,
    with_reruns,
)
from squire_pipelines.domain.signals import FailedCheck, Signal
from tests.support.signal_samples import SHA, failed_check

NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
UNTIL = NOW + timedelta(hours=1)


def check(number: int = 7, failure: FailureClass = FailureClass.FLAKY, **fields: Any) -> Signal:
    signal = failed_check(f"test {number}")
    known = {"check_run": number, "workflow_run": 70, "failure": failure, "failure_reason": "so it is", **fields}
    return signal.model_copy(update={"details": signal.details.model_copy(update=known)})


def request(*signals: Signal, known: tuple[Rerun, ...] = ()) -> tuple[Rerun, ...]:
    checks, by_subject = failed_checks(signals), {rerun.subject: rerun for rerun in known}
    return to_request("o/r", checks, by_subject, now=NOW, until=UNTIL)


def test_each_run_with_a_doubtful_check_is_requested_once() -> None:
    (rerun,) = request(check(7), check(8, FailureClass.CODE), check(9, FailureClass.INFRASTRUCTURE))
    assert (rerun.subject, rerun.check_runs, rerun.checks) == ((SHA, 70), (7, 8, 9), "test 7, test 8, test 9")
    assert (rerun.failure, rerun.reason, rerun.state, rerun.until) == (
        FailureClass.FLAKY,
        "so it is",
        RerunState.WAITING,
        UNTIL,
    )
    assert request(check(10), known=(rerun,)) == ()
    assert len(request(check(7), check(8, workflow_run=71))) == 2


@pytest.mark.parametrize(
    "fields",
    [{"failure": FailureClass.CODE}, {"workflow_run": None}, {"check_run": None}, {"from_fork": True}],
)
def test_what_the_code_failed_or_cannot_be_run_again_is_not_requested(fields: dict[str, Any]) -> None:
    assert request(check(7, **fields)) == ()


@pytest.mark.parametrize(
    ("checks", "passed", "now", "state"),
    [
        ([check(7)], None, NOW, RerunState.WAITING),
        ([], None, NOW, RerunState.WAITING),
        ([], True, NOW, RerunState.PASSED),
        ([], False, NOW, RerunState.FAILED),
        ([check(17)], None, NOW, RerunState.FAILED),
        ([check(17, workflow_run=71)], None, NOW, RerunState.WAITING),
        ([check(7)], None, UNTIL, RerunState.UNKNOWN),
        ([check(17)], None, UNTIL, RerunState.FAILED),
    ],
)
def test_second_run_ends_with_its_checks_or_its_time(
    checks: list[Signal],
    passed: bool | None,  # noqa: FBT001 - a table
    now: datetime,
    state: RerunState,
) -> None:
    (rerun,) = request(check(7))
    assert settle(rerun, failed_checks(checks), passed=passed, now=now).state is state


def test_doubtful_check_waits_with_a_version_of_its_own_and_one_of_the_code_does_not() -> None:
    (rerun,) = request(check(7))
    doubtful, of_code = check(7), check(8, FailureClass.CODE)
    first, second = with_reruns([doubtful, of_code], {rerun.subject: rerun})
    assert isinstance(first.details, FailedCheck)
    assert isinstance(second.details, FailedCheck)
    assert (first.details.waits_until, first.version) == (UNTIL, f"{doubtful.version}:waits")
    assert (second.details.waits_until, second.version) == (None, of_code.version)
    failed = rerun.model_copy(update={"state": RerunState.FAILED})
    (again,) = with_reruns([doubtful], {rerun.subject: failed})
    assert isinstance(again.details, FailedCheck)
    assert (again.details.waits_until, again.version, again.details.rerun) == (None, doubtful.version, "failed")
    assert with_reruns([doubtful], {}) == (doubtful,)


def test_no_second_run_is_requested_for_what_is_held() -> None:
    of_stranger = check(7).model_copy(
        update={"verdict": StartVerdict(may_start=False, reason="@sly may not write here")}
    )
    free = check(8).model_copy(update={"verdict": StartVerdict(may_start=True, reason="the default branch")})
    assert [failed.check_run for failed in that_may_start([of_stranger, free, check(9)])] == [8, 9]
