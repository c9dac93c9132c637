"""The views on a small history whose numbers are known."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.outcomes import PullRequestReport, PullRequestState
from squire_pipelines.ledger import attempts, outcomes
from squire_pipelines.ledger import tasks as task_rows
from squire_pipelines.ledger.attempts import Attempt, AttemptFacts
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.warehouse.publish import Publication
from squire_pipelines.warehouse.query import run_query
from tests.support.ledgers import NONE_APPROVED, START, TRACE, Clock, add_task, claim, dispatch, settle, token_of

SHA = "a" * 40


class History:
    """Makes history on a ledger with a clock."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger = ledger
        self.clock = clock

    def begin(self, *, after_s: float) -> Attempt:
        """Dispatch what is due, and start its agent after a while."""
        (queued,) = dispatch(self.ledger)
        attempt = claim(self.ledger, queued.id, lease_s=7200)
        self.clock.forward(after_s)
        with self.ledger.write() as tx:
            attempts.note(tx, attempt.id, token_of(attempt), AttemptFacts(agent_started_at=tx.now))
        return attempt

    def end(self, attempt: Attempt, cause: Cause, *, after_s: float = 60) -> datetime:
        """End it."""
        settle(self.ledger, attempt, cause, f"it was {cause}")
        return self.clock.forward(after_s)

    def open_pull_request(self, task_id: str, number: int, repository: str = "acme/shop") -> datetime:
        """Open it now."""
        with self.ledger.write() as tx:
            outcomes.record_opened(
                tx,
                task_id=task_id,
                repository=repository,
                pr_number=number,
                pr_url=f"https://example.org/{number}",
                head_sha=SHA,
            )
            return tx.now

    def report(self, number: int, state: PullRequestState, at: datetime, merged_at: datetime | None = None) -> None:
        """What GitHub says."""
        with self.ledger.write() as tx:
            report = PullRequestReport(
                repository="acme/shop",
                number=number,
                url=f"https://example.org/{number}",
                head_ref="b",
                head_sha=SHA,
                state=state,
                updated_at=at,
                merged_at=merged_at,
            )
            assert outcomes.apply_report(tx, report, actor="webhook")


@pytest.fixture
def query(
    ledger: Ledger, clock: Clock, publish: Callable[[], Publication], warehouse: Path
) -> Callable[[str], tuple[tuple[object, ...], ...]]:
    """Makes the history, publishes it, and answers questions."""
    history = History(ledger, clock)

    # Merged: ready at START, agent after 30 s, merged an hour after it was opened, reverted later.
    merged = add_task(ledger, title="merged")
    attempt = history.begin(after_s=30)
    opened = history.open_pull_request(merged, 1)
    history.end(attempt, Cause.COMPLETED)
    merged_at = opened + timedelta(hours=1)
    history.report(1, PullRequestState.MERGED, merged_at, merged_at)

    # Lost once, then merged in the very second it was opened; GitHub's clock is a little behind.
    retried = add_task(ledger, title="retried")
    lost = history.begin(after_s=10)
    history.end(lost, Cause.LOST, after_s=1000)
    attempt = history.begin(after_s=5)
    opened = history.open_pull_request(retried, 2)
    history.end(attempt, Cause.COMPLETED)
    history.report(2, PullRequestState.MERGED, opened - timedelta(seconds=1), opened - timedelta(seconds=1))
    history.report(2, PullRequestState.REVERTED, opened + timedelta(hours=2), opened - timedelta(seconds=1))

    # Failed by a time-out; closed without a merge; cancelled by a person; waiting for approval.
    add_task(ledger, title="failed")
    history.end(history.begin(after_s=20), Cause.TIMEOUT)
    closed = add_task(ledger, title="closed")
    attempt = history.begin(after_s=20)
    opened = history.open_pull_request(closed, 3)
    history.end(attempt, Cause.COMPLETED)
    history.report(3, PullRequestState.CLOSED, opened + timedelta(hours=1))
    cancelled = add_task(ledger, title="cancelled")
    with ledger.write() as tx:
        task_rows.cancel(tx, cancelled, actor="ann")
    add_task(ledger, title="proposed", approval=NONE_APPROVED)

    # Another repository: one attempt, which failed for want of the agent.
    add_task(ledger, title="elsewhere", repository="acme/site")
    history.end(history.begin(after_s=20), Cause.AGENT_NOT_FOUND)

    publish()
    return lambda sql: run_query(warehouse, sql).rows


Query = Callable[[str], tuple[tuple[object, ...], ...]]


def test_overview_has_a_row_per_task_with_what_became_of_it(query: Query) -> None:
    names = ("status", "cause", "attempts", "outcome", "pr_url", "trace_id")
    rows = {
        title: SimpleNamespace(**dict(zip(names, values, strict=True)))
        for title, *values in query(f"FROM task_overview SELECT title, {', '.join(names)}")
    }
    assert set(rows) == {"merged", "retried", "failed", "closed", "cancelled", "proposed", "elsewhere"}
    assert vars(rows["merged"]) == {
        "status": "succeeded",
        "cause": "completed",
        "attempts": 1,
        "outcome": "merged",
        "pr_url": "https://example.org/1",
        "trace_id": TRACE,
    }
    assert (rows["retried"].attempts, rows["retried"].outcome) == (2, "reverted")
    assert (rows["failed"].status, rows["failed"].cause, rows["failed"].outcome) == ("failed", "timeout", None)
    assert (rows["cancelled"].status, rows["cancelled"].attempts) == ("cancelled", 0)


def test_overview_tells_how_long_a_task_waited_for_its_first_agent(query: Query) -> None:
    rows = query("SELECT title, ready_at, agent_started_at, seconds_to_agent FROM task_overview ORDER BY title")
    seconds = {row[0]: row[3] for row in rows}
    assert seconds["merged"] == 30
    assert seconds["retried"] == 10  # not from the retry, before which it was ready a second time
    assert (seconds["proposed"], seconds["cancelled"]) == (None, None)
    merged = next(row for row in rows if row[0] == "merged")
    assert merged[1:3] == (START, START + timedelta(seconds=30))
    assert next(row for row in rows if row[0] == "proposed")[1] is None


def test_success_is_counted_per_repository(query: Query) -> None:
    rows = query(
        "SELECT repository, tasks, unfinished, succeeded, failed, cancelled, success_rate, attempts, pull_requests, "
        "merged, reverted, merge_rate FROM success_by_repository ORDER BY repository"
    )
    assert rows[0] == ("acme/shop", 6, 1, 3, 1, 1, 0.75, 5, 3, 1, 1, pytest.approx(1 / 3))
    assert rows[1] == ("acme/site", 1, 0, 0, 1, 0, 0.0, 1, 0, 0, 0, None)


def test_failures_are_counted_by_cause(query: Query) -> None:
    rows = query(
        "SELECT repository, cause, transient, attempts, tasks, share, last_message, last_trace_id "
        "FROM failure_causes ORDER BY repository, cause"
    )
    assert rows == (
        ("acme/shop", "lost", True, 1, 1, 0.5, "it was lost", TRACE),
        ("acme/shop", "timeout", False, 1, 1, 0.5, "it was timeout", TRACE),
        ("acme/site", "agent_not_found", False, 1, 1, 1.0, "it was agent_not_found", TRACE),
    )


def test_time_to_merge_is_never_negative_and_counts_reverted_ones(query: Query) -> None:
    rows = query(
        "SELECT pr_number, outcome, seconds_open, seconds_since_planned, trace_id FROM time_to_merge ORDER BY 1"
    )
    assert rows == (
        (1, "merged", 3600, 3630, TRACE),
        (2, "reverted", 0, 1014, TRACE),
    )
