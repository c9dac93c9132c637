"""The gateway as a server on a Unix socket, in a thread with its own loop, for as long as one attempt runs.

Where the socket lies: its path may have 108 bytes at most (`sockaddr_un`), so it cannot lie in an attempt's folder. It
gets a short temporary directory (0700, ours alone) and in it a directory `s` that is mounted into the container; the
socket is open to every user, since engines map the container's user in different ways, and only what can reach `s`
(we and the container) can connect.
"""

import shutil
import tempfile
import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Self

import httpx
import uvicorn

from squire_pipelines.errors import ConfigError, NotReachableError
from squire_pipelines.gateway.app import GatewayApp
from squire_pipelines.gateway.model import GatewayCall, GatewayLimits

SOCKET_NAME = "gateway.sock"
MAX_SOCKET_PATH_BYTES = 107
_START_S = 10.0
_DRAIN_S = 2
_SHORT_DIRECTORY = Path("/tmp")  # noqa: S108 - mkdtemp makes a private directory in it


class SocketDirectory:
    """A context manager: a private place for a gateway's socket, removed at the end. Enters as the socket's path.

    Args:
        base: Where to make it; by default the temporary directory, or /tmp when that has too long a name.
    """

    def __init__(self, base: Path | None = None) -> None:
        self._base = base
        self._root: Path | None = None

    def __enter__(self) -> Path:
        base = self._base or Path(tempfile.gettempdir())
        longest = base / "squire-12345678" / "s" / SOCKET_NAME
        if self._base is None and len(bytes(longest)) > MAX_SOCKET_PATH_BYTES:
            base = _SHORT_DIRECTORY
        self._root = Path(tempfile.mkdtemp(prefix="squire-", dir=base))
        inner = self._root / "s"
        inner.mkdir()
        inner.chmod(0o711)
        return inner / SOCKET_NAME

    def __exit__(self, *_: object) -> None:
        if self._root is not None:
            shutil.rmtree(self._root)
            self._root = None


class Gateway:
    """The one door of an agent to its model. `with Gateway(...) as gateway:` serves until the block ends.

    Args:
        socket_path: Where to listen; the directory must exist. See `SocketDirectory`.
        upstream_base_url: The provider's base URL with its version, such as `https://api.example.com/v1`.
        api_key: The provider's key; it is put into requests here and goes nowhere else.
        allowed_models: The ids of models that the agent may use.
        on_call: Told of each call in the gateway's thread when it is over; should be quick.
        limits: The bounds.

    Raises:
        ConfigError: The URL is none for HTTP, or the socket's path is too long.
        NotReachableError: The server did not start.
    """

    def __init__(
        self,
        socket_path: Path,
        upstream_base_url: str,
        api_key: str | None,
        allowed_models: Collection[str],
        *,
        on_call: Callable[[GatewayCall], None],
        limits: GatewayLimits | None = None,
    ) -> None:
        if len(bytes(socket_path)) > MAX_SOCKET_PATH_BYTES:
            message = f"the socket's path has more than {MAX_SOCKET_PATH_BYTES} bytes: {socket_path}"
            raise ConfigError(message, hint="set TMPDIR to a directory with a shorter name")
        if not socket_path.parent.is_dir():
            message = f"the directory of the gateway's socket does not exist: {socket_path.parent}"
            raise ConfigError(message)
        if not _is_http(upstream_base_url):
            message = f"agent.base_url = {upstream_base_url!r} is no URL of an HTTP service"
            raise ConfigError(message, hint="for example https://api.openai.com/v1")
        self.socket_path = socket_path
        bounds = limits or GatewayLimits()
        app = GatewayApp(
            base_url=upstream_base_url,
            api_key=api_key,
            allowed_models=allowed_models,
            on_call=on_call,
            limits=bounds,
        )
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                uds=str(socket_path),
                lifespan="on",
                ws="none",
                access_log=False,
                log_config=None,
                server_header=False,
                date_header=False,
                limit_concurrency=bounds.max_concurrent + 1,
                timeout_graceful_shutdown=_DRAIN_S,
            )
        )
        self._thread = threading.Thread(target=self._server.run, name="squire-gateway", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        pause = threading.Event()
        for _ in range(int(_START_S / 0.01)):
            if self._server.started:
                return self
            if not self._thread.is_alive():
                break
            pause.wait(0.01)
        self._stop()
        message = f"the gateway did not start at {self.socket_path}"
        raise NotReachableError(message, hint="check that its directory exists and may be written")

    def __exit__(self, *_: object) -> None:
        self._stop()
        self.socket_path.unlink(missing_ok=True)

    def _stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(_DRAIN_S + 5)
        if self._thread.is_alive():
            self._server.force_exit = True
            self._thread.join(1)


def _is_http(url: str) -> bool:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parsed.scheme in {"http", "https"} and bool(parsed.host)
