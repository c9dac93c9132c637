"""Attempts that change hands: adopted after their holder died, or refused before anybody held them."""

import pytest

from squire_pipelines.domain.endings import Cause, Ending
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus
from squire_pipelines.errors import LeaseLostError, StateConflictError
from squire_pipelines.ledger import adoption, attempts, tasks
from squire_pipelines.ledger.attempts import Attempt, RetryRule
from squire_pipelines.ledger.integrity import history_problems
from squire_pipelines.ledger.store import Ledger
from tests.support.ledgers import RETRY, Clock, add_task, claim, dispatch, settle, start_attempt, token_of

REFUSED = Ending(cause=Cause.NOT_STARTABLE, message="too much")


def adopt(ledger: Ledger, attempt: Attempt, run_id: str = "run-2") -> Attempt:
    with ledger.write() as tx:
        return adoption.adopt(tx, attempt.id, run_id=run_id, lease_s=60)


def test_an_attempt_whose_lease_ran_out_is_adopted_and_its_first_holder_can_write_no_more(
    ledger: Ledger, clock: Clock
) -> None:
    first = start_attempt(ledger)
    clock.forward(61)
    second = adopt(ledger, first)
    assert (second.run_id, second.status) == ("run-2", AttemptStatus.RUNNING)
    assert second.lease_token != first.lease_token
    with pytest.raises(LeaseLostError), ledger.write() as tx:
        attempts.heartbeat(tx, first.id, token_of(first), lease_s=60)
    with ledger.read() as tx:
        assert adoption.adoptions(tx, first.id) == 1
        assert attempts.expired(tx) == ()
        assert tasks.events(tx, first.task_id)[-1].reason == "adopted"
        assert list(history_problems(tx)) == []
    assert settle(ledger, second, Cause.AGENT_ERROR).task_status is TaskStatus.FAILED


def test_an_attempt_that_is_held_has_ended_or_waits_is_not_adopted(ledger: Ledger, clock: Clock) -> None:
    leased = start_attempt(ledger)
    with pytest.raises(StateConflictError, match="cannot be adopted: it is running in run run-1"):
        adopt(ledger, leased)
    settle(ledger, leased, Cause.AGENT_ERROR)
    clock.forward(61)
    with pytest.raises(StateConflictError):
        adopt(ledger, leased)
    add_task(ledger)
    (waiting,) = dispatch(ledger)
    clock.forward(600)
    with pytest.raises(StateConflictError):
        adopt(ledger, waiting)


def test_an_attempt_is_not_adopted_for_ever(ledger: Ledger, clock: Clock) -> None:
    attempt = start_attempt(ledger)
    for number in range(adoption.MAX_ADOPTIONS):
        clock.forward(61)
        adopt(ledger, attempt, f"run-{number}")
    clock.forward(61)
    with pytest.raises(StateConflictError):
        adopt(ledger, attempt)


def test_an_attempt_is_refused_only_while_nobody_has_claimed_it(ledger: Ledger) -> None:
    add_task(ledger)
    (waiting,) = dispatch(ledger)
    with ledger.write() as tx:
        refused = adoption.refuse(tx, waiting.id, REFUSED, retry=RETRY, actor="run:x")
    assert refused is not None
    assert refused.task_status is TaskStatus.FAILED
    with ledger.read() as tx:
        ended = attempts.get(tx, waiting.id)
    assert (ended.status, ended.cause, ended.claimed_at) == (AttemptStatus.ENDED, "not_startable", None)
    add_task(ledger)
    taken = claim(ledger, dispatch(ledger)[-1].id)
    with ledger.write() as tx:
        assert adoption.refuse(tx, taken.id, REFUSED, retry=RETRY, actor="run:x") is None


def test_it_is_told_when_attempts_ended(ledger: Ledger, clock: Clock) -> None:
    ended, open_one = start_attempt(ledger), start_attempt(ledger)
    settle(ledger, ended, Cause.AGENT_ERROR)
    with ledger.read() as tx:
        assert adoption.ended_at(tx, [ended.id, open_one.id, "none"]) == {ended.id: clock.now, open_one.id: None}


def _end(
    ledger: Ledger, attempt: Attempt, cause: Cause, *, again: bool = False, more_memory: bool = False
) -> TaskStatus:
    with ledger.write() as tx:
        return attempts.settle(
            tx,
            attempt.id,
            token_of(attempt),
            Ending(cause=cause, message="so"),
            retry=RetryRule(30, 900, more_memory),
            actor="run:x",
            again=again,
        ).task_status


def _next(ledger: Ledger, clock: Clock) -> Attempt:
    clock.forward(3600)
    return claim(ledger, dispatch(ledger)[-1].id)


def test_out_of_memory_is_tried_once_more_where_there_is_more_and_linked_to_the_first(
    ledger: Ledger, clock: Clock
) -> None:
    first = start_attempt(ledger)
    assert _end(ledger, first, Cause.OUT_OF_MEMORY, more_memory=True) is TaskStatus.READY
    second = _next(ledger, clock)
    assert second.previous_id == first.id
    assert second.not_before is not None
    assert _end(ledger, second, Cause.OUT_OF_MEMORY, more_memory=True) is TaskStatus.FAILED


def test_out_of_memory_is_final_where_there_is_no_more(ledger: Ledger) -> None:
    assert _end(ledger, start_attempt(ledger), Cause.OUT_OF_MEMORY) is TaskStatus.FAILED


def test_a_host_that_shuts_down_cancels_the_attempt_and_not_the_task(ledger: Ledger, clock: Clock) -> None:
    attempt = start_attempt(ledger, max_attempts=2)
    assert _end(ledger, attempt, Cause.CANCELLED, again=True) is TaskStatus.READY
    assert _end(ledger, _next(ledger, clock), Cause.CANCELLED, again=True) is TaskStatus.CANCELLED


def test_a_task_that_somebody_cancelled_gets_no_other_attempt(ledger: Ledger) -> None:
    attempt = start_attempt(ledger)
    with ledger.write() as tx:
        tasks.cancel(tx, attempt.task_id, actor="ann")
    assert _end(ledger, attempt, Cause.CANCELLED, again=True) is TaskStatus.CANCELLED
