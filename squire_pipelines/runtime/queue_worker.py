"""The process of a worker: it takes runs from the queue, forks a process for each, and drains when it is to end."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from types import FrameType

from squire_pipelines import __version__
from squire_pipelines.domain.worker_rules import WORKER_VARIABLE, WorkKind, served_queues
from squire_pipelines.errors import StateConflictError
from squire_pipelines.execution.door_registry import door_router
from squire_pipelines.execution.worker_upkeep import EngineUpkeep
from squire_pipelines.files import lock
from squire_pipelines.home import make_folder
from squire_pipelines.home_presence import HomePresence
from squire_pipelines.ledger import HEAD_REVISION
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.workers import WorkerRecord
from squire_pipelines.observability.logging import library_logger
from squire_pipelines.repeating_thread import RepeatingThread
from squire_pipelines.runtime.dagster_home import instance_environment
from squire_pipelines.runtime.queued_run import start_run
from squire_pipelines.runtime.run_processes import start_fork_server
from squire_pipelines.runtime.secret_key import handed_on_key
from squire_pipelines.settings.file_systems import refuse_shared_databases
from squire_pipelines.settings.model import Settings
from squire_pipelines.work_queue.broker import BrokerError, broker_app
from squire_pipelines.work_queue.consumer import RunConsumer
from squire_pipelines.work_queue.worker import STOP_GRACE_S, QueueWorker

_POLL_S = 0.2
_IMPORTS = "squire_pipelines.runtime.queue_imports"


@dataclass(frozen=True, slots=True)
class WorkerChoices:
    """What differs from machine to machine.

    Args:
        name: Of the worker, by which people and the queue know it.
        kinds: Of work that it takes.
        labels: Of its machine, which agents may ask for.
        slots: How many runs it takes at once.
    """

    name: str
    kinds: tuple[WorkKind, ...]
    labels: tuple[str, ...]
    slots: int


def record_of(choices: WorkerChoices, settings: Settings) -> WorkerRecord:
    """Return what a worker says of itself in the ledger."""
    return WorkerRecord(
        name=choices.name,
        session="",
        host=f"{socket.gethostname()}:{settings.home.state}",
        pid=os.getpid(),
        version=__version__,
        schema_revision=HEAD_REVISION,
        queues=served_queues(choices.kinds, choices.labels, choices.name),
        labels=choices.labels,
        slots=choices.slots,
    )


class _Beats(RepeatingThread):
    def __init__(self, worker: QueueWorker, every_s: float) -> None:
        super().__init__("worker-beat", first_after_s=every_s, stop_within_s=every_s)
        self._worker = worker
        self._every_s = every_s

    def repeat(self) -> float:
        self._worker.beat()
        return self._every_s


def serve(settings: Settings, ledger: Ledger, choices: WorkerChoices, *, say: Callable[[str], None]) -> None:
    """Take runs until a signal says to end: then until they are over, or `workers.drain_s` are. A second one ends them.

    Raises:
        ConfigError: No broker is set, or what machines share cannot be shared.
        StateConflictError: A worker of this name lives.
        LedgerError: The ledger does not answer.
        PortInUseError: Another program listens at `kubernetes.door_port`.
        RefusedError: Another machine serves this home.
    """
    settings.check_shared()
    refuse_shared_databases(settings)
    app = broker_app(settings)
    run = make_folder(settings.home.run)
    folder = make_folder(run / f"worker-{choices.name}")
    with ExitStack() as stack:
        try:
            stack.enter_context(lock(folder / "lock"))
        except TimeoutError:
            raise StateConflictError(
                f"a worker named {choices.name} runs in {settings.home.state}", hint="give this one another --name"
            ) from None
        stack.enter_context(HomePresence(run, say=say))
        os.environ |= instance_environment(settings)
        os.environ |= stack.enter_context(handed_on_key(settings.secret_sources))
        os.environ[WORKER_VARIABLE] = choices.name
        start_fork_server(folder, _IMPORTS)
        log = library_logger("squire.worker.upkeep", "info")
        upkeep = EngineUpkeep(ledger, settings, choices.name, log) if WorkKind.AGENT in choices.kinds else None
        worker = QueueWorker(
            ledger,
            record_of(choices, settings),
            settings.workers,
            start_run=start_run,
            can_adopt=lambda: upkeep.running if upkeep is not None else (),
        )
        worker.register()
        stack.callback(worker.end)
        stack.callback(worker.kill_all)
        consumer = RunConsumer(app, choices.name, record_of(choices, settings).queues, choices.slots, worker.take)
        stack.enter_context(upkeep or nullcontext())
        router = stack.enter_context(door_router(ledger, settings))
        with _Beats(worker, settings.workers.heartbeat_s), _end_signals() as signals:
            consumer.start()
            stack.callback(consumer.stop)
            say(f"worker {choices.name} takes runs of {', '.join(choices.kinds)}, {choices.slots} at once")
            if router is not None:
                say(f"containers of other machines are heard at port {router.port}")
            _wait(worker, consumer, signals, settings.workers.drain_s, say)


@contextmanager
def _end_signals() -> Iterator[list[int]]:
    """Yield a list that grows with each signal to end."""
    received: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, note) for number in numbers]
    try:
        yield received
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _wait(
    worker: QueueWorker, consumer: RunConsumer, signals: Sequence[int], drain_s: float, say: Callable[[str], None]
) -> None:
    """Wait until the worker has nothing left to do."""
    is_leaving = False
    end_at = interrupted_at = float("inf")
    while not (is_leaving and not worker.running):
        time.sleep(_POLL_S)
        now = time.monotonic()
        if signals and not worker.is_draining:
            worker.drain()
        if worker.is_draining and not is_leaving:
            is_leaving, end_at = True, now + drain_s
            consumer.take_no_more()
            say(f"no more runs are taken; waiting for {len(worker.running)} to end, {drain_s:g} s at most")
        if is_leaving and interrupted_at == float("inf") and (len(signals) > 1 or now >= end_at):
            interrupted_at = now
            say(f"{len(worker.running)} runs are interrupted")
            worker.interrupt_all()
        if now >= interrupted_at + STOP_GRACE_S or len(signals) > 2:  # noqa: PLR2004 - to end, to hurry, to stop now
            worker.kill_all()
        if not consumer.is_alive and not is_leaving:
            raise BrokerError("the worker takes no messages any more", hint="its log says why; start it again")
