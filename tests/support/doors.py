"""Doors of attempts for tests: without pauses, with a stranger's own connections, and a gateway that only repeats."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from squire_pipelines.agents.door import DoorLimits, DoorServer
from squire_pipelines.agents.door_router import RouterLimits
from squire_pipelines.agents.door_wire import DoorToken, Request, Verb, new_token
from squire_pipelines.agents.model import AttemptInputs
from squire_pipelines.domain.door_addresses import DoorAddress

QUICK = DoorLimits(refusal_pause_s=0.0)
QUICK_ROUTER = RouterLimits(refusal_pause_s=0.0, remembered_s=0.0)
WITHIN_S = 30.0


@contextlib.contextmanager
def open_door(
    inputs: AttemptInputs, token: DoorToken, gateway: Path | None = None, limits: DoorLimits = QUICK
) -> Iterator[DoorServer]:
    """Open a door on loopback."""
    with DoorServer(inputs, token.sha256, gateway_socket=gateway, limits=limits) as door:
        yield door


def call(address: DoorAddress | int, data: bytes) -> socket.socket:
    """Return a connection on which `data` was sent."""
    host, port = ("127.0.0.1", address) if isinstance(address, int) else (address.host, address.port)
    connection = socket.create_connection((host, port), WITHIN_S)
    connection.sendall(data)
    return connection


def line(unit: str, token: DoorToken, verb: Verb) -> bytes:
    """Return what a container's connection begins with."""
    return Request(unit, verb).line_with(token.text)


def read_all(connection: socket.socket) -> bytes:
    """Return all that comes until the other side ends; a connection that breaks has ended."""
    parts = []
    with connection, contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def read_line(connection: socket.socket) -> bytes:
    """Return one line without its end; nothing where the other side ended."""
    text = b""
    while not text.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            return text
        text += byte
    return text[:-1]


@contextlib.contextmanager
def echoing_gateway(path: Path) -> Iterator[Path]:
    """Listen at a Unix socket and answer with what came, in capitals."""

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data.upper())

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(16)
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield path
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def tokens(count: int) -> tuple[DoorToken, ...]:
    """Return so many tokens."""
    return tuple(new_token() for _ in range(count))
