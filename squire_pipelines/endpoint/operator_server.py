"""The endpoint's process: its settings, its socket, and a clean end. What it answers is `routes`'."""

import socket
import threading
from collections.abc import Callable
from contextlib import closing

from squire_pipelines.alerting.process import alerting
from squire_pipelines.endpoint.health_routes import health_routes
from squire_pipelines.endpoint.home_readings import HomeReadings
from squire_pipelines.endpoint.routes import create_app
from squire_pipelines.endpoint.snapshot import Snapshot
from squire_pipelines.endpoint.trace_export import TraceExport
from squire_pipelines.errors import PortInUseError
from squire_pipelines.http_server import AnnouncingServer, listen, print_ready
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.reloading.in_force import InForce, SettingsInForce
from squire_pipelines.reloading.process_status import StatusFile, status_of
from squire_pipelines.reloading.server_main import run_server
from squire_pipelines.reloading.watch import SettingsWatch
from squire_pipelines.runtime.delivery_watch import DeliveryWatch
from squire_pipelines.runtime.health import HealthWatch
from squire_pipelines.sections.observability import ObservabilitySettings
from squire_pipelines.server_connections import ConnectionLimits
from squire_pipelines.settings.restarts import Part

TRY_AGAIN_S = 5.0
"""How often a process that waits for its port tries to listen."""

_LIMITS = ConnectionLimits(per_address=64, total=128)
_log = get_logger(Component.ENDPOINT)


def listen_patiently(
    settings: ObservabilitySettings, *, stop: threading.Event, every_s: float = TRY_AGAIN_S
) -> socket.socket | None:
    """Return a listening socket as soon as the port is free; None when `stop` was set before.

    A port in use is logged once, with the setting that names it, and once more when it is free.

    Raises:
        ConfigError: The address cannot be used, whoever has the port.
    """
    is_waiting = False
    while not stop.is_set():
        try:
            listener = listen(settings.host, settings.port, section="observability")
        except PortInUseError as error:
            if not is_waiting:
                _log.error("the endpoint waits for its port", reason=error.message, hint=error.hint)
            is_waiting = True
            stop.wait(every_s)
        else:
            if is_waiting:
                _log.info("the endpoint's port is free again", port=settings.port)
            return listener
    return None


def serve(in_force: SettingsInForce, *, waits_for_port: bool, announce: Callable[[str], None] = print_ready) -> None:
    """Serve metrics and health until SIGTERM or SIGINT.

    Args:
        in_force: The settings, followed while it serves; `settings.restarts` names those that it is started with.
        waits_for_port: Whether it waits while its port is in use, and raises nothing.
        announce: Called with the URL when requests are answered.

    Raises:
        PortInUseError: The port is taken.
        ConfigError: The address cannot be used.
    """
    settings = in_force.settings.observability
    stop = threading.Event()
    with StatusFile(in_force.home, Part.ENDPOINT) as status:

        def follow(_state: InForce) -> None:
            status.write(status_of(in_force, Part.ENDPOINT))

        follow(in_force.state)
        # Looked at also while the port is waited for, and by no sensor: a daemon that stands still is told of too.
        with (
            SettingsWatch(in_force, after_look=follow),
            alerting(lambda: in_force.settings) as look,
            HealthWatch(lambda: in_force.settings, after_look=look) as health,
            TraceExport(lambda: in_force.settings, in_force.home.metrics),
            DeliveryWatch(lambda: in_force.settings),
        ):
            if waits_for_port:
                listener = listen_patiently(settings, stop=stop)
            else:
                listener = listen(settings.host, settings.port, section="observability")
            if listener is None:
                return
            with listener, closing(HomeReadings(in_force)) as readings, _snapshot(readings, in_force) as snapshot:
                app = create_app(metrics=snapshot.text, others=health_routes(lambda: health.conditions))
                server = AnnouncingServer(
                    app, listener, announce=announce, component=Component.ENDPOINT, limits=_LIMITS
                )
                server.serve_until_stopped()


def _snapshot(readings: HomeReadings, in_force: SettingsInForce) -> Snapshot:
    return Snapshot(readings.all(), interval_s=lambda: in_force.settings.observability.metrics_interval_s)


def main(*, waits_for_port: bool = False, announce: Callable[[str], None] = print_ready) -> int:
    """Serve the endpoint of the home that the environment names. Returns the exit code."""
    return run_server(lambda in_force: serve(in_force, waits_for_port=waits_for_port, announce=announce))
