"""The gateway in a container of its own: takes its order from standard input, serves until that ends, and reports.

Standard input ends with the supervisor, so that a gateway, and the key in it, never outlives the one who answers for
it. Standard output has reports alone: whatever else is written goes to standard error.
"""

import contextlib
import os
import select
import sys
import threading
from pathlib import Path
from typing import BinaryIO

import structlog

from squire_pipelines.errors import SquireError
from squire_pipelines.gateway.call_log import CallLog
from squire_pipelines.gateway.model import GatewayCall
from squire_pipelines.gateway.server import SOCKET_NAME, Gateway
from squire_pipelines.gateway.wire import (
    CONFIG_LINE,
    LOG_FOLDER,
    MAX_CONFIG_BYTES,
    SOCKET_FOLDER,
    STATUS_LINE,
    GatewayConfig,
    GatewayStatus,
)


class Reporter:
    """Writes reports, from the gateway's thread and from the main one."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._last: GatewayStatus | None = None
        self.gateway: Gateway | None = None

    def call(self, call: GatewayCall) -> None:
        """A call is over."""
        self._write(self._report(call))

    def state(self) -> None:
        """Say what is spent, if that is news."""
        report = self._report(None)
        if report != self._last:
            self._last = report
            self._write(report)

    def _report(self, call: GatewayCall | None) -> GatewayStatus:
        gateway = self.gateway
        if gateway is None:
            return GatewayStatus(call=call)
        return GatewayStatus(gateway.totals, gateway.exhausted, gateway.unpriced, gateway.hosts, call)

    def _write(self, report: GatewayStatus) -> None:
        with self._lock:
            self._out.write(STATUS_LINE.write(report))
            self._out.flush()


def serve(order: GatewayConfig, reporter: Reporter, *, until: int, socket_folder: Path, log_folder: Path) -> None:
    """Serve until the descriptor `until` has come to its end. Raises ConfigError, NotReachableError."""
    log = CallLog(log_folder, order.attempt_id, max_bytes=order.max_log_bytes, bodies=order.log_bodies)
    with contextlib.closing(log):
        gateway = Gateway.from_config(order, socket_folder / SOCKET_NAME, on_call=reporter.call, log=log)
        reporter.gateway = gateway
        with gateway:
            reporter.state()
            while not (select.select([until], [], [], order.every_s)[0] and not os.read(until, 4096)):
                reporter.state()
        reporter.state()


def main(socket_folder: Path = Path(SOCKET_FOLDER), log_folder: Path = Path(LOG_FOLDER)) -> int:
    """The container's program; its exit code."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    with os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0) as source:
        line = bytearray()
        while not line.endswith(b"\n") and len(line) < MAX_CONFIG_BYTES and (piece := source.read(65536)):
            line += piece
        try:
            order = CONFIG_LINE.read(bytes(line))
            serve(order, Reporter(out), until=source.fileno(), socket_folder=socket_folder, log_folder=log_folder)
        except SquireError as error:
            sys.stderr.write(f"{error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
