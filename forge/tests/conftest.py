"""A forge served by a thread of the test process (so that its lines are counted), and a receiver of webhooks."""

import json
import os
import queue
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from pytest_socket import socket_allow_hosts

from squire_forge.app import build_app
from squire_forge.client import ForgeClient
from squire_forge.hosting import HostRequest, host
from squire_forge.process import ForgeProcess
from squire_forge.samples import SampleRepository, build_samples
from squire_forge.world import ForgeConfig, World

READY_TIMEOUT_S = 20.0


@pytest.fixture(autouse=True)
def loopback_only() -> None:
    """Refuse every connection to another machine."""
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[SampleRepository, ...]:
    """The sample repositories; the forge copies them, so that tests may share them."""
    return build_samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture(scope="session")
def hosted_home(samples: tuple[SampleRepository, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a forge that hosts the samples, to be copied and never used itself."""
    home = tmp_path_factory.mktemp("hosted")
    world = World(ForgeConfig(home=home, web_url="http://127.0.0.1", token="t", webhook_secret="s"))
    for sample in samples:
        host(world, HostRequest.model_validate(sample.hosting()))
    world.database.close()
    return home


@pytest.fixture
def forge_home(tmp_path: Path) -> Path:
    """The folder of this test's forge; start another forge on it to see what a restart keeps."""
    return tmp_path / "forge"


@pytest.fixture
def forge(forge_home: Path, hosted_home: Path) -> Iterator[ForgeProcess]:
    """A forge in a process of its own that hosts the samples and sends no webhooks."""
    shutil.copytree(hosted_home, forge_home)
    with ForgeProcess.start(forge_home) as running:
        yield running


@dataclass
class Received:
    """One webhook as it came in."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> str:
        return self.headers["x-github-event"]

    @property
    def payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = json.loads(self.body)
        return payload


@dataclass
class Receiver:
    """A webhook receiver. `status` is what it answers with."""

    url: str = ""
    status: int = 202
    inbox: "queue.Queue[Received]" = field(default_factory=queue.Queue)

    def all(self) -> list[Received]:
        """What came in since the last call."""
        webhooks = []
        while not self.inbox.empty():
            webhooks.append(self.inbox.get_nowait())
        return webhooks


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A running webhook receiver."""
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            made.inbox.put(Received({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(made.status)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/webhooks/github"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Served:
    """A forge in a thread, its client and what was injected into it."""

    client: ForgeClient
    world: World
    stop: Callable[[], None]


def _serve(config: ForgeConfig, clock: Callable[[], datetime]) -> Served:
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    served = ForgeConfig(**{**{name: getattr(config, name) for name in ForgeConfig.__slots__}, "web_url": url})
    world = World(served, clock=clock)
    server = uvicorn.Server(
        uvicorn.Config(build_app(world), log_config=None, access_log=False, timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    client = ForgeClient(url, home=config.home, token=config.token, webhook_secret=config.webhook_secret)
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)

    def stop() -> None:
        client.close()
        server.should_exit = True
        thread.join(READY_TIMEOUT_S)
        listener.close()

    return Served(client, world, stop)


ServeForge = Callable[..., ForgeClient]


@pytest.fixture
def serve_forge(tmp_path: Path) -> Iterator[ServeForge]:
    """Start a forge in a thread with fields of ForgeConfig: `serve_forge(webhook_url=…)`; same home each time."""
    running: list[Served] = []
    worlds: list[World] = []

    def start(**options: Any) -> ForgeClient:
        clock = options.pop("clock", lambda: datetime.now(UTC))
        config = ForgeConfig(
            home=tmp_path / "forge-in-thread",
            web_url="",
            token="ghp_" + "t" * 36,
            webhook_secret="s" * 40,
            **options,
        )
        running.append(_serve(config, clock))
        worlds.append(running[-1].world)
        return running[-1].client

    def stop_all() -> None:
        while running:
            running.pop().stop()

    start.stop_all, start.worlds = stop_all, worlds  # type: ignore[attr-defined]
    yield start
    stop_all()


@pytest.fixture
def local_forge(serve_forge: ServeForge, hosted_home: Path, tmp_path: Path) -> ForgeClient:
    """A forge in a thread that hosts the samples and merges."""
    shutil.copytree(hosted_home, tmp_path / "forge-in-thread")
    return serve_forge()


@pytest.fixture(scope="module")
def shared_forge(hosted_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForgeClient]:
    """A forge in a thread that the tests of a module share, with the samples; it merges what is asked for alone."""
    home = tmp_path_factory.mktemp("shared") / "forge"
    shutil.copytree(hosted_home, home)
    config = ForgeConfig(home=home, web_url="", token="ghp_" + "t" * 36, webhook_secret="s", merge_prefix=None)
    served = _serve(config, lambda: datetime.now(UTC))
    yield served.client
    served.stop()


@dataclass
class Api:
    """The API of a forge, as an ordinary client uses it."""

    forge: ForgeClient
    http: httpx.Client

    def rest(self, method: str, path: str, body: object = None, **options: Any) -> httpx.Response:
        return self.http.request(method, f"{self.forge.api_url}{path}", json=body, **options)

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        response = self.http.post(self.forge.graphql_url, json={"query": query, "variables": variables})
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body


@pytest.fixture
def api_of() -> Iterator[Callable[[ForgeClient], Api]]:
    """`api_of(forge)` is its API with the token set."""
    with httpx.Client(timeout=30, trust_env=False) as http:

        def make(forge: ForgeClient) -> Api:
            http.headers["authorization"] = f"Bearer {forge.token}"
            return Api(forge, http)

        yield make


@pytest.fixture
def api(local_forge: ForgeClient, api_of: Callable[[ForgeClient], Api]) -> Api:
    """The API of the forge in a thread with the samples."""
    return api_of(local_forge)


class Clone:
    """A working tree of a hosted repository, used as a person would."""

    def __init__(self, path: Path, forge: ForgeClient, name: str) -> None:
        self.path = path
        self._forge, self._name = forge, name
        self.run("clone", "--quiet", forge.git_url(name), str(path), cwd=path.parent)
        self.run("config", "user.name", "Squire Bot")
        self.run("config", "user.email", "squire@demo.invalid")

    def run(self, *arguments: str, cwd: Path | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["git", *arguments],
            cwd=cwd or self.path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={
                "PATH": os.environ["PATH"],
                "GIT_CONFIG_GLOBAL": os.devnull,
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_TERMINAL_PROMPT": "0",
            },
        )
        assert not check or done.returncode == 0, done.stderr
        return done

    def commit(self, branch: str, files: Mapping[str, str], message: str = "A change", start: str = "HEAD") -> str:
        """Commit files on a branch (made at `start` if it is new) and return the commit."""
        current = self.run("symbolic-ref", "--short", "HEAD", check=False).stdout.strip()
        if current != branch and self.run("checkout", "--quiet", branch, check=False).returncode:
            self.run("checkout", "--quiet", "-b", branch, start)
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text)
        self.run("add", "--all")
        self.run("commit", "--quiet", "-m", message)
        return self.run("rev-parse", "HEAD").stdout.strip()

    def push(self, *refs: str, token: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Push with the token in the address, as scripts do."""
        secret = self._forge.token if token is None else token
        address = self._forge.git_url(self._name).replace("://", f"://x-access-token:{secret}@" if secret else "://")
        return self.run("push", "--quiet", address, *refs, check=check)


@pytest.fixture
def clone_of(tmp_path: Path) -> Callable[[ForgeClient, str], Clone]:
    """`clone_of(forge, "owner/name")` clones over HTTP."""

    def make(forge: ForgeClient, name: str) -> Clone:
        return Clone(tmp_path / f"clone-{name.replace('/', '-')}", forge, name)

    return make
