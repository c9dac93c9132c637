"""How long a run of Dagster is kept follows from its job, its end and its age."""

from datetime import UTC, datetime, timedelta

import pytest

from squire_pipelines.domain.run_retention import RunRetention

NOW = datetime(2026, 6, 1, tzinfo=UTC)
RETENTION = RunRetention(attempts=timedelta(days=7), routine=timedelta(days=1), failed=timedelta(days=30), most=100)


@pytest.mark.parametrize(
    ("job", "succeeded", "days", "is_due"),
    [
        ("agent_run", True, 6.9, False),
        ("agent_run", True, 7.1, True),
        ("publish_history", True, 0.9, False),
        ("publish_history", True, 1.1, True),
        ("agent_run", False, 29.9, False),
        ("publish_history", False, 29.9, False),
        ("publish_history", False, 30.1, True),
    ],
)
def test_a_run_is_due_by_its_job_and_its_end(job: str, *, succeeded: bool, days: float, is_due: bool) -> None:
    assert RETENTION.is_due(job, NOW - timedelta(days=days), NOW, succeeded=succeeded) is is_due


def test_nothing_younger_than_the_shortest_time_is_due() -> None:
    assert RETENTION.shortest == timedelta(days=1)
