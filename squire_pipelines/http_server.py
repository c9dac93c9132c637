"""A server of ours on one socket: listening, with errors that name the settings, and uvicorn until it is stopped.

What it serves, and by which settings, is its caller's: the webhook receiver, and the operator's endpoint.
"""

import errno
import os
import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette

from squire_pipelines.errors import ConfigError, PortInUseError, SquireError
from squire_pipelines.observability.logging import Component
from squire_pipelines.quick_connections import quick_protocol
from squire_pipelines.server_connections import ConnectionLimits
from squire_pipelines.terminal.output import json_text, write_line

FINISH_WITHIN_S = 3
"""Seconds that requests may take to finish after SIGTERM; together with the rest below five."""

_BACKLOG = 512


def listen(host: str, port: int, *, section: str) -> socket.socket:
    """Return a listening socket; port 0 takes any free one.

    Args:
        host: An address of this machine, or a name for one.
        port: Its number.
        section: The table of the settings that has the two, which errors name.

    Raises:
        PortInUseError: Something else listens there.
        ConfigError: The address is none of this machine's, or the port is not for us.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise ConfigError(
            f"{section}.host = {host!r} is no address: {error.strerror}",
            hint="for example 127.0.0.1, or 0.0.0.0 for all interfaces",
        ) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Listening begins here: two processes may both bind a port that nobody listens on yet.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, section, error) from error
    return listener


def _cannot_listen(host: str, port: int, section: str, error: OSError) -> SquireError:
    if error.errno == errno.EADDRINUSE:
        message = f"port {port} on {host} is in use"
        return PortInUseError(message, hint=f"stop what listens there, or set {section}.port (0 takes any free one)")
    message = f"cannot listen on {host} port {port}: {error.strerror}"
    return ConfigError(message, hint=f"check {section}.host and {section}.port")


def url_of(listener: socket.socket) -> str:
    """Return the URL under which a listening socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class AnnouncingServer(uvicorn.Server):
    """uvicorn that says when it listens.

    Args:
        app: What it serves.
        listener: Where.
        announce: Called with the URL once requests are answered.
        component: Whose log lines it makes.
        limits: Of its connections.
        on_wrong_request: Called with each request that is none, which the application does not see.
    """

    def __init__(
        self,
        app: Starlette,
        listener: socket.socket,
        *,
        announce: Callable[[str], None],
        component: Component,
        limits: ConnectionLimits | None = None,
        on_wrong_request: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=quick_protocol(limits or ConnectionLimits(), component, on_wrong_request),
                ws="none",
                log_config=None,
                access_log=False,
                lifespan="on",
                server_header=False,
                timeout_keep_alive=15,
                timeout_graceful_shutdown=FINISH_WITHIN_S,
                backlog=_BACKLOG,
            )
        )
        self._listener = listener
        self._announce = announce

    def serve_until_stopped(self) -> None:
        """Serve until SIGTERM or SIGINT, or until `should_exit` is set."""
        self.run(sockets=[self._listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Announce the URL once requests are answered."""
        url = url_of(self._listener)
        await super().startup(sockets)
        self._announce(url)


def print_ready(url: str) -> None:
    """Print one line of JSON on standard output, for whoever started us."""
    write_line(json_text({"ready": True, "url": url, "pid": os.getpid()}))
