"""A clock that was set is noticed by one that only goes on, whatever the looks' distance."""

from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.clock_jumps import ClockLook, next_look


def look_after(*looks: tuple[float, float]) -> ClockLook:
    look = None
    for wall_s, monotonic_s in looks:
        look = next_look(look, wall_s=wall_s, monotonic_s=monotonic_s, least_s=10)
    assert look is not None
    return look


@given(st.lists(st.floats(0, 1e5), min_size=1, max_size=20), st.floats(-9, 9))
def test_a_clock_that_goes_on_evenly_has_not_jumped_however_seldom_it_is_looked_at(
    waits: list[float], drift_s: float
) -> None:
    monotonic_s = 0.0
    looks = []
    for number, wait in enumerate(waits):
        monotonic_s += wait
        looks.append((1e9 + monotonic_s + drift_s * number, monotonic_s))
    assert look_after(*looks).is_steady_for(1e9)


def test_a_clock_that_was_set_is_steady_again_after_a_time_in_either_direction() -> None:
    for jump_s in (3600, -3600):
        before, set_anew = (1000.0, 0.0), (1010.0 + jump_s, 10.0)
        assert not look_after(before, set_anew).is_steady_for(60)
        assert not look_after(before, set_anew, (1069.0 + jump_s, 69.0)).is_steady_for(60)
        assert look_after(before, set_anew, (1070.0 + jump_s, 70.0)).is_steady_for(60)


def test_a_machine_that_has_started_again_tells_nothing_of_a_jump() -> None:
    assert look_after((1000.0, 500.0), (2000.0, 5.0)).is_steady_for(60)
