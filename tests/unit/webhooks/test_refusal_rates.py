"""Requests of one address are refused only so often before it gets another answer, and others are not concerned."""

from squire_pipelines.webhooks.refusal_rates import MAX_ADDRESSES, RefusalRates


class Seconds:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_address_waits_after_its_share_and_gets_it_back_over_time() -> None:
    clock = Seconds()
    rates = RefusalRates(lambda: 3, clock)
    for _ in range(3):
        assert rates.wait_s("192.0.2.1") == 0
        rates.note("192.0.2.1")
    assert rates.wait_s("192.0.2.1") == 20
    assert rates.wait_s("192.0.2.2") == 0
    clock.now += 19
    assert 0 < rates.wait_s("192.0.2.1") <= 1.01
    clock.now += 2
    assert rates.wait_s("192.0.2.1") == 0


def test_many_addresses_take_only_so_much_and_the_newest_are_known() -> None:
    rates = RefusalRates(lambda: 1, Seconds())
    for number in range(MAX_ADDRESSES + 2):
        rates.note(f"a{number}")
    assert [rates.wait_s(f"a{number}") > 0 for number in (0, 1, 2, MAX_ADDRESSES + 1)] == [False, False, True, True]
