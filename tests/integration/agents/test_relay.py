"""The loopback port that leads to a Unix socket."""

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from squire_pipelines.agents.relay import LoopbackRelay


@pytest.fixture
def echo() -> Iterator[Path]:
    """A Unix socket that answers with what it was told, once its client has said all."""
    with tempfile.TemporaryDirectory(prefix="sq-") as folder, socket.socket(socket.AF_UNIX) as listener:
        path = Path(folder) / "echo.sock"
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    near, _ = listener.accept()
                except OSError:
                    return
                with near, contextlib.suppress(OSError):  # a test may hang up
                    received = b""
                    while data := near.recv(65536):
                        received += data
                    near.sendall(received)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield path
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def ask(port: int, text: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while data := connection.recv(65536):
            answer += data
        return answer


def test_both_directions_pass_and_ends_are_passed_on(echo: Path) -> None:
    with LoopbackRelay(echo) as relay:
        assert ask(relay.port, b"hello") == b"hello"
        assert ask(relay.port, b"x" * 300_000) == b"x" * 300_000


def test_without_a_gateway_a_connection_is_closed(tmp_path: Path) -> None:
    with (
        LoopbackRelay(tmp_path / "none") as relay,
        socket.create_connection(("127.0.0.1", relay.port), timeout=10) as connection,
    ):
        assert connection.recv(10) == b""


def test_a_connection_that_stays_open_does_not_keep_the_relay(echo: Path) -> None:
    with LoopbackRelay(echo) as relay, socket.create_connection(("127.0.0.1", relay.port), timeout=10) as connection:
        connection.sendall(b"hello")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", relay.port), timeout=10)
