"""An attempt's life: claim, lease, ending, and what the reaper may do."""

from collections.abc import Callable

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from squire_pipelines.domain.change import Decision, Finding, Verdict, VerdictRecord
from squire_pipelines.domain.container_limits import AppliedLimits
from squire_pipelines.domain.endings import MAX_UNCLAIMED, Cause, Ending, Evidence
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus
from squire_pipelines.domain.timings import Timings
from squire_pipelines.domain.verification import ReportedCheck, VerificationReport
from squire_pipelines.errors import LeaseLostError, NotFoundError, StateConflictError
from squire_pipelines.ledger import attempts, tasks
from squire_pipelines.ledger.attempts import Attempt, AttemptFacts, Settled
from squire_pipelines.ledger.model_calls import ModelCallRow, TokenUsage, record_model_call, usage_of_attempt
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import attempts as table
from squire_pipelines.ledger.transitions import change_attempt
from tests.support.ledgers import (
    RETRY,
    START,
    TRACE,
    Clock,
    add_task,
    claim,
    dispatch,
    rows_as_stored,
    rows_as_told_by_events,
    settle,
    start_attempt,
    token_of,
)

SHA = "c" * 40
DAY_S = 86_400.0
DONE = Ending(cause=Cause.COMPLETED, message="pull request #7")


def get(ledger: Ledger, attempt_id: str) -> Attempt:
    with ledger.read() as tx:
        return attempts.get(tx, attempt_id)


def task_status(ledger: Ledger, attempt: Attempt) -> TaskStatus:
    with ledger.read() as tx:
        return tasks.get(tx, attempt.task_id).status


def reap(ledger: Ledger, attempt_id: str) -> Settled | None:
    with ledger.write() as tx:
        return attempts.reap(tx, attempt_id, retry=RETRY, message="nobody holds it")


def stage(ledger: Ledger, attempt: Attempt, ending: Ending) -> None:
    with ledger.write() as tx:
        attempts.stage_ending(tx, attempt.id, token_of(attempt), ending)


def expired(ledger: Ledger) -> list[str]:
    with ledger.read() as tx:
        return [attempt.id for attempt in attempts.expired(tx)]


def test_an_attempt_that_does_not_exist_is_not_found(ledger: Ledger) -> None:
    with ledger.read() as tx, pytest.raises(NotFoundError, match="'t-none-1'"):
        attempts.get(tx, "t-none-1")


def test_a_claim_takes_a_queued_attempt_for_one_run(ledger: Ledger, clock: Clock) -> None:
    add_task(ledger)
    (queued,) = dispatch(ledger)
    clock.forward(2)
    claimed = claim(ledger, queued.id, run_id="run-a", lease_s=60)
    assert (claimed.status, claimed.run_id, claimed.claimed_at) == (AttemptStatus.RUNNING, "run-a", clock.now)
    assert claimed.lease_until is not None
    assert (claimed.lease_until - clock.now).total_seconds() == 60
    with pytest.raises(StateConflictError, match="is running in run run-a"):
        claim(ledger, queued.id, run_id="run-b")


def test_a_claim_after_the_deadline_takes_what_nobody_has_given_up(ledger: Ledger, clock: Clock) -> None:
    add_task(ledger)
    (queued,) = dispatch(ledger, deadline_s=120)
    clock.forward(121)
    assert expired(ledger) == [queued.id]
    assert claim(ledger, queued.id).status is AttemptStatus.RUNNING
    assert reap(ledger, queued.id) is None


def test_a_claim_of_what_was_given_up_is_refused(ledger: Ledger, clock: Clock) -> None:
    add_task(ledger)
    (queued,) = dispatch(ledger, deadline_s=120)
    clock.forward(121)
    assert reap(ledger, queued.id) is not None
    with pytest.raises(StateConflictError, match="is ended") as caught:
        claim(ledger, queued.id)
    assert "new attempt follows" in caught.value.hint


@pytest.mark.parametrize("publishing", [False, True])
def test_the_same_run_goes_on_with_a_new_token_and_fences_out_the_old_one(ledger: Ledger, *, publishing: bool) -> None:
    old = start_attempt(ledger, run_id="run-a")
    if publishing:
        with ledger.write() as tx:
            attempts.start_publishing(tx, old.id, token_of(old), head_sha=SHA)
    new = claim(ledger, old.id, run_id="run-a")
    assert new.lease_token != old.lease_token
    assert new.status is (AttemptStatus.PUBLISHING if publishing else AttemptStatus.RUNNING)
    writes: list[Callable[[Transaction], object]] = [
        lambda tx: attempts.note(tx, old.id, token_of(old), AttemptFacts(agent="x")),
        lambda tx: attempts.heartbeat(tx, old.id, token_of(old), lease_s=60),
        lambda tx: attempts.stage_ending(tx, old.id, token_of(old), DONE),
        lambda tx: attempts.start_publishing(tx, old.id, token_of(old), head_sha="d" * 40),
        lambda tx: attempts.settle(tx, old.id, token_of(old), DONE, retry=RETRY, actor="a"),
    ]
    for write in writes:
        with pytest.raises(LeaseLostError, match="is lost"), ledger.write() as tx:
            write(tx)
    assert get(ledger, old.id) == new
    settle(ledger, new, Cause.COMPLETED)


def test_an_old_token_is_fenced_out_though_an_ending_was_staged(ledger: Ledger) -> None:
    old = start_attempt(ledger)
    stage(ledger, old, DONE)
    claim(ledger, old.id)
    with pytest.raises(LeaseLostError):
        stage(ledger, old, DONE)


def test_an_ended_attempt_can_be_neither_claimed_nor_written(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    settle(ledger, attempt, Cause.COMPLETED)
    with pytest.raises(StateConflictError, match="is ended"):
        claim(ledger, attempt.id)
    with pytest.raises(LeaseLostError), ledger.write() as tx:
        attempts.note(tx, attempt.id, token_of(attempt), AttemptFacts(agent="x"))
    with pytest.raises(LeaseLostError):
        settle(ledger, attempt, Cause.COMPLETED)
    assert get(ledger, attempt.id).lease_token is None


def test_a_token_that_was_never_given_out_writes_nothing(ledger: Ledger) -> None:
    add_task(ledger)
    (queued,) = dispatch(ledger)
    with pytest.raises(LeaseLostError), ledger.write() as tx:
        attempts.note(tx, queued.id, "invented", AttemptFacts(agent="x"))


def test_a_heartbeat_prolongs_the_lease_and_hears_of_a_cancel(ledger: Ledger, clock: Clock) -> None:
    attempt = start_attempt(ledger, lease_s=60)

    def beat() -> bool:
        with ledger.write() as tx:
            return attempts.heartbeat(tx, attempt.id, token_of(attempt), lease_s=60)

    clock.forward(50)
    assert beat() is False
    clock.forward(50)
    assert expired(ledger) == []
    with ledger.write() as tx:
        tasks.cancel(tx, attempt.task_id, actor="ann")
    assert beat() is True


def test_facts_are_noted_by_the_holder(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    with ledger.write() as tx:
        attempts.note(tx, attempt.id, token_of(attempt), AttemptFacts(agent="opencode", sandboxed=True, pr_number=7))
        attempts.note(tx, attempt.id, token_of(attempt), AttemptFacts(sandboxed=False))
    row = get(ledger, attempt.id)
    assert (row.agent, row.sandboxed, row.pr_number) == ("opencode", False, 7)


def test_each_fact_is_read_as_it_was_noted(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    finding = Finding("size", "a.py", 3, "is large", Decision.NEEDS_APPROVAL)
    facts = AttemptFacts(
        limits=AppliedLimits(cpus=2, memory=2**30, tmp=2**20),
        timings=Timings(create_s=0.5, agent_s=12),
        evidence=Evidence(exit_code=0, log_tail=("done",), facts={"agent_version": "1.2"}),
        usage=TokenUsage(input_tokens=10, output_tokens=2, cost_usd=0.5),
        verification=VerificationReport(passed=True, checks=(ReportedCheck(name="tests", passed=True),)),
        verdict=Verdict.of([finding]).record(),
    )
    with ledger.write() as tx:
        attempts.note(tx, attempt.id, token_of(attempt), facts)
    row = get(ledger, attempt.id)
    assert (row.limits, row.timings, row.evidence) == (facts.limits, facts.timings, facts.evidence)
    assert (row.verification, row.verdict) == (facts.verification, facts.verdict)
    with ledger.read() as tx:
        stored = tx.execute(select(table).where(table.c.id == attempt.id)).one()
    assert (stored.input_tokens, stored.output_tokens, stored.cost_usd) == (10, 2, 0.5)
    assert stored.timings == {"create_s": 0.5, "agent_s": 12}
    assert stored.verdict["decision"] == "needs_approval"


@pytest.mark.parametrize("odd", [{}, [], "text", 7, {"decision": 9, "exit_code": "one", "checks": 1, "create_s": "x"}])
def test_a_row_that_another_version_wrote_can_be_read(ledger: Ledger, odd: object) -> None:
    attempt = start_attempt(ledger)
    names = ("evidence", "limits", "timings", "verdict", "verification")
    with ledger.write() as tx:
        tx.execute(update(table).values(dict.fromkeys(names, odd)))
    row = get(ledger, attempt.id)
    assert row.evidence in (None, Evidence())
    assert row.timings in (None, Timings())
    assert row.verdict in (None, VerdictRecord())
    assert settle(ledger, attempt, Cause.COMPLETED).task_status is TaskStatus.SUCCEEDED


@pytest.mark.parametrize("odd", [{}, "text", {"cause": "of_the_future", "message": "m"}])
def test_an_ending_that_another_version_staged_is_one_even_if_it_cannot_be_read(ledger: Ledger, odd: object) -> None:
    attempt = start_attempt(ledger)
    with ledger.write() as tx:
        tx.execute(update(table).values(staged_ending=odd))
    row = get(ledger, attempt.id)
    assert row.staged_ending is not None
    assert row.staged_ending.cause is Cause.INTERNAL_ERROR
    stage(ledger, attempt, DONE)
    assert get(ledger, attempt.id).staged_ending == row.staged_ending


def test_the_first_staged_ending_stays(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    first = Ending(cause=Cause.TIMEOUT, message="30 minutes", evidence=Evidence(exit_code=137, killed_by_us=True))
    stage(ledger, attempt, first)
    stage(ledger, attempt, DONE)
    assert get(ledger, attempt.id).staged_ending == first


def test_publishing_begins_when_the_bundle_is_stored_and_only_once(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    for sha in (SHA, "d" * 40):
        with ledger.write() as tx:
            attempts.start_publishing(tx, attempt.id, token_of(attempt), head_sha=sha)
    row = get(ledger, attempt.id)
    assert (row.status, row.head_sha) == (AttemptStatus.PUBLISHING, "d" * 40)
    with ledger.read() as tx:
        moves = [event.after for event in tasks.events(tx, attempt.task_id) if event.subject == "attempt"]
    assert moves == ["queued", "running", "publishing"]
    settle(ledger, attempt, Cause.COMPLETED)


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        (Cause.COMPLETED, TaskStatus.SUCCEEDED),
        (Cause.NO_CHANGES, TaskStatus.SUCCEEDED),
        (Cause.TIMEOUT, TaskStatus.FAILED),
        (Cause.CANCELLED, TaskStatus.CANCELLED),
        (Cause.LOST, TaskStatus.READY),
    ],
)
def test_settling_records_the_ending_and_moves_the_task(
    ledger: Ledger, clock: Clock, cause: Cause, status: TaskStatus
) -> None:
    attempt = start_attempt(ledger)
    clock.forward(10)
    evidence = Evidence(exit_code=1, log_tail=("last words",), timings_s={"agent": 9.5})
    with ledger.write() as tx:
        settled = attempts.settle(
            tx,
            attempt.id,
            token_of(attempt),
            Ending(cause=cause, message="so\x00 it was", evidence=evidence),
            retry=RETRY,
            actor="run:run-1",
        )
    row = get(ledger, attempt.id)
    with ledger.read() as tx:
        task = tasks.get(tx, attempt.task_id)
        transient = tx.execute(select(table.c.transient)).scalar_one()
    assert (row.status, row.cause, row.message) == (AttemptStatus.ENDED, cause, "so\ufffd it was")
    assert row.evidence == evidence
    assert row.ended_at == clock.now
    assert transient is cause.transient
    assert settled.task_status is task.status is status
    assert (task.cause, task.not_before) == (cause, settled.not_before)
    assert task.ended_at == (None if status is TaskStatus.READY else clock.now)
    assert (settled.not_before is not None) == (status is TaskStatus.READY)


def test_the_next_try_waits_ever_longer_within_the_rule(ledger: Ledger, clock: Clock) -> None:
    attempt = start_attempt(ledger, max_attempts=10)
    for number in range(1, 9):
        settled = settle(ledger, attempt, Cause.LOST)
        assert settled.not_before is not None
        ceiling = min(900, 30 * 2 ** (number - 1))
        assert ceiling / 2 <= (settled.not_before - clock.now).total_seconds() <= ceiling
        clock.now = settled.not_before
        attempt = claim(ledger, dispatch(ledger)[0].id)


def test_a_transient_ending_with_no_tries_left_is_a_failure(ledger: Ledger) -> None:
    attempt = start_attempt(ledger, max_attempts=1)
    assert settle(ledger, attempt, Cause.LOST) == Settled(TaskStatus.FAILED, None)


@pytest.mark.parametrize("max_attempts", [1, 3])
def test_a_transient_ending_of_what_should_be_cancelled_is_a_cancel(ledger: Ledger, max_attempts: int) -> None:
    attempt = start_attempt(ledger, max_attempts=max_attempts)
    with ledger.write() as tx:
        tasks.cancel(tx, attempt.task_id, actor="ann")
    assert settle(ledger, attempt, Cause.KILLED) == Settled(TaskStatus.CANCELLED, None)


@pytest.mark.parametrize(
    ("cause", "status"), [(Cause.COMPLETED, TaskStatus.SUCCEEDED), (Cause.TIMEOUT, TaskStatus.FAILED)]
)
def test_an_answer_or_a_failure_that_came_before_the_cancel_stands(
    ledger: Ledger, cause: Cause, status: TaskStatus
) -> None:
    attempt = start_attempt(ledger)
    with ledger.write() as tx:
        tasks.cancel(tx, attempt.task_id, actor="ann")
    assert settle(ledger, attempt, cause).task_status is status


def test_the_reaper_leaves_alone_what_is_held_or_may_still_be_claimed(ledger: Ledger, clock: Clock) -> None:
    attempt = start_attempt(ledger, lease_s=60)
    add_task(ledger)
    (queued,) = dispatch(ledger, deadline_s=60)
    clock.forward(60)
    assert expired(ledger) == []
    assert reap(ledger, attempt.id) is None
    assert reap(ledger, queued.id) is None


def test_the_reaper_ends_what_nobody_claimed(ledger: Ledger, clock: Clock) -> None:
    add_task(ledger)
    (queued,) = dispatch(ledger, deadline_s=60)
    clock.forward(61)
    assert expired(ledger) == [queued.id]
    settled = reap(ledger, queued.id)
    assert settled is not None
    assert settled.task_status is TaskStatus.READY
    row = get(ledger, queued.id)
    assert (row.cause, row.message) == (Cause.NOT_STARTED, "nobody holds it")
    assert reap(ledger, queued.id) is None
    assert expired(ledger) == []


def test_what_nobody_claimed_is_no_try_and_has_an_end(ledger: Ledger, clock: Clock) -> None:
    task_id = add_task(ledger, max_attempts=1)
    ends = []
    for _ in range(MAX_UNCLAIMED + 1):
        clock.forward(DAY_S)
        (queued,) = dispatch(ledger, deadline_s=60)
        clock.forward(61)
        settled = reap(ledger, queued.id)
        assert settled is not None
        ends.append(settled.task_status)
    assert ends == [TaskStatus.READY] * MAX_UNCLAIMED + [TaskStatus.FAILED]
    with ledger.read() as tx:
        assert tasks.get(tx, task_id).cause == Cause.NOT_STARTED


def test_tries_that_are_left_after_what_nobody_claimed_are_all_used(ledger: Ledger, clock: Clock) -> None:
    task_id = add_task(ledger, max_attempts=2)
    for _ in range(3):
        clock.forward(DAY_S)
        (queued,) = dispatch(ledger, deadline_s=60)
        clock.forward(61)
        reap(ledger, queued.id)
    ends = []
    for _ in range(2):
        clock.forward(DAY_S)
        (queued,) = dispatch(ledger)
        ends.append(settle(ledger, claim(ledger, queued.id), Cause.LOST).task_status)
    assert ends == [TaskStatus.READY, TaskStatus.FAILED]
    with ledger.read() as tx:
        assert tasks.get(tx, task_id).attempts == 5


@pytest.mark.parametrize("publishing", [False, True])
def test_the_reaper_ends_what_lost_its_lease_and_the_holder_learns_of_it(
    ledger: Ledger, clock: Clock, *, publishing: bool
) -> None:
    attempt = start_attempt(ledger, lease_s=60)
    if publishing:
        with ledger.write() as tx:
            attempts.start_publishing(tx, attempt.id, token_of(attempt), head_sha=SHA)
    clock.forward(61)
    assert reap(ledger, attempt.id) is not None
    assert get(ledger, attempt.id).cause == Cause.LOST
    with pytest.raises(LeaseLostError):
        settle(ledger, attempt, Cause.COMPLETED)
    with pytest.raises(StateConflictError):
        claim(ledger, attempt.id)


def test_what_was_held_again_meanwhile_is_not_reaped(ledger: Ledger, clock: Clock) -> None:
    attempt = start_attempt(ledger, lease_s=60)
    clock.forward(61)
    assert expired(ledger) == [attempt.id]
    claim(ledger, attempt.id, lease_s=60)
    assert reap(ledger, attempt.id) is None
    assert task_status(ledger, attempt) is TaskStatus.RUNNING


def test_an_ending_that_was_staged_before_the_process_died_is_kept(ledger: Ledger, clock: Clock) -> None:
    attempt = start_attempt(ledger)
    stage(ledger, attempt, Ending(cause=Cause.POLICY_REJECTED, message="touches .git"))
    clock.forward(61)
    settled = reap(ledger, attempt.id)
    assert settled is not None
    assert settled.task_status is TaskStatus.FAILED
    row = get(ledger, attempt.id)
    assert (row.cause, row.message) == (Cause.POLICY_REJECTED, "touches .git")


@pytest.mark.parametrize(("pr_number", "cause"), [(None, Cause.LOST), (7, Cause.COMPLETED)])
def test_a_staged_completion_counts_only_with_its_pull_request(
    ledger: Ledger, clock: Clock, pr_number: int | None, cause: Cause
) -> None:
    attempt = start_attempt(ledger)
    stage(ledger, attempt, DONE)
    if pr_number:
        with ledger.write() as tx:
            attempts.note(tx, attempt.id, token_of(attempt), AttemptFacts(pr_number=pr_number))
    clock.forward(61)
    reap(ledger, attempt.id)
    assert get(ledger, attempt.id).cause == cause


def test_reaping_what_does_not_exist_is_an_error(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError):
        reap(ledger, "t-none-1")


def test_ended_ids_are_those_of_our_own_attempts_that_have_ended(ledger: Ledger) -> None:
    ended = start_attempt(ledger)
    settle(ledger, ended, Cause.COMPLETED)
    attempt = start_attempt(ledger)
    with ledger.read() as tx:
        assert attempts.ended_ids(tx, (ended.id, attempt.id, "t-another-1")) == {ended.id}
        assert attempts.ended_ids(tx, ()) == frozenset()


@pytest.mark.slow
def test_tokens_add_up_over_an_attempts_model_calls(ledger: Ledger) -> None:
    with ledger.write() as tx:
        for attempt_id, tokens, cost in (("t-1", 10, 0.5), ("t-1", 5, None), ("t-2", 100, 1.0)):
            record_model_call(
                tx,
                ModelCallRow(
                    purpose="agent",
                    model="m",
                    ok=True,
                    input_tokens=tokens,
                    output_tokens=1,
                    latency_s=0.1,
                    trace_id=TRACE,
                    attempt_id=attempt_id,
                    cost_usd=cost,
                ),
            )
    with ledger.read() as tx:
        assert usage_of_attempt(tx, "t-1") == TokenUsage(input_tokens=15, output_tokens=2, cost_usd=0.5)
        assert usage_of_attempt(tx, "t-none") == TokenUsage(None, None, None)


def test_the_database_itself_refuses_a_second_open_attempt_of_a_task(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    second = {
        "id": f"{attempt.task_id}-2",
        "task_id": attempt.task_id,
        "number": 2,
        "repository": attempt.repository,
        "status": AttemptStatus.QUEUED,
        "trace_id": TRACE,
        "claim_until": START,
        "queued_at": START,
    }
    with pytest.raises(IntegrityError), ledger.write() as tx:
        tx.execute(insert(table).values(**second))


@pytest.mark.parametrize("values", [{"status": "resting"}, {"status": "ended"}, {"cause": "lost"}])
def test_the_database_itself_refuses_states_that_do_not_exist(ledger: Ledger, values: dict[str, str]) -> None:
    attempt = start_attempt(ledger)
    with pytest.raises(IntegrityError), ledger.write() as tx:
        tx.execute(table.update().where(table.c.id == attempt.id).values(**values))


def test_the_staleness_of_what_one_knows_is_seen_when_the_attempt_is_changed(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    with pytest.raises(StateConflictError, match="is not queued"), ledger.write() as tx:
        change_attempt(tx, attempt, AttemptStatus.QUEUED, AttemptStatus.RUNNING, actor="late", reason="")


def test_events_rebuild_the_states_of_tasks_and_attempts(ledger: Ledger, clock: Clock) -> None:
    for cause in (Cause.COMPLETED, Cause.LOST, Cause.TIMEOUT, Cause.CANCELLED):
        attempt = start_attempt(ledger)
        if cause is not Cause.LOST:
            with ledger.write() as tx:
                attempts.start_publishing(tx, attempt.id, token_of(attempt), head_sha=SHA)
        settle(ledger, attempt, cause)
    clock.forward(1000)
    dispatch(ledger)
    assert rows_as_told_by_events(ledger) == rows_as_stored(ledger)
    assert len(rows_as_stored(ledger)[1]) == 5


def test_a_queued_attempt_whose_run_is_over_is_reaped_at_once_and_a_claimed_one_is_not(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    add_task(ledger)
    (queued,) = dispatch(ledger)
    with ledger.write() as tx:
        assert attempts.reap(tx, attempt.id, retry=RETRY, message="over", run_is_over=True) is None
        assert attempts.reap(tx, queued.id, retry=RETRY, message="over", run_is_over=True) is not None
    assert get(ledger, attempt.id).status is AttemptStatus.RUNNING
    ended = get(ledger, queued.id)
    assert (ended.status, ended.cause, ended.message) == (AttemptStatus.ENDED, Cause.NOT_STARTED, "over")
    assert task_status(ledger, ended) is TaskStatus.READY
