"""Spans of traces: of the ledger as it is, and of what was published."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from squire_pipelines.domain.spans import Span, tree_of
from squire_pipelines.errors import WarehouseError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.warehouse.publish import Publication
from squire_pipelines.warehouse.spans import published_spans, spans_of
from tests.support.ledgers import Clock
from tests.support.stories import deliver, make_plan, read_deliveries, write_story


def read(ledger: Ledger, *trace_ids: str) -> tuple[Span, ...]:
    with ledger.read() as tx:
        return spans_of(tx, trace_ids)


def test_a_story_is_one_tree_from_the_delivery_to_the_merge(ledger: Ledger, clock: Clock) -> None:
    story = write_story(ledger, clock)
    spans = read(ledger, story.trace_id)
    assert [("-" * line.depth + line.span.name, line.span.status, line.span.duration_s) for line in tree_of(spans)] == [
        ("delivery issues.opened", "ok", 3),
        ("-collection open_issues", "ok", 0.5),
        ("--plan", "ok", 1),
        ("---chat claude-sonnet-4-5", "ok", 1.5),
        ("---task other", "ok", 22),
        ("----attempt 1", "ok", 20),
        ("-----launch", "ok", 3),
        ("-----prepare", "ok", 4),
        ("-----agent", "ok", 10),
        ("------chat claude-sonnet-4-5", "ok", 1.5),
        ("-----bundle", "ok", 1),
        ("-----publish", "ok", 2),
        ("-----pull request", "ok", 120),
        ("------waiting_for_ci", "ok", 60),
        ("------waiting_for_merge", "ok", 60),
        ("------merged", "ok", 0),
    ]
    by_kind = {span.kind: span for span in spans}
    assert (by_kind["pull_request"].url, by_kind["pull_request"].detail) == (story.pull_request, "merged_unchanged")
    call = by_kind["model_call"]
    assert (call.model, call.provider, call.input_tokens, call.output_tokens, call.cached_tokens, call.cost_usd) == (
        "claude-sonnet-4-5", "anthropic", 1200, 80, 1000, 0.0048,
    )  # fmt: skip
    assert {span.task_id for span in spans if span.kind in {"task", "attempt", "step"}} == {story.task_id}


def test_what_was_published_has_the_same_spans_with_the_same_ids(
    ledger: Ledger, clock: Clock, publish: Callable[[], Publication], warehouse: Path
) -> None:
    story = write_story(ledger, clock)
    with pytest.raises(WarehouseError, match="nothing has been published"):
        published_spans(warehouse, [story.trace_id])
    publish()
    assert published_spans(warehouse, [story.trace_id]) == read(ledger, story.trace_id)
    assert len({span.span_id for span in read(ledger, story.trace_id)}) == 16
    assert published_spans(warehouse, ["cd" * 16]) == read(ledger, "cd" * 16) == ()


def test_a_file_of_an_older_squire_without_traces_is_named(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "old.duckdb")) as connection:
        connection.execute("CREATE TABLE tasks (id VARCHAR)")
    with pytest.raises(WarehouseError, match="published by an older Squire"):
        published_spans(tmp_path / "old.duckdb", ["ab" * 16])


def test_what_runs_has_no_end(ledger: Ledger, clock: Clock) -> None:
    delivery = deliver(ledger)
    (span,) = read(ledger, delivery.trace_id)
    assert (span.status, span.ended_at, span.duration_s) == ("running", None, None)
    _, task_id = make_plan(ledger, clock, read_deliveries(ledger, clock, delivery.id))
    task = next(span for span in read(ledger, delivery.trace_id) if span.task_id == task_id)
    assert (task.status, task.detail, task.ended_at) == ("running", "ready", None)


def test_a_delivery_that_was_read_with_another_one_says_in_which_trace_it_goes_on(ledger: Ledger, clock: Clock) -> None:
    first, second = deliver(ledger, "d-1"), deliver(ledger, "d-2")
    assert read_deliveries(ledger, clock, first.id, second.id) == first.trace_id
    (alone,) = read(ledger, second.trace_id)
    assert alone.linked_trace_id == first.trace_id
    assert [span.linked_trace_id for span in read(ledger, first.trace_id)] == [None, None]


def test_a_plan_of_what_two_deliveries_brought_is_seen_in_both_traces(ledger: Ledger, clock: Clock) -> None:
    first, second = deliver(ledger, "d-1"), deliver(ledger, "d-2")
    read_deliveries(ledger, clock, first.id, number=2)
    read_deliveries(ledger, clock, second.id, number=1)
    make_plan(ledger, clock, second.trace_id)
    seen = {span.kind: span for span in read(ledger, first.trace_id)}
    assert seen["plan"].linked_trace_id == second.trace_id
    assert seen["plan"].parent_span_id == seen["collection"].span_id
    assert "task" not in seen
    both = read(ledger, first.trace_id, second.trace_id)
    assert len({span.span_id for span in both}) == len(both)
    assert [span.linked_trace_id for span in both if span.kind == "plan"].count(None) == 1
