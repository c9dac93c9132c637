"""Tasks: what people ask and change, and what follows for tasks that depend on others."""

import pytest
from sqlalchemy import update

from squire_pipelines.domain.endings import MAX_CHANGES, SETTINGS_MARK, Cause, Ending, Evidence
from squire_pipelines.domain.tasks import Priority, TaskStatus
from squire_pipelines.errors import LedgerError, NotFoundError, StateConflictError
from squire_pipelines.ledger import attempts, bulk, outcomes, task_dispatch, tasks
from squire_pipelines.ledger.attempts import RetryRule
from squire_pipelines.ledger.dependencies import cancel_dependents
from squire_pipelines.ledger.settings_waits import waiting_for_settings
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import tasks as table
from squire_pipelines.ledger.task_query import TaskQuery
from squire_pipelines.ledger.tasks import Task
from tests.support.ledgers import (
    NONE_APPROVED,
    REPOSITORY,
    TRACE,
    Clock,
    add_task,
    add_tasks,
    claim,
    decide,
    dispatch,
    list_tasks,
    settle,
    spec,
    start_attempt,
)


def get(ledger: Ledger, task_id: str) -> Task:
    with ledger.read() as tx:
        return tasks.get(tx, task_id)


def cancel(ledger: Ledger, task_id: str, reason: str = "not wanted") -> TaskStatus:
    with ledger.write() as tx:
        return tasks.cancel(tx, task_id, actor="ann", reason=reason)


def retry(ledger: Ledger, task_id: str, more_attempts: int = 2) -> None:
    with ledger.write() as tx:
        decide(tx, task_id, bulk.retry(more_attempts))


def waits_for(ledger: Ledger, task_id: str) -> str | None:
    with ledger.read() as tx:
        wait = tasks.waiting_reason(tx, tasks.get(tx, task_id))
    return None if wait is None else wait.text


def test_a_task_comes_back_as_it_was_planned(ledger: Ledger, clock: Clock) -> None:
    planned = spec("a", title="Mend the door", priority=Priority.HIGH, signals=("open_issue:1",), base_branch="dev")
    (task_id,) = add_tasks(ledger, planned)
    task = get(ledger, task_id)
    assert task.spec == planned
    assert (task.repository, task.title, task.priority, task.base_branch) == (REPOSITORY, "Mend the door", 1, "dev")
    assert task.branch == f"squire/{task_id}-mend-the-door"
    assert (task.status, task.attempts, task.max_attempts, task.trace_id) == (TaskStatus.READY, 0, 3, TRACE)
    assert (task.created_at, task.ready_at, task.ended_at) == (clock.now, clock.now, None)


def write_spec(ledger: Ledger, task_id: str, stored: object) -> None:
    with ledger.write() as tx:
        tx.execute(update(table).where(table.c.id == task_id).values(spec=stored))


def test_a_specification_of_another_version_is_read_without_what_is_unknown(ledger: Ledger) -> None:
    planned = spec("a", signals=("open_issue:1",))
    (task_id,) = add_tasks(ledger, planned)
    odd = planned.model_dump(mode="json") | {"mood": "good", "risk": "enormous", "context": {"weather": "fine"}}
    write_spec(ledger, task_id, odd)
    assert get(ledger, task_id).spec == planned
    write_spec(ledger, task_id, {name: value for name, value in odd.items() if name != "signals"})
    with ledger.read() as tx:
        assert tasks.answering_tasks(tx, REPOSITORY) == {}


def test_a_specification_without_its_prompt_is_a_damaged_ledger(ledger: Ledger) -> None:
    task_id = add_task(ledger)
    write_spec(ledger, task_id, {"key": "a"})
    with pytest.raises(LedgerError, match=f"specification of task {task_id}"):
        get(ledger, task_id)


def test_a_task_that_does_not_exist_is_not_found(ledger: Ledger) -> None:
    with ledger.write() as tx:
        for act in (
            lambda: tasks.get(tx, "t-none"),
            lambda: tasks.cancel(tx, "t-none", actor="ann"),
        ):
            with pytest.raises(NotFoundError, match="'t-none'"):
                act()
        assert tasks.events(tx, "t-none") == ()


def test_pages_of_tasks_show_each_once_newest_first(ledger: Ledger, clock: Clock) -> None:
    made: list[str] = []
    for _ in range(4):
        made += add_tasks(ledger, *(spec(f"{clock.now:%S}-{number}") for number in range(3)))
        clock.forward(1)
    seen: list[Task] = []
    with ledger.read() as tx:
        while page := list_tasks(tx, TaskQuery(limit=5, after=seen[-1].id if seen else None)):
            seen += page
    assert len(seen) == 12
    assert {task.id for task in seen} == set(made)
    assert [(task.created_at, task.id) for task in seen] == sorted(
        ((task.created_at, task.id) for task in seen), reverse=True
    )


def test_lists_can_be_narrowed_by_state_and_repository(ledger: Ledger) -> None:
    ready = add_task(ledger)
    proposed = add_task(ledger, approval=NONE_APPROVED)
    other = add_task(ledger, repository="acme/other")
    with ledger.read() as tx:
        assert {task.id for task in list_tasks(tx, TaskQuery(statuses=("proposed",)))} == {proposed}
        assert {task.id for task in list_tasks(tx, TaskQuery(repository=REPOSITORY))} == {ready, proposed}
        both = list_tasks(tx, TaskQuery(statuses=("ready",), repository="acme/other"))
        assert {task.id for task in both} == {other}


def test_approval_makes_a_proposed_task_ready_once(ledger: Ledger, clock: Clock) -> None:
    task_id = add_task(ledger, approval=NONE_APPROVED)
    assert dispatch(ledger) == ()
    assert waits_for(ledger, task_id) == "approval"
    clock.forward(5)
    with ledger.write() as tx:
        decide(tx, task_id, bulk.approve())
    task = get(ledger, task_id)
    assert (task.status, task.ready_at, task.updated_at) == (TaskStatus.READY, clock.now, clock.now)
    with pytest.raises(StateConflictError, match="is not proposed"), ledger.write() as tx:
        decide(tx, task_id, bulk.approve())


@pytest.mark.parametrize("approved", [True, False])
def test_a_task_that_does_not_run_is_cancelled_at_once(ledger: Ledger, clock: Clock, *, approved: bool) -> None:
    options = {} if approved else {"approval": NONE_APPROVED}
    task_id = add_task(ledger, **options)
    assert cancel(ledger, task_id) is TaskStatus.CANCELLED
    task = get(ledger, task_id)
    assert (task.cause, task.message, task.ended_at) == ("cancelled", "not wanted", clock.now)
    with pytest.raises(StateConflictError, match="cancelled already"):
        cancel(ledger, task_id)


def test_cancelling_a_running_task_asks_and_keeps_who_asked_first(ledger: Ledger, clock: Clock) -> None:
    task_id = start_attempt(ledger).task_id
    first = clock.now
    with ledger.read() as tx:
        before = tasks.last_event_id(tx)
    assert cancel(ledger, task_id) is TaskStatus.RUNNING
    clock.forward(3)
    assert cancel(ledger, task_id, "once more") is TaskStatus.RUNNING
    assert get(ledger, task_id).cancel_requested_at == first
    with ledger.read() as tx:
        asked = [event for event in tasks.events(tx, task_id) if event.id > before]
        assert tasks.last_event_id(tx) > before
    assert [(event.actor, event.reason) for event in asked] == [("ann", "cancel requested: not wanted")]


@pytest.mark.parametrize("cause", [Cause.TIMEOUT, Cause.COMPLETED])
def test_what_has_ended_cannot_be_cancelled(ledger: Ledger, cause: Cause) -> None:
    attempt = start_attempt(ledger)
    settle(ledger, attempt, cause)
    with pytest.raises(StateConflictError, match="nothing to cancel"):
        cancel(ledger, attempt.task_id)


def test_a_retry_begins_anew_and_attempt_numbers_go_on(ledger: Ledger, clock: Clock) -> None:
    attempt = start_attempt(ledger, max_attempts=1)
    settle(ledger, attempt, Cause.LOST)
    assert get(ledger, attempt.task_id).status is TaskStatus.FAILED
    clock.forward(10)
    retry(ledger, attempt.task_id, 2)
    task = get(ledger, attempt.task_id)
    assert (task.status, task.cause, task.message, task.ended_at) == (TaskStatus.READY, None, None, None)
    assert (task.attempts, task.max_attempts, task.ready_at) == (1, 3, clock.now)
    (second,) = dispatch(ledger)
    assert (second.number, second.id) == (2, f"{attempt.task_id}-2")


def test_a_retry_forgets_that_a_cancel_was_asked_for(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    cancel(ledger, attempt.task_id)
    settle(ledger, attempt, Cause.CANCELLED)
    assert get(ledger, attempt.task_id).status is TaskStatus.CANCELLED
    retry(ledger, attempt.task_id)
    assert get(ledger, attempt.task_id).cancel_requested_at is None


def test_only_failed_and_cancelled_tasks_can_be_retried(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    others = [add_task(ledger), add_task(ledger, approval=NONE_APPROVED), attempt.task_id]
    for task_id in others:
        with pytest.raises(StateConflictError, match="can be retried"):
            retry(ledger, task_id)
    settle(ledger, attempt, Cause.COMPLETED)
    with pytest.raises(StateConflictError, match="is succeeded"):
        retry(ledger, attempt.task_id)


def test_a_failed_task_cancels_all_that_wait_for_it_through_any_number_of_steps(ledger: Ledger) -> None:
    a, b, c, other = add_tasks(
        ledger, spec("a"), spec("b", depends_on=("a",)), spec("c", depends_on=("b",)), spec("other")
    )
    for attempt in dispatch(ledger):
        claimed = claim(ledger, attempt.id)
        settle(ledger, claimed, Cause.AGENT_ERROR if claimed.task_id == a else Cause.COMPLETED)
    dispatch(ledger)
    states = {task_id: get(ledger, task_id).status for task_id in (a, b, c, other)}
    assert states == {
        a: TaskStatus.FAILED,
        b: TaskStatus.CANCELLED,
        c: TaskStatus.CANCELLED,
        other: TaskStatus.SUCCEEDED,
    }
    assert get(ledger, b).message == f"the task {a}, which it depends on, did not succeed (failed: agent_error)"
    assert get(ledger, c).message == f"the task {b}, which it depends on, did not succeed (cancelled)"


def test_cancel_dependents_is_bounded_and_leaves_running_tasks_alone(ledger: Ledger) -> None:
    a, b, c = add_tasks(ledger, spec("a"), spec("b", depends_on=("a",)), spec("c", depends_on=("a",)))
    cancel(ledger, a)
    with ledger.write() as tx:
        rounds = [cancel_dependents(tx, limit=1) for _ in range(3)]
    assert sorted(task_id for ids in rounds for task_id in ids) == sorted([b, c])
    assert rounds[2] == ()


def test_a_task_waits_for_its_dependency_and_then_runs(ledger: Ledger) -> None:
    first, second = add_tasks(ledger, spec("a"), spec("b", depends_on=("a",)))
    (attempt,) = dispatch(ledger)
    assert attempt.task_id == first
    assert waits_for(ledger, second) == f"depends on {first}"
    assert waits_for(ledger, first) is None
    settle(ledger, claim(ledger, attempt.id), Cause.NO_CHANGES)
    assert waits_for(ledger, second) == "its start"
    assert [attempt.task_id for attempt in dispatch(ledger)] == [second]


def test_a_task_that_is_tried_again_says_when(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    settled = settle(ledger, attempt, Cause.ENGINE_LOST)
    assert settled.not_before is not None
    assert waits_for(ledger, attempt.task_id) == f"not before {settled.not_before:%H:%M:%S} UTC"


def test_signals_are_covered_while_a_task_is_under_way_or_its_pull_request_is_open(ledger: Ledger) -> None:
    attempt = start_attempt(ledger, signals=("open_issue:1",))
    add_task(ledger, signals=("open_issue:2",), approval=NONE_APPROVED)
    gone = add_task(ledger, signals=("open_issue:3",))
    cancel(ledger, gone)
    add_task(ledger, repository="acme/other", signals=("open_issue:4",))

    def covered() -> frozenset[str]:
        with ledger.read() as tx:
            return frozenset(tasks.answering_tasks(tx, REPOSITORY))

    assert covered() == {"open_issue:1", "open_issue:2"}
    settle(ledger, attempt, Cause.COMPLETED)
    assert covered() == {"open_issue:2"}
    with ledger.write() as tx:
        outcomes.record_opened(
            tx, task_id=attempt.task_id, repository=REPOSITORY, pr_number=7, pr_url="u", head_sha="a" * 40
        )
    assert covered() == {"open_issue:1", "open_issue:2"}


def test_a_tasks_history_tells_who_did_what_in_order(ledger: Ledger) -> None:
    task_id = add_task(ledger, approval=NONE_APPROVED)
    with ledger.write() as tx:
        decide(tx, task_id, bulk.approve())
    (attempt,) = dispatch(ledger)
    settle(ledger, claim(ledger, attempt.id, run_id="run-9"), Cause.COMPLETED, "pull request #7")
    with ledger.read() as tx:
        history = tasks.events(tx, task_id)
    assert [(event.subject, event.before, event.after, event.actor) for event in history] == [
        ("task", None, "proposed", "planner:rules"),
        ("task", "proposed", "ready", "ann"),
        ("task", "ready", "running", "dispatch"),
        ("attempt", None, "queued", "dispatch"),
        ("attempt", "queued", "running", "run:run-9"),
        ("attempt", "running", "ended", "run:run-1"),
        ("task", "running", "succeeded", "run:run-1"),
    ]
    assert history[5].reason == "completed: pull request #7"
    assert {event.trace_id for event in history} == {TRACE}


def end_for_the_user(ledger: Ledger, task_id: str, *, mark: str = "m1") -> attempts.Settled:
    """Have the task's next attempt end for what only the user can change."""
    with ledger.write() as tx:
        changed = [task.id for task in waiting_for_settings(tx) if task.settings_mark != mark]
        (queued,) = task_dispatch.dispatch(
            tx, max_concurrent=9, max_per_repository=9, claim_deadline_s=60, changed=changed
        )
    attempt = claim(ledger, queued.id)
    assert attempt.task_id == task_id
    evidence = Evidence(facts={SETTINGS_MARK: mark})
    ending = Ending(cause=Cause.CONFIGURATION, message="Set the key.", evidence=evidence)
    with ledger.write() as tx:
        return attempts.settle(
            tx, attempt.id, attempt.lease_token or "", ending, retry=RetryRule(60, 600), actor="run:1"
        )


def test_a_task_whose_settings_the_user_has_to_change_waits_for_that_and_no_try_is_lost(ledger: Ledger) -> None:
    task_id = add_task(ledger)
    settled = end_for_the_user(ledger, task_id)
    assert (settled.task_status, settled.not_before) == (TaskStatus.READY, None), "no timer asks the provider again"
    task = get(ledger, task_id)
    assert (task.cause, task.attempts, task.max_attempts) == (Cause.CONFIGURATION, 1, 4)
    assert waits_for(ledger, task_id) == "a change of the settings or a key: Set the key."
    assert dispatch(ledger) == ()
    settled = end_for_the_user(ledger, task_id, mark="m2")
    assert settled.task_status is TaskStatus.READY
    with ledger.read() as tx:
        assert [(waiting.id, waiting.settings_mark) for waiting in waiting_for_settings(tx)] == [(task_id, "m2")]


def test_a_person_has_a_waiting_task_go_on_at_once_and_other_ready_ones_stay(ledger: Ledger) -> None:
    task_id = add_task(ledger)
    end_for_the_user(ledger, task_id)
    other = add_task(ledger)
    with ledger.write() as tx:
        everything = bulk.bulk_update(tx, TaskQuery(), bulk.retry(2), actor="ann", trace_id=TRACE)
    assert everything.changed == {TaskStatus.READY: (task_id,)}
    assert (waits_for(ledger, task_id), waits_for(ledger, other)) == ("its start", "its start")
    assert {attempt.task_id for attempt in dispatch(ledger)} == {task_id, other}
    with pytest.raises(StateConflictError, match="only failed and cancelled"):
        retry(ledger, add_task(ledger))


def test_changes_that_do_not_help_have_an_end(ledger: Ledger) -> None:
    task_id = add_task(ledger)
    ends = [end_for_the_user(ledger, task_id, mark=f"m{number}").task_status for number in range(MAX_CHANGES + 1)]
    assert ends == [TaskStatus.READY] * MAX_CHANGES + [TaskStatus.FAILED]


def test_without_a_mark_nobody_could_see_a_change_and_the_task_fails(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    assert settle(ledger, attempt, Cause.CONFIGURATION).task_status is TaskStatus.FAILED
