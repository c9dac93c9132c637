"""A loopback port that leads to the gateway's Unix socket, for an agent that runs on the host itself.

In a container the worker's entrypoint does this; here it would need a program that not every machine has.
"""

import contextlib
import select
import socket
import threading
from pathlib import Path
from typing import Self

_CHUNK_BYTES = 64 * 1024
_MAX_CONNECTIONS = 64
_POLL_S = 0.2


class LoopbackRelay:
    """`with LoopbackRelay(socket_path) as relay:` carries 127.0.0.1:`relay.port` to the socket until the block ends."""

    def __init__(self, socket_path: Path) -> None:
        self._target = str(socket_path)
        self._closing = threading.Event()
        self._slots = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(_MAX_CONNECTIONS)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="squire-relay", daemon=True)

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._acceptor.join(_POLL_S * 5)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            if not select.select([self._listener], [], [], _POLL_S)[0]:
                continue
            near, _ = self._listener.accept()
            if not self._slots.acquire(blocking=False):
                near.close()
                continue
            threading.Thread(target=self._carry, args=(near,), name="squire-relay", daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # A connection that breaks is closed on its other side too, which is all that either side needs to know.
        with contextlib.suppress(OSError), near, far:
            far.connect(self._target)
            other = {near: far, far: near}
            while other and not self._closing.is_set():
                for source in select.select(list(other), [], [], _POLL_S)[0]:
                    data = source.recv(_CHUNK_BYTES)
                    target = far if source is near else near
                    if data:
                        target.sendall(data)
                    else:
                        del other[source]
                        target.shutdown(socket.SHUT_WR)
        self._slots.release()
