from datetime import UTC, datetime, timedelta

import pytest

from squire_pipelines.cli.text import age, between, duration, instant, size


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-3, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h00m"), (86399, "23h59m"), (200000, "2d")],
)
def test_durations_are_in_their_largest_unit(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_times_are_utc_and_empty_when_there_are_none() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert instant(moment) == "2026-01-02 03:04:05Z"
    assert age(moment, moment + timedelta(minutes=5)) == "5m"
    assert between(moment, moment + timedelta(seconds=1.25)) == "1.2s"
    assert (instant(None), age(None, moment), between(moment, None), between(None, moment)) == ("", "", "", "")


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**20, "1.0 MiB"), (3 * 2**30, "3.0 GiB")]
)
def test_sizes_are_for_people(count: int, shown: str) -> None:
    assert size(count) == shown
