"""Work that a thread repeats while a block lasts."""

import threading

from squire_pipelines.repeating_thread import RepeatingThread

PATIENCE_S = 30.0


class Calls(RepeatingThread):
    """Counts its calls, and waits in the last one until a test lets it go on."""

    def __init__(self, *, calls: int, **options: float) -> None:
        super().__init__("calls", **options)
        self.count = 0
        self.is_enough, self.may_end = threading.Event(), threading.Event()
        self._calls = calls

    def repeat(self) -> float:
        self.count += 1
        if self.count == self._calls:
            self.is_enough.set()
            self.may_end.wait(PATIENCE_S)
        return 0.0


def test_it_is_repeated_until_the_block_ends_which_waits_only_so_long_for_a_call() -> None:
    calls = Calls(calls=3, stop_within_s=0.01)
    with calls:
        assert calls.is_enough.wait(PATIENCE_S)
        assert not calls.is_stopping
    assert calls.is_stopping
    calls.may_end.set()
    for thread in [one for one in threading.enumerate() if one.name == "calls"]:
        thread.join(PATIENCE_S)
    assert calls.count == 3


def test_the_first_call_may_come_later() -> None:
    calls = Calls(calls=1, first_after_s=3600.0)
    with calls:
        pass
    assert calls.count == 0
