"""The gateway in a container of its own: reads its configuration from standard input, serves until that ends.

Standard input ends with the supervisor, so that a gateway, and the key in it, never outlives the one who answers for
it. Standard output carries status lines alone: whatever else is written goes to standard error.
"""

import contextlib
import os
import select
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

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
from squire_pipelines.observability.logging import Component, bound_context, set_level
from squire_pipelines.process_setup import set_up_process
from squire_pipelines.secrets.secret import Secret


class Reporter:
    """Writes status lines, from the gateway's thread and from the main one."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._last: GatewayStatus | None = None
        self.gateway: Gateway | None = None

    def report_call(self, call: GatewayCall) -> None:
        """Report a call that has ended."""
        self._write(replace(self._status(), call=call))

    def report_status(self) -> None:
        """Report what is spent, if that has changed."""
        status = self._status()
        if status != self._last:
            self._last = status
            self._write(status)

    def _status(self) -> GatewayStatus:
        return self.gateway.status if self.gateway is not None else GatewayStatus()

    def _write(self, status: GatewayStatus) -> None:
        with self._lock:
            self._out.write(STATUS_LINE.write(status))
            self._out.flush()


def serve(config: GatewayConfig, reporter: Reporter, *, until: int, socket_folder: Path, log_folder: Path) -> None:
    """Serve until the descriptor `until` has come to its end. Raises ConfigError, NotReachableError."""
    log = CallLog(log_folder, config.attempt_id, max_bytes=config.max_log_bytes, bodies=config.log_bodies)
    with contextlib.closing(log):
        reporter.gateway = Gateway(socket_folder / SOCKET_NAME, config, on_call=reporter.report_call, log=log)
        with reporter.gateway:
            reporter.report_status()
            while not (select.select([until], [], [], config.every_s)[0] and not os.read(until, 4096)):
                reporter.report_status()
        reporter.report_status()


def main(socket_folder: Path = Path(SOCKET_FOLDER), log_folder: Path = Path(LOG_FOLDER)) -> int:
    """Run the container's program; return its exit code."""
    set_up_process(Component.GATEWAY)
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0) as source:
        line = bytearray()
        while not line.endswith(b"\n") and len(line) < MAX_CONFIG_BYTES and (piece := source.read(65536)):
            line += piece
        try:
            config = CONFIG_LINE.read(bytes(line))
            for upstream in config.upstreams:
                if upstream.api_key is not None:
                    # From now on no log line of this process shows it.
                    Secret(upstream.api_key, name=upstream.words.secret)
            if config.is_debugged:
                set_level("debug")
            with bound_context(
                trace_id=config.trace_id,
                task_id=config.task_id,
                attempt_id=config.attempt_id,
                repository=config.repository,
            ):
                serve(config, Reporter(out), until=source.fileno(), socket_folder=socket_folder, log_folder=log_folder)
        except SquireError as error:
            from squire_pipelines.terminal.output import write_line  # noqa: PLC0415 - only when it fails

            write_line(error, err=True)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
