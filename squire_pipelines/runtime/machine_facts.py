"""Which processes of Squire there are on which machines, for `squire status`, the board and doctor."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from squire_pipelines.domain.server_processes import (
    REMEMBERED,
    ServerKind,
    ServerProcess,
    ServerRole,
    secret_differences,
)
from squire_pipelines.domain.worker_rules import WorkerState
from squire_pipelines.ledger import server_processes, workers
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.workers import Worker

_STATES = {
    ServerRole.SERVING: "live",
    ServerRole.ACTIVE: "active",
    ServerRole.WAITING: "waiting",
}
_GONE = "gone"
_WELL = frozenset({WorkerState.LIVE, WorkerState.DRAINING})
_OWN_QUEUE = "worker."


@dataclass(frozen=True, slots=True)
class MachineProcess:
    """A process on one of several machines.

    Args:
        kind: `steward`, `worker`, `receiver` or `board`.
        name: A worker's name, or the machine and the home of another process.
        state: What it does: `active` or `waiting` of stewards, a worker's own state, else `live`; or `gone`.
        about: What more there is to say: a worker's runs and queues, or what is wrong.
        version: Of Squire.
        seen_at: When it said last that it lives.
        is_wrong: Whether somebody has to look after it.
    """

    kind: str
    name: str
    state: str
    about: str
    version: str
    seen_at: datetime
    is_wrong: bool


def read_machines(tx: Transaction, *, lost_after_s: float) -> tuple[MachineProcess, ...]:
    """Return the processes that live, and those that vanished within a day; none where one machine has the ledger.

    Args:
        tx: Of the ledger.
        lost_after_s: After how many seconds a worker counts as lost.
    """
    known = only_newest_active(server_processes.read_all(tx))
    differences: dict[str, list[str]] = {}
    for one in secret_differences(known):
        differences.setdefault(one.process.id, []).append(one.text)
    servers = {kind: [_of_server(one, differences) for one in known if one.kind is kind] for kind in ServerKind}
    worker_rows = workers.read_all(tx, lost_after_s=lost_after_s)
    shown = [one for one in worker_rows if _is_shown(one, tx.now)]
    return (
        *servers[ServerKind.STEWARD],
        *map(_of_worker, shown),
        *servers[ServerKind.RECEIVER],
        *servers[ServerKind.BOARD],
    )


def only_newest_active(processes: Sequence[ServerProcess]) -> tuple[ServerProcess, ...]:
    """Return processes of which one steward at most is active: another was so before, and was killed or cut off."""
    active = [one for one in processes if one.role is ServerRole.ACTIVE]
    newest = max(active, key=lambda one: one.seen_at, default=None)
    return tuple(replace(one, is_gone=True) if one in active and one is not newest else one for one in processes)


def _is_shown(worker: Worker, now: datetime) -> bool:
    return worker.state is not WorkerState.ENDED and now - worker.seen_at < REMEMBERED


def _of_worker(worker: Worker) -> MachineProcess:
    queues = ", ".join(queue for queue in worker.queues if not queue.startswith(_OWN_QUEUE))
    about = f"{worker.running} of {worker.slots} slots, {queues}"
    if worker.refusal:
        about = f"{about}: {worker.refusal}"
    is_wrong = worker.state not in _WELL
    return MachineProcess("worker", worker.name, worker.state, about, worker.version, worker.seen_at, is_wrong)


def _of_server(process: ServerProcess, differences: dict[str, list[str]]) -> MachineProcess:
    state = _GONE if process.is_gone else _STATES[process.role]
    about = "; ".join(filter(None, (process.problem or "", *differences.get(process.id, ()))))
    is_wrong = process.is_gone or bool(about)
    return MachineProcess(process.kind, process.place, state, about, process.version, process.seen_at, is_wrong)
