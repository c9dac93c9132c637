"""Sends what happened to OpenTelemetry: spans of the ledger that have ended, once each, in a thread of the endpoint.

No other process has to do with it: an endpoint that refuses, or that takes connections and never answers, costs a run
and a command nothing. Where sending has come to is a file of the home, so that a restart goes on from there.
"""

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from squire_pipelines.domain.spans import Span, is_sampled
from squire_pipelines.endpoint.otlp_sending import SEND_S, SendOutcome, SendResult, TraceTarget, send, trace_target
from squire_pipelines.endpoint.snapshot import MOST_OF_THE_TIME
from squire_pipelines.files import lock_descriptor, write_atomically
from squire_pipelines.home import make_folder
from squire_pipelines.ledger.changed_traces import read_changed_traces
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.settings.model import Settings

CURSOR = "traces.json"
BACKLOG = timedelta(days=1)
"""What ended longer ago is not sent: neither before the first time, nor while an endpoint was away for longer."""

SPANS_AT_ONCE = 512
ROWS_AT_ONCE = 500
TRACES_AT_ONCE = 2000
EVERY_S = 5.0
LONGEST_WAIT_S = 300.0

_STOP_S = 1.0
_MOST_DOUBLINGS = 10
_BUSY_TIMEOUT_S = 5.0
_log = get_logger(Component.ENDPOINT)


@dataclass(frozen=True, slots=True)
class ExportTimes:
    """How often is looked for what ended, how long one request may take, in seconds, and the share of the processor."""

    every_s: float = EVERY_S
    send_s: float = SEND_S
    share: float = MOST_OF_THE_TIME


class TraceExport:
    """Sends spans from entering the block to its end, which waits for no answer.

    Args:
        settings: Gives the settings as they are now.
        folder: Where the file is that says up to when spans were sent.
        times: For tests.
    """

    def __init__(self, settings: Callable[[], Settings], folder: Path, *, times: ExportTimes | None = None) -> None:
        self._settings = settings
        self._folder = folder
        self._times = times or ExportTimes()
        self._failures = 0
        self._target: tuple[Settings, TraceTarget | None] | None = None
        self._taken: set[tuple[str, str, datetime]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._guard = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="squire-traces", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._is_stopping = True
            if self._loop is not None and self._task is not None:
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._send_for_ever())
        except asyncio.CancelledError:
            return  # the end of the block

    async def _send_for_ever(self) -> None:
        with self._guard:
            if self._is_stopping:
                return
            self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        try:
            while True:  # noqa: ASYNC110 - nothing sets an event here: the end of the block cancels the task
                await asyncio.sleep(await self._send_what_is_due())
        finally:
            with self._guard:
                self._loop = None

    async def _send_what_is_due(self) -> float:
        """Send what has ended, and return after how many seconds to look again."""
        began = time.thread_time()
        try:
            target = self._find_target()
            if target is not None:
                await self._send_from(target)
        except ModuleNotFoundError as error:
            self._note(
                SendOutcome(SendResult.AGAIN, f"{error.name} is not installed: install squire-pipelines[otel]"), ""
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the endpoint serves on, and it is tried again
            self._note(SendOutcome(SendResult.AGAIN, f"{type(error).__name__}: {error}"), "")
        pause = max(self._times.every_s, (time.thread_time() - began) / self._times.share)
        return min(LONGEST_WAIT_S, pause * float(2 ** min(self._failures, _MOST_DOUBLINGS)))

    def _find_target(self) -> TraceTarget | None:
        """Return where traces go; the secret is looked for again when the settings change, and after a failure."""
        settings = self._settings()
        if self._target is None or self._target[0] is not settings or self._failures:
            self._target = (settings, trace_target(settings))
        return self._target[1]

    async def _send_from(self, target: TraceTarget) -> None:
        cursor = SentUntil(self._folder / CURSOR)
        with cursor.lock() as is_ours:
            if not is_ours:
                return  # another process sends the traces of this home
            spans, until = self._read(target, cursor.load())
            # Those that were taken before another request failed are not sent again with it.
            spans = [span for span in spans if _key(span) not in self._taken]
            for first in range(0, len(spans), SPANS_AT_ONCE):
                batch = spans[first : first + SPANS_AT_ONCE]
                outcome = await self._send(target, batch)
                self._note(outcome, target.place)
                if outcome.result is SendResult.AGAIN:
                    return
                self._taken.update(map(_key, batch))
            if until is not None:
                cursor.save(until)
                self._taken.clear()

    def _read(self, target: TraceTarget, after: datetime | None) -> tuple[Sequence[Span], datetime | None]:
        settings = self._settings()
        ledger = Ledger(settings.resolved_ledger_url, busy_timeout_s=_BUSY_TIMEOUT_S)
        try:
            if ledger.is_sqlite and not ledger.path.exists():
                return (), None  # to look at it would make an empty one
            with ledger.read() as tx:
                return ended_spans(tx, after, ratio=target.sample_ratio)
        finally:
            ledger.close()  # a backup may be put in its place, which an open file would hide

    async def _send(self, target: TraceTarget, spans: Sequence[Span]) -> SendOutcome:
        from squire_pipelines.endpoint.otlp_spans import encode  # noqa: PLC0415 - needs the extra `otel`
        from squire_pipelines.secrets.redact import process_redactor  # noqa: PLC0415 - only who sends needs it

        body = encode(spans, service=target.service, redact=process_redactor().redact)
        return await send(target, body, within_s=self._times.send_s)

    def _note(self, outcome: SendOutcome, url: str) -> None:
        """Log the first failure and the end of failures, and what was refused."""
        if outcome.result is SendResult.AGAIN:
            if self._failures == 0:
                _log.warning(
                    "traces cannot be sent",
                    endpoint=url,
                    reason=outcome.reason,
                    hint="it is tried again; nothing else waits for it",
                )
            self._failures += 1
            return
        if self._failures:
            _log.info("traces are sent again", endpoint=url)
        self._failures = 0
        if outcome.reason:
            _log.warning("traces were refused", endpoint=url, reason=outcome.reason)


def _key(span: Span) -> tuple[str, str, datetime]:
    return span.trace_id, span.span_id, span.recorded_at


def ended_spans(tx: Transaction, after: datetime | None, *, ratio: float) -> tuple[tuple[Span, ...], datetime]:
    """Return the spans that ended or changed since a moment, and up to which moment that was looked for.

    Readings that found nothing new, and that nothing followed from, are left out.
    """
    from squire_pipelines.warehouse.spans import spans_of  # noqa: PLC0415 - DuckDB, which only who sends needs

    oldest = tx.now - BACKLOG
    after = oldest if after is None else max(oldest, min(after, tx.now))
    changed = read_changed_traces(tx, after, rows=ROWS_AT_ONCE, most=TRACES_AT_ONCE)
    if changed.is_cut:
        _log.warning("some traces are not sent", reason=f"more than {TRACES_AT_ONCE} changed at one moment")
    sampled = [trace_id for trace_id in changed.trace_ids if is_sampled(trace_id, ratio)]
    spans = spans_of(tx, sampled) if sampled else ()
    parents = {span.parent_span_id for span in spans}
    return (
        tuple(
            span
            for span in spans
            if span.ended_at is not None
            and after < span.recorded_at <= changed.until
            and (span.kind != "collection" or span.detail != "unchanged" or span.span_id in parents)
        ),
        changed.until,
    )


class SentUntil:
    """The file that says up to which moment spans were sent, and whose lock says who sends them."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def lock(self) -> "_FileLock":
        """Return a block that has the file to itself; it gives False where another process has it."""
        make_folder(self._path.parent)
        return _FileLock(self._path.with_suffix(".lock"))

    def load(self) -> datetime | None:
        """Return the moment; None where nothing was sent yet, or the file was damaged."""
        try:
            moment = datetime.fromisoformat(json.loads(self._path.read_bytes())["until"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return moment if moment.tzinfo is not None else None

    def save(self, until: datetime) -> None:
        """Write the moment, whole or not at all."""
        write_atomically(self._path, json.dumps({"until": until.isoformat()}).encode(), durable=False)


class _FileLock:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> bool:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return lock_descriptor(self._descriptor)

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
