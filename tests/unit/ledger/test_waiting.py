"""Why a task waits, without the modules that take long to import."""

from datetime import UTC, datetime

from squire_pipelines.domain.endings import Cause
from squire_pipelines.ledger.waiting import (
    FOR_ITS_START,
    FOR_THE_USER,
    FOR_THE_USERS_CAUSE,
    Wait,
    WaitKind,
    waiting_reason,
)


def test_the_cause_for_which_a_task_waits_for_the_user_is_the_endings_own() -> None:
    assert Cause(FOR_THE_USERS_CAUSE) is Cause.CONFIGURATION
    now = datetime.now(UTC)
    reasons = {cause: waiting_reason("ready", None, (), now=now, cause=cause) for cause in Cause}
    assert reasons.pop(Cause.CONFIGURATION) == Wait(WaitKind.SETTINGS, FOR_THE_USER)
    assert set(reasons.values()) == {FOR_ITS_START}
