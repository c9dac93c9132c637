"""A broker that takes nothing is asked again, at growing times."""

import pytest

from squire_pipelines.errors import ConfigError
from squire_pipelines.settings.model import Settings
from squire_pipelines.work_queue.broker import BrokerError, BrokerWatch, broker_app, why_away


def test_a_broker_that_is_down_is_asked_after_growing_times_until_it_is_back() -> None:
    now, asked, is_down = 0.0, [], True

    def check() -> None:
        asked.append(now)
        if is_down:
            raise BrokerError("the broker redis://h takes no runs: refused")

    watch = BrokerWatch(check, lambda: now)
    for second in range(100):
        now = float(second)
        assert watch.look() == "the broker redis://h takes no runs: refused"
    assert asked == [0, 1, 3, 7, 15, 31, 61, 91]
    is_down, now = False, 121.0
    assert watch.look() is None
    now = 125.0
    assert watch.look() is None
    assert asked[-1] == 121.0, "one that answers is not asked each second"
    watch.note(BrokerError("it is full"))
    assert watch.look() == "it is full"


def test_a_broker_is_set_or_there_is_no_application() -> None:
    with pytest.raises(ConfigError, match="no broker"):
        broker_app(Settings())


def test_one_look_says_why_a_broker_is_away() -> None:
    settings = Settings.model_validate({"workers": {"broker_url": "redis://127.0.0.1:1/0"}})
    reason = why_away(settings, within_s=1)
    assert reason is not None
    assert reason.startswith("the broker redis://127.0.0.1:1 takes no runs: ")
