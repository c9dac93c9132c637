"""Brings what an agent left out of its container's memory into the attempt's folder, while the container waits for it.

`/out` is a memory file system of the container's, so that the kernel bounds it. It ends with the container: the
entrypoint says when its result is there and waits until it is told that the result was taken, by this process or, if
that dies, by the next one. The worker's side is `squire_worker/waiting.py`.
"""

import contextlib
import errno
import itertools
import threading
from collections.abc import Iterator
from typing import Any, Self

import docker
import requests
from docker.errors import APIError, DockerException
from docker.utils.socket import SocketError

from squire_pipelines.agents.adapters.protocol import MAX_SESSION_FILE_BYTES
from squire_pipelines.agents.attempt_files import (
    BUNDLE_FILE,
    CHECKS_FILE,
    MAX_CHECKS_BYTES,
    MAX_RESULT_BYTES,
    RESULT_FILE,
    SETUP_FILE,
)
from squire_pipelines.agents.model import AttemptInputs
from squire_pipelines.agents.profile import host_user
from squire_pipelines.files import open_atomically
from squire_pipelines.observability.logging import Component, get_logger, with_context

_log = get_logger(Component.AGENT)
TAKEN_SIGNAL = "SIGUSR1"
_READ_S = 60
# Its line may have been rotated away, or lie beyond the log's limit.
_LOOK_EVERY_S = 30.0
_FINISH_S = 90.0
_FIRST_PAUSE_S = 0.5
_NONE = b"none"
_MAX_DIGITS = 16
# The size tells a file that the engine cut from a whole one. An agent may have put a pipe there that nobody writes to.
# `stat` fails in gVisor of 2022, whose kernel does not know what it asks for.
_SCRIPT = '[ -f "$0" ] || { echo none; exit; }; wc -c < "$0" && head -c "$1" "$0"'
_NOT_RUNNING = frozenset({404, 409})


def handed_out(inputs: AttemptInputs) -> Iterator[tuple[str, int]]:
    """Yield the names of the files that are taken, with the most bytes of each; `result.json` is the last."""
    if inputs.part:
        yield CHECKS_FILE, MAX_CHECKS_BYTES
        yield SETUP_FILE, inputs.limits.output
    else:
        yield BUNDLE_FILE, inputs.limits.output
        if inputs.launch.session_file is not None:
            yield inputs.launch.session_file.name, MAX_SESSION_FILE_BYTES
    yield RESULT_FILE, MAX_RESULT_BYTES


class HandOut:
    """A thread that takes the result when it is there and tells the container so. As a context manager it ends with it.

    Whoever forges the entrypoint's line, or a result, causes a look more, each after a longer pause; what is there at
    the last look counts.

    Args:
        client: The engine.
        container_id: The running container.
        inputs: Whose folder gets the files.
        ready: Is set when the entrypoint says that the result is there.
        adopted: Whether it may have said so before anybody listened.
    """

    def __init__(
        self,
        client: docker.DockerClient,
        container_id: str,
        inputs: AttemptInputs,
        ready: threading.Event,
        *,
        adopted: bool = False,
    ) -> None:
        self._client = client
        self._id = container_id
        self._inputs = inputs
        self._ready = ready
        self._ended = threading.Event()
        if adopted:
            ready.set()
        self._thread = threading.Thread(target=with_context(self._take), name="squire-hand-out", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.finish()

    def finish(self) -> None:
        """End it when the container has ended: what is being read is read to its end. May be repeated."""
        self._ended.set()
        self._ready.set()
        self._thread.join(_FINISH_S)

    def _take(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            was_told = self._ready.wait(_LOOK_EVERY_S)
            if self._ended.is_set():
                return
            self._ready.clear()
            try:
                if self._take_all():
                    self._client.api.kill(self._id, signal=TAKEN_SIGNAL)
            except APIError as error:
                if error.status_code in _NOT_RUNNING:
                    return
                _log.warning("agent.result_not_taken", reason=str(error)[:200])
            except (DockerException, requests.RequestException, OSError, SocketError) as error:
                _log.warning("agent.result_not_taken", reason=str(error)[:200])
                self._ready.set()  # a busy engine may lose what a short command writes
            if was_told:  # a look that nobody asked for has waited long enough
                self._ended.wait(pause_s)
                pause_s = min(pause_s * 2, _LOOK_EVERY_S)

    def _take_all(self) -> bool:
        """Copy what is there; return whether the result is. Raises OSError when the engine lost a part of a file."""
        if not self._read(RESULT_FILE, MAX_RESULT_BYTES):
            return False
        for name, max_bytes in handed_out(self._inputs):
            self._read(name, max_bytes)
        return True

    def _read(self, name: str, max_bytes: int) -> bool:
        """Copy a file, when there is one; one that is too long is cut, so that whoever reads it refuses it."""
        with self._output_of(name, max_bytes + 1) as chunks:
            head = b""
            while b"\n" not in head and len(head) < _MAX_DIGITS:
                chunk = next(chunks, None)
                if chunk is None:
                    break
                head += chunk
            size, newline, first = head.partition(b"\n")
            if not newline:
                raise OSError(errno.EIO, f"the engine gave no output of a look at {name}")
            if size == _NONE:
                return False
            left = expected = min(int(size), max_bytes + 1) if size.isdigit() and len(size) < _MAX_DIGITS else 0
            with open_atomically(self._inputs.folder.out / name, durable=False) as file:
                for chunk in itertools.chain([first], chunks):
                    file.write(chunk[:left])
                    left -= len(chunk[:left])
                    if not left:  # whoever took the command over might go on for ever
                        break
                if left:
                    raise OSError(errno.EIO, f"the engine gave {expected - left} of {expected} bytes of {name}")
        return True

    @contextlib.contextmanager
    def _output_of(self, name: str, most: int) -> Iterator[Iterator[bytes]]:
        """Yield the pieces of a file's size in a line and its first bytes, as the container's user reads them."""
        uid, gid = host_user()
        api = self._client.api
        command = ["timeout", str(_READ_S), "sh", "-c", _SCRIPT, f"/out/{name}", str(most)]
        exec_id = api.exec_create(self._id, command, user=f"{uid}:{gid}")["Id"]
        stream: Any = api.exec_start(exec_id, stream=True, demux=True)
        try:
            yield (stdout for stdout, _stderr in stream if stdout)
        finally:
            # At its end docker-py finds no socket any more to close.
            with contextlib.suppress(OSError, AttributeError, DockerException):
                stream.close()
            if (response := getattr(stream, "_response", None)) is not None:  # docker-py leaves it to its caller
                response.close()
