"""What the queue waits for besides its order: caps on pull requests, dependencies, and a person's word against them."""

import threading

import pytest

from squire_pipelines.domain.budgets import BudgetLimits, Limit, Purpose
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.outcomes import PullRequestReport, PullRequestState
from squire_pipelines.domain.queue_rules import PullRequestCaps, QueueRules
from squire_pipelines.domain.tasks import Priority, TaskStatus
from squire_pipelines.errors import RefusedError, StateConflictError
from squire_pipelines.ledger import budgets, bulk, outcomes, task_dispatch, tasks
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.integrity import history_problems
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.task_creation import RequestedTask, create_requested
from squire_pipelines.ledger.waiting import Wait, WaitKind
from tests.support.ledgers import (
    NONE_APPROVED,
    REPOSITORY,
    START,
    TRACE,
    Clock,
    add_task,
    add_tasks,
    claim,
    decide,
    settle,
    spec,
)

MERGED, CLOSED, REVERTED = PullRequestState.MERGED, PullRequestState.CLOSED, PullRequestState.REVERTED
TWO_OPEN = QueueRules(PullRequestCaps(max_open=2, max_new_per_hour=100))
TWO_AN_HOUR = QueueRules(PullRequestCaps(max_open=100, max_new_per_hour=2))
FOR_MERGE = QueueRules(wait_for_merge=True)


def start(ledger: Ledger, rules: QueueRules, *, concurrent: int = 100, per_repository: int = 100) -> list[str]:
    """Dispatch by these rules; return the ids of the tasks that were started."""
    with ledger.write() as tx:
        started = task_dispatch.dispatch(
            tx,
            max_concurrent=concurrent,
            max_per_repository=per_repository,
            claim_deadline_s=7200,
            rules_of=lambda _: rules,
        )
    return [attempt.task_id for attempt in started]


def end_with_pull_request(ledger: Ledger, task_id: str, number: int, cause: Cause = Cause.COMPLETED) -> None:
    """End a task's first attempt when it has opened a pull request."""
    with ledger.write() as tx:
        outcomes.record_opened(
            tx,
            task_id=task_id,
            repository=REPOSITORY,
            pr_number=number,
            pr_url=f"https://x/{number}",
            head_sha="a" * 40,
        )
    settle(ledger, claim(ledger, f"{task_id}-1"), cause)


def report(ledger: Ledger, number: int, state: PullRequestState) -> None:
    with ledger.write() as tx:
        reported = PullRequestReport(
            repository=REPOSITORY,
            number=number,
            url=f"https://x/{number}",
            state=state,
            head_ref="squire/x",
            head_sha="a" * 40,
            updated_at=tx.now,
            merged_at=tx.now if state is MERGED else None,
        )
        outcomes.apply_report(tx, reported, actor="webhook")


def wait_of(ledger: Ledger, task_id: str, rules: QueueRules) -> Wait | None:
    with ledger.read() as tx:
        return tasks.waiting_reason(tx, tasks.get(tx, task_id), rules=rules)


def test_no_more_are_started_than_there_is_room_for_open_pull_requests(ledger: Ledger, clock: Clock) -> None:
    a, b, c = add_tasks(ledger, *(spec(f"k{number}") for number in range(3)))
    assert start(ledger, TWO_OPEN) == [a, b]
    assert start(ledger, TWO_OPEN) == []
    end_with_pull_request(ledger, a, 1)
    settle(ledger, claim(ledger, f"{b}-1"), Cause.NO_CHANGES)
    assert start(ledger, TWO_OPEN) == [c]
    settle(ledger, claim(ledger, f"{c}-1"), Cause.NO_CHANGES)
    late, other = add_task(ledger), add_task(ledger, repository="acme/other")
    add_task(ledger)
    assert start(ledger, TWO_OPEN) == [late, other]
    clock.forward(1)
    report(ledger, 1, MERGED)
    assert len(start(ledger, TWO_OPEN)) == 1


def test_new_ones_of_an_hour_leave_room_again_when_it_is_over_whatever_became_of_them(
    ledger: Ledger, clock: Clock
) -> None:
    ids = add_tasks(ledger, *(spec(f"k{number}") for number in range(4)))
    for number, task_id in enumerate(start(ledger, TWO_AN_HOUR), start=1):
        end_with_pull_request(ledger, task_id, number)
        clock.forward(600)
    report(ledger, 1, CLOSED)
    assert start(ledger, TWO_AN_HOUR) == []
    wait = wait_of(ledger, ids[2], TWO_AN_HOUR)
    assert wait is not None
    assert (wait.kind, wait.until) == (WaitKind.CAP, START.replace(hour=START.hour + 1))
    clock.now = wait.until or clock.now
    assert start(ledger, TWO_AN_HOUR) == [ids[2]]


def test_what_adds_to_an_open_pull_request_needs_no_room(ledger: Ledger) -> None:
    first, second = add_tasks(ledger, spec("a"), spec("b"))
    assert start(ledger, TWO_OPEN) == [first, second]
    end_with_pull_request(ledger, first, 1)
    end_with_pull_request(ledger, second, 2)
    with ledger.read() as tx:
        branch = tasks.get(tx, first).branch
    waiting, follow_up = add_tasks(ledger, spec("c", priority=Priority.CRITICAL), spec("d", base_branch=branch))
    assert wait_of(ledger, follow_up, TWO_OPEN) == Wait(WaitKind.START, "its start")
    assert start(ledger, TWO_OPEN, per_repository=1) == [follow_up]
    assert start(ledger, TWO_OPEN) == []
    assert wait_of(ledger, waiting, TWO_OPEN) is not None


def test_a_retry_of_a_task_whose_pull_request_is_open_needs_no_room(ledger: Ledger, clock: Clock) -> None:
    ids = add_tasks(ledger, spec("a"), spec("b"))
    start(ledger, TWO_OPEN)
    for number, task_id in enumerate(ids):
        end_with_pull_request(ledger, task_id, number, Cause.LOST)
    clock.forward(3600)
    assert sorted(start(ledger, TWO_OPEN)) == sorted(ids)


@pytest.mark.parametrize("rules", [TWO_OPEN, TWO_AN_HOUR])
def test_dispatchers_at_once_do_not_pass_a_cap_together(ledger: Ledger, rules: QueueRules) -> None:
    add_tasks(ledger, *(spec(f"k{number}") for number in range(10)))
    gate = threading.Barrier(4)
    started: list[str] = []

    def run() -> None:
        gate.wait(10)
        started.extend(start(ledger, rules))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(started) == 2


def test_a_person_starts_a_task_against_order_caps_and_time_but_not_against_a_budget(
    ledger: Ledger, clock: Clock
) -> None:
    ids = add_tasks(ledger, *(spec(f"k{number}", priority=Priority.CRITICAL) for number in range(3)))
    proposed = add_task(ledger, priority=Priority.LOW, approval=NONE_APPROVED)
    assert start(ledger, TWO_OPEN, concurrent=2) == list(ids[:2])
    settle(ledger, claim(ledger, f"{ids[0]}-1"), Cause.LOST)  # to be tried again later
    fresh = add_task(ledger, priority=Priority.CRITICAL)
    with ledger.write() as tx:
        decide(tx, ids[0], bulk.start())
        decide(tx, proposed, bulk.start())
        refused = task_dispatch.dispatch(
            tx,
            max_concurrent=100,
            max_per_repository=100,
            claim_deadline_s=120,
            limits_of=lambda _: BudgetLimits(attempt=Limit(usd=1), day=Limit(usd=1)),
            rules_of=lambda _: QueueRules(PullRequestCaps(1, 1)),
        )
        tx.connection.rollback()
    assert len(refused) == 1  # the budget of a day has room for one
    for task_id in (ids[0], proposed):
        with ledger.write() as tx:
            decide(tx, task_id, bulk.start())
    only_one = QueueRules(PullRequestCaps(max_open=1, max_new_per_hour=1))
    assert sorted(start(ledger, only_one)) == sorted((ids[0], proposed))
    assert {wait_of(ledger, task_id, only_one) is not None for task_id in (ids[2], fresh)} == {True}
    with ledger.read() as tx:
        changes = [(row.subject, row.before, row.after) for row in tasks.events(tx, proposed)]
        (audited,) = audit_page(tx, limit=1)
        assert list(history_problems(tx)) == []
    assert changes[1:3] == [("task", "proposed", "ready"), ("queue", None, "first")]
    assert (audited.action, audited.detail["tasks"]) == ("tasks.start", [proposed])
    clock.forward(1)
    with ledger.write() as tx, pytest.raises(StateConflictError, match="is running"):
        decide(tx, proposed, bulk.start())


def test_a_dependency_that_has_to_be_merged_is_waited_for_until_it_is(ledger: Ledger, clock: Clock) -> None:
    first, second, third = add_tasks(ledger, spec("a"), spec("b", depends_on=("a",)), spec("c", depends_on=("b",)))
    assert start(ledger, FOR_MERGE) == [first]
    end_with_pull_request(ledger, first, 1)
    assert wait_of(ledger, second, FOR_MERGE) == Wait(WaitKind.DEPENDENCY, f"depends on the merge of {first}")
    assert start(ledger, FOR_MERGE) == []
    clock.forward(1)
    report(ledger, 1, MERGED)
    assert start(ledger, FOR_MERGE) == [second]
    settle(ledger, claim(ledger, f"{second}-1"), Cause.NO_CHANGES)  # without a pull request there is nothing to merge
    assert start(ledger, FOR_MERGE) == [third]


def test_a_dependency_that_has_to_succeed_need_not_be_merged(ledger: Ledger) -> None:
    first, second = add_tasks(ledger, spec("a"), spec("b", depends_on=("a",)))
    start(ledger, QueueRules())
    end_with_pull_request(ledger, first, 1)
    assert wait_of(ledger, second, QueueRules()) == Wait(WaitKind.START, "its start")
    assert start(ledger, QueueRules()) == [second]


@pytest.mark.parametrize("rules", [QueueRules(), FOR_MERGE])
@pytest.mark.parametrize("state", [CLOSED, REVERTED])
def test_a_refused_pull_request_ends_what_depends_on_it_with_a_reason(
    ledger: Ledger, clock: Clock, rules: QueueRules, state: PullRequestState
) -> None:
    first, second, third = add_tasks(ledger, spec("a"), spec("b", depends_on=("a",)), spec("c", depends_on=("b",)))
    start(ledger, rules)
    end_with_pull_request(ledger, first, 1)
    clock.forward(1)
    report(ledger, 1, state)
    assert start(ledger, rules) == []
    with ledger.read() as tx:
        ended = [tasks.get(tx, task_id) for task_id in (second, third)]
    assert [task.status for task in ended] == [TaskStatus.CANCELLED] * 2
    assert ended[0].message == f"the pull request of the task {first}, which it depends on, was {state}"
    assert ended[1].message == f"the task {second}, which it depends on, did not succeed (cancelled)"


@pytest.mark.parametrize("state", [CLOSED, REVERTED])
def test_a_request_that_would_be_cancelled_for_a_refused_pull_request_is_refused(
    ledger: Ledger, clock: Clock, state: PullRequestState
) -> None:
    (first,) = add_tasks(ledger, spec("a"))
    start(ledger, QueueRules())
    end_with_pull_request(ledger, first, 1)
    clock.forward(1)
    report(ledger, 1, state)
    request = RequestedTask(REPOSITORY, spec("b"), "cli:ann", depends_on=(first,))
    with pytest.raises(RefusedError, match=f"the pull request of the task {first} was {state}"), ledger.write() as tx:
        create_requested(tx, request, ready=True, max_attempts=1, trace_id=TRACE)


def test_each_waiting_task_has_one_reason(ledger: Ledger) -> None:
    first, after = add_tasks(ledger, spec("a"), spec("b", depends_on=("a",)))
    proposed = add_task(ledger, approval=NONE_APPROVED)
    capped, elsewhere = add_task(ledger), add_task(ledger, repository="acme/other")
    full = QueueRules(PullRequestCaps(max_open=1, max_new_per_hour=1))
    assert start(ledger, full, concurrent=1) == [first]
    limits = BudgetLimits(attempt=Limit(usd=2), day=Limit(usd=2))
    with ledger.write() as tx:
        budgets.reserve(tx, "another", Purpose.ATTEMPT, limits, repository=REPOSITORY, trace_id=TRACE)
    with ledger.read() as tx:
        waits = {
            task_id: tasks.waiting_reason(tx, tasks.get(tx, task_id), limits, full)
            for task_id in (first, after, proposed, capped, elsewhere)
        }
    assert {task_id: wait and wait.kind for task_id, wait in waits.items()} == {
        first: None,
        after: WaitKind.DEPENDENCY,
        proposed: WaitKind.APPROVAL,
        capped: WaitKind.CAP,
        elsewhere: WaitKind.BUDGET,
    }
