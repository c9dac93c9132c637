"""The one thread that writes deliveries into the ledger: all that wait go into one transaction.

Each is acknowledged when that is on the disk. SQLite has one writer at a time and a commit waits for the disk, so that
with a transaction for each delivery one would wait for all others.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from squire_pipelines.errors import LedgerError
from squire_pipelines.ledger import inbox
from squire_pipelines.ledger.inbox import IncomingDelivery, PackedDelivery, RecordedDelivery
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, get_logger, lines_together
from squire_pipelines.webhooks.ledger_threads import THREAD_PREFIX, ledger_failed, ledger_slow
from squire_pipelines.webhooks.ledger_writes import LedgerWrites
from squire_pipelines.webhooks.limits import Limits, busy

_COUNT_EVERY_S = 60.0
_COUNT_FULL_EVERY_S = 2.0
_FULL_RETRY_S = 60.0
_log = get_logger(Component.WEBHOOKS)

_Outcome = RecordedDelivery | Exception


class InboxFullError(Exception):
    """As much waits to be read as the settings allow."""


@dataclass(slots=True, eq=False)
class _Waiting:
    """A delivery that waits to be stored, packed unless it is large, and who waits for it."""

    incoming: IncomingDelivery
    packed: PackedDelivery | None
    answer: "asyncio.Future[RecordedDelivery]"


@dataclass(slots=True)
class InboxRoom:
    """How much more may wait in the ledger to be read, by a sum that is made now and then. One thread uses it.

    Args:
        ledger: Whose deliveries wait.
        most_bytes: Gives how much may wait.
        clock: Gives the time in seconds.
    """

    ledger: Ledger
    most_bytes: Callable[[], int]
    clock: Callable[[], float] = time.monotonic
    _bytes: int = 0
    _counted_at: float = field(default=float("-inf"))

    def has_room(self) -> bool:
        """Return whether another delivery may be stored. Raises LedgerError."""
        is_full, age_s = self._bytes >= self.most_bytes(), self.clock() - self._counted_at
        if age_s >= (_COUNT_FULL_EVERY_S if is_full else _COUNT_EVERY_S):
            with self.ledger.read() as tx:
                self._bytes = inbox.waiting_bytes(tx)
            self._counted_at = self.clock()
        return self._bytes < self.most_bytes()

    def add(self, packed: PackedDelivery) -> None:
        """Count a delivery that was stored."""
        self._bytes += len(packed.stored)


class DeliveryInbox:
    """Stores deliveries, from one event loop.

    Args:
        ledger: Open, with its schema in place.
        limits: Bounds of the queue, of a batch, and of the time.
        most_bytes: Gives how much may wait in the ledger to be read.
        writes: Gets to know how each commit went.
        clock: Gives the time in seconds.
    """

    def __init__(
        self,
        ledger: Ledger,
        limits: Limits,
        most_bytes: Callable[[], int],
        writes: LedgerWrites,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._limits = limits
        self._writes = writes
        self._clock = clock
        self._room = InboxRoom(ledger, most_bytes, clock)
        self._condition = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._is_closed = False
        self._is_waking = False
        self._thread: threading.Thread | None = None

    async def store(self, incoming: IncomingDelivery) -> RecordedDelivery:
        """Store a delivery; it is on the disk when this returns. Raises RequestRefusedError."""
        loop = asyncio.get_running_loop()
        # Here and not in the thread, which would give way twice for each: most of its time it would wait for its turn.
        packed = PackedDelivery.of(incoming) if len(incoming.body) <= self._limits.inline_body else None
        waiting = _Waiting(incoming, packed, loop.create_future())
        with self._condition:
            if len(self._queue) >= self._limits.waiting or self._is_closed:
                raise busy("too many deliveries at once", retry_after_s=1)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._write_batches, args=(loop,), name=f"{THREAD_PREFIX}-inbox", daemon=True
                )
                self._thread.start()
            self._queue.append(waiting)
        if not self._is_waking:  # once what came at the same time is in the queue, too
            self._is_waking = True
            loop.call_soon(self._wake)
        try:
            async with asyncio.timeout(self._limits.ledger_timeout_s):
                return await waiting.answer
        except InboxFullError:
            raise busy("the inbox is full: see webhooks.max_inbox", retry_after_s=_FULL_RETRY_S) from None
        except (LedgerError, SQLAlchemyError) as error:
            raise ledger_failed(error) from error
        except TimeoutError:
            raise ledger_slow(self._limits.ledger_timeout_s) from None

    def _wake(self) -> None:
        """Have the thread write what waits."""
        self._is_waking = False
        with self._condition:
            self._condition.notify()

    def close(self) -> None:
        """Have the thread end when it has stored what waits; nobody waits for that here."""
        with self._condition:
            self._is_closed = True
            self._condition.notify()

    def _write_batches(self, loop: asyncio.AbstractEventLoop) -> None:
        while batch := self._next_batch():
            outcomes = self._outcomes(batch)
            with suppress(RuntimeError):  # the loop is closed: its callers have hung up
                loop.call_soon_threadsafe(_answer, batch, outcomes)

    def _next_batch(self) -> list[_Waiting]:
        """Return what waits, once anything does; nothing when the inbox is closed."""
        batch: list[_Waiting] = []
        size = 0
        with self._condition:
            while not batch and not (self._is_closed and not self._queue):
                while not self._queue and not self._is_closed:
                    self._condition.wait()
                while self._queue and len(batch) < self._limits.batch and size < self._limits.batch_bytes:
                    waiting = self._queue.popleft()
                    if not waiting.answer.done():  # its caller was told that the ledger is slow
                        batch.append(waiting)
                        size += len(waiting.incoming.body)
        return batch

    def _outcomes(self, batch: Sequence[_Waiting]) -> list[_Outcome]:
        deadline = self._clock() + self._limits.ledger_timeout_s
        try:
            packed = [waiting.packed or PackedDelivery.of(waiting.incoming) for waiting in batch]
            if not self._room.has_room():
                return [InboxFullError()] * len(batch)
            try:
                return list(self._store(packed))
            except (LedgerError, SQLAlchemyError) as error:
                if len(batch) == 1:
                    return [error]
                # One that the ledger refuses must not take the others with it.
                return [self._store_alone(one, error, deadline) for one in packed]
        except LedgerError as error:  # it does not even say how much waits
            self._writes.note(has_failed=True)
            return [error] * len(batch)
        except Exception as error:  # noqa: BLE001 - a fault of ours: the thread goes on, and each caller comes again
            _log.exception("deliveries could not be stored")
            return [LedgerError(f"a fault of Squire's: {type(error).__name__}")] * len(batch)

    def _store_alone(self, packed: PackedDelivery, error: Exception, deadline: float) -> _Outcome:
        if self._clock() >= deadline:
            return error
        try:
            return self._store([packed])[0]
        except (LedgerError, SQLAlchemyError) as own_error:
            return own_error

    def _store(self, packed: Sequence[PackedDelivery]) -> Sequence[RecordedDelivery]:
        try:
            recorded = inbox.store(self._ledger, packed)
        except LedgerError:  # one delivery that it refuses by a rule is another error, and says nothing of others
            self._writes.note(has_failed=True)
            raise
        self._writes.note(has_failed=False)
        for one, row in zip(packed, recorded, strict=True):
            if row.is_new:
                self._room.add(one)
        return recorded


def _answer(batch: Sequence[_Waiting], outcomes: Sequence[_Outcome]) -> None:
    """Log and acknowledge what is on the disk, in the loop's thread."""
    with lines_together():
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if waiting.answer.done():
                continue
            if isinstance(outcome, Exception):
                waiting.answer.set_exception(outcome)
                continue
            waiting.answer.set_result(outcome)
            _log.info(
                "delivery stored" if outcome.is_new else "delivery known already",
                delivery_id=waiting.incoming.delivery_id,
                trace_id=outcome.trace_id,
                source=waiting.incoming.source,
                webhook_event=waiting.incoming.event,
                repository=waiting.incoming.repository,
                relevant=waiting.incoming.relevant,
            )
