"""Bringing what an attempt's model calls use to the ledger, while they pass and after a kill.

Three places know what a call has used: the gateway's memory, the call log in the attempt's folder (which outlives a
kill) and the ledger. A thread brings the first to the last; `recover_calls` brings what only the log still knows.
"""

import threading
from collections import deque
from datetime import timedelta
from pathlib import Path
from typing import Protocol, Self

from squire_pipelines.domain.budgets import Amount
from squire_pipelines.errors import LedgerError
from squire_pipelines.file_store.attempt_copies import AttemptCopy
from squire_pipelines.file_store.layout import CALLS
from squire_pipelines.gateway.call_log import read_calls
from squire_pipelines.gateway.model import GatewayCall, GatewayTotals
from squire_pipelines.gateway.wire import GatewayStatus
from squire_pipelines.ledger import budgets
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.model_calls import ModelCallRow, record_model_call
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.metrics import counting as metrics
from squire_pipelines.metrics import families
from squire_pipelines.observability.logging import Component, get_logger, with_context
from squire_pipelines.settings.model import Settings

_MAX_REFUSED_ROWS = 200
_FLUSH_TRIES = 3
_JOIN_S = 30
_log = get_logger(Component.GATEWAY)


class HasStatus(Protocol):
    """A gateway, as far as its usage is recorded."""

    @property
    def status(self) -> GatewayStatus:
        """What it has counted so far."""


def call_log_folder(settings: Settings, attempt_id: str) -> Path:
    """Return where an attempt's call logs lie."""
    return settings.home.attempts / attempt_id / CALLS


class UsageRecorder:
    """Brings calls and what they cost to the ledger, from a thread of its own, so that no stream waits for a disk.

    What it could not write in time is still in the call log.

    Args:
        ledger: Where the calls are recorded.
        attempt: Whose calls they are.
        every_s: Seconds between two checkpoints of the totals.
    """

    def __init__(self, ledger: Ledger, attempt: Attempt, *, every_s: float) -> None:
        self._ledger = ledger
        self._attempt = attempt
        self._every_s = every_s
        self._gateway: HasStatus | None = None
        self._pending: deque[GatewayCall] = deque()
        self._refused = 0
        self._recorded = GatewayTotals()
        self._wake = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=with_context(self._run), name="squire-usage", daemon=True)

    def watch(self, gateway: HasStatus) -> None:
        """Record the totals of this gateway."""
        self._gateway = gateway

    def add(self, call: GatewayCall) -> None:
        """Take a call that is over; called in the gateway's thread."""
        if call.target != "model":
            return
        if not call.forwarded:
            self._refused += 1
            if self._refused > _MAX_REFUSED_ROWS:
                return
        self._pending.append(call)
        self._wake.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._wake.set()
        self._thread.join(self._every_s + _JOIN_S)
        for _try in range(_FLUSH_TRIES):
            if self.flush():
                return
        _log.warning("gateway.usage_incomplete", attempt=self._attempt.id, calls=len(self._pending))

    def _run(self) -> None:
        while not self._over:
            self._wake.wait(self._every_s)
            self._wake.clear()
            self.flush()

    def flush(self) -> bool:
        """Write what is pending. Returns whether the ledger took it."""
        calls = list(self._pending)
        totals = self._gateway.status.totals if self._gateway is not None else GatewayTotals()
        if not calls and totals == self._recorded:
            return True
        try:
            with self._ledger.write() as tx:
                new = write_calls(tx, self._attempt, calls)
                budgets.checkpoint(tx, self._attempt.id, Amount(totals.usd, totals.tokens), totals.requests)
        except LedgerError as error:
            _log.warning("gateway.usage_not_written", attempt=self._attempt.id, reason=str(error)[:200])
            return False
        for _ in calls:
            self._pending.popleft()
        self._recorded = totals
        _count_calls(new)
        return True


def recover_calls(ledger: Ledger, settings: Settings, attempt: Attempt) -> int:
    """Bring to the ledger what only the call logs know: calls of gateways that were killed. May be repeated.

    Returns:
        How many calls were new.

    Raises:
        LedgerError: They could not be written.
        OSError: A log cannot be read.
    """
    folder = call_log_folder(settings, attempt.id)
    if not folder.is_dir():
        return 0
    calls = [call for call in read_calls(folder) if call.forwarded and call.target == "model"]
    if not calls:
        return 0
    with ledger.write() as tx:
        new = write_calls(tx, attempt, calls)
    if new:
        _log.info("gateway.calls_recovered", attempt=attempt.id, calls=len(new))
        _count_calls(new)
    return len(new)


def web_search_note(settings: Settings, attempt_id: str) -> str | None:
    """Return what a reviewer is told when the model's provider could search the web for the attempt.

    Raises:
        FileStoreError: Its calls may be in the store, which does not answer.
        OSError: They cannot be read.
    """
    calls = sum(call.web_search for call in read_calls(AttemptCopy(settings, attempt_id).call_logs()))
    return f"The model's provider could search the web in {calls} of the calls (gateway.web_search)." if calls else None


def write_calls(tx: Transaction, attempt: Attempt, calls: list[GatewayCall]) -> list[GatewayCall]:
    """Put calls into the ledger, each once; return the new ones. A settled reservation is settled again with them."""
    new = [call for call in calls if record_model_call(tx, _row(attempt, call))]
    if new and budgets.is_settled(tx, attempt.id):
        budgets.settle_attempt(tx, attempt.id)
    return new


def _count_calls(calls: list[GatewayCall]) -> None:
    """Count what the ledger has no column for: here, since a gateway in a container has no home to count in."""
    for call in calls:
        if call.first_piece_s is not None:
            metrics.observe(families.MODEL_FIRST_BYTE, call.first_piece_s, "agent")
        if call.is_left:
            metrics.count(families.MODEL_RETRIES, "agent")


def _row(attempt: Attempt, call: GatewayCall) -> ModelCallRow:
    interrupted = call.error == "interrupted"  # nobody knows when it ended: the row's time is when it was read
    return ModelCallRow(
        purpose="agent",
        model=call.model or "",
        ok=call.error is None,
        status=call.status or call.upstream_status or 0,  # of one that was left for another provider, its own
        input_tokens=call.input_tokens or 0,
        output_tokens=call.output_tokens or 0,
        cached_tokens=call.cached_tokens,
        cache_write_tokens=call.cache_write_tokens,
        cost_usd=call.cost_usd,
        estimated=call.estimated,
        web_search=call.web_search,
        provider=call.provider,
        reasoning_tokens=call.reasoning_tokens,
        stated_usd=call.stated_usd,
        cost_difference_usd=call.cost_difference_usd,
        latency_s=call.latency_s,
        error=call.error,
        call_id=call.call_id or None,
        trace_id=attempt.trace_id,
        repository=attempt.repository,
        task_id=attempt.task_id,
        attempt_id=attempt.id,
        at=None if interrupted else call.started_at + timedelta(seconds=call.latency_s),
    )
