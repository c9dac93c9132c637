"""A page on this machine from which a browser sends an App's manifest to GitHub, and to which GitHub sends it back.

It serves one form at an address that nobody can guess, takes one answer with our state, and is then closed.
"""

import contextlib
import json
import queue
import secrets
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from squire_pipelines.errors import PortInUseError, RefusedError, SquireError
from squire_pipelines.github.app_manifest import code_in
from squire_pipelines.secrets.secret import Secret

HOST = "127.0.0.1"
MAX_WRONG_ANSWERS = 20
_CALLBACK = "/callback"
_CONNECTION_TIMEOUT_S = 10.0
_REPLY_TIMEOUT_S = 120.0
_MAX_CONNECTIONS = 16
_HEADERS = {
    # No `form-action`: browsers apply it to where GitHub's sign-in redirects the form, too.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class BrowserReply:
    """What the browser is shown after GitHub sent it back: a page elsewhere to go on with, or a sentence."""

    text: str
    location: str | None = None
    status: HTTPStatus = HTTPStatus.OK


@dataclass(frozen=True, slots=True)
class BrowserAnswer:
    """A code that a browser brought with our state, or a person pasted. Whoever takes it replies: the browser waits."""

    code: Secret
    is_pasted: bool = False
    _replies: "queue.Queue[BrowserReply]" = field(default_factory=lambda: queue.Queue(maxsize=1))

    def reply(self, reply: BrowserReply) -> None:
        """Show the browser what became of it; only the first reply counts."""
        with contextlib.suppress(queue.Full):
            self._replies.put_nowait(reply)

    def wait_for_reply(self) -> BrowserReply:
        """Return what the browser is to be shown; the terminal has the rest where that takes too long."""
        try:
            return self._replies.get(timeout=_REPLY_TIMEOUT_S)
        except queue.Empty:
            return BrowserReply("GitHub made the App. Go on at the terminal, which says what became of it.")


class AppPage:
    """The page, served from its construction until `close`.

    Args:
        port: Of 127.0.0.1; 0 takes a free one.

    Raises:
        PortInUseError: The port is taken, or may not be used.
    """

    def __init__(self, port: int = 0) -> None:
        self.state = secrets.token_urlsafe(32)
        self._path = f"/{secrets.token_urlsafe(16)}"
        self.html = b""
        self._answers: queue.Queue[BrowserAnswer] = queue.Queue(maxsize=1)
        self._is_answered = False
        self._wrong_answers = 0
        self._lock = threading.Lock()
        page = self

        class OwnHandler(_PageHandler):
            served = page

        try:
            self._server = _PageServer((HOST, port), OwnHandler)
        except OSError as error:
            raise PortInUseError(
                f"the page for the new App cannot listen on {HOST}:{port}: {error.strerror}",
                hint="name another port with --port, or leave the option out for a free one",
            ) from error
        threading.Thread(target=self._server.serve_forever, name="app-page", daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The address of the form, which holds our state: it is for the person at the command alone."""
        return f"http://{HOST}:{self.port}{self._path}"

    @property
    def redirect_url(self) -> str:
        """Where GitHub has to send the browser."""
        return f"http://{HOST}:{self.port}{_CALLBACK}"

    def show(self, html: str) -> None:
        """Serve this page from now on."""
        self.html = html.encode()

    def take_answer(self, timeout_s: float) -> BrowserAnswer | None:
        """Wait for a browser with a code; return None when none came. Raises RefusedError after too many wrong ones."""
        try:
            return self._answers.get(timeout=timeout_s)
        except queue.Empty:
            pass
        if self._wrong_answers >= MAX_WRONG_ANSWERS:
            raise RefusedError(
                f"{self._wrong_answers} answers came that do not belong to this command; somebody may be trying to "
                "have their own App used",
                hint="close other pages, and run the command again",
            )
        return None

    def close(self) -> None:
        """Stop to listen. The threads of open connections end with their time limit."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reply_to(self, target: str, host: str) -> tuple[BrowserReply, bytes | None]:
        """Return the answer to one request, or the form itself."""
        parts = urlsplit(target)
        if host not in {f"{HOST}:{self.port}", f"localhost:{self.port}"}:  # a name of somebody's that leads here
            return BrowserReply("This page is for this machine alone.", status=HTTPStatus.FORBIDDEN), None
        if secrets.compare_digest(parts.path.encode(), self._path.encode()):
            return BrowserReply(""), self.html
        if parts.path != _CALLBACK:
            return BrowserReply("There is no such page.", status=HTTPStatus.NOT_FOUND), None
        return self._take(target), None

    def _take(self, target: str) -> BrowserReply:
        with self._lock:
            try:
                answer = BrowserAnswer(code_in(f"http://{target}", self.state))
            except SquireError as error:
                self._wrong_answers += 1
                return BrowserReply(f"{error.message}. {error.hint}.", status=HTTPStatus.BAD_REQUEST)
            if self._is_answered:
                return BrowserReply("This was used already. Go on at the terminal.", status=HTTPStatus.GONE)
            self._is_answered = True
        self._answers.put_nowait(answer)
        return answer.wait_for_reply()


class _PageServer(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = False
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self._slots = threading.BoundedSemaphore(_MAX_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """Let a browser that hangs up go: the person sees what became of the App at the terminal."""


class _PageHandler(BaseHTTPRequestHandler):
    served: AppPage
    timeout = _CONNECTION_TIMEOUT_S
    server_version = "squire"
    sys_version = ""

    def do_GET(self) -> None:
        reply, html = self.served.reply_to(self.path, self.headers.get("Host", ""))
        body = html if html is not None else _frame(escape(reply.text)).encode()
        self.send_response(HTTPStatus.SEE_OTHER if reply.location else reply.status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if reply.location:
            self.send_header("Location", reply.location)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Write nothing: the addresses hold our state and the code."""


def form_html(action: str, manifest: Mapping[str, Any], explained: Mapping[str, str], *, owner: str, web: str) -> str:
    """Return the page with what the App will be asked for and the button that sends its manifest to GitHub.

    Args:
        action: Where the form goes.
        manifest: What it sends.
        explained: What each permission is for.
        owner: Whose App it will be, in words.
        web: The GitHub.
    """
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(level)}</td><td>{escape(explained[name])}</td></tr>"
        for name, level in manifest["default_permissions"].items()
    )
    hook = manifest.get("hook_attributes")
    events = (
        f"<p>GitHub sends it events at {escape(hook['url'])}: {escape(', '.join(manifest['default_events']))}.</p>"
        if hook
        else "<p>It has no webhook: Squire reads the repositories on its schedule.</p>"
    )
    return _frame(
        f"<h1>A GitHub App for Squire</h1><p>The button sends this to {escape(web)}, which asks you again, and lets "
        f"you change the name. The App will be {escape(owner)}, private, with these permissions:</p>"
        f"<table>{rows}</table>{events}"
        f'<form action="{escape(action)}" method="post">'
        f'<input type="hidden" name="manifest" value="{escape(json.dumps(manifest))}">'
        f"<button>Create {escape(manifest['name'])}</button></form>"
    )


def _frame(content: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Squire</title><style>'
        "body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem;color:#1b1b1b;"
        "background:#fff}td{padding:.1rem 1rem .1rem 0}button{font:inherit;padding:.5rem 1rem}"
        f"</style></head><body><main>{content}</main></body></html>"
    )
