"""What the audit trail costs the transitions of a task: whole attempts with it and without it, by turns."""

import statistics
import time

from squire_pipelines.domain.change import Decision, VerdictRecord
from squire_pipelines.domain.endings import Cause, Ending
from squire_pipelines.ledger import attempts, task_dispatch
from squire_pipelines.ledger.attempts import Attempt, AttemptFacts
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.audit_sealing import seal
from squire_pipelines.ledger.store import Ledger, Transaction
from tests.support.ledgers import RETRY, add_tasks, spec

SHA = "a" * 40


def audit_share(url: str, pairs: int) -> tuple[float, float, float]:
    """Return what the trail adds as a share of an attempt, the seconds of one without it, and those of one with it.

    Each pair is an attempt with the rows that a run records (an agent's start and end, the policy's verdict), and one
    without. What sealing the rows takes is part of the cost.
    """
    ledger = Ledger(url)
    add_tasks(ledger, *(spec(f"k{number}") for number in range(2 * pairs)))
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(2 * pairs):
        audited = number % 4 in {0, 3}  # the first and the second of a pair by turns
        began = time.perf_counter()
        _attempt(ledger, audited=audited)
        times[audited].append(time.perf_counter() - began)
    began = time.perf_counter()
    sealed = seal(ledger)
    sealing = (time.perf_counter() - began) / pairs
    ledger.close()
    if sealed != 3 * pairs:
        raise RuntimeError(f"{sealed} rows were sealed, not {3 * pairs}")
    without = statistics.median(times[False])
    # Within pairs, since a busy machine is slower at one time than at another.
    added = statistics.median(one - other for one, other in zip(times[True], times[False], strict=True)) + sealing
    return added / without, without, without + added


def _attempt(ledger: Ledger, *, audited: bool) -> None:
    """Take one task from ready to its end, with the transactions of a run."""
    with ledger.write() as tx:
        (attempt,) = task_dispatch.dispatch(tx, max_concurrent=1, max_per_repository=1, claim_deadline_s=600)
    with ledger.write() as tx:
        claimed = attempts.claim(tx, attempt.id, run_id="run", lease_s=60)
    token = claimed.lease_token or ""
    with ledger.write() as tx:
        attempts.note(tx, attempt.id, token, AttemptFacts(base_sha=SHA, agent="opencode"))
    with ledger.write() as tx:
        attempts.note(tx, attempt.id, token, AttemptFacts(runner="docker", sandboxed=True))
        _audit(tx, claimed, "container.started", audited=audited)
    with ledger.write() as tx:
        attempts.heartbeat(tx, attempt.id, token, lease_s=60)
    with ledger.write() as tx:
        attempts.note(tx, attempt.id, token, AttemptFacts(image="sha256:0"))
        _audit(tx, claimed, "container.stopped", audited=audited)
        attempts.start_publishing(tx, attempt.id, token, head_sha=SHA)
    with ledger.write() as tx:
        attempts.note(tx, attempt.id, token, AttemptFacts(verdict=VerdictRecord(decision=Decision.ALLOW)))
        _audit(tx, claimed, "policy.judged", audited=audited)
    with ledger.write() as tx:
        ending = Ending(cause=Cause.COMPLETED, message="done")
        attempts.settle(tx, attempt.id, token, ending, retry=RETRY, actor="run")


def _audit(tx: Transaction, attempt: Attempt, action: str, *, audited: bool) -> None:
    if audited:
        detail = {"repository": attempt.repository, "purpose": "agent", "runner": "docker"}
        record_audit(tx, actor="run", action=action, subject=attempt.id, trace_id=attempt.trace_id, detail=detail)
