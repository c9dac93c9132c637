"""Containers that are kept for debugging: for how long, and how many."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from squire_pipelines.agents import profile
from squire_pipelines.agents.reap import ContainerInfo, beyond_bound, describe

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def container(number: int, *, running: bool = False, keep_until: datetime | None = NOON + HOUR) -> ContainerInfo:
    finished = None if running else NOON + timedelta(minutes=number)
    return ContainerInfo(
        f"c{number}", f"id{number}", "agent", f"t{number}-1", running, NOON, finished, keep_until=keep_until
    )


def inspection(**labels: str) -> dict[str, Any]:
    state = {"Running": False, "StartedAt": "2026-03-01T11:00:00Z", "FinishedAt": "2026-03-01T12:00:00Z"}
    return {"Id": "i", "Name": "/squire-t1-1", "State": state, "Config": {"Labels": labels}}


@pytest.mark.parametrize(
    ("labels", "until"),
    [
        ({}, None),
        ({profile.LABEL_KEEP_UNTIL: (NOON + HOUR).isoformat()}, NOON + HOUR),
        ({profile.LABEL_KEEP_UNTIL: "tomorrow"}, None),
        ({profile.LABEL_KEEP_UNTIL: "0001-01-01T00:00:00+23:00"}, None),
    ],
)
def test_the_label_says_until_when(labels: dict[str, str], until: datetime | None) -> None:
    assert describe(inspection(**labels)).keep_until == until


def test_a_container_that_has_ended_is_kept_until_then() -> None:
    assert container(1).is_kept(NOON + HOUR - timedelta(seconds=1))
    assert not container(1).is_kept(NOON + HOUR)
    assert not container(1, running=True).is_kept(NOON)
    assert not container(1, keep_until=None).is_kept(NOON)
    both = describe(inspection(**{profile.LABEL_KEEP: "7200", profile.LABEL_KEEP_UNTIL: (NOON + HOUR).isoformat()}))
    assert both.is_kept(NOON + HOUR)
    assert not both.is_kept(NOON + 2 * HOUR)


def test_no_more_than_the_newest_are_kept() -> None:
    ended = [container(number) for number in range(4)]
    containers = [*ended, container(9, running=True), container(8, keep_until=None)]
    assert beyond_bound(containers, debugged=2, failed=0) == {"c0", "c1"}
    assert beyond_bound(containers, debugged=10, failed=0) == frozenset()
    assert beyond_bound(containers, debugged=0, failed=10) == {"c0", "c1", "c2", "c3"}


def test_of_failed_attempts_as_many_are_kept_beside_those_that_are_debugged() -> None:
    failed = [replace(container(number, keep_until=None), keep_s=7200) for number in range(4)]
    containers = [*failed, replace(container(9, running=True), keep_until=None, keep_s=7200), container(8)]
    assert beyond_bound(containers, debugged=1, failed=3) == {"c0"}
    assert beyond_bound(containers, debugged=1, failed=0) == {"c0", "c1", "c2", "c3"}
