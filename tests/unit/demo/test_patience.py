"""How long the demo waits."""

from squire_pipelines.demo.patience import Patience


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_it_lasts_while_anything_happens() -> None:
    clock = Clock()
    patience = Patience(10, clock=clock)
    for state in range(9):
        assert patience.lasts(state)
        clock.now_s += 9
    assert patience.idle_s == 9
    clock.now_s += 36
    assert not patience.lasts(8)


def test_it_ends_when_nothing_happens() -> None:
    clock = Clock()
    patience = Patience(10, clock=clock)
    assert patience.lasts("begun")
    clock.now_s += 9
    assert patience.lasts("begun")
    clock.now_s += 1
    assert not patience.lasts("begun")
    assert patience.idle_s == 10


def test_it_ends_at_last_although_something_happens_for_ever() -> None:
    clock = Clock()
    patience = Patience(10, clock=clock)
    looks = 0
    while patience.lasts(looks):
        clock.now_s += 5
        looks += 1
    assert looks == 50


def test_it_waits_longer_where_each_step_takes_long() -> None:
    clock = Clock()
    patience = Patience(10, clock=clock)
    assert patience.lasts("begun")
    clock.now_s += 9
    assert patience.lasts("next")
    assert patience.limit_s == 45
    clock.now_s += 44
    assert patience.lasts("next")
    clock.now_s += 1
    assert not patience.lasts("next")


def test_it_says_now_and_then_that_nothing_has_changed() -> None:
    clock = Clock()
    patience = Patience(1000, clock=clock)
    reminders = []
    for second in range(70):
        patience.lasts("as it was" if second < 65 else "changed")
        if patience.takes_long():
            reminders.append(second)
        clock.now_s += 1
    assert reminders == [15, 30, 60]
