"""Supervises one container: drains its output, waits for its end and removes it. Decides nothing.

The rules follow how docker-py and the engine were seen to behave: `wait` reports its time-out as a lost connection,
an attached container that nobody reads blocks, and a connection may break while the container lives on.
"""

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from docker.utils.socket import SocketError

from squire_pipelines.agents import reap
from squire_pipelines.agents.logs import LogSink
from squire_pipelines.errors import EngineError, SquireError
from squire_pipelines.observability.logging import Component, get_logger, with_context

_log = get_logger(Component.AGENT)
PAUSE_S = 0.5
_FAREWELL_S = 2.0
_DRAIN_IDLE_S = 5.0
_DRAIN_CAP_S = 60.0
_MAX_ATTACHES = 20
# How much of what was read last is kept, and how many lines are read again, to find what the engine's log had not yet.
_LAST_BYTES, _LAST_LINES = 64 * 1024, 500
_NOT_RUNNING = frozenset({404, 409})
_REMOVE_TRIES = 3


_STREAMS = ("stdout", "stderr")


class _Stream(Protocol):
    """Chunks of output; pairs of standard output and standard error, either None, where the engine tells them apart."""

    def __iter__(self) -> Iterator[bytes | tuple[bytes | None, bytes | None]]: ...
    def close(self) -> None: ...


class Drain:
    """A thread that reads a container's output to its end, so that the container never blocks on it."""

    def __init__(self, stream: _Stream, sink: LogSink) -> None:
        self._stream = stream
        self._sink = sink
        self._chunks = 0
        self.last = b""
        self.error: str | None = None
        self._thread = threading.Thread(target=with_context(self._read), name="squire-drain", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still reads."""
        return self._thread.is_alive()

    def _read(self) -> None:
        try:
            for item in self._stream:
                self._chunks += 1
                for name, chunk in zip(_STREAMS, item if isinstance(item, tuple) else (item,), strict=False):
                    if chunk:
                        self._sink.feed(chunk, name)
                        self.last = (self.last + chunk)[-_LAST_BYTES:]
        except (OSError, ValueError, SocketError, DockerException) as error:
            # The connection broke or was closed by us: whether the container lives is for `wait` to find out.
            self.error = str(error)

    def finish(self) -> None:
        """Wait until everything was read, for a minute at most and 5 s when nothing comes, then close."""
        last = -1
        for _ in range(int(_DRAIN_CAP_S / _DRAIN_IDLE_S)):
            if not self.alive or last == self._chunks:
                break
            last = self._chunks
            self._thread.join(_DRAIN_IDLE_S)
        self.close()

    def close(self) -> None:
        """Close the connection."""
        # The response may be closed already, in which case docker-py finds no socket in it.
        with contextlib.suppress(OSError, AttributeError, DockerException):
            self._stream.close()
        self._thread.join(1.0)
        response = getattr(self._stream, "_response", None)
        if response is not None:
            response.close()


def after(last: bytes, kept: bytes) -> bytes:
    """Return what `kept`, the end of an output, has beyond an earlier reading that ended with `last`.

    They are overlapped as far as possible, so that nothing is taken twice. Without anything in common all of `kept`
    is new.
    """
    # It may have been cut off long before its end. What is short is whole, and begins where a line does.
    whole = last if len(last) >= _LAST_BYTES else b"\n" + last
    if last and not kept.startswith(last) and (place := kept.find(whole)) >= 0:
        return kept[place + len(whole) :]
    starts = [0, *(match.end() for match in re.finditer(rb"\n", last))]
    for start in starts:
        if kept.startswith(last[start:]):
            return kept[len(last) - start :]
    return kept


class Container:
    """A created container; fulfils `supervision.Handle`.

    `exit_code` and `oom_killed` hold once `wait` has returned True. The out-of-memory flag is the whole container's
    and sticky: a child alone may have set it.

    Args:
        patience_s: How long the engine may be away before the run is given up.
        pause_s: How long to wait before an engine that is away is asked again.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        container_id: str,
        sink: LogSink,
        *,
        patience_s: float = 30.0,
        pause_s: float = PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._id = container_id
        self._sink = sink
        self._patience_s = patience_s
        self._pause_s = pause_s
        self._clock = clock
        self._lost_since: float | None = None
        self._drain: Drain | None = None
        self._attaches = 0
        self._follows_log = False
        self.exit_code: int | None = None
        self.oom_killed = False
        self.connection_lost = False

    @property
    def container_id(self) -> str:
        """The engine's id of it."""
        return self._id

    def attach(self) -> None:
        """Begin to drain the output, before the start so that nothing is missed. Raises the engine's errors.

        The engine copies standard output and standard error apart, so that a line of one may come amid a line of the
        other, above all on a busy machine.
        """
        self._attaches += 1
        stream: Any = self._client.api.attach(self._id, stdout=True, stderr=True, stream=True, logs=False, demux=True)
        self._drain = Drain(stream, self._sink)

    def replay(self, *, running: bool) -> None:
        """Read the output of an adopted container from its beginning, as far as the engine kept it, and follow it.

        Attaching with history loses what is written between history and stream, and never ends for a container that
        has ended. Following the engine's log loses only what has been rotated away. Raises the engine's errors.
        """
        stream: Any = self._client.api.logs(self._id, stdout=True, stderr=True, stream=True, follow=running)
        self._drain = Drain(stream, self._sink)
        self._follows_log = running

    def start(self) -> None:
        """Start it. Raises the engine's errors."""
        self._client.api.start(self._id)

    def wait(self, timeout_s: float) -> bool:
        """Wait at most `timeout_s` (longer only when the engine hangs) and return whether it has ended.

        Raises:
            EngineError: The engine was away for longer than the patience, or the container is gone.
        """
        # A time-out and a lost connection are the same exception: looking again tells them apart.
        with contextlib.suppress(requests.RequestException, DockerException):
            self._client.api.wait(self._id, timeout=timeout_s)  # type: ignore[arg-type]  # requests takes a float
        try:
            state = self._client.api.inspect_container(self._id)["State"]
        except NotFound as error:
            raise EngineError("the container is gone: it was removed, or the engine lost it") from error
        except (requests.RequestException, DockerException) as error:
            self._wait_for_engine(error, timeout_s)
            return False
        self._lost_since = None
        if state.get("Running") or state.get("Status") in {"created", "restarting"}:
            self._attach_again()
            return False
        if self._drain is not None and self._drain.error is not None:
            self.connection_lost = True
        self.exit_code = int(state["ExitCode"])
        self.oom_killed = bool(state.get("OOMKilled"))
        return True

    def _wait_for_engine(self, error: Exception, timeout_s: float) -> None:
        now = self._clock()
        self.connection_lost = True
        self._lost_since = now if self._lost_since is None else self._lost_since
        if now - self._lost_since >= self._patience_s:
            raise EngineError(
                f"the container engine did not answer for {self._patience_s:.0f} s: {str(error)[:200]}"
            ) from error
        time.sleep(min(timeout_s, self._pause_s))  # a refused connection fails at once

    def _attach_again(self) -> None:
        if self._drain is None or self._drain.alive or self._attaches >= _MAX_ATTACHES:
            return
        self._drain.close()
        self._sink.feed(b"\nsquire: the connection to the engine broke here; some lines may be missing\n")
        with contextlib.suppress(requests.RequestException, DockerException):  # tried again at the next look
            self.attach()

    def check_engine_shutdown(self) -> None:
        """Find out whether a container that we did not kill was ended by an engine that shuts down.

        Such an engine ends its containers and then goes away. Sets `connection_lost`; takes 2 s when the engine stays,
        and at most the patience when it goes.
        """
        start = self._clock()
        while self._clock() - start < (self._patience_s if self.connection_lost else _FAREWELL_S):
            try:
                self._client.api.ping()
            except (requests.RequestException, DockerException):
                self.connection_lost = True
            else:
                if self.connection_lost:
                    return
            time.sleep(self._pause_s / 2)

    def terminate(self) -> None:
        """Ask it to end."""
        self._signal("SIGTERM")

    def kill(self) -> None:
        """End it."""
        self._signal("SIGKILL")

    def _signal(self, name: str) -> None:
        try:
            self._client.api.kill(self._id, signal=name)
        except APIError as error:
            if error.status_code not in _NOT_RUNNING:
                _log.warning("agent.signal_failed", signal=name, reason=str(error)[:200])
        except (requests.RequestException, DockerException) as error:
            # The supervisor goes on waiting, and that ends in an EngineError if the engine stays away.
            _log.warning("agent.signal_failed", signal=name, reason=str(error)[:200])

    def finish_output(self) -> None:
        """Read the output to its end, with a bound. May be repeated."""
        drain, self._drain = self._drain, None
        if drain is None:
            return
        drain.finish()
        if self._follows_log and self.exit_code is not None:
            self._read_the_rest(drain.last)

    def _read_the_rest(self, last: bytes) -> None:
        """Take what came after `last`: following the engine's log ends with the container, and sometimes too soon."""
        # Mostly a few lines are missing. On a busy machine it may be thousands: then more is read, until it overlaps.
        for tail in (_LAST_LINES, 40 * _LAST_LINES, "all"):
            try:
                kept = self._client.api.logs(self._id, stdout=True, stderr=True, tail=tail)
            except (requests.RequestException, DockerException) as error:
                _log.warning("agent.log_may_lack_its_end", reason=str(error)[:200])
                return
            rest = after(last, kept)
            if len(rest) < len(kept) or tail == "all":
                self._sink.feed(rest, _STREAMS[0])
                return


def remove_with_retry(client: docker.DockerClient, name: str, attempt_id: str, *, pause_s: float = PAUSE_S) -> bool:
    """Remove the attempt's container with a few tries; log it and return False when it must be left behind."""
    reason = ""
    for attempt in range(_REMOVE_TRIES):
        try:
            reap.remove(client, name, attempt_id=attempt_id)
        except SquireError as error:
            reason = error.message
            if not error.retryable:
                break
            if attempt + 1 < _REMOVE_TRIES:
                time.sleep(pause_s)
        else:
            return True
    _log.warning("agent.container_left_behind", container=name, reason=reason)
    return False
