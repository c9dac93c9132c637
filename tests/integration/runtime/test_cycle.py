"""Following one cycle through a real ledger, and what is said of it."""

import io
from datetime import timedelta

import pytest
from rich.console import Console

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.outcomes import PullRequestReport, PullRequestState
from squire_pipelines.domain.plan_groups import group_subject
from squire_pipelines.domain.plans import RULES, PlanFinding
from squire_pipelines.domain.queue_rules import PullRequestCaps, QueueRules
from squire_pipelines.domain.signals import CollectionStatus, Source
from squire_pipelines.domain.tasks import Plan, TaskStatus
from squire_pipelines.ledger import attempts, collections, deliveries, outcomes, plan_retries, plans
from squire_pipelines.ledger.attempts import AttemptFacts
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.task_creation import RequestedTask, create_requested
from squire_pipelines.ledger.waiting import WaitKind
from squire_pipelines.planning.digest import group_digest
from squire_pipelines.runtime.cycle import CycleState, look
from squire_pipelines.runtime.cycle_watcher import CycleWatcher
from squire_pipelines.runtime.report import cycle_table, failures
from squire_pipelines.sections.goals import PlanGroup
from squire_pipelines.sections.services import PlannerSettings
from squire_pipelines.settings.model import Settings
from tests.support.ledgers import (
    ALL_APPROVED,
    NONE_APPROVED,
    REPOSITORY,
    TRACE,
    Clock,
    add_task,
    admission,
    claim,
    collect,
    dispatch,
    issue,
    plan,
    settle,
    spec,
    start_attempt,
    token_of,
)


@pytest.fixture
def database() -> str:
    """The questions are the same on both; what differs is the ledger's matter."""
    return "sqlite"


def ask(ledger: Ledger) -> tuple[int, ...]:
    with ledger.write() as tx:
        return deliveries.request_collection(tx, [REPOSITORY], source="cli", trace_id=TRACE)


def see(ledger: Ledger, clock: Clock, requests: tuple[int, ...] = ()) -> CycleState:
    return look(ledger, [REPOSITORY], requests, clock.now)


def shown(table: object) -> str:
    out = io.StringIO()
    Console(file=out, width=200, color_system=None).print(table)
    return out.getvalue()


def test_a_cycle_is_collected_planned_and_settled_one_after_the_other(ledger: Ledger, clock: Clock) -> None:
    requests = ask(ledger)
    state = see(ledger, clock, requests)
    assert (state.collected, state.planned, state.settled) == (False, False, False)
    reading = collect(ledger, issue())
    with ledger.write() as tx:
        deliveries.mark_collected(tx, requests)
    state = see(ledger, clock, requests)
    assert (state.collected, state.planned) == (True, False)
    with ledger.write() as tx:
        saved = plans.save(tx, plan(spec()), (), trace_id=TRACE, run_id=None)
        collections.mark_planned(tx, REPOSITORY, reading.id)
    assert not see(ledger, clock, requests).planned  # the plan is not admitted yet
    with ledger.write() as tx:
        plans.admit(tx, saved.id, admission(ALL_APPROVED, 3))
    state = see(ledger, clock, requests)
    assert (state.planned, state.settled) == (True, False)
    (attempt,) = dispatch(ledger)
    assert [row.status for row in see(ledger, clock, requests).under_way] == [TaskStatus.RUNNING]
    settle(ledger, claim(ledger, attempt.id), Cause.NO_CHANGES)
    state = see(ledger, clock, requests)
    assert state.settled
    assert state.last_event > 0


def test_a_failed_reading_needs_no_plan(ledger: Ledger, clock: Clock) -> None:
    requests = ask(ledger)
    collect(ledger, status=CollectionStatus.FAILED)
    with ledger.write() as tx:
        deliveries.mark_collected(tx, requests)
    state = see(ledger, clock, requests)
    assert state.planned
    assert [reading.status for reading in state.readings] == [CollectionStatus.FAILED]


def test_only_tasks_of_this_cycle_or_still_open_are_its_rows(ledger: Ledger, clock: Clock) -> None:
    settle(ledger, start_attempt(ledger), Cause.NO_CHANGES)
    waiting = add_task(ledger, approval=NONE_APPROVED)
    add_task(ledger, repository="somebody/else")
    clock.forward(60)
    new = add_task(ledger)
    assert [row.task_id for row in see(ledger, clock).rows] == [waiting, new]


def test_the_start_counts_from_the_last_time_that_the_task_was_ready(ledger: Ledger, clock: Clock) -> None:
    attempt = start_attempt(ledger)
    clock.forward(5)
    settle(ledger, attempt, Cause.LOST)
    clock.forward(60)
    (second,) = dispatch(ledger)
    claimed = claim(ledger, second.id)
    with ledger.write() as tx:
        attempts.note(
            tx, claimed.id, token_of(claimed), AttemptFacts(agent_started_at=clock.now + timedelta(seconds=2))
        )
    (row,) = look(ledger, [REPOSITORY], (), clock.now - timedelta(days=1)).rows
    assert row.start_s == 62.0


def test_a_persons_request_is_not_counted_among_what_was_planned(ledger: Ledger, clock: Clock) -> None:
    messages: list[str] = []
    watcher = CycleWatcher(ledger, [REPOSITORY], (), clock.now, say=messages.append)
    request = RequestedTask(REPOSITORY, spec("request", title="Mend it"), "cli:ann")
    with ledger.write() as tx:
        task = create_requested(tx, request, ready=True, max_attempts=1, trace_id=TRACE).id
    watcher.look()
    assert messages == [
        "collected 0 repositories: 0 signals",
        "planned: 0 tasks, and 1 asked for by people",
        f"{REPOSITORY}  {task}  ready: Mend it",
    ]


def test_a_plan_without_its_model_is_said_with_the_reason_and_when_the_model_is_asked_again(
    ledger: Ledger, clock: Clock
) -> None:
    messages: list[str] = []
    fields = {"model_failed": True, "provisional": True, "notes": ("planned by rules, since the model failed",)}
    with ledger.write() as tx:
        saved = plans.save(tx, plan().model_copy(update=fields), (), trace_id=TRACE, run_id=None)
        plans.admit(tx, saved.id, admission(ALL_APPROVED, 3))
    CycleWatcher(ledger, [REPOSITORY], (), clock.now, say=messages.append).look()
    assert saved.ask_again_at is not None
    assert messages[1:] == [
        "planned: 0 tasks",
        f"{REPOSITORY}: planned by rules, since the model failed",
        f"{REPOSITORY}: the model is asked again from {saved.ask_again_at:%Y-%m-%d %H:%M} UTC on",
    ]


def test_a_cycle_waits_for_the_plans_of_groups_that_it_is_to_make_and_tells_why_there_is_none(
    ledger: Ledger, clock: Clock
) -> None:
    other = "acme/other"
    group = PlanGroup(name="both", repositories=(REPOSITORY, other), goals="Do it.")
    settings = Settings(repositories=(REPOSITORY, other), planner=PlannerSettings(model="openai:small", group=(group,)))
    subject = group_subject("both")
    messages: list[str] = []

    def is_settled(*names: str, stopped: tuple[str, ...] = ()) -> bool:
        return look(ledger, names, (), clock.now, stopped, settings=settings).settled

    def tell() -> list[str]:
        messages.clear()
        CycleWatcher(ledger, [REPOSITORY], (), clock.now, settings=settings, say=messages.append).look()
        return messages[2:]

    def save(finding: PlanFinding | None, **fields: object) -> None:
        made = Plan(repository=subject, planner="rules", signals_digest="").model_copy(
            update={"settings_digest": group_digest(settings, group), **fields}
        )
        with ledger.write() as tx:
            saved = plans.save(tx, made, [finding] if finding else [], trace_id=TRACE, run_id=None)
            plans.admit(tx, saved.id, admission())

    for name in (REPOSITORY, other):
        reading = collect(ledger, repository=name)
        with ledger.write() as tx:
            collections.mark_planned(tx, name, reading.id)
    assert not is_settled(REPOSITORY)
    assert is_settled(other), "the runs of the first repository make the plan"
    assert is_settled(REPOSITORY, stopped=(other,)), "nothing is planned for the group"
    assert look(ledger, [REPOSITORY], (), clock.now).settled
    assert tell() == [], "it is not planned yet"
    save(PlanFinding(RULES, None, "it is wrong"))
    assert is_settled(REPOSITORY)
    assert tell() == [f"{subject}: no task is made: it is wrong"]
    save(None, model_failed=True, notes=("the model failed",))
    assert tell() == [f"{subject}: the model failed"]
    save(None)
    assert tell() == []
    with ledger.write() as tx:
        plan_retries.put_off(tx, subject, timedelta(seconds=60), reason="no answer")
    at = f"{clock.now + timedelta(seconds=60):%Y-%m-%d %H:%M}"
    assert tell() == [
        f"{subject}: no new plan could be made: the check `groups` of `task_plan` says why",
        f"{subject}: it is planned again from {at} UTC on",
    ]
    assert is_settled(REPOSITORY)
    clock.forward(61)
    assert not is_settled(REPOSITORY), "it is due again"


def test_every_change_is_said_once(ledger: Ledger, clock: Clock) -> None:
    messages: list[str] = []
    requests = ask(ledger)
    watcher = CycleWatcher(ledger, [REPOSITORY], requests, clock.now, say=messages.append)
    watcher.look()
    assert messages == []
    reading = collect(ledger, issue())
    collect(ledger, status=CollectionStatus.FAILED, source=Source.OPEN_PRS)
    with ledger.write() as tx:
        deliveries.mark_collected(tx, requests)
        collections.mark_planned(tx, REPOSITORY, reading.id + 1)
    waiting = add_task(ledger, title="Ask first", approval=NONE_APPROVED)
    clock.forward(1)
    task = add_task(ledger, title="Mend it")
    watcher.look()
    watcher.look()
    assert messages == [
        "collected 1 repository: 1 signal, 1 source did not answer",
        "planned: 2 tasks",
        f"{REPOSITORY}  {waiting}  waits for approval: Ask first",
        f"{REPOSITORY}  {task}  ready: Mend it",
    ]
    messages.clear()
    (first,) = dispatch(ledger)
    watcher.look()
    attempt = claim(ledger, first.id)
    with ledger.write() as tx:
        attempts.note(tx, attempt.id, token_of(attempt), AttemptFacts(agent_started_at=clock.now))
    watcher.look()
    settle(ledger, attempt, Cause.LOST)
    watcher.look()
    clock.forward(3600)
    (second,) = dispatch(ledger)
    again = claim(ledger, second.id)
    with ledger.write() as tx:
        outcomes.record_opened(
            tx, task_id=task, repository=REPOSITORY, pr_number=5, pr_url="https://x/5", head_sha="a" * 40
        )
    settle(ledger, again, Cause.COMPLETED)
    watcher.look()
    with ledger.write() as tx:
        report = PullRequestReport(
            repository=REPOSITORY,
            number=5,
            url="https://x/5",
            head_ref="squire/x",
            head_sha="a" * 40,
            state=PullRequestState.MERGED,
            updated_at=clock.now,
            merged_at=clock.now,
        )
        outcomes.apply_report(tx, report, actor="poll")
    watcher.look()
    assert [line.split("  ")[2] for line in messages] == [
        "running",
        "agent runs",
        "tried again after lost",
        "pull request #5 open",
        "pull request #5 merged",
    ]


def test_the_table_and_the_failures_show_text_from_outside_as_text(ledger: Ledger, clock: Clock) -> None:
    attempt = start_attempt(ledger, title="[red]Mend[/red] it")
    settle(ledger, attempt, Cause.AGENT_ERROR, "[bold]exit 3[/bold]")
    waiting = add_task(ledger, title="Ask first", approval=NONE_APPROVED)
    rows = look(ledger, [REPOSITORY], (), clock.now).rows
    table = shown(cycle_table(rows, None))
    assert "[red]Mend[/red] it" in table
    assert "agent_error" in table
    assert "waits: approval" in table
    (line,) = failures(rows)
    assert line.plain == (f"{attempt.task_id} failed: [bold]exit 3[/bold] (squire tasks logs {attempt.task_id})")
    assert waiting in table


def test_a_cycle_does_not_wait_for_room_for_another_pull_request(ledger: Ledger, clock: Clock) -> None:
    running, waiting = add_task(ledger), add_task(ledger)

    def see_by_rules() -> CycleState:
        rules = QueueRules(PullRequestCaps(max_open=1))
        return look(ledger, [REPOSITORY], (), clock.now, rules_of=lambda _: rules)

    claim(ledger, dispatch(ledger, concurrent=1)[0].id)
    state = see_by_rules()
    assert [row.task_id for row in state.under_way] == [running]
    assert {row.task_id: row.waiting_for for row in state.rows} == {running: None, waiting: WaitKind.CAP}
    assert "1 under way, at most 1" in shown(cycle_table(state.rows, None)).replace("\n", " ")
