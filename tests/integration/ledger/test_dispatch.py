"""Dispatch: whose turn it is, how many at once, and what it never does twice."""

import random
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from squire_pipelines.domain.agent_choice import (
    AgentChoice,
    AgentOrder,
    ChoiceRule,
    ChoiceRules,
    TaskTraits,
    choose_agent,
)
from squire_pipelines.domain.dispatch_order import ageing_moments, urgency
from squire_pipelines.domain.endings import AGENTS_FAILURES, Cause, Ending
from squire_pipelines.domain.signals import Source
from squire_pipelines.domain.tasks import AttemptStatus, Priority, TaskStatus
from squire_pipelines.errors import LedgerError
from squire_pipelines.ledger import attempts, task_dispatch, tasks
from squire_pipelines.ledger.attempts import Attempt, RetryRule
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import attempts as table
from squire_pipelines.ledger.tables import tasks as task_table
from squire_pipelines.ledger.task_traits import ChooseAgent, ready_orders
from tests.support.ledgers import (
    REPOSITORY,
    TRACE,
    Clock,
    add_task,
    add_tasks,
    claim,
    collect,
    dispatch,
    new_sqlite_ledger,
    settle,
    spec,
)
from tests.support.signal_samples import failed_check, issue, open_pr

STEP_S = 3600


def test_nothing_is_started_while_another_holds_the_ledger(tmp_path: Path) -> None:
    ledger = new_sqlite_ledger(tmp_path / "ledger.sqlite")  # on a server no transaction locks all of it
    add_task(ledger)
    impatient = Ledger(str(ledger.url), busy_timeout_s=0.05)
    with ledger.write(), pytest.raises(LedgerError):
        dispatch(impatient)
    impatient.close()
    with ledger.read() as tx:
        assert attempts.queued(tx) == ()
    assert len(dispatch(ledger)) == 1
    ledger.close()


def test_a_ready_task_gets_its_first_attempt_with_an_id_that_follows_from_the_task(
    ledger: Ledger, clock: Clock
) -> None:
    task_id = add_task(ledger)
    (attempt,) = dispatch(ledger, deadline_s=120)
    assert (attempt.id, attempt.number, attempt.status) == (f"{task_id}-1", 1, AttemptStatus.QUEUED)
    assert (attempt.claim_until - clock.now).total_seconds() == 120
    assert (attempt.trace_id, attempt.run_id, attempt.lease_token) == (TRACE, None, None)
    with ledger.read() as tx:
        task = tasks.get(tx, task_id)
        assert attempts.of_task(tx, task_id) == (attempt,)
        assert attempts.queued(tx) == (attempt,)
    assert (task.status, task.attempts) == (TaskStatus.RUNNING, 1)
    assert dispatch(ledger) == ()


@pytest.mark.parametrize(("concurrent", "per_repository", "started"), [(5, 100, 5), (100, 2, 6), (4, 2, 4), (0, 5, 0)])
def test_slots_are_never_exceeded(ledger: Ledger, concurrent: int, per_repository: int, started: int) -> None:
    for repository in ("acme/a", "acme/b", "acme/c"):
        add_tasks(ledger, *(spec(f"k{number}") for number in range(4)), repository=repository)
    assert len(dispatch(ledger, concurrent=concurrent, per_repository=per_repository)) == started
    assert dispatch(ledger, concurrent=concurrent, per_repository=per_repository) == ()


def test_a_slot_is_free_again_when_an_attempt_has_ended(ledger: Ledger) -> None:
    add_tasks(ledger, spec("a"), spec("b"))
    (first,) = dispatch(ledger, concurrent=1)
    assert dispatch(ledger, concurrent=1) == ()
    settle(ledger, claim(ledger, first.id), Cause.COMPLETED)
    assert len(dispatch(ledger, concurrent=1)) == 1


def test_lowered_limits_hold_for_what_is_started_from_then_on(ledger: Ledger) -> None:
    add_tasks(ledger, *(spec(f"k{number}") for number in range(5)))
    assert len(dispatch(ledger, concurrent=3)) == 3
    assert dispatch(ledger, concurrent=2) == ()
    assert dispatch(ledger, concurrent=10, per_repository=1) == ()


def test_the_most_urgent_goes_first_and_then_the_one_that_waited_longest(ledger: Ledger, clock: Clock) -> None:
    late = add_task(ledger, priority=Priority.LOW)
    clock.forward(1)
    second = add_task(ledger)
    clock.forward(1)
    third = add_task(ledger)
    clock.forward(1)
    first = add_task(ledger, priority=Priority.CRITICAL)
    order = [dispatch(ledger, concurrent=number)[0].task_id for number in (1, 2, 3, 4)]
    assert order == [first, second, third, late]


def test_a_task_that_is_tried_again_lets_fresh_ones_of_its_priority_go_first(ledger: Ledger, clock: Clock) -> None:
    failing = add_task(ledger)
    settle(ledger, claim(ledger, dispatch(ledger)[0].id), Cause.LOST)
    clock.forward(1000)
    fresh = add_task(ledger)
    assert [attempt.task_id for attempt in dispatch(ledger, concurrent=1)] == [fresh]
    assert [attempt.task_id for attempt in dispatch(ledger, concurrent=2)] == [failing]


def test_a_task_that_has_waited_goes_before_what_is_more_urgent_and_came_later(ledger: Ledger, clock: Clock) -> None:
    waiting = add_task(ledger, priority=Priority.LOW)
    clock.forward(3 * STEP_S - 1)
    add_task(ledger, priority=Priority.CRITICAL)
    assert [attempt.task_id for attempt in dispatch(ledger, concurrent=1, step_s=STEP_S)] != [waiting]
    clock.forward(2)
    add_task(ledger, priority=Priority.CRITICAL)
    assert [attempt.task_id for attempt in dispatch(ledger, concurrent=2, step_s=STEP_S)] == [waiting]


def test_the_database_orders_as_the_rule_does(ledger: Ledger, clock: Clock) -> None:
    chance = random.Random(11)  # noqa: S311 - a sequence that can be repeated
    ids = add_tasks(ledger, *(spec(f"k{number}", priority=chance.choice(list(Priority))) for number in range(40)))
    ages = [0, 1, STEP_S - 1, STEP_S, STEP_S + 1, 2 * STEP_S, 3 * STEP_S, 4 * STEP_S]
    with ledger.write() as tx:
        for task_id in ids:
            ready_at = tx.now - timedelta(seconds=chance.choice(ages))
            values = {"ready_at": ready_at, "attempts": chance.choice([0, 0, 1])}
            tx.execute(update(task_table).where(task_table.c.id == task_id).values(**values))
        rows = tx.execute(select(task_table)).all()
    moments = ageing_moments(clock.now, STEP_S)
    expected = [row.id for row in sorted(rows, key=lambda row: urgency(row, moments))]
    order = [dispatch(ledger, concurrent=count, step_s=STEP_S)[0].task_id for count in range(1, len(ids) + 1)]
    assert order == expected


def test_a_repository_with_a_very_long_queue_does_not_hide_the_others(ledger: Ledger, clock: Clock) -> None:
    add_tasks(ledger, *(spec(f"k{number}", priority=Priority.CRITICAL) for number in range(60)), repository="acme/a")
    clock.forward(1)
    other = add_task(ledger, repository="acme/b", priority=Priority.LOW)
    first = dispatch(ledger, concurrent=5, per_repository=1)
    assert len(first) == 2
    assert first[1].task_id == other
    settle(ledger, claim(ledger, first[0].id), Cause.COMPLETED)
    (next_one,) = dispatch(ledger, concurrent=5, per_repository=1)
    assert next_one.repository == "acme/a"


def test_repositories_whose_fewer_slots_are_taken_do_not_hide_the_others(ledger: Ledger) -> None:
    slots = {"acme/a": 1, "acme/b": 1}

    def start(concurrent: int) -> set[str]:
        with ledger.write() as tx:
            started = task_dispatch.dispatch(
                tx, max_concurrent=concurrent, max_per_repository=3, claim_deadline_s=7200, slots=slots
            )
        return {attempt.repository for attempt in started}

    for repository in slots:
        add_tasks(ledger, *(spec(f"k{number}", priority=Priority.HIGH) for number in range(4)), repository=repository)
    assert start(2) == set(slots)
    add_task(ledger, repository="acme/late", priority=Priority.LOW)
    assert start(5) == {"acme/late"}


def test_a_task_waits_until_its_next_try_is_due(ledger: Ledger, clock: Clock) -> None:
    add_task(ledger)
    settled = settle(ledger, claim(ledger, dispatch(ledger)[0].id), Cause.PROVIDER_ERROR)
    assert settled.not_before is not None
    clock.now = settled.not_before
    clock.forward(-0.001)
    assert dispatch(ledger) == ()
    clock.now = settled.not_before
    assert [attempt.number for attempt in dispatch(ledger)] == [2]


def test_queued_attempts_are_named_until_their_claim_deadline(ledger: Ledger, clock: Clock) -> None:
    add_tasks(ledger, spec("a"), spec("b"))
    first, second = dispatch(ledger, deadline_s=120)
    claim(ledger, first.id)
    clock.forward(120)
    with ledger.read() as tx:
        assert [attempt.id for attempt in attempts.queued(tx)] == [second.id]
    clock.forward(1)
    with ledger.read() as tx:
        assert attempts.queued(tx) == ()


def test_a_dependency_on_several_tasks_waits_for_all(ledger: Ledger) -> None:
    a, b, both = add_tasks(ledger, spec("a"), spec("b"), spec("both", depends_on=("a", "b")))
    first, second = dispatch(ledger)
    settle(ledger, claim(ledger, first.id), Cause.COMPLETED)
    assert dispatch(ledger) == ()
    settle(ledger, claim(ledger, second.id), Cause.COMPLETED)
    assert [attempt.task_id for attempt in dispatch(ledger)] == [both]
    assert {first.task_id, second.task_id} == {a, b}


def test_two_dispatchers_at_once_start_each_task_once(ledger: Ledger) -> None:
    add_tasks(ledger, *(spec(f"k{number}") for number in range(10)))
    gate = threading.Barrier(4)
    started: list[str] = []

    def run() -> None:
        gate.wait(10)
        started.extend(attempt.id for attempt in dispatch(ledger, concurrent=7))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(started) == len(set(started)) == 7
    with ledger.read() as tx:
        assert len(tx.execute(select(table.c.id)).all()) == 7


RULES = ChoiceRules(
    "opencode",
    (ChoiceRule({"claude-code": 1}, labels=frozenset({"hard"})), ChoiceRule({"codex": 1}, kinds=frozenset({"fix_ci"}))),
    fallback=("pi",),
    fallback_after=1,
)


def by_rules(task: TaskTraits) -> AgentChoice:
    return choose_agent(task, RULES)


def assign(ledger: Ledger, choose: ChooseAgent = by_rules, *, per_repository: int = 100) -> tuple[Attempt, ...]:
    with ledger.write() as tx:
        return task_dispatch.dispatch(
            tx, max_concurrent=100, max_per_repository=per_repository, claim_deadline_s=120, choose=choose
        )


def test_the_choice_is_recorded_with_the_attempt(ledger: Ledger) -> None:
    add_task(ledger, kind="fix_ci")
    (attempt,) = assign(ledger)
    assert attempt.choice == AgentChoice(agent="codex", reason="rule", rule=2)
    with ledger.read() as tx:
        assert attempts.get(tx, attempt.id).choice == attempt.choice
    add_task(ledger)
    assert [other.choice for other in dispatch(ledger)] == [None]


def test_labels_of_the_issue_and_of_the_checks_pull_request_count(ledger: Ledger) -> None:
    pull = open_pr(3)
    labelled = pull.model_copy(update={"details": pull.details.model_copy(update={"labels": ("Hard",)})})
    repository = labelled.repository
    red = failed_check(branch="fix", pull_request=3)
    hard, easy = issue(10, labels=("squire", "HARD")), issue(11)
    collect(ledger, hard, easy, repository=repository)
    collect(ledger, labelled, source=Source.OPEN_PRS, repository=repository)
    collect(ledger, red, source=Source.FAILED_CI, repository=repository)
    for signal, agent in ((hard, "claude-code"), (easy, "opencode"), (red, "claude-code")):
        add_task(ledger, signals=(signal.ref,), repository=repository)
        assert [attempt.choice and attempt.choice.agent for attempt in assign(ledger)] == [agent]


def test_an_order_is_dispatched_as_it_is_and_known_before(ledger: Ledger) -> None:
    order = AgentOrder(agent="gemini", model="flash")
    add_task(ledger, kind="fix_ci", agent=order)
    add_task(ledger, kind="fix_ci")
    with ledger.read() as tx:
        assert ready_orders(tx) == {(REPOSITORY, order)}
    assert [attempt.choice and attempt.choice.agent for attempt in assign(ledger)] == ["gemini", "codex"]


def test_a_task_whose_agent_cannot_start_waits_and_hides_no_other(ledger: Ledger) -> None:
    waiting = add_tasks(
        ledger, *(spec(f"k{number}", kind="fix_ci", priority=Priority.CRITICAL) for number in range(12))
    )
    behind = add_task(ledger)

    def without_codex(task: TaskTraits) -> AgentChoice | None:
        choice = by_rules(task)
        return None if choice.agent == "codex" else choice

    assert [attempt.task_id for attempt in assign(ledger, without_codex, per_repository=1)] == [behind]
    with ledger.read() as tx:
        assert {tasks.get(tx, task_id).status for task_id in waiting} == {TaskStatus.READY}


def end(ledger: Ledger, attempt: Attempt, cause: Cause) -> TaskStatus:
    claimed = claim(ledger, attempt.id)
    with ledger.write() as tx:
        ending = Ending(cause=cause, message="so it ended")
        rule = RetryRule(base_s=0.001, cap_s=0.001, choice_rules=RULES)
        return attempts.settle(tx, claimed.id, claimed.lease_token or "", ending, retry=rule, actor="run:1").task_status


@pytest.mark.parametrize("cause", sorted(AGENTS_FAILURES))
def test_the_next_agent_follows_a_failure_of_the_agents_own(ledger: Ledger, clock: Clock, cause: Cause) -> None:
    add_task(ledger)
    (first,) = assign(ledger)
    assert end(ledger, first, cause) is TaskStatus.READY
    clock.forward(60)
    (second,) = assign(ledger)
    assert second.choice is not None
    assert (second.choice.agent, second.choice.reason) == ("pi", "fallback")
    assert end(ledger, second, cause) is TaskStatus.FAILED


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        (Cause.CONFIGURATION, TaskStatus.FAILED),
        (Cause.NOT_STARTABLE, TaskStatus.FAILED),
        (Cause.PROVIDER_ERROR, TaskStatus.READY),
        (Cause.LOST, TaskStatus.READY),
    ],
)
def test_what_is_no_fault_of_the_agents_keeps_it(
    ledger: Ledger, clock: Clock, cause: Cause, status: TaskStatus
) -> None:
    add_task(ledger)
    (first,) = assign(ledger)
    assert end(ledger, first, cause) is status
    clock.forward(60)
    again = assign(ledger)
    assert [attempt.choice and attempt.choice.agent for attempt in again] == ["opencode"] * len(again)


def test_an_ordered_agent_has_no_fallback(ledger: Ledger) -> None:
    add_task(ledger, agent=AgentOrder(agent="gemini"))
    (first,) = assign(ledger)
    assert end(ledger, first, Cause.AGENT_ERROR) is TaskStatus.FAILED
