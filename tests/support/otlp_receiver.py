"""A receiver of OTLP on loopback, which takes what is sent, or does badly what an endpoint can do badly."""

import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum, auto

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PATIENCE_S = 30
_PIECE = 65536
_END = b"\r\n\r\n"


class Manner(Enum):
    """How it answers: properly, in part, never, or by one byte after the other without an end."""

    TAKES = auto()
    TAKES_A_PART = auto()
    SWALLOWS = auto()
    TRICKLES = auto()


@dataclass
class OtlpReceiver:
    """What was received, and what became of the connections.

    Args:
        manner: How it answers; a number is a status of HTTP.
    """

    manner: Manner | int = Manner.TAKES
    requests: "queue.Queue[ExportTraceServiceRequest]" = field(default_factory=queue.Queue)
    headers: "queue.Queue[dict[str, str]]" = field(default_factory=queue.Queue)
    hung_up: "queue.Queue[bool]" = field(default_factory=queue.Queue)
    """Has an entry for each client that went away while it waited for an answer."""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def next(self) -> ExportTraceServiceRequest:
        """Return the next request, as the official schema reads it."""
        return self.requests.get(timeout=PATIENCE_S)

    def serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(PATIENCE_S)
            data, size = b"", None
            while size is None or len(data) < size:
                piece = connection.recv(_PIECE)
                if not piece:
                    self.hung_up.put(True)  # noqa: FBT003 - what is put is the value
                    return
                data += piece
                if size is None and _END in data:
                    headers = _headers(data.partition(_END)[0])
                    size = data.index(_END) + len(_END) + int(headers["content-length"])
            self.headers.put(headers)
            self.requests.put(ExportTraceServiceRequest.FromString(data.partition(_END)[2]))
            self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        if self.manner is Manner.SWALLOWS:
            self.hung_up.put(connection.recv(1) == b"")
        elif self.manner is Manner.TRICKLES:
            connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
            connection.settimeout(0.01)
            while True:
                try:
                    connection.sendall(b"x")
                    if connection.recv(1) == b"":
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
            self.hung_up.put(True)  # noqa: FBT003 - what is put is the value
        else:
            partial = ExportTracePartialSuccess(rejected_spans=3, error_message="too many")
            refused = self.manner is Manner.TAKES_A_PART
            answer = ExportTraceServiceResponse(partial_success=partial if refused else None).SerializeToString()
            status = self.manner if isinstance(self.manner, int) else 200
            connection.sendall(
                f"HTTP/1.1 {status} Some\r\ncontent-length: {len(answer)}\r\nconnection: close\r\n\r\n".encode()
                + answer
            )


def _headers(head: bytes) -> dict[str, str]:
    first, *lines = head.decode().split("\r\n")
    return {":first": first} | {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }


@contextmanager
def receiving(manner: Manner | int = Manner.TAKES, *, port: int = 0) -> Iterator[OtlpReceiver]:
    """Receive on a port of loopback until the end of the block."""
    receiver = OtlpReceiver(manner)
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", port)) as listener:
        receiver.port = listener.getsockname()[1]

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threads.append(threading.Thread(target=receiver.serve, args=(connection,)))
                threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield receiver
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(PATIENCE_S)
            for thread in threads:
                thread.join(PATIENCE_S)
