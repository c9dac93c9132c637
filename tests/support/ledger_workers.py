"""What child processes do to a ledger in the tests of many processes. Plain functions, so that they can be sent."""

from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

from squire_pipelines.domain.budgets import Amount, BudgetLimits, Purpose
from squire_pipelines.errors import LeaseLostError, StateConflictError
from squire_pipelines.ledger import attempts, budgets, bulk, task_dispatch, tasks
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.audit_sealing import seal
from squire_pipelines.ledger.store import Ledger, Transaction, open_ledger
from tests.support.deliveries import record_delivery
from tests.support.ledgers import REPOSITORY, decide

WAIT_S = 60
CHANGES = 50
TURNS = 20


def open_together(url: str, barrier: Barrier, answers: Connection) -> None:
    """Open a ledger that is not there yet, at the same time as others do."""
    barrier.wait(WAIT_S)
    ledger = open_ledger(url)
    answers.send(ledger.revision())
    ledger.close()


def cancel_and_retry(url: str, barrier: Barrier, tasks_of: tuple[str, str], answers: Connection) -> None:
    """Make changes to a task of one's own, and try as many to one that all share; answer how many of those."""
    task_id, shared_id = tasks_of
    ledger = Ledger(url)
    barrier.wait(WAIT_S)
    shared = 0
    for number in range(CHANGES):
        with ledger.write() as tx:
            _flip(tx, task_id=task_id, back=bool(number % 2))
        try:
            with ledger.write() as tx:
                _flip(tx, task_id=shared_id, back=bool(number % 2))
            shared += 1
        except StateConflictError:
            pass  # another was faster, as it may
    answers.send(shared)
    ledger.close()


def _flip(tx: Transaction, *, task_id: str, back: bool) -> None:
    if back:
        decide(tx, task_id, bulk.retry(1), actor="worker")
    else:
        tasks.cancel(tx, task_id, actor="worker")


def claim_all(url: str, barrier: Barrier, run_id: str, attempt_ids: Sequence[str], answers: Connection) -> None:
    """Try to claim every one of the attempts; answer which one got."""
    ledger = Ledger(url)
    barrier.wait(WAIT_S)
    claimed: list[str] = []
    for attempt_id in attempt_ids:
        try:
            with ledger.write() as tx:
                attempts.claim(tx, attempt_id, run_id=run_id, lease_s=60)
        except (StateConflictError, LeaseLostError):
            continue
        claimed.append(attempt_id)
    answers.send(claimed)
    ledger.close()


def dispatch_often(url: str, barrier: Barrier, times: int, limit: int, answers: Connection) -> None:
    """Dispatch `times` times; answer which attempts one started."""
    ledger = Ledger(url)
    barrier.wait(WAIT_S)
    started: list[str] = []
    for _ in range(times):
        with ledger.write() as tx:
            dispatched = task_dispatch.dispatch(
                tx, max_concurrent=limit, max_per_repository=limit, claim_deadline_s=600
            )
        started += [attempt.id for attempt in dispatched]
    answers.send(started)
    ledger.close()


def acknowledge(url: str, name: str, task_id: str, answers: Connection) -> None:
    """Commit changes for ever, and acknowledge each after its commit, until one is killed."""
    ledger = Ledger(url)
    number = 0
    while True:
        delivery_id = f"{name}-{number}"
        record_delivery(
            ledger,
            source="github",
            delivery_id=delivery_id,
            event="push",
            action=None,
            repository=REPOSITORY,
            body=delivery_id.encode() * 50,
        )
        answers.send(delivery_id)
        with ledger.write() as tx:
            _flip(tx, task_id=task_id, back=bool(tasks.get(tx, task_id).status.is_final))
            event = tasks.last_event_id(tx)
        answers.send(event)
        number += 1


def reserve_and_spend(url: str, barrier: Barrier, number: int, limits_json: str, answers: Connection) -> None:
    """Reserve for attempts until the budgets have no room, spend a part of it, settle some; how many got through."""
    ledger = Ledger(url)
    limits = BudgetLimits.model_validate_json(limits_json)
    got = 0
    barrier.wait(WAIT_S)
    for turn in range(TURNS):
        name = f"plan:{number}-{turn}"
        with ledger.write() as tx:
            short = budgets.reserve(tx, name, Purpose.PLAN, limits, repository=f"acme/r{number % 4}", trace_id="0" * 32)
        if short is not None:
            continue
        got += 1
        cap = limits.cap(Purpose.PLAN)
        spent = Amount((cap.usd or 0) * (turn % 2), (cap.tokens or 0) * (turn % 2))
        with ledger.write() as tx:
            budgets.checkpoint(tx, name, spent, 1)
        if turn % 3:
            with ledger.write() as tx:
                budgets.settle_plan(tx, name, spent, 1)
    answers.send(got)
    ledger.close()


def write_and_seal(url: str, barrier: Barrier, number: int, answers: Connection) -> None:
    """Write rows of the audit trail and seal whatever is there in between; answer how many rows one sealed."""
    ledger = Ledger(url)
    barrier.wait(WAIT_S)
    sealed = 0
    for turn in range(CHANGES // 2):
        with ledger.write() as tx:
            record_audit(tx, actor=f"w{number}", action="a.done", subject=str(turn), trace_id=None)
        if turn % 3 == 0:
            sealed += seal(ledger)
    answers.send(sealed)
    ledger.close()


def seal_until_killed(url: str, name: str, answers: Connection) -> None:
    """Write and seal until one is killed, and tell of each turn."""
    ledger = Ledger(url)
    while True:
        with ledger.write() as tx:
            record_audit(tx, actor=name, action="a.done", subject="s", trace_id=None)
        seal(ledger)
        answers.send(1)
