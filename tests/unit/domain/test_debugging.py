"""Debugging that is switched on for a time."""

from datetime import UTC, datetime, timedelta

import pytest

from squire_pipelines.domain.debugging import MAX_FOR, DebugWindow, end_of_debugging, with_window

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALL = DebugWindow("", NOON, NOON + HOUR)
SHOP = DebugWindow("acme/shop", NOON, NOON + 2 * HOUR)


@pytest.mark.parametrize(
    ("window", "repository", "now", "covers"),
    [
        (SHOP, "Acme/Shop", NOON, True),
        (SHOP, "acme/other", NOON, False),
        (SHOP, "", NOON, False),
        (ALL, "acme/other", NOON, True),
        (ALL, "", NOON + timedelta(minutes=59), True),
        (ALL, "", NOON + HOUR, False),
        (ALL, "", NOON - HOUR, False),
        (DebugWindow("", NOON, NOON + 9 * MAX_FOR), "", NOON + MAX_FOR, False),
    ],
)
def test_a_window_covers_its_repository_until_its_end(
    window: DebugWindow, repository: str, now: datetime, *, covers: bool
) -> None:
    assert window.covers(repository, now) is covers


def test_the_last_end_counts_and_a_new_window_replaces_that_of_the_same_repository() -> None:
    assert end_of_debugging((ALL, SHOP), "acme/shop", NOON) == NOON + 2 * HOUR
    assert end_of_debugging((ALL, SHOP), "acme/other", NOON) == NOON + HOUR
    assert end_of_debugging((), "acme/other", NOON) is None
    new = DebugWindow("Acme/Shop", NOON + HOUR, NOON + 3 * HOUR)
    assert with_window((ALL, SHOP), new) == (new,)
    assert with_window((ALL,), SHOP) == (ALL, SHOP)
