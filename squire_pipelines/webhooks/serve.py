"""The receiver's process: settings, secret, socket, uvicorn, and a clean end. What a request does is `receiver`'s."""

import gc
import ipaddress
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from squire_pipelines.domain.server_processes import ServerKind
from squire_pipelines.errors import ConfigError
from squire_pipelines.http_server import AnnouncingServer, listen, print_ready
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.observability.process_counts import count_process
from squire_pipelines.observability.secret_uses import record_secret_uses
from squire_pipelines.observability.server_presence import ServerPresence
from squire_pipelines.reloading.in_force import SettingsInForce
from squire_pipelines.reloading.process_status import StatusFile
from squire_pipelines.reloading.server_main import run_server
from squire_pipelines.reloading.watch import SettingsWatch
from squire_pipelines.server_connections import ConnectionLimits
from squire_pipelines.settings.restarts import Part
from squire_pipelines.webhooks.ledger_threads import THREAD_PREFIX
from squire_pipelines.webhooks.limits import Limits
from squire_pipelines.webhooks.live import LiveReceiver
from squire_pipelines.webhooks.receiver import create_app
from squire_pipelines.webhooks.refusals import RefusalCounts

_STUCK_AFTER_S = 0.5
# The thread that writes gives way at each call of SQLite, and gets its turn back after this time at the latest: with
# Python's own 5 ms, a commit would wait longer for the requests that are being read than for the disk.
_SWITCH_INTERVAL_S = 0.0005
_COLLECT_AFTER = 20_000
_log = get_logger(Component.WEBHOOKS)


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What a command says beside the settings.

    Args:
        host: Where to listen; None for `webhooks.host`.
        port: Likewise, for `webhooks.port`.
        verifies_nothing: Whether every delivery counts as signed. Only on loopback.
    """

    host: str | None = None
    port: int | None = None
    verifies_nothing: bool = False


def serve(in_force: SettingsInForce, options: ServeOptions, *, announce: Callable[[str], None] = print_ready) -> None:
    """Receive deliveries until SIGTERM or SIGINT.

    Args:
        in_force: The settings, followed while it serves; `settings.restarts` names those that it is started with.
        options: What wins over them.
        announce: Called with the URL when requests are answered.

    Raises:
        SecretMissingError: There is no webhook secret.
        PortInUseError: The port is taken.
        ConfigError: The address cannot be used, or others may reach it and nothing would be verified.
        LedgerError: The ledger cannot be used.
    """
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    at_start = in_force.settings.webhooks
    host = at_start.host if options.host is None else options.host
    port = at_start.port if options.port is None else options.port
    if options.verifies_nothing:
        _check_loopback(host)
        _log.warning("every delivery is taken as signed, since no secret is asked for", host=host)
    count_process(Component.WEBHOOKS, in_force.home.metrics)
    with StatusFile(in_force.home, Part.RECEIVER) as status:
        live = LiveReceiver(in_force, status, verifies_nothing=options.verifies_nothing)
        settings = in_force.settings
        limits = Limits(body=settings.webhooks.max_body, buffered=4 * settings.webhooks.max_body)
        # A writer that waits longer than we may is of no use: its caller has been told to come again.
        ledger = Ledger(settings.resolved_ledger_url, busy_timeout_s=limits.ledger_timeout_s)
        try:
            ledger.ensure_schema()
            refusals = RefusalCounts(ledger)
            app = create_app(
                ledger=ledger,
                secrets=live.secrets,
                repositories=live.repositories,
                judge=live.judge,
                hooks=live.hooks,
                most_waiting_bytes=live.most_waiting_bytes,
                refusals_per_minute=live.refusals_per_minute,
                refusals=refusals,
                limits=limits,
            )
            record_secret_uses(ledger, actor="webhooks")
            live.on_secret_read = partial(record_secret_uses, ledger, actor="webhooks")
            bounds = ConnectionLimits(per_address=settings.webhooks.connections_per_address)
            with (
                listen(host, port, section="webhooks") as listener,
                SettingsWatch(in_force, after_look=live.follow),
                ServerPresence(ledger, in_force.home, ServerKind.RECEIVER, live.facts),
            ):
                collect_less_often()
                server = AnnouncingServer(
                    app,
                    listener,
                    announce=announce,
                    component=Component.WEBHOOKS,
                    limits=bounds,
                    on_wrong_request=refusals.count_wrong_request,
                )
                server.serve_until_stopped()
        finally:
            ledger.close()


def collect_less_often() -> None:
    """Have Python look for unreachable cycles less often, and never again among what there is by now.

    It looks after 700 new objects, which is one delivery's JSON, and took a sixth of the time of each. What a delivery
    makes has no cycles and goes when it is answered.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 20)


def _check_loopback(host: str) -> None:
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ConfigError(
            f"without a secret anybody who reaches {host} could start work",
            hint="--insecure-no-secret is for 127.0.0.1, ::1 and localhost; set the secret webhook-secret for others",
        )


def main(options: ServeOptions | None = None, *, announce: Callable[[str], None] = print_ready) -> int:
    """Entry point of `python -m squire_pipelines.webhooks` and `squire webhooks serve`. Returns the exit code."""
    return run_server(lambda in_force: serve(in_force, options or ServeOptions(), announce=announce))


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
