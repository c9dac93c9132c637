"""How attempts end and what follows."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from squire_pipelines.domain.endings import Cause, Ending, Evidence, retry_delay_s, task_status_after
from squire_pipelines.domain.states import task_change_allowed
from squire_pipelines.domain.tasks import TaskStatus

TRANSIENT = {
    *("provider_error", "engine_lost", "github_unavailable", "store_unavailable", "not_started", "lost", "killed"),
    "disk_full",
}
SUCCESS = {"completed", "no_changes"}


def expected(cause: Cause, tries_left: bool) -> TaskStatus:  # noqa: FBT001 - a table
    if cause in SUCCESS:
        return TaskStatus.SUCCEEDED
    if cause == "cancelled":
        return TaskStatus.CANCELLED
    return TaskStatus.READY if cause in TRANSIENT and tries_left else TaskStatus.FAILED


@pytest.mark.parametrize("cause", Cause)
@pytest.mark.parametrize(("number", "tries"), [(1, 3), (2, 3), (3, 3), (4, 3), (1, 1)])
def test_where_a_task_goes_after_each_cause(cause: Cause, number: int, tries: int) -> None:
    after = task_status_after(cause, attempt_number=number, max_attempts=tries)
    assert after is expected(cause, number < tries)
    assert task_change_allowed(TaskStatus.RUNNING, after)


@pytest.mark.parametrize("cause", Cause)
def test_transient_and_successful_causes(cause: Cause) -> None:
    assert cause.transient == (cause in TRANSIENT)
    assert cause.is_success == (cause in SUCCESS)
    assert Ending(cause=cause, message="m").transient == cause.transient


@given(
    st.integers(min_value=1, max_value=10_000),
    st.floats(min_value=0.001, max_value=3600),
    st.floats(min_value=0.001, max_value=86_400),
    st.integers(),
)
def test_a_retry_waits_from_half_the_ceiling_to_the_ceiling(number: int, base: float, cap: float, seed: int) -> None:
    jitter = random.Random(seed)  # noqa: S311 - not for secrets
    delay = retry_delay_s(number, base_s=base, cap_s=cap, jitter=jitter)
    ceiling = cap if number > 60 else min(cap, base * 2 ** (number - 1))
    assert ceiling / 2 <= delay <= ceiling * (1 + 1e-9)


def test_the_ceiling_doubles_until_the_cap() -> None:
    class Highest(random.Random):
        def uniform(self, a: float, b: float) -> float:  # noqa: ARG002 - the library's signature
            return b

    delays = [retry_delay_s(number, base_s=30, cap_s=900, jitter=Highest()) for number in range(1, 8)]
    assert delays == [30, 60, 120, 240, 480, 900, 900]


def test_an_ending_survives_json_with_all_its_evidence() -> None:
    ending = Ending(
        cause=Cause.OUT_OF_MEMORY,
        message="the agent used more than 4 GiB",
        evidence=Evidence(
            exit_code=137,
            oom_killed=True,
            log_tail=("a", "b"),
            timings_s={"agent": 12.5},
            facts={"limit": 4 * 2**30, "nested": {"list": [1, None]}},
        ),
    )
    assert Ending.model_validate(ending.model_dump(mode="json")) == ending
    assert Ending.model_validate_json(ending.model_dump_json()) == ending


@pytest.mark.parametrize("values", [{"cause": "bad luck"}, {"why": "x"}, {"evidence": {"exit_code": "one"}}])
def test_an_ending_that_is_none_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Ending.model_validate({"cause": "lost", "message": "m"} | values)
