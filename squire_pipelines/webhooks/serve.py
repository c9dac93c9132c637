"""The receiver's process: settings, secret, socket, uvicorn, and a clean end. What a request does is `receiver`'s."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType

from squire_pipelines.errors import ExitCode, SquireError
from squire_pipelines.http_server import AnnouncingServer, listen, print_ready
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.observability.process_counts import count_process
from squire_pipelines.observability.secret_uses import record_secret_uses
from squire_pipelines.reloading.in_force import SettingsInForce, settings_in_force
from squire_pipelines.reloading.process_status import StatusFile
from squire_pipelines.reloading.watch import SettingsWatch
from squire_pipelines.server_connections import ConnectionLimits
from squire_pipelines.settings.restarts import Part
from squire_pipelines.terminal.output import write_line
from squire_pipelines.webhooks.live import LiveReceiver
from squire_pipelines.webhooks.receiver import THREAD_PREFIX, Limits, create_app

_STUCK_AFTER_S = 0.5
_log = get_logger(Component.WEBHOOKS)


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
    count_process(Component.WEBHOOKS, in_force.home.metrics)
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
                listen(settings.webhooks.host, settings.webhooks.port, section="webhooks") as listener,
                SettingsWatch(in_force, after_look=live.follow),
            ):
                server = AnnouncingServer(app, listener, announce=announce, component=Component.WEBHOOKS, limits=bounds)
                server.serve_until_stopped()
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
        in_force = settings_in_force(on_taken=lambda settings: settings.logging.apply())
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
