"""The outbox's other end: a thread that sends what is due, each target apart, so that none waits for another."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import datetime
from types import TracebackType
from typing import Self

from squire_pipelines.alerting.target import AlertTarget, targets_of
from squire_pipelines.alerting.watch import BUSY_TIMEOUT_S, AlertWatch, DirectMessage, is_usable
from squire_pipelines.errors import LedgerError, SquireError
from squire_pipelines.ledger import alerts as alert_rows
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.metrics import families
from squire_pipelines.metrics.counting import count
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.sections.alerts import MAX_TARGETS
from squire_pipelines.settings.model import Settings

CLAIM_S = 60.0
"""Longer than any target may take: another process sends a message again whose sender has died."""

LOOK_EVERY_S = 5.0
_MAX_IN_ROW = 200
_STOP_WITHIN_S = 2.0
_DIRECT_TRIES = 5
_log = get_logger(Component.ENDPOINT)


class AlertSender:
    """Sends what is in the outbox, from entering the block to its end.

    Args:
        settings: Gives the settings as they are now.
        watch: Has what is sent without the ledger.
        targets: Gives the targets of settings.
        every_s: How often it is looked whether something is due, unless somebody calls `wake`.
        busy_timeout_s: For how long the ledger's lock is waited for.
        clock: Instead of the ledger's, for tests.
        may_send: Whether this process is the one that sends for its home.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        watch: AlertWatch,
        *,
        targets: Callable[[Settings], tuple[AlertTarget, ...]] = targets_of,
        every_s: float = LOOK_EVERY_S,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        clock: Callable[[], datetime] | None = None,
        may_send: Callable[[], bool] = lambda: True,
    ) -> None:
        self._settings = settings
        self._may_send = may_send
        self._watch = watch
        self._targets = targets
        self._every_s = every_s
        self._busy_timeout_s = busy_timeout_s
        self._clock = clock
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(MAX_TARGETS + 1, thread_name_prefix="alert-target")
        self._under_way: dict[str, Future[None]] = {}
        self._thread = threading.Thread(target=self._run, name="alert-sender", daemon=True)
        self._failing: set[str] = set()
        self._unrecorded: dict[str, None] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join(timeout=_STOP_WITHIN_S)
        with suppress(TimeoutError):  # what is recorded as sent now is sent by no other process
            self.wait(_STOP_WITHIN_S)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def wake(self) -> None:
        """Have it looked now whether something is due."""
        self._wake.set()

    def send_due(self) -> None:
        """Begin to send to each target what is due, and return once nothing more is begun."""
        settings = self._settings()
        direct = self._watch.take_direct()
        for target in self._targets(settings):
            running = self._under_way.get(target.name)
            own = () if target.is_of_tenant else direct  # what is wrong with the machine is the operators' business
            if own or running is None or running.done():
                self._under_way[target.name] = self._pool.submit(self._serve, settings, target, own)

    def wait(self, timeout_s: float) -> None:
        """Wait until what was begun is over. Raises TimeoutError."""
        _, unfinished = wait(tuple(self._under_way.values()), timeout=timeout_s)
        if unfinished:
            raise TimeoutError

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self._may_send():
                    self.send_due()
                    self.drop_old()
            except Exception:  # noqa: BLE001 - the next look may do better, and nobody else sends
                _log.exception("alerts could not be looked through")
            self._wake.wait(self._every_s)
            self._wake.clear()

    def _serve(self, settings: Settings, target: AlertTarget, direct: tuple[DirectMessage, ...]) -> None:
        try:
            for one in direct:
                self._send_direct(target, one)
            self._send_stored(settings, target)
        except LedgerError:
            return  # the watch keeps what is new in memory meanwhile, and says so
        except Exception:  # noqa: BLE001 - as above
            _log.exception("alerts could not be sent", target=target.name)

    def _send_direct(self, target: AlertTarget, one: DirectMessage) -> None:
        for _ in range(_DIRECT_TRIES):
            if self._try(target, one.id, lambda: target.send(one.id, one.message, False)) is None:  # noqa: FBT003 - the type's signature
                return
            if self._stop.wait(self._every_s):
                return
        count(families.ALERT_MESSAGES, target.kind, "dropped")

    def _send_stored(self, settings: Settings, target: AlertTarget) -> None:
        ledger = Ledger(settings.resolved_ledger_url, clock=self._clock, busy_timeout_s=self._busy_timeout_s)
        try:
            if not is_usable(ledger):
                return
            for _ in range(_MAX_IN_ROW):
                if self._stop.is_set() or not self._send_next(ledger, target):
                    return
        finally:
            ledger.close()

    def _send_next(self, ledger: Ledger, target: AlertTarget) -> bool:
        with ledger.read() as tx:
            if not alert_rows.has_waiting(tx, target.name):
                return False
        try:
            with ledger.write() as tx:
                claimed = alert_rows.claim(tx, target.name, CLAIM_S)
        except LedgerError:
            return self._send_unclaimed(ledger, target)
        if claimed is None:
            return False
        if claimed.id in self._unrecorded:
            with ledger.write() as tx:
                alert_rows.record_sent(tx, claimed.id)
            del self._unrecorded[claimed.id]
            return True
        # Between here and the record a kill leaves the message claimed: it is sent again with the same id.
        problem = self._try(target, claimed.id, lambda: target.send(claimed.id, claimed.message, claimed.is_repeated))
        if problem is None:
            self._remember(claimed.id)
        with ledger.write() as tx:
            if problem is None:
                alert_rows.record_sent(tx, claimed.id)
            else:
                alert_rows.record_failure(tx, claimed.id, problem)
        self._unrecorded.pop(claimed.id, None)
        return problem is None

    def _send_unclaimed(self, ledger: Ledger, target: AlertTarget) -> bool:
        """Send the next message of a ledger that can be read alone: a full disk is what it may be about.

        Another process may send it too, and this one again after a kill, with the same id.
        """
        with ledger.read() as tx:
            queued = alert_rows.queued(tx, target.name, limit=_MAX_IN_ROW)
        first = next((message for message in queued if message.id not in self._unrecorded), None)
        if first is None:
            return False
        problem = self._try(target, first.id, lambda: target.send(first.id, first.message, first.is_repeated))
        if problem is None:
            self._remember(first.id)
        return problem is None

    def _remember(self, message_id: str) -> None:
        """Know that a message was sent, which the ledger does not say yet; of more than 200 the oldest is forgotten."""
        while len(self._unrecorded) >= _MAX_IN_ROW:
            del self._unrecorded[next(iter(self._unrecorded))]
        self._unrecorded[message_id] = None

    def _try(self, target: AlertTarget, message_id: str, send: Callable[[], None]) -> str | None:
        """Return why a message could not be sent; None where it was."""
        try:
            send()
        except SquireError as error:
            return self._note_failure(target, error.message, error.hint)
        except Exception as error:  # noqa: BLE001 - whatever a target raises is a failed try, and is tried again
            return self._note_failure(target, f"the target failed with {type(error).__name__}", None)
        if target.name in self._failing:
            _log.info("alerts are sent again", target=target.name)
        self._failing.discard(target.name)
        _log.info("an alert was sent", target=target.name, message=message_id)
        count(families.ALERT_MESSAGES, target.kind, "sent")
        return None

    def _note_failure(self, target: AlertTarget, reason: str, hint: str | None) -> str:
        if target.name not in self._failing:
            _log.error("an alert cannot be sent", target=target.name, reason=reason, hint=hint)
        self._failing.add(target.name)
        count(families.ALERT_MESSAGES, target.kind, "failed")
        return reason

    def drop_old(self) -> None:
        """Drop what could not be delivered for as long as the settings keep it."""
        settings = self._settings()
        ledger = Ledger(settings.resolved_ledger_url, clock=self._clock, busy_timeout_s=self._busy_timeout_s)
        try:
            if not is_usable(ledger):
                return
            with ledger.read() as tx:
                is_due = alert_rows.has_old(tx, settings.alerts.keep)
            if is_due:
                with ledger.write() as tx:
                    dropped = alert_rows.drop_old(tx, settings.alerts.keep)
                _log.error("alerts were dropped that could not be delivered for long", messages=dropped)
        except LedgerError:
            return  # they are dropped once it answers
        finally:
            ledger.close()
