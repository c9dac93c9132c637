"""`squire trace`: a trace by whatever belongs to it, as a tree and as JSON."""

import re
from datetime import datetime

import pytest
from sqlalchemy import delete

from squire_pipelines.cli.trace_text import trace_lines
from squire_pipelines.ledger import plans, tables
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.warehouse.spans import spans_of
from tests.support.cli import SampleData, Squire
from tests.support.ledgers import Clock, plan, spec
from tests.support.stories import Story, deliver, write_story


@pytest.fixture
def story(samples: SampleData) -> Story:
    clock = Clock()
    ledger = Ledger(str(samples.ledger.url), clock=clock)
    try:
        return write_story(ledger, clock)
    finally:
        ledger.close()


def test_a_trace_is_named_by_what_belongs_to_it(squire: Squire, story: Story) -> None:
    names = [story.trace_id, story.trace_id[:8].upper(), story.plan_id, str(story.delivery), "d-1"]
    of_all = {squire.json("trace", name)["trace_id"] for name in names}
    assert of_all == {story.trace_id}
    for name in (story.task_id, story.attempt_id, story.pull_request, f"{story.pull_request}/files"):
        document = squire.json("trace", name)
        assert (document["trace_id"], document["task_id"]) == (story.trace_id, story.task_id)
        assert len(document["spans"]) == 16


def test_all_of_a_task_is_what_else_its_delivery_caused(squire: Squire, samples: SampleData, story: Story) -> None:
    with samples.ledger.write() as tx:
        other = plans.save(tx, plan(spec("other")), (), trace_id=story.trace_id, run_id=None)
    own = squire.json("trace", story.task_id)["spans"]
    everything = squire.json("trace", story.task_id, "--all")["spans"]
    others = [span for span in everything if span not in own]
    assert ("plan", other.id) in [(span["kind"], span["source_id"]) for span in others]
    assert len(own) + len(others) == len(everything)
    assert {span["source_id"] for span in own} >= {story.task_id, story.plan_id, story.attempt_id}
    (attempt,) = (span for span in own if span["kind"] == "attempt")
    assert attempt["duration_s"] == pytest.approx(seconds_between(attempt["started_at"], attempt["ended_at"]))


def seconds_between(first: str, last: str) -> float:
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


def test_a_trace_is_drawn_as_a_tree_that_fits_the_terminal(
    squire: Squire, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = squire.ok("trace", story.task_id).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == f"trace {story.trace_id}"
    assert "acme/shop; 2026-03-01 12:00:00Z; 2m28s in all; 2 model calls, $0.01" in lines
    (agent,) = (line for line in lines if re.search(r" agent ", line))
    assert agent.split()[:3] == ["15.0s", "10.0s", "agent"]
    (call,) = (line for line in lines if "$0.0048 1200+80" in line and line.startswith("  23.5s"))
    assert call.index("claude") > agent.index("agent")
    assert any("pull request #12 merged_unchanged" in line and line.endswith("█") for line in lines)


def test_what_nobody_knows_is_refused_with_what_can_be_named(squire: Squire, story: Story) -> None:
    assert "nothing that Squire knows has the id 'zzz'" in squire.fails(1, "trace", "zzz")
    unknown = "abcdef" if not story.trace_id.startswith("abcdef") else "fedcba"
    assert f"no trace begins with '{unknown}'" in squire.fails(1, "trace", unknown)
    assert "nothing is known of trace" in squire.fails(1, "trace", "0" * 32)
    assert "is none of Squire's" in squire.fails(1, "trace", "https://github.com/acme/shop/pull/99")


def test_the_beginning_of_two_traces_is_refused(squire: Squire, samples: SampleData, story: Story) -> None:
    with samples.ledger.write() as tx:
        other = story.trace_id[:-1] + ("0" if story.trace_id[-1] != "0" else "1")
        tx.execute(tables.collections.update().values(trace_id=other))
    output = squire.fails(1, "trace", story.trace_id[:10])
    assert story.trace_id in output
    assert other in output


def test_a_trace_that_left_the_ledger_is_read_from_what_was_published(
    squire: Squire, samples: SampleData, story: Story
) -> None:
    squire.ok("history", "publish")
    with samples.ledger.write() as tx:
        for table in (tables.outcomes, tables.task_events, tables.attempts, tables.tasks, tables.plans):
            tx.execute(delete(table))
        for table in (tables.model_calls, tables.collections, tables.delivery_effects, tables.deliveries):
            tx.execute(delete(table))
    assert len(squire.json("trace", story.trace_id)["spans"]) == 16


def test_a_long_trace_is_cut_and_says_so(samples: SampleData, story: Story) -> None:
    with samples.ledger.read() as tx:
        spans = spans_of(tx, [story.trace_id])
    lines = list(trace_lines(spans, now=story.ended_at, width=100, most=5))
    assert lines[-1] == "11 more; --json has them all"


def test_where_a_trace_goes_on_is_said(squire: Squire, samples: SampleData) -> None:
    delivery = deliver(samples.ledger)
    with samples.ledger.write() as tx:
        tx.execute(tables.deliveries.update().values(collected_trace_id="ef" * 16))
    assert f"goes on in trace {'ef' * 16}" in squire.ok("trace", delivery.trace_id)
    assert "(running)" in squire.ok("trace", delivery.trace_id)
