"""Connections whose requests httptools reads, which takes a third of h11's time; what it lets pass is refused here.

Its parser refuses by itself what RFC 9112 has a server refuse of lines, names, values, lengths and chunks. The bounds
of connections are `server_connections`'s.
"""

from collections.abc import Callable

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from squire_pipelines.observability.logging import Component
from squire_pipelines.server_connections import (
    MAX_HEAD,
    BodyPieces,
    BoundedConnection,
    ConnectionLimits,
    ServersConnections,
)

_MAX_WAITING = 32
"""How many requests of a connection may wait for the answer to an earlier one."""

_VERSIONS = frozenset({"1.0", "1.1"})
_NO_REQUEST = "Invalid HTTP request received."


class UnservedRequestError(Exception):
    """A request that the parser would take, and we do not serve: it is refused as one that cannot be read."""


class HttptoolsRequests(HttpToolsProtocol):
    """The requests of one connection.

    httptools has no bound for what is no body: the line and headers of a request, trailers, what stands beside the
    length of a chunk. All that together may be `MAX_HEAD` bytes, and as much again as the body.
    """

    headers: list[tuple[bytes, bytes]]
    url: bytes
    _is_in_head = False
    _has_begun = False
    _beside_body = 0
    _pieces = BodyPieces()

    def data_received(self, data: bytes) -> None:
        """Read on, and refuse a request that cannot be read, or of which too much comes that is no body."""
        self._unset_keepalive_if_required()
        self._has_begun = False
        size_before = self._pieces.size
        rest = data
        try:
            while rest:
                rest = self._read(rest)
        except httptools.HttpParserError:
            self.send_400_response(_NO_REQUEST)
            return
        if not self._has_begun:
            self._beside_body += len(data) - (self._pieces.size - size_before)
            if self._beside_body > MAX_HEAD + self._pieces.size:
                self.send_400_response(_NO_REQUEST)

    def _read(self, text: bytes) -> bytes:
        """Read a text, and return what of it is to be read once more.

        The parser takes what follows a head with `Upgrade` for the other protocol's. A server may ignore that header,
        and some clients send it with each request, as Java's does
        (https://docs.oracle.com/en/java/javase/21/docs/api/java.net.http/java/net/http/HttpClient.Version.html).
        """
        try:
            self.parser.feed_data(text)
        except httptools.HttpParserUpgrade as upgrade:
            line = b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
            kept = [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
            self.parser = httptools.HttpRequestParser(self)
            return b"\r\n".join((line, *kept, b"", text[upgrade.args[0] :]))
        return b""

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._is_in_head = self._has_begun = True
        self._beside_body, self._pieces = 0, BodyPieces()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, and leave out trailers, which follow a body."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Let the application have the request. Raises UnservedRequestError."""
        self._check_head()
        if not self.parser.should_upgrade():
            self._is_in_head = False
            super().on_headers_complete()

    def _check_head(self) -> None:
        """Raise UnservedRequestError for a head that RFC 9112 has a server refuse, and the parser does not."""
        names = [name for name, _ in self.headers]
        version = self.parser.get_http_version()
        hosts = names.count(b"host")
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEAD or version not in _VERSIONS or hosts > 1 or (not hosts and version == "1.1"):
            raise UnservedRequestError
        if b"transfer-encoding" in names:
            # Another coding would be the body's, which nobody undoes; with 1.0 it may be a trick on a proxy.
            codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
            if codings != [b"chunked"] or version == "1.0":
                raise UnservedRequestError
        if len(self.pipeline) >= _MAX_WAITING or self.parser.get_method() == b"CONNECT":
            raise UnservedRequestError

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body. Raises UnservedRequestError when there are too many."""
        if self._pieces.add(len(body)):
            raise UnservedRequestError
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Let the application have the end of the body."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is none, unless an earlier one has no answer yet, which this would be taken for."""
        is_under_way = self.cycle is not None and not self.cycle.response_complete
        if is_under_way and (self._is_in_head or self.cycle.response_started):
            self.transport.abort()
        else:
            super().send_400_response(msg)


class QuickProtocol(BoundedConnection, HttptoolsRequests):
    """One connection with its bounds."""

    def send_400_response(self, msg: str) -> None:
        """Count a request that is none, and answer it."""
        self.count_wrong_request()
        super().send_400_response(msg)


def quick_protocol(
    limits: ConnectionLimits, component: Component, on_wrong_request: Callable[[], None] = lambda: None
) -> type[QuickProtocol]:
    """Return the protocol for one server whose requests httptools reads; see ServersConnections."""
    connections = ServersConnections(limits, component, on_wrong_request)
    return type("QuickServersProtocol", (QuickProtocol,), {"server_connections": connections})
