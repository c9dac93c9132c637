"""The metrics of a worker's machine, served in a thread of the worker: what its home's files and processes say."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from squire_pipelines.endpoint.home_readings import HomeReadings
from squire_pipelines.endpoint.routes import create_app
from squire_pipelines.endpoint.snapshot import Snapshot
from squire_pipelines.errors import ConfigError, PortInUseError
from squire_pipelines.http_server import AnnouncingServer, listen
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.reloading.in_force import SettingsInForce
from squire_pipelines.server_connections import ConnectionLimits

_LIMITS = ConnectionLimits(per_address=16, total=32)
_END_WITHIN_S = 5.0
_log = get_logger(Component.WORKER)


@contextmanager
def worker_metrics(in_force: SettingsInForce, *, announce: Callable[[str], None]) -> Iterator[None]:
    """Serve the metrics of this machine on `observability.port` for the block.

    Where the port is taken the worker works without: another worker of this machine serves there, or `squire dev`,
    which also shows what a worker of its own home counts.

    Args:
        in_force: The worker's settings.
        announce: Called with the URL when requests are answered.
    """
    settings = in_force.settings.observability
    if not settings.enabled:
        yield
        return
    try:
        listener = listen(settings.host, settings.port, section="observability")
    except (PortInUseError, ConfigError) as error:
        _log.warning("this worker serves no metrics", reason=error.message, hint=error.hint)
        yield
        return
    readings = HomeReadings(in_force)
    snapshot = Snapshot(readings.of_machine(), interval_s=lambda: in_force.settings.observability.metrics_interval_s)
    with listener, closing(readings), snapshot:
        app = create_app(metrics=snapshot.text)
        server = AnnouncingServer(app, listener, announce=announce, component=Component.WORKER, limits=_LIMITS)
        thread = threading.Thread(target=server.serve_until_stopped, name="squire-worker-metrics", daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(_END_WITHIN_S)
