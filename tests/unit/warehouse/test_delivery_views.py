"""The views on deliveries, on rows that are put into the tables by hand."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import duckdb
import pytest

from squire_pipelines.warehouse import schema

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = date(2026, 3, 2)
Ask = Callable[[str], list[tuple[Any, ...]]]


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def ask() -> Iterator[Ask]:
    """Asks the views about six deliveries, of which three have effects, and about refusals."""
    with duckdb.connect() as connection:
        schema.create_tables(connection)
        schema.create_metrics(connection)

        def add(table: str, **values: Any) -> None:
            marks = ", ".join("?" * len(values))
            connection.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values()))  # noqa: S608 - a test's own

        def deliver(number: int, received: float, *effects: tuple[str, float], **values: Any) -> None:
            row = {
                "id": number,
                "source": "github",
                "delivery_id": f"d{number}",
                "body_sha256": "0",
                "event": "push",
                "repository": "acme/shop",
                "sender": "ann",
                "trace_id": "t",
                "received_at": at(received),
                "tries": 0,
                "collected_at": at(received),
                "applied_at": at(received),
                "updated_at": NOON,
                "apply_tries": 0,
                "replays": 0,
            }
            add("deliveries", **row | values)
            for place, (effect, seconds) in enumerate(effects):
                identity = {
                    "id": 10 * number + place,
                    "delivery": number,
                    "subject": f"{effect}{place}",
                    "trace_id": "t",
                }
                add("delivery_effects", **identity, effect=effect, occurred_at=at(received + seconds))

        deliver(1, 0, ("collected", 4), ("outcome", 2))
        deliver(2, 60, ("collected", 8))
        deliver(3, 120, ("collected", 900), replays=1)
        deliver(4, 180, filtered_by="no-bots")
        deliver(5, 240, error="not collected after 5 requests", set_aside_at=NOON)
        deliver(6, 3600, event="issues", sender=None, collected_at=None, error="tried again")
        for place, (minute, reason, count) in enumerate(((0, "wrong", 60), (1, "wrong", 3), (0, "late", 1))):
            values = {"id": place, "source": "github", "status": 401, "reason": reason, "count": count}
            add("delivery_refusals", **values, minute=at(60 * minute), updated_at=NOON)
        yield lambda sql: connection.execute(sql).fetchall()


def test_deliveries_are_counted_by_hour_with_what_became_of_them_and_how_soon(ask: Ask) -> None:
    assert ask("SELECT epoch(hour)::BIGINT, * EXCLUDE (source, hour) FROM deliveries_by_hour ORDER BY hour") == [
        (NOON.timestamp(), "push", "acme/shop", "ann", 5, 1, 1, 3, pytest.approx(5), pytest.approx(7.7)),
        (NOON.timestamp() + 3600, "issues", "acme/shop", None, 1, 0, 0, 0, None, None),
    ]


def test_the_time_to_each_kind_of_effect_leaves_out_what_was_replayed(ask: Ask) -> None:
    assert ask("FROM delivery_effect_times ORDER BY effect") == [
        (DAY, "collected", 2, pytest.approx(6), pytest.approx(7.8), pytest.approx(8)),
        (DAY, "outcome", 1, pytest.approx(2), pytest.approx(2), pytest.approx(2)),
    ]


def test_refusals_are_summed_by_reason_and_filtered_deliveries_by_rule(ask: Ask) -> None:
    assert ask("SELECT status, reason, refused, most_in_a_minute FROM refused_deliveries ORDER BY reason") == [
        (401, "late", 1, 1),
        (401, "wrong", 63, 60),
    ]
    assert ask("SELECT day, rule, event, repository, filtered FROM filtered_deliveries") == [
        (DAY, "no-bots", "push", "acme/shop", 1)
    ]
