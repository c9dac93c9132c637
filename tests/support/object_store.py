"""A server on loopback that speaks S3, and a proxy before it that answers as a store in trouble does."""

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import httpx

KEY_ID, KEY = "the-key-id", "the-secret-key"


@contextmanager
def serve_s3(folder: Path, bucket: str) -> Iterator[str]:
    """Start the server with an empty bucket; yield its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "moto.log").open("wb") as log:
        command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": ""})
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                httpx.put(f"{url}/{bucket}", timeout=10, trust_env=False).raise_for_status()
                break
            except httpx.TransportError:
                assert server.poll() is None, (folder / "moto.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=10)


@dataclass(frozen=True)
class StoreFault:
    """What becomes of a request: an answer with an error, no answer, a lost answer, one that is cut or changed."""

    kind: Literal["refuse", "hang", "lose", "cut", "change"]
    status: int = 500
    code: str = ""


@dataclass
class FaultProxy:
    """Passes requests on to a server, but for those that a fault waits for. Faults hold for one request each."""

    upstream: str
    faults: deque[StoreFault] = field(default_factory=deque)
    faults_of_reads: deque[StoreFault] = field(default_factory=deque)
    """Of GET alone."""
    requests: list[str] = field(default_factory=list)
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)

    def forget(self) -> None:
        """Forget faults that are left, and the requests that came."""
        self.faults.clear()
        self.faults_of_reads.clear()
        self.requests.clear()

    @contextmanager
    def serve(self) -> Iterator["FaultProxy"]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                proxy.answer(self)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:  # it would write to the terminal
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield self
        finally:
            self.released.set()
            server.shutdown()
            server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.requests.append(f"{request.command} {request.path}")
        waiting = self.faults_of_reads if request.command == "GET" and self.faults_of_reads else self.faults
        fault = waiting.popleft() if waiting else None
        if fault is not None and fault.kind == "hang":
            self.released.wait(60)
            request.close_connection = True
            return
        if fault is not None and fault.kind == "refuse":
            text = f"<Error><Code>{fault.code}</Code><Message>{fault.code} it is</Message></Error>".encode()
            _send(request, fault.status, {}, b"" if request.command == "HEAD" else text)
            return
        upstream = http.client.HTTPConnection(urlsplit(self.upstream).netloc, timeout=30)
        upstream.request(request.command, request.path, body, dict(request.headers.items()))
        answer = upstream.getresponse()
        content, headers = answer.read(), dict(answer.getheaders())
        upstream.close()
        if fault is not None and fault.kind == "lose":
            request.close_connection = True
            return
        if fault is not None and fault.kind == "change":
            content = bytes(byte ^ 1 for byte in content)
        if fault is not None and fault.kind == "cut":
            request.close_connection = True
            _send(request, answer.status, headers, content, cut=len(content) // 2)
            return
        _send(request, answer.status, headers, content)


def _send(
    request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], content: bytes, *, cut: int = 0
) -> None:
    request.send_response(status)
    for name, value in headers.items():
        if name.lower() not in {"content-length", "connection", "transfer-encoding", "server", "date"}:
            request.send_header(name, value)
    length = headers.get("Content-Length", str(len(content))) if request.command == "HEAD" else str(len(content))
    request.send_header("Content-Length", length)
    request.end_headers()
    request.wfile.write(content[: len(content) - cut] if cut else content)
