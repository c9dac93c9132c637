"""Traces on both kinds of database: found by what belongs to them, by their changes, and read as spans."""

from datetime import timedelta

import pytest

from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger.changed_traces import read_changed_traces
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.trace_lookup import find_trace
from squire_pipelines.warehouse.spans import spans_of
from tests.support.ledgers import Clock
from tests.support.stories import deliver, write_story


def test_a_story_is_found_by_its_parts_and_read_as_spans(ledger: Ledger, clock: Clock) -> None:
    story = write_story(ledger, clock)
    with ledger.read() as tx:
        for name in (story.trace_id, story.trace_id[:9], story.plan_id, "d-1", str(story.delivery)):
            assert find_trace(tx, name).trace_id == story.trace_id
        for name in (story.task_id, story.attempt_id, story.pull_request):
            assert find_trace(tx, name).task_id == story.task_id
        with pytest.raises(NotFoundError):
            find_trace(tx, "t0")
        spans = spans_of(tx, [story.trace_id, "0" * 32])
    assert len(spans) == 16
    assert {span.trace_id for span in spans} == {story.trace_id}
    assert [span.name for span in spans if span.parent_span_id is None] == ["delivery issues.opened"]


def test_traces_are_found_by_their_changes_until_a_moment_ago(ledger: Ledger, clock: Clock) -> None:
    began = clock.now - timedelta(seconds=1)
    story = write_story(ledger, clock)
    clock.forward(60)
    other = deliver(ledger, "d-2")
    with ledger.read() as tx:
        changed = read_changed_traces(tx, began, rows=100, most=100)
    assert (changed.trace_ids, changed.is_cut) == ((story.trace_id,), False)
    clock.forward(60)
    with ledger.read() as tx:
        later = read_changed_traces(tx, changed.until, rows=100, most=100)
        assert later.trace_ids == (other.trace_id,)
        assert set(read_changed_traces(tx, began, rows=100, most=100).trace_ids) == {story.trace_id, other.trace_id}
        cut = read_changed_traces(tx, began, rows=100, most=1)
        assert (len(cut.trace_ids), cut.is_cut) == (1, True)
        step = read_changed_traces(tx, began, rows=1, most=100)
        assert began < step.until < changed.until
