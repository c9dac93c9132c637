"""The receiver's process: settings, secret, socket, uvicorn, and a clean end. What a request does is `receiver`'s."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from squire_pipelines.errors import ConfigError, ExitCode, PortInUseError, SquireError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, get_logger, set_level
from squire_pipelines.observability.secret_uses import record_secret_uses
from squire_pipelines.reloading.in_force import SettingsInForce, settings_in_force
from squire_pipelines.reloading.process_status import StatusFile
from squire_pipelines.reloading.watch import SettingsWatch
from squire_pipelines.server_connections import ConnectionLimits, limited_protocol
from squire_pipelines.settings.restarts import Part
from squire_pipelines.terminal.output import json_text, write_line
from squire_pipelines.webhooks.live import LiveReceiver
from squire_pipelines.webhooks.receiver import THREAD_PREFIX, Limits, create_app

FINISH_WITHIN_S = 3
"""Seconds that requests may take to finish after SIGTERM; together with the rest below five."""

_BACKLOG = 512
_STUCK_AFTER_S = 0.5
_log = get_logger(Component.WEBHOOKS)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes any free one.

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
            f"webhooks.host = {host!r} is no address: {error.strerror}",
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
        raise _cannot_listen(host, port, error) from error
    return listener


def _cannot_listen(host: str, port: int, error: OSError) -> SquireError:
    import errno  # noqa: PLC0415 - only when it cannot listen

    if error.errno == errno.EADDRINUSE:
        message = f"port {port} on {host} is in use"
        return PortInUseError(message, hint="stop what listens there, or set webhooks.port (0 takes any free one)")
    message = f"cannot listen on {host} port {port}: {error.strerror}"
    return ConfigError(message, hint="check webhooks.host and webhooks.port")


def url_of(listener: socket.socket) -> str:
    """Return the URL under which a listening socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class ReceiverServer(uvicorn.Server):
    """uvicorn that says when it listens."""

    def __init__(
        self,
        app: Starlette,
        listener: socket.socket,
        *,
        announce: Callable[[str], None],
        limits: ConnectionLimits | None = None,
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=limited_protocol(limits or ConnectionLimits(), Component.WEBHOOKS),
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


def serve(in_force: SettingsInForce, *, announce: Callable[[str], None] = print_ready) -> None:
    """Receive deliveries until SIGTERM or SIGINT.

    Args:
        in_force: The settings, followed while it serves; `settings.restarts` names those that it is started with.
        announce: Called with the URL when requests are answered.

    Raises:
        SecretMissingError: There is no webhook secret.
        PortInUseError: The port is taken.
        ConfigError: The address cannot be used.
        LedgerError: The ledger cannot be used.
    """
    with StatusFile(in_force.home, Part.RECEIVER) as status:
        live = LiveReceiver(in_force, status)
        settings = in_force.settings
        limits = Limits(body=settings.webhooks.max_body, buffered=4 * settings.webhooks.max_body)
        # A writer that waits longer than we may is of no use: its caller has been told to come again.
        ledger = Ledger(settings.resolved_ledger_url, busy_timeout_s=limits.ledger_timeout_s)
        try:
            ledger.ensure_schema()
            app = create_app(ledger=ledger, secret=live.secret, repositories=live.repositories, limits=limits)
            record_secret_uses(ledger, actor="webhooks")
            live.on_secret_read = partial(record_secret_uses, ledger, actor="webhooks")
            bounds = ConnectionLimits(per_address=settings.webhooks.connections_per_address)
            with (
                listen(settings.webhooks.host, settings.webhooks.port) as listener,
                SettingsWatch(in_force, after_look=live.follow),
            ):
                ReceiverServer(app, listener, announce=announce, limits=bounds).serve_until_stopped()
        finally:
            ledger.close()


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(ExitCode.DONE)


def main(*, announce: Callable[[str], None] = print_ready) -> int:
    """Entry point of `python -m squire_pipelines.webhooks`. Returns the exit code."""
    # uvicorn puts these back and raises the signal again when it has finished: a clean end, not death by signal.
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # it asks for what the start does anyway
    try:
        in_force = settings_in_force(on_taken=lambda settings: set_level(settings.logging.level))
        signal.signal(signal.SIGHUP, lambda _signal, _frame: in_force.ask())
        serve(in_force, announce=announce)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(ExitCode.FAILED)
    except SquireError as error:
        write_line(f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""), err=True)
        return int(error.exit_code)
    return int(ExitCode.DONE)


def busy_threads(*, wait_s: float) -> tuple[str, ...]:
    """Names of the receiver's threads that are still in the ledger after `wait_s` seconds."""
    deadline = time.monotonic() + wait_s
    ours = [thread for thread in threading.enumerate() if thread.name.startswith(THREAD_PREFIX)]
    for thread in ours:
        thread.join(max(0.0, deadline - time.monotonic()))
    return tuple(thread.name for thread in ours if thread.is_alive())


def exit_with(code: int) -> None:
    """End the process, also when a thread is held up in the ledger: its delivery was not acknowledged."""
    if busy := busy_threads(wait_s=_STUCK_AFTER_S):
        _log.warning("left while the ledger was busy", threads=busy)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # Python itself would wait for them
    sys.exit(code)
