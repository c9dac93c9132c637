from datetime import UTC, datetime, timedelta

from squire_pipelines.domain.delivery_retries import next_try

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_each_wait_is_four_times_the_last_and_none_is_longer_than_half_a_day() -> None:
    waits = [next_try(NOW, tries) - NOW for tries in range(6)]
    assert waits == [timedelta(seconds=seconds) for seconds in (0, 10, 40, 160, 640, 2560)]
    assert timedelta(hours=11) < next_try(NOW, 20) - NOW < timedelta(hours=12)
