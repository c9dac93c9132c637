from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.plan_making import PlanStep, RetryWaits, StepKind


def test_waits_grow_and_end_at_the_longest() -> None:
    waits = RetryWaits(base_s=300, cap_s=21_600)
    assert [waits.after(failures).total_seconds() for failures in range(1, 7)] == [300, 900, 2700, 8100, 21600, 21600]


@given(failures=st.integers(1, 10**9), base=st.floats(0.001, 1e5), cap=st.floats(0.001, 1e6))
def test_no_wait_is_longer_than_the_longest_or_shorter_than_the_one_before(
    failures: int, base: float, cap: float
) -> None:
    waits = RetryWaits(base, cap)
    assert waits.after(failures) <= waits.after(failures + 1) <= timedelta(seconds=cap) + timedelta(microseconds=1)


def test_a_step_says_what_was_tried_and_why_it_was_not_taken() -> None:
    ask = PlanStep(kind=StepKind.ASK, taken=False, reason="no answer within 5 s", provider="first", number=1)
    assert str(ask) == "asked first (1): not taken: no answer within 5 s"
    assert str(PlanStep(kind=StepKind.RULES, taken=True)) == "planned by rules: taken"
