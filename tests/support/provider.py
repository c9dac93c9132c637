"""A model's provider on loopback that a test directs, and a gateway before it with a client on its socket."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

import httpx

from squire_pipelines.domain.provider_faults import ProviderWords
from squire_pipelines.gateway.call_log import CallLog
from squire_pipelines.gateway.model import GatewayCall, GatewayLimits
from squire_pipelines.gateway.server import Gateway, socket_directory
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.wire import GatewayConfig
from squire_pipelines.trusted_certificates import tls_context

Answer = Callable[[BaseHTTPRequestHandler], None]
DEFAULT_LIMITS = GatewayLimits()
# Options of the first upstream; the others are the gateway's.
_UPSTREAM_OPTIONS = frozenset({"aliases", "cloud", "models", "prices", "protocol"})


@dataclass
class ReceivedRequest:
    """One request as the provider got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class DirectedProvider:
    """The provider: `answer` writes to the connection what it likes."""

    answer: Answer
    seen: list[ReceivedRequest] = field(default_factory=list)
    url: str = ""


def plain(status: int, body: object, headers: dict[str, str] | None = None) -> Answer:
    """An answer of JSON."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        raw = json.dumps(body).encode()
        handler.send_response(status)
        for name, value in {"content-type": "application/json", **(headers or {})}.items():
            handler.send_header(name, value)
        handler.send_header("content-length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)

    return write


@contextlib.contextmanager
def serve_upstream() -> Iterator[DirectedProvider]:
    """Serve until the block ends; by default each request is answered with a usage of 5 and 2 tokens."""
    upstream = DirectedProvider(plain(200, {"usage": {"prompt_tokens": 5, "completion_tokens": 2}}))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            upstream.seen.append(ReceivedRequest(self.command, self.path, headers, body))
            with contextlib.suppress(ConnectionError):
                upstream.answer(self)

        do_GET = do_HEAD = do_PUT = do_POST  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    upstream.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield upstream
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@dataclass
class RunningGateway:
    """A gateway that runs, what it has recorded, and a client that comes through its socket."""

    client: httpx.Client
    socket_path: Path
    calls: list[GatewayCall]
    called: threading.Condition
    server: Gateway

    def recorded(self, count: int = 1) -> list[GatewayCall]:
        """Wait until `count` calls have been recorded."""
        with self.called:
            assert self.called.wait_for(lambda: len(self.calls) >= count, timeout=10)
        return self.calls

    def connect(self) -> socket.socket:
        """A bare connection."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(10)
        connection.connect(str(self.socket_path))
        return connection


class AnswerWith(Protocol):
    """Sets the provider's answer."""

    def __call__(self, status: int, body: object, headers: dict[str, str] | None = None) -> None: ...


class OpenGateway(Protocol):
    """Opens a gateway."""

    def __call__(
        self,
        *,
        key: str | None = ...,
        limits: GatewayLimits = ...,
        url: str | None = None,
        log: CallLog | None = None,
        others: tuple[Upstream, ...] = (),
        **options: Any,
    ) -> RunningGateway: ...


@contextlib.contextmanager
def gateway_opener(upstream: DirectedProvider) -> Iterator[OpenGateway]:
    """Open gateways to the upstream; they close when the block ends."""
    with contextlib.ExitStack() as stack:

        def make(
            *,
            key: str | None = "sk-" + "k" * 20,
            limits: GatewayLimits = DEFAULT_LIMITS,
            url: str | None = None,
            log: CallLog | None = None,
            others: tuple[Upstream, ...] = (),
            **options: Any,
        ) -> RunningGateway:
            calls: list[GatewayCall] = []
            called = threading.Condition()

            def on_call(call: GatewayCall) -> None:
                with called:
                    calls.append(call)
                    called.notify_all()

            path = stack.enter_context(socket_directory())
            asked = {name: options.pop(name) for name in _UPSTREAM_OPTIONS & options.keys()}
            cloud = asked.get("cloud")
            words = ProviderWords(
                options.pop("name", "default"), "model-key", url or upstream.url, cloud.words if cloud else None
            )
            asked = {"models": ("small",), "words": words, **asked}
            asked |= {"limits": options.pop("upstream_limits")} if "upstream_limits" in options else {}
            first = Upstream(url or upstream.url, key, **asked)
            config = GatewayConfig("test-1", (first, *others), limits=limits, **options)
            server = stack.enter_context(Gateway(path, config, on_call=on_call, log=log))
            transport = httpx.HTTPTransport(verify=tls_context(), uds=str(path))
            client = stack.enter_context(httpx.Client(transport=transport, base_url="http://gateway", timeout=60))
            return RunningGateway(client, path, calls, called, server)

        yield make
