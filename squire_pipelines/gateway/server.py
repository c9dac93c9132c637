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
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import MappingProxyType
from typing import Self

import httpx
import uvicorn

from squire_pipelines.errors import ConfigError, NotReachableError
from squire_pipelines.gateway.app import GatewayApp, Upstream
from squire_pipelines.gateway.call_log import CallLog
from squire_pipelines.gateway.egress import Egress, EgressRules, HostCount
from squire_pipelines.gateway.meter import Meter
from squire_pipelines.gateway.model import GatewayCall, GatewayLimits, Totals
from squire_pipelines.gateway.prices import Price, find_price
from squire_pipelines.gateway.wire import GatewayConfig

SOCKET_NAME = "gateway.sock"
MAX_SOCKET_PATH_BYTES = 107
_START_S = 10.0
_DRAIN_S = 2
_EGRESS_CONNECTIONS = 64  # package managers keep many open
_SHORT_DIRECTORY = Path("/tmp")  # noqa: S108 - mkdtemp makes a private directory in it


def socket_root(base: Path, name: str) -> Path:
    """The directory of the gateway of that name, always the same: a container that lives on has it mounted."""
    return base / f"squire-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


class SocketDirectory:
    """A context manager: a private place for a gateway's socket, removed at the end. Enters as the socket's path.

    Args:
        base: Where to make it; by default the temporary directory, or /tmp when that has too long a name.
        name: Whose gateway it is. One of the same name that was killed has left its place, which is then taken over, so
            that a container which outlived it finds the new socket. Without a name the place is a new one.
    """

    def __init__(self, base: Path | None = None, name: str | None = None) -> None:
        self._base = base
        self._name = name
        self._root: Path | None = None
        self._socket: Path | None = None

    def __enter__(self) -> Path:
        base = self._base or Path(tempfile.gettempdir())
        longest = base / "squire-12345678" / "s" / SOCKET_NAME
        if self._base is None and len(bytes(longest)) > MAX_SOCKET_PATH_BYTES:
            base = _SHORT_DIRECTORY
        self._root = self._taken_over(base) or Path(tempfile.mkdtemp(prefix="squire-", dir=base))
        inner = self._root / "s"
        inner.mkdir(exist_ok=True)
        inner.chmod(0o711)
        self._socket = inner / SOCKET_NAME
        return self._socket

    def _taken_over(self, base: Path) -> Path | None:
        """The place of that name, new or left; None when there is no name, or somebody else has made one there."""
        if self._name is None:
            return None
        root = socket_root(base, self._name)
        with contextlib.suppress(FileExistsError):
            root.mkdir(mode=0o700)
        found = root.lstat()
        ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077
        return root if ours else None

    def __exit__(self, *_: object) -> None:
        # A socket that is there still is not ours, which is removed by its gateway: another run goes on with it.
        if self._root is not None and not (self._socket is not None and self._socket.exists()):
            shutil.rmtree(self._root, ignore_errors=True)
        self._root = None


class Gateway:
    """The one door of an agent to the outside. `with Gateway(...) as gateway:` serves until the block ends.

    Args:
        socket_path: Where to listen; `SocketDirectory` makes a fit place. At most 107 bytes.
        upstream_base_url: The provider's, with its version, such as `https://api.example.com/v1`; None for no model.
        api_key: The provider's key; it is put into requests here and goes nowhere else.
        allowed_models: The ids of models that the agent may use.
        aliases: Further names that it may use, and the ids for which they stand.
        on_call: Told of each call in the gateway's thread when it is over; should be quick.
        limits: The bounds and caps.
        prices: The user's own prices, which win over the library's.
        before: What the attempt's earlier gateways have counted, for the caps.
        log: The call log; closed by its owner.
        egress: The ways out; none by default.

    Raises:
        ConfigError: The URL is none for HTTP, or the socket's path is too long.
        NotReachableError: The server did not start.
    """

    def __init__(
        self,
        socket_path: Path,
        upstream_base_url: str | None,
        api_key: str | None,
        allowed_models: Collection[str],
        *,
        on_call: Callable[[GatewayCall], None] = lambda _: None,
        limits: GatewayLimits | None = None,
        aliases: Mapping[str, str] = MappingProxyType({}),
        prices: Mapping[str, Price] = MappingProxyType({}),
        before: Totals | None = None,
        log: CallLog | None = None,
        egress: EgressRules | None = None,
    ) -> None:
        if len(bytes(socket_path)) > MAX_SOCKET_PATH_BYTES:
            raise ConfigError(
                f"the socket's path has more than {MAX_SOCKET_PATH_BYTES} bytes: {socket_path}",
                hint="set TMPDIR to a directory with a shorter name",
            )
        if not socket_path.parent.is_dir():
            raise ConfigError(f"the directory of the gateway's socket does not exist: {socket_path.parent}")
        upstream = None
        if upstream_base_url is not None:
            if not _is_http(upstream_base_url):
                raise ConfigError(
                    f"agent.base_url = {upstream_base_url!r} is no URL of an HTTP service",
                    hint="for example https://api.openai.com/v1",
                )
            upstream = Upstream(upstream_base_url.rstrip("/"), api_key, frozenset(allowed_models), aliases)
        self.socket_path = socket_path
        self._inode = 0
        self._bounds = limits or GatewayLimits()
        self._prices = _Prices(upstream, prices)
        self._meter = Meter(self._bounds, before)
        self._egress = Egress(egress) if egress is not None and egress.is_open else None
        app = GatewayApp(
            upstream=upstream,
            on_call=on_call,
            limits=self._bounds,
            meter=self._meter,
            prices=self._prices.found,
            log=log,
            egress=self._egress,
        )
        connections = self._bounds.max_concurrent + 1 + (_EGRESS_CONNECTIONS if self._egress is not None else 0)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                uds=str(socket_path),
                http="h11",  # httptools answers CONNECT by itself, with a 400 that does not say why
                lifespan="on",
                ws="none",
                access_log=False,
                log_config=None,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                limit_concurrency=connections,
                timeout_graceful_shutdown=_DRAIN_S,
            )
        )
        self._thread = threading.Thread(target=self._server.run, name="squire-gateway", daemon=True)

    @classmethod
    def from_config(
        cls, order: GatewayConfig, socket_path: Path, *, on_call: Callable[[GatewayCall], None], log: CallLog
    ) -> Self:
        """The gateway that an order describes, in this process. Raises ConfigError."""
        return cls(
            socket_path,
            order.base_url,
            order.api_key,
            order.models,
            on_call=on_call,
            limits=order.limits,
            aliases=order.aliases,
            prices=order.prices,
            before=order.before,
            log=log,
            egress=order.egress,
        )

    @property
    def totals(self) -> Totals:
        """What the attempt has used so far, calls under way included. May be asked from any thread."""
        return self._meter.totals

    @property
    def exhausted(self) -> str | None:
        """Which cap the attempt has met, in words; None while it has met none."""
        return self._meter.exhausted

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Models that were to be called and whose price nobody knows."""
        return tuple(sorted(model for model, price in self._meter.prices.items() if price is None))

    @property
    def hosts(self) -> Mapping[str, HostCount]:
        """What passed to and from each host of the way out."""
        return dict(self._egress.hosts) if self._egress is not None else {}

    def __enter__(self) -> Self:
        self._prices.look_up()
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


class _Prices:
    """Looks prices up in a thread of its own, while the agent starts: the library takes half a second to import."""

    def __init__(self, upstream: Upstream | None, own: Mapping[str, Price]) -> None:
        self.found: Future[Mapping[str, Price | None]] = Future()
        self._upstream = upstream
        self._own = own

    def look_up(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="squire-prices", daemon=True).start()

    def _run(self) -> None:
        upstream = self._upstream
        try:
            models = upstream.models if upstream is not None else ()
            url = upstream.base_url if upstream is not None else None
            self.found.set_result({model: find_price(model, self._own, api_url=url) for model in models})
        except Exception as error:  # noqa: BLE001 - whoever waits for the prices must hear of it
            self.found.set_exception(error)


def _is_http(url: str) -> bool:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parsed.scheme in {"http", "https"} and bool(parsed.host)
