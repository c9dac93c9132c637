"""The gateway as a server on a Unix socket, in a thread with its own loop, for as long as one attempt runs.

Where the socket lies: its path may have 108 bytes at most (`sockaddr_un`), so it cannot lie in an attempt's folder. It
gets a short temporary directory (0700, ours alone) and in it a directory `s` that is mounted into the container; the
socket is open to every user, since engines map the container's user in different ways, and only what can reach `s`
(we and the container) can connect.
"""

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import uvicorn

from squire_pipelines.errors import ConfigError, NotReachableError
from squire_pipelines.gateway.app import MAX_EGRESS_AT_ONCE, GatewayApp
from squire_pipelines.gateway.call_log import CallLog
from squire_pipelines.gateway.model import GatewayCall
from squire_pipelines.gateway.wire import GatewayConfig, GatewayStatus
from squire_pipelines.observability.logging import Component, with_context
from squire_pipelines.server_connections import ConnectionLimits, limited_protocol

SOCKET_NAME = "gateway.sock"
MAX_SOCKET_PATH_BYTES = 107
_START_S = 10.0
_DRAIN_S = 2
_SPARE_CONNECTIONS = 16  # open without a call, or with one too many, which is told so
_SHORT_DIRECTORY = Path("/tmp")  # noqa: S108 - mkdtemp makes a private directory in it


def socket_root(base: Path, name: str) -> Path:
    """Return the directory of the gateway of that name, the same at every call: a container may have it mounted."""
    return base / f"squire-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@contextlib.contextmanager
def socket_directory(base: Path | None = None, name: str | None = None) -> Iterator[Path]:
    """Make a private directory for a gateway's socket, yield the socket's path, and remove the directory at the end.

    Args:
        base: Where to make it; by default the temporary directory, or /tmp when that has too long a name.
        name: Whose gateway it is. The directory that a killed gateway of the same name has left is used again, so that
            a container which outlived it reaches the new socket. Without a name the directory is a new one.
    """
    if base is None:
        base = Path(tempfile.gettempdir())
        if len(bytes(base / "squire-12345678" / "s" / SOCKET_NAME)) > MAX_SOCKET_PATH_BYTES:
            base = _SHORT_DIRECTORY
    root = (_named_root(base, name) if name else None) or Path(tempfile.mkdtemp(prefix="squire-", dir=base))
    inner = root / "s"
    inner.mkdir(exist_ok=True)
    inner.chmod(0o711)
    socket = inner / SOCKET_NAME
    try:
        yield socket
    finally:
        # A gateway removes its own socket. One that is still there is another run's, which goes on with the directory.
        if not socket.exists():
            shutil.rmtree(root, ignore_errors=True)


def _named_root(base: Path, name: str) -> Path | None:
    """Return the directory of that name, new or left; None when somebody else has made one there."""
    root = socket_root(base, name)
    with contextlib.suppress(FileExistsError):
        root.mkdir(mode=0o700)
    status = root.lstat()
    is_private = stat.S_ISDIR(status.st_mode) and not stat.S_IMODE(status.st_mode) & 0o077
    return root if is_private and status.st_uid == os.getuid() else None


class Gateway:
    """The only way of an agent's container to the outside. `with Gateway(...):` serves until the block ends.

    Args:
        socket_path: Where to listen, at most 107 bytes; `socket_directory` makes a place for it.
        config: What it serves.
        on_call: Called with each call that has ended, in the gateway's thread; should be quick.
        log: The call log, which its owner closes; None for none.

    Raises:
        ConfigError: The socket's path cannot be used.
        NotReachableError: The server did not start.
    """

    def __init__(
        self,
        socket_path: Path,
        config: GatewayConfig,
        *,
        on_call: Callable[[GatewayCall], None] = lambda _: None,
        log: CallLog | None = None,
    ) -> None:
        if len(bytes(socket_path)) > MAX_SOCKET_PATH_BYTES:
            raise ConfigError(
                f"the socket's path has more than {MAX_SOCKET_PATH_BYTES} bytes: {socket_path}",
                hint="set TMPDIR to a directory with a shorter name",
            )
        if not socket_path.parent.is_dir():
            raise ConfigError(f"the directory of the gateway's socket does not exist: {socket_path.parent}")
        self.socket_path = socket_path
        self._inode = 0
        self._app = GatewayApp(config, on_call=on_call, log=log)
        calls = config.limits.max_concurrent + (MAX_EGRESS_AT_ONCE if config.egress.is_open else 0)
        total = calls + _SPARE_CONNECTIONS
        bounds = ConnectionLimits(total, total, config.limits.request_s, until_request=True)
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app,
                uds=str(socket_path),
                # h11, since httptools answers CONNECT by itself, with a 400 that does not say why
                http=limited_protocol(bounds, Component.GATEWAY, self._app.count_wrong_request),
                lifespan="on",
                ws="none",
                access_log=False,
                log_config=None,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_DRAIN_S,
            )
        )
        self._thread = threading.Thread(target=with_context(self._server.run), name="squire-gateway", daemon=True)

    @property
    def status(self) -> GatewayStatus:
        """What has been counted so far; may be asked from any thread."""
        return self._app.status

    def __enter__(self) -> Self:
        self._thread.start()
        pause = threading.Event()
        for _ in range(int(_START_S / 0.01)):
            if self._server.started:
                self._inode = self.socket_path.stat().st_ino
                return self
            if not self._thread.is_alive():
                break
            pause.wait(0.01)
        self._stop()
        raise NotReachableError(
            f"the gateway did not start at {self.socket_path}",
            hint="check that its directory exists and may be written",
        )

    def __exit__(self, *_: object) -> None:
        self._stop()
        with contextlib.suppress(FileNotFoundError):
            if self.socket_path.stat().st_ino == self._inode:
                self.socket_path.unlink()

    def _stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(_DRAIN_S + 5)
        if self._thread.is_alive():
            self._server.force_exit = True
            self._thread.join(1)
