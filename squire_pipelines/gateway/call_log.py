"""The call log of one gateway's life, kept so that a kill of the process at any instant loses no call.

Two files in the attempt's own folder, which no agent can reach. `calls-LIFE.jsonl` has one line for each call that has
ended. `calls-LIFE.open` has a slot of fixed size for each call under way, rewritten before a piece of an answer passes
to the agent; a lock on it says that its gateway lives. SIGKILL does not take back what was written, so nothing is
fsynced: losing power loses at most the last seconds.
"""

import contextlib
import dataclasses
import json
import os
import secrets
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from squire_pipelines.files import lock_descriptor
from squire_pipelines.gateway.model import GatewayCall, GatewayTotals, RunningCall
from squire_pipelines.home import make_folder
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.secrets.redact import process_redactor

SLOT_BYTES = 1024
MAX_BODY_BYTES = 256 * 1024
_CUT_BYTES = 8 * 1024
_FIELDS = {column.name for column in dataclasses.fields(GatewayCall)}
_log = get_logger(Component.GATEWAY)


class CallLog:
    """Writes the log of one gateway's life; used in one thread.

    Args:
        folder: The attempt's `gateway` folder; made if need be.
        name: The attempt's id, with which the calls' ids begin.
        max_bytes: Of the file of calls that have ended. Calls that used tokens are written beyond it: their number is
            bounded by the gateway's limit on calls.
        bodies: Whether to keep requests and answers too, in `calls-LIFE.bodies`, each cut at 256 KiB. They have the
            repository's text, without secrets that are known or look like one.
    """

    def __init__(self, folder: Path, name: str, *, max_bytes: int = 8 * 2**20, bodies: bool = False) -> None:
        make_folder(folder)
        life = secrets.token_hex(4)
        self._prefix = f"{name}:{life}"
        self._max_bytes = max_bytes
        self._written = 0
        self._number = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._open = os.open(folder / f"calls-{life}.open", flags, 0o600)
        lock_descriptor(self._open)  # for as long as this gateway lives
        self._done = os.open(folder / f"calls-{life}.jsonl", flags | os.O_APPEND, 0o600)
        self._bodies = os.open(folder / f"calls-{life}.bodies", flags | os.O_APPEND, 0o600) if bodies else None
        self._kept = 0
        self._free: list[int] = []
        self._slots = 0

    def next_id(self) -> str:
        """Return an id for a new call."""
        self._number += 1
        return f"{self._prefix}:{self._number}"

    def begin(self, call: RunningCall) -> None:
        """Give a slot to a call that uses tokens."""
        if self._free:
            call.slot = self._free.pop()
        else:
            call.slot, self._slots = self._slots, self._slots + 1
        self.progress(call)

    def progress(self, call: RunningCall) -> None:
        """Write how far a call has come."""
        if call.slot is None:
            return
        tokens = call.tokens
        cost = "null" if call.cost_usd is None else repr(call.cost_usd)
        names = (call.call_id, call.path[:100], (call.model or "")[:120], call.started_at.isoformat(), call.provider)
        head = json.dumps(names, ensure_ascii=False)
        text = (
            f'{{"c":{head},"i":{_number(tokens.input)},"o":{_number(tokens.output)},"k":{_number(tokens.cached)},'
            f'"v":{_number(tokens.cache_write)},'
            f'"e":{"true" if tokens.estimated else "false"},"u":{cost},"s":{call.status},'
            f'"q":{call.request_bytes},"r":{call.response_bytes},"w":{"true" if call.web_search else "false"},'
            f'"x":{call.open_output},"y":{call.open_usd!r}}}'
        )
        os.pwrite(self._open, text.encode().ljust(SLOT_BYTES), call.slot * SLOT_BYTES)

    def end(self, call: RunningCall, record: GatewayCall) -> None:
        """Write the line of a call that has ended, and free its slot."""
        line = json.dumps(dataclasses.asdict(record), default=str).encode() + b"\n"
        _log.debug("gateway.call_ended", path=record.path, model=record.model, status=record.status, error=record.error)
        if self._written + len(line) <= self._max_bytes or record.forwarded:
            self._written += os.write(self._done, line)
        if call.slot is not None:
            os.pwrite(self._open, b" " * SLOT_BYTES, call.slot * SLOT_BYTES)
            self._free.append(call.slot)
            call.slot = None

    def body(self, call: RunningCall, part: str, body: bytes | bytearray) -> None:
        """Keep a body where the user has asked for that, at most `max_bytes` of them."""
        if self._bodies is None:
            return
        # Secrets are taken out of more than is kept, so that none is cut in two.
        head = process_redactor().redact(bytes(body[: MAX_BODY_BYTES + _CUT_BYTES]).decode(errors="replace"))
        if len(body) > MAX_BODY_BYTES:
            head = f"{head[:MAX_BODY_BYTES]} … ({len(body)} bytes)"
        text = json.dumps([call.call_id, part, head]).encode() + b"\n"
        if self._kept + len(text) <= self._max_bytes:
            self._kept += os.write(self._bodies, text)

    def close(self) -> None:
        """Close the files."""
        for descriptor in (self._open, self._done, self._bodies):
            if descriptor is not None:
                os.close(descriptor)


def _number(value: int | None) -> str:
    return "null" if value is None else str(value)


def read_calls(folder: Path) -> Iterator[GatewayCall]:
    """Yield all calls that the attempt's gateways have logged, each once.

    A call that was under way when its gateway was killed has the error `interrupted` and the tokens that had passed.
    One whose gateway lives is left out. Lines that cannot be read are logged and skipped.
    """
    for path in sorted(folder.glob("calls-*.jsonl")):
        unfinished = list(_unfinished(path.with_suffix(".open")))  # first: what ends meanwhile is then read as ended
        ended: set[str] = set()
        with path.open("rb") as lines:
            for line in lines:
                if (call := _parsed(line)) is not None and call.call_id not in ended:
                    ended.add(call.call_id)
                    yield call
        yield from (call for call in unfinished if call.call_id not in ended)


def _parsed(line: bytes) -> GatewayCall | None:
    try:
        values: dict[str, Any] = json.loads(line)
        values["started_at"] = datetime.fromisoformat(values["started_at"])
        values["dropped"] = tuple(values.get("dropped", ()))
        return GatewayCall(**{name: value for name, value in values.items() if name in _FIELDS})
    except (ValueError, TypeError, KeyError) as error:
        _log.warning("gateway.log_line_unreadable", reason=str(error)[:200])
        return None


def _unfinished(path: Path) -> Iterator[GatewayCall]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not lock_descriptor(descriptor):
            return  # its gateway lives and will record them itself
        size = os.fstat(descriptor).st_size
        for offset in range(0, size, SLOT_BYTES):
            text = os.pread(descriptor, SLOT_BYTES, offset).strip(b" \0")
            if not text:
                continue
            with contextlib.suppress(ValueError):  # the write of a first slot that a full disk cut short
                yield _from_slot(json.loads(text))
    finally:
        os.close(descriptor)


def _from_slot(slot: dict[str, Any]) -> GatewayCall:
    call_id, path, model, started_at, *more = slot["c"]
    # What a call used that nobody counted to its end is what it had reserved.
    output, usd = max(slot["o"] or 0, slot.get("x", 0)), max(slot["u"] or 0.0, slot.get("y", 0.0))
    return GatewayCall(
        path=path,
        model=model or None,
        status=slot["s"],
        started_at=datetime.fromisoformat(started_at),
        latency_s=0.0,
        input_tokens=slot["i"],
        output_tokens=output if slot["o"] is not None else None,
        cached_tokens=slot["k"],
        cache_write_tokens=slot.get("v"),
        request_bytes=slot["q"],
        response_bytes=slot["r"],
        error="interrupted",
        call_id=call_id,
        cost_usd=usd or slot["u"],
        estimated=slot["e"],
        forwarded=True,
        web_search=slot.get("w", False),
        provider=more[0] if more else None,
    )


def totals_of(folder: Path) -> GatewayTotals:
    """Return what the attempt's earlier gateways have counted. An unreadable folder is an empty one."""
    totals = GatewayTotals()
    for call in read_calls(folder):
        if call.target == "model":
            totals = totals.plus(call.total_tokens, call.cost_usd) if call.forwarded else totals.plus_refused()
    return totals
