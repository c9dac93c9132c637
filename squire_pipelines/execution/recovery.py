"""Attempts whose run died, and what such runs leave behind: containers, sockets, folders, reservations.

Finding them changes nothing, so that a sensor may do it; settling and removing are for an op.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import docker

from squire_pipelines.agents import reap, retention, step_containers
from squire_pipelines.agents.attempt_files import BUNDLE_FILE
from squire_pipelines.agents.reap import ContainerInfo
from squire_pipelines.domain.debugging import MAX_KEPT_CONTAINERS
from squire_pipelines.domain.launching import (
    LaunchStage,
    LaunchState,
    ProcessorLoad,
    claim_deadline_s,
    handover_s,
    longest_lease_s,
    may_give_up,
    why_not_started,
)
from squire_pipelines.domain.tasks import AttemptStatus
from squire_pipelines.errors import EngineError, SquireError
from squire_pipelines.execution import gateway_cleanup
from squire_pipelines.execution.ending import retry_rule
from squire_pipelines.execution.gateway_session import remove_socket
from squire_pipelines.execution.lease_clock import LeaseClock
from squire_pipelines.execution.usage_recorder import recover_calls
from squire_pipelines.file_store.attempt_copies import AttemptCopy
from squire_pipelines.ledger import adoption, attempts, budgets, launches, workers
from squire_pipelines.ledger.attempts import Attempt, Settled
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.metrics import counting as metrics
from squire_pipelines.metrics import families
from squire_pipelines.observability.debugging import is_anything_debugged
from squire_pipelines.observability.logging import Component, bound_context, get_logger
from squire_pipelines.observability.processor_load import read_load
from squire_pipelines.observability.run_log import RunLog
from squire_pipelines.settings.model import Settings

# How long a planning may take beyond its model's own time limits before its reservation is released.
_PLAN_GRACE_S = 600.0
_log = get_logger(Component.PIPELINE)
_RUN_DIED = "its run stopped without a word"


@dataclass(frozen=True, slots=True)
class AbandonedAttempt:
    """An attempt that no run works on any more.

    Args:
        attempt: Its row.
        reason: Why it is abandoned.
        can_be_adopted: Whether another run can go on with what is there.
        run_is_over: Whether its run has ended without claiming it.
        worker: The worker that alone can go on, since its engine has the container; None where any can.
    """

    attempt: Attempt
    reason: str
    can_be_adopted: bool = False
    run_is_over: bool = False
    worker: str | None = None


def agent_containers(clients: Sequence[docker.DockerClient], log: RunLog) -> dict[str, ContainerInfo]:
    """Return the agents' containers by their attempt's id. An engine that does not answer is logged and left out."""
    containers: dict[str, ContainerInfo] = {}
    for client in clients:
        try:
            containers |= {container.attempt_id: container for container in reap.list_containers(client)}
        except SquireError as error:
            log.warning("the engine's containers could not be listed: %s", error)
    return containers


def find_abandoned(
    ledger: Ledger,
    settings: Settings,
    containers: Mapping[str, ContainerInfo],
    look_at_run: Callable[[str], LaunchState],
    *,
    load: ProcessorLoad | None = None,
    clock: LeaseClock | None = None,
) -> tuple[AbandonedAttempt, ...]:
    """Return the attempts that no run works on any more.

    While the ledger's clock was set a short time ago, only those are returned whose run is over: of the others nobody
    can say it before a beat should have come.

    Args:
        ledger: The system of record.
        settings: Say how long a run may take to start.
        containers: The agents' containers by attempt.
        look_at_run: Returns how far an attempt's run has come, by the attempt's id.
        load: How busy the machine is; measured when not given.
        clock: Notices that the ledger's clock was set; without one it never is.
    """
    load, limits = load or read_load(), settings.dispatch
    most_s = limits.max_claim_deadline_s
    with ledger.read() as tx:
        now = tx.now
        is_steady = clock is None or clock.is_steady(now, handover_s(limits.lease_s, load))
        expired = attempts.expired(tx, longest_lease_s=_longest_lease_s(settings))
        queued = attempts.queued(tx)
        adoptions = {attempt.id: adoption.adoptions(tx, attempt.id) for attempt in expired}
        elsewhere = _containers_of_workers(tx, settings)
        # As launching is now: the machine may have become busy after the dispatch.
        deadline_s = claim_deadline_s(
            launches.recent_launches_s(tx), load, least_s=limits.claim_deadline_s, most_s=most_s
        )
    abandoned = [
        AbandonedAttempt(
            attempt,
            _RUN_DIED if attempt.worker is None else f"{_RUN_DIED} on the worker {attempt.worker}",
            can_be_adopted=_may_be_adopted(attempt, adoptions[attempt.id], now - timedelta(seconds=deadline_s))
            and (attempt.id in elsewhere or _is_work_there(attempt, containers, settings)),
            worker=elsewhere.get(attempt.id),
        )
        for attempt in expired
        if attempt.status is not AttemptStatus.QUEUED and is_steady
    ]
    # A run key launches one run: when that is over, no other will ever claim the attempt.
    for attempt in (*queued, *(attempt for attempt in expired if attempt.status is AttemptStatus.QUEUED)):
        state, waited_s = look_at_run(attempt.id), (now - attempt.queued_at).total_seconds()
        is_over = state.stage is LaunchStage.OVER
        if is_over or (is_steady and may_give_up(state.stage, waited_s, deadline_s=deadline_s, most_s=most_s)):
            reason = why_not_started(state, waited_s, load)
            abandoned.append(AbandonedAttempt(attempt, reason, run_is_over=is_over))
    return tuple(abandoned)


def _longest_lease_s(settings: Settings) -> float:
    return longest_lease_s(settings.dispatch.lease_s)


def _containers_of_workers(tx: Transaction, settings: Settings) -> dict[str, str]:
    """Return which attempts' containers run on the engine of which worker: this machine sees its own engine alone."""
    if not settings.is_shared:
        return {}
    known = workers.open_workers(workers.read_all(tx, lost_after_s=settings.workers.lost_after_s))
    return {attempt_id: worker.name for worker in known for attempt_id in worker.can_adopt}


def _may_be_adopted(attempt: Attempt, adoptions: int, since: datetime) -> bool:
    """Return whether another run can claim it, and its lease ran out no earlier than `since`.

    So an adopting run has as long to start as any other.
    """
    if attempt.lease_until is None or attempt.staged_ending is not None or adoptions >= adoption.MAX_ADOPTIONS:
        return False
    return attempt.lease_until >= since  # one in the far future is from before the clock was set back


def _is_work_there(attempt: Attempt, containers: Mapping[str, ContainerInfo], settings: Settings) -> bool:
    if attempt.status is AttemptStatus.PUBLISHING:
        try:
            return AttemptCopy(settings, attempt.id, quick=True).has_kept(BUNDLE_FILE)
        except SquireError as error:  # the next attempt takes the work when the store answers again
            _log.warning("files.not_known", attempt=attempt.id, reason=error.message)
            return False
    container = containers.get(attempt.id)
    has_started = container is not None and container.started_at is not None
    return attempt.status is AttemptStatus.RUNNING and has_started


def settle_lost(
    ledger: Ledger,
    settings: Settings,
    abandoned: AbandonedAttempt,
    clients: Sequence[docker.DockerClient],
    log: RunLog,
) -> Settled | None:
    """End an attempt that cannot be adopted, after the model calls that only its call log knows were recorded.

    It is `lost`, or `not_started` where no run had claimed it.

    Returns:
        What follows for its task; None when the attempt was claimed or settled meanwhile.
    """
    attempt = abandoned.attempt
    with bound_context(trace_id=attempt.trace_id, attempt_id=attempt.id, repository=attempt.repository):
        return _settle_lost(ledger, settings, abandoned, clients, log)


def _settle_lost(
    ledger: Ledger,
    settings: Settings,
    abandoned: AbandonedAttempt,
    clients: Sequence[docker.DockerClient],
    log: RunLog,
) -> Settled | None:
    attempt = abandoned.attempt
    try:
        gateway_cleanup.bring_logs(settings, attempt.id, clients)
    except (EngineError, OSError) as error:
        # The container stays until its log was copied; the attempt is then settled again with those calls.
        log.warning("the call log of %s is still in its gateway's container: %s", attempt.id, error)
    try:
        recover_calls(ledger, settings, attempt)
    except OSError as error:
        log.warning("the call log of %s cannot be read, and its last calls are not counted: %s", attempt.id, error)
    with ledger.write() as tx:
        settled = attempts.reap(
            tx,
            attempt.id,
            retry=retry_rule(settings, attempt.repository),
            message=abandoned.reason,
            run_is_over=abandoned.run_is_over,
            longest_lease_s=_longest_lease_s(settings),
        )
    if settled is not None:
        remove_socket(settings, attempt.id)
        log.warning("attempt %s is given up (%s); its task is %s", attempt.id, abandoned.reason, settled.task_status)
    return settled


def count_leftovers(ledger: Ledger, settings: Settings, clients: Sequence[docker.DockerClient], log: RunLog) -> int:
    """Return how many containers belong to nobody any more. An engine that does not answer is logged and left out."""
    count = 0
    for client in clients:
        try:
            count += len(_orphans(ledger, settings, client))
            count += len(gateway_cleanup.leftover_attempts(ledger, client))
            count += len(step_containers.ended(client, settings.home.state))
        except SquireError as error:
            log.warning("the engine's containers could not be listed: %s", error)
    return count


def remove_leftovers(ledger: Ledger, settings: Settings, clients: Sequence[docker.DockerClient], log: RunLog) -> int:
    """Remove the containers that belong to nobody any more; return how many. What fails is logged and tried later."""
    removed = 0
    for client in clients:
        try:
            removed += _remove_orphans(ledger, settings, client)
            removed += gateway_cleanup.remove_leftovers(ledger, settings, client)
            removed += step_containers.remove_ended(client, settings.home.state)
        except (SquireError, OSError) as error:
            log.warning("containers could not be removed: %s", error)
    return removed


def _remove_orphans(ledger: Ledger, settings: Settings, client: docker.DockerClient) -> int:
    names = [name for name in _orphans(ledger, settings, client) if reap.remove(client, name)]
    if names:
        metrics.count(families.CONTAINERS_ORPHANED, amount=len(names))
        with ledger.write() as tx:
            for name in names:
                record_audit(tx, actor="recovery", action="container.stopped", subject=name, trace_id=None)
    return len(names)


def _orphans(ledger: Ledger, settings: Settings, client: docker.DockerClient) -> list[str]:
    agents = reap.list_containers(client)
    now = datetime.now(UTC)  # the engine's times are of this machine's clock, or near it
    with ledger.read() as tx:
        # An attempt that this ledger does not know is another Squire's on the same engine, and not ours to judge.
        ended = attempts.ended_ids(tx, [container.attempt_id for container in agents])
    own = [container for container in agents if container.attempt_id in ended]
    # What is kept while something is debugged goes with the end of that, however it came.
    debugged = MAX_KEPT_CONTAINERS if is_anything_debugged(settings.home, now) else 0
    too_many = reap.beyond_bound(own, debugged=debugged, failed=MAX_KEPT_CONTAINERS)
    return [container.name for container in own if container.name in too_many or not container.is_kept(now)]


def release_reservations(ledger: Ledger, settings: Settings, clock: LeaseClock) -> int:
    """Release the reservations that nobody will settle; return how many. None after the ledger's clock was set."""
    plan_s = 2 * settings.planner.timeout_s + _PLAN_GRACE_S
    with ledger.write() as tx:
        return budgets.release_orphans(tx, plan_s=plan_s) if clock.is_steady(tx.now, plan_s) else 0


def remove_old_folders(ledger: Ledger, settings: Settings) -> int:
    """Remove the folders of attempts that ended longer ago than the settings keep logs; return how many."""
    with ledger.read() as tx:
        return retention.sweep(
            settings.home.attempts,
            lambda ids: adoption.ended_at(tx, ids),
            keep=timedelta(days=settings.agent.log_retention_days),
            now=tx.now,
        )
