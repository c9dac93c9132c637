"""A bounded TCP server in a thread of its own: what the door of an attempt and the router of a worker have in common.

Whoever connects is a stranger: connections are counted before anything is read, a first line has a few seconds and a
few hundred bytes, and a connection on which nothing passes is ended.
"""

import asyncio
import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

from squire_pipelines.agents.door_wire import MAX_LINE_BYTES, DoorRefusal, Preface, WrongPrefaceError, parse_preface
from squire_pipelines.errors import NotReachableError
from squire_pipelines.observability.logging import Component, get_logger, with_context

CHUNK_BYTES = 64 * 1024
_BACKLOG = 128
_START_S = 10.0
_STOP_S = 10.0
_TURN_S = 0.05
_CLOSING_TURNS = 5
_log = get_logger(Component.AGENT)


class ConnectionCutError(OSError):
    """The other side went away before all had passed."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Both directions of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read_line(self, within_s: float) -> bytes:
        """Return a line of at most `MAX_LINE_BYTES` with its end.

        Raises:
            WrongPrefaceError: It is longer, the connection ended before its end, or it did not come in time.
        """
        try:
            async with asyncio.timeout(within_s):
                line = await self.reader.readuntil(b"\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError) as error:
            raise WrongPrefaceError("no line came in time") from error
        if len(line) > MAX_LINE_BYTES:
            raise WrongPrefaceError("the line is too long")
        return line

    async def write(self, data: bytes, within_s: float) -> None:
        """Write all of `data`. Raises TimeoutError, OSError."""
        self.writer.write(data)
        async with asyncio.timeout(within_s):  # `wait_for` forgets a cancellation that comes as what it waits for ends
            await self.writer.drain()

    async def read(self, most: int, within_s: float) -> bytes:
        """Return what comes next, nothing at the end. Raises TimeoutError, OSError."""
        async with asyncio.timeout(within_s):
            return await self.reader.read(most)

    async def refuse(self, reason: DoorRefusal, within_s: float) -> None:
        """Say why nothing follows, to whoever still listens."""
        with contextlib.suppress(OSError, TimeoutError):
            await self.write(f"no {reason}\n".encode("ascii"), within_s)

    def close(self) -> None:
        """Close it; what was written is still sent."""
        self.writer.close()


async def pipe(first: Stream, second: Stream, *, idle_s: float) -> None:
    """Pass bytes both ways until both sides have ended.

    Raises:
        TimeoutError: Nothing passed for `idle_s`.
        OSError: One side broke.
    """
    loop = asyncio.get_running_loop()
    passed_at = loop.time()

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        nonlocal passed_at
        while data := await source.read(CHUNK_BYTES):
            target.write(data)
            await target.drain()
            passed_at = loop.time()
        if target.can_write_eof():
            target.write_eof()

    pending = {
        asyncio.ensure_future(copy(first.reader, second.writer)),
        asyncio.ensure_future(copy(second.reader, first.writer)),
    }
    try:
        while pending:
            left_s = max(_TURN_S, passed_at + idle_s - loop.time())
            done, pending = await asyncio.wait(pending, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            errors = [error for error in (copied.exception() for copied in done) if error is not None]
            if errors:
                raise errors[0]
            if pending and loop.time() - passed_at >= idle_s:
                raise TimeoutError(f"nothing passed for {idle_s:g} s")
    finally:
        for copied in pending:
            copied.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


class DoorListener:
    """The server; a context manager. Its subclasses say in `connection` what becomes of one.

    Args:
        name: Of its thread.
        most: How many connections there are at once; one more is told `busy`.
        preface_s: How long a connection has for its first line, and for each short answer.
        pause_s: How long a refusal is kept back, so that guessing and asking without end are slow.
    """

    def __init__(self, name: str, *, most: int, preface_s: float, pause_s: float) -> None:
        self._most = most
        self._preface_s = preface_s
        self._pause_s = pause_s
        self._open = 0
        self._events: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._sockets: list[socket.socket] = []
        self._started = threading.Event()
        self._thread = threading.Thread(target=with_context(self._run), name=name, daemon=True)

    def bind(self) -> socket.socket:
        """Return the listening socket. Raises OSError."""
        raise NotImplementedError

    async def connection(self, stream: Stream) -> None:
        """Serve one connection. What it raises ends the connection."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._sockets = [self.bind()]
        self._loop = asyncio.new_event_loop()
        self._thread.start()
        if not self._started.wait(_START_S):
            raise NotReachableError("the server of the agents' connections did not start in time")
        return self

    def __exit__(self, *_: object) -> None:
        self._call(lambda: self._end.set() if self._end is not None else None)
        self._thread.join(_STOP_S)

    @property
    def port(self) -> int:
        """At which it listens."""
        return int(self._sockets[0].getsockname()[1])

    def _call(self, act: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            if self._loop is not None:
                self._loop.call_soon_threadsafe(act)

    def _run(self) -> None:
        if self._loop is not None:
            with contextlib.closing(self._loop) as loop:
                loop.run_until_complete(self._main(loop))

    async def _main(self, loop: asyncio.AbstractEventLoop) -> None:
        self._end = asyncio.Event()
        connections: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._accepted(Stream(reader, writer)))
            connections.add(task)
            task.add_done_callback(connections.discard)

        server = await asyncio.start_server(accept, sock=self._sockets[0], limit=CHUNK_BYTES, backlog=_BACKLOG)
        self._started.set()
        await self._end.wait()
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        for _ in range(_CLOSING_TURNS):  # in which the loop closes what was closed or aborted
            await asyncio.sleep(0)
        await loop.shutdown_default_executor()

    async def _accepted(self, stream: Stream) -> None:
        self._open += 1
        try:
            keep_alive(stream.writer)
            if self._open > self._most:
                self.note("door.connection_busy", stream)
                await stream.refuse(DoorRefusal.BUSY, self._preface_s)
                return
            await self.connection(stream)
        except asyncio.CancelledError:
            stream.writer.transport.abort()
            raise
        except (OSError, TimeoutError) as error:
            self.note("door.connection_cut", stream, reason=str(error)[:200])
        except Exception:  # noqa: BLE001 - a stranger's connection must end alone, and what nobody foresaw is logged
            _log.exception("door.connection_failed")
        finally:
            self._open -= 1
            stream.close()

    async def read_preface(self, stream: Stream) -> Preface | None:
        """Return what a connection begins with; None after it was turned away, since it is none of this language's."""
        try:
            return parse_preface(await stream.read_line(self._preface_s))
        except WrongPrefaceError:
            self.note("door.preface_wrong", stream)
            await self.turn_away(stream, DoorRefusal.PREFACE)
            return None

    async def turn_away(self, stream: Stream, reason: DoorRefusal) -> None:
        """Refuse a stranger, after a pause."""
        await asyncio.sleep(self._pause_s)
        await stream.refuse(reason, self._preface_s)

    def note(self, event: str, stream: Stream, **facts: str) -> None:
        """Log the first, second, fourth, eighth … event of a kind, so that nobody fills the log."""
        self._events[event] += 1
        times = self._events[event]
        if not times & (times - 1):
            peer = stream.writer.get_extra_info("peername") or ("",)
            _log.warning(event, address=str(peer[0]), times=times, **facts)


# Linux asks after two hours by itself. A minute without an answer is the end.
_KEPT_ALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


def keep_alive(writer: asyncio.StreamWriter) -> None:
    """Have the kernel notice within a minute when the other machine is gone."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.family in {socket.AF_INET, socket.AF_INET6}:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for name, value in _KEPT_ALIVE:
            if hasattr(socket, name):  # not on each platform
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def connect(opening: Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]], within_s: float) -> Stream:
    """Return an outgoing connection. Raises OSError, TimeoutError."""
    async with asyncio.timeout(within_s):
        reader, writer = await opening
    keep_alive(writer)
    return Stream(reader, writer)
