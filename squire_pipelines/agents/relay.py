"""Relays a loopback port to the gateway's Unix socket, for an agent that runs on the host itself.

In a container the worker's entrypoint does this by a program that not every machine has.
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
    """Relays 127.0.0.1:`port` to the socket, as a context manager, until the block ends."""

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
            client, _ = self._listener.accept()
            if not self._slots.acquire(blocking=False):
                client.close()
                continue
            threading.Thread(target=self._relay, args=(client,), name="squire-relay", daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        gateway = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # A connection that breaks is closed on its other side too, which is all that either side needs to know.
        with contextlib.suppress(OSError), client, gateway:
            gateway.connect(self._target)
            other = {client: gateway, gateway: client}
            while other and not self._closing.is_set():
                for source in select.select(list(other), [], [], _POLL_S)[0]:
                    data = source.recv(_CHUNK_BYTES)
                    target = gateway if source is client else client
                    if data:
                        target.sendall(data)
                    else:
                        del other[source]
                        target.shutdown(socket.SHUT_WR)
        self._slots.release()
