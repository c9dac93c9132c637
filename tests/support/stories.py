"""A story from a delivery to a merged pull request, written by the ledger's own functions at a clock that is moved."""

from dataclasses import dataclass
from datetime import datetime

from squire_pipelines.domain.endings import Cause, Ending
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.ledger import attempts, collections, deliveries, outcomes, plans
from squire_pipelines.ledger.attempts import AttemptFacts
from squire_pipelines.ledger.inbox import RecordedDelivery
from squire_pipelines.ledger.model_calls import ModelCallRow, record_model_call
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import outcomes as outcome_table
from squire_pipelines.ledger.transitions import EventContext, record_event
from tests.support.deliveries import record_delivery
from tests.support.ledgers import (
    REPOSITORY,
    RETRY,
    Clock,
    admission,
    claim,
    dispatch,
    issue,
    plan,
    reading,
    spec,
    token_of,
)

SECRET_TITLE = "Mend the vault at https://intern.example"


@dataclass(frozen=True, slots=True)
class Story:
    """What a story's rows are called."""

    trace_id: str
    delivery: int
    plan_id: str
    task_id: str
    attempt_id: str
    pull_request: str
    ended_at: datetime


def deliver(ledger: Ledger, name: str = "d-1", *, repository: str = REPOSITORY) -> RecordedDelivery:
    """Store a delivery about an issue."""
    return record_delivery(
        ledger,
        source="github",
        delivery_id=name,
        event="issues",
        action="opened",
        repository=repository,
        body=name.encode(),
    )


def read_deliveries(ledger: Ledger, clock: Clock, *rows: int, number: int = 1, repository: str = REPOSITORY) -> str:
    """Read a repository for these deliveries, and return the trace by which it was read."""
    clock.forward(3)
    with ledger.write() as tx:
        traces = deliveries.traces(tx, rows)
        seen = reading(issue(number, repository=repository), repository=repository)
        collections.record(tx, seen.model_copy(update=_times(clock, 0.5)), trace_id=traces[repository], run_id="run-0")
        deliveries.mark_collected(tx, rows, traces=traces)
    return traces[repository]


def _times(clock: Clock, took_s: float) -> dict[str, datetime]:
    ended = clock.now
    return {"started_at": Clock(ended).forward(-took_s), "ended_at": ended}


def make_plan(ledger: Ledger, clock: Clock, trace_id: str, *, title: str = SECRET_TITLE) -> tuple[str, str]:
    """Plan one task for the readings that are there; return the plan's and the task's ids."""
    clock.forward(2)
    with ledger.write() as tx:
        proposed = plan(spec("a", title=title, signals=("open_issue:1",)))
        saved = plans.save(tx, proposed, (), trace_id=trace_id, run_id="run-1")
        collections.mark_planned(tx, REPOSITORY, 1_000_000)
        record_model_call(tx, _call("plan", trace_id, clock))
    clock.forward(1)
    with ledger.write() as tx:
        (task_id,) = plans.admit(tx, saved.id, admission())
    return saved.id, task_id


def _call(purpose: str, trace_id: str, clock: Clock, **values: object) -> ModelCallRow:
    return ModelCallRow(
        purpose=purpose,
        repository=REPOSITORY,
        model="claude-sonnet-4-5",
        ok=True,
        input_tokens=1200,
        output_tokens=80,
        latency_s=1.5,
        trace_id=trace_id,
        status=200,
        cost_usd=0.0048,
        cached_tokens=1000,
        provider="anthropic",
        at=clock.now,
        **values,  # type: ignore[arg-type]  # names of its fields
    )


def write_story(ledger: Ledger, clock: Clock) -> Story:
    """Write the whole story: two model calls, one by the planner and one by the agent, and a merge."""
    delivery = deliver(ledger)
    trace_id = read_deliveries(ledger, clock, delivery.id)
    plan_id, task_id = make_plan(ledger, clock, trace_id)
    clock.forward(2)
    queued = dispatch(ledger)[-1]
    clock.forward(3)
    attempt = claim(ledger, queued.id)
    token = token_of(attempt)
    started = clock.forward(4)
    clock.forward(10)
    url = f"https://github.com/{REPOSITORY}/pull/12"
    with ledger.write() as tx:
        record_model_call(tx, _call("agent", trace_id, clock, task_id=task_id, attempt_id=attempt.id))
        attempts.note(tx, attempt.id, token, AttemptFacts(agent_started_at=started, agent_ended_at=clock.now))
    clock.forward(1)
    with ledger.write() as tx:
        attempts.start_publishing(tx, attempt.id, token, head_sha="e" * 40)
    clock.forward(2)
    with ledger.write() as tx:
        attempts.note(tx, attempt.id, token, AttemptFacts(pr_number=12, pr_url=url))
        outcomes.record_opened(tx, task_id=task_id, repository=REPOSITORY, pr_number=12, pr_url=url, head_sha="e" * 40)
        ending = Ending(cause=Cause.COMPLETED, message="opened")
        attempts.settle(tx, attempt.id, token, ending, retry=RETRY, actor="run:run-1")
    for before, after in (("waiting_for_ci", "waiting_for_merge"), ("waiting_for_merge", "merged")):
        clock.forward(60)
        with ledger.write() as tx:
            if after == "merged":
                values = {"state": "merged", "ending": "merged_unchanged", "merged_at": tx.now, "updated_at": tx.now}
                tx.execute(outcome_table.update().values(**values))
            event = EventContext(task_id=task_id, actor="follow", reason="so it is", trace_id=trace_id)
            record_event(tx, EventSubject.FOLLOW, before, after, event)
    return Story(trace_id, delivery.id, plan_id, task_id, attempt.id, url, clock.now)
