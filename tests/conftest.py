"""What holds for every test: loopback only, no retries, no settings or keychain of the machine, a home of its own.

Also the fixtures that several areas share: the ledger on both databases, and its clock.
"""

import logging
import os
import signal
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from functools import cache
from pathlib import Path

import keyring
import keyring.backends.fail
import pytest
import stamina
from alembic.config import Config
from alembic.script import ScriptDirectory
from coverage import Coverage
from hypothesis import settings as hypothesis_settings
from pytest_socket import socket_allow_hosts

from squire_pipelines.ledger.store import Ledger
from squire_pipelines.secrets.secret import known_secrets
from squire_pipelines.secrets.uses import take_uses
from tests.support.brokers import RedisServer
from tests.support.ledgers import (
    START,
    Clock,
    PostgresServer,
    PostgresUnavailableError,
    empty_tables,
    folder_in_memory,
    sqlite_ledger_file,
    start_ids_high,
)

NO_SKIP = os.environ.get("SQUIRE_TEST_NO_SKIP") == "1"

hypothesis_settings.register_profile("squire", deadline=None, database=None, print_blob=True, max_examples=30)
hypothesis_settings.register_profile("thorough", hypothesis_settings.get_profile("squire"), max_examples=1000)
hypothesis_settings.register_profile("fast", hypothesis_settings.get_profile("squire"), max_examples=25)
hypothesis_settings.load_profile("squire")

_NEED_SLOW = {"agents", "gateway", "publishing", "secrets", "webhooks", "test_merging.py"}
"""Folders and modules of tests whose slow ones are measured, too: what they show is shown by no quick one."""
_resolved: dict[str, set[str]] = {}
_MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own in it
_MEMORY_MIN_FREE = 4 * 2**30


def pytest_configure() -> None:
    """Keep the tests' files in memory where there is enough of it: half of the time of Git and SQLite is the disk's.

    And heed SIGINT, which is ignored in what a shell starts in the background: Dagster gives SIGTERM what SIGINT has,
    and children inherit what is ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if "PYTEST_DEBUG_TEMPROOT" in os.environ or not os.access(_MEMORY, os.W_OK):
        return
    memory = os.statvfs(_MEMORY)
    if memory.f_bavail * memory.f_frsize >= _MEMORY_MIN_FREE and not memory.f_flag & os.ST_NOEXEC:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(_MEMORY)


@pytest.fixture(autouse=True)
def _an_island(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in list(os.environ):
        if name.upper().startswith("SQUIRE_") and not name.startswith("SQUIRE_TEST_"):
            monkeypatch.delenv(name)
    for name in ("GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path / "home"))
    # In this process and in its children. Without it the library takes any back end that a test's module defines.
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    keyring.set_keyring(keyring.backends.fail.Keyring())  # type: ignore[no-untyped-call]  # the library's
    take_uses()  # what an earlier test of this process did with secrets is no row of this one's ledger
    # And its secrets, "second" or "xxx", are words like others here: no log of this test is to be kept free of them.
    monkeypatch.setattr("squire_pipelines.secrets.secret.known_values", OrderedDict.fromkeys(known_secrets()))
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True, resolution_cache=_resolved)
    umask = os.umask(0o022)
    os.umask(umask)
    with stamina.set_testing(True):
        yield
    os.umask(umask)  # a command that serves has closed this process's files to others, such as a container's user


@pytest.fixture(scope="session", autouse=True)
def _dagsters_revisions_read_once() -> Iterator[None]:
    """Have Alembic read the revisions of Dagster's schema once: it reads ninety files for each instance in memory."""
    read, kept = ScriptDirectory.from_config, dict[str, ScriptDirectory]()

    def read_once(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location") or ""
        if not place.startswith("dagster"):
            return read(config)
        if place not in kept:
            kept[place] = read(config)
        return kept[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", read_once)
        yield


@pytest.fixture(autouse=True)
def _restored_process() -> Iterator[None]:
    """Restore what a test has set of this process: later tests count its log lines and send it signals."""
    root, ours = logging.getLogger(), logging.getLogger("squire")
    handlers, levels, factory = list(root.handlers), (root.level, ours.level), logging.getLogRecordFactory()
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    environment = dict(os.environ)
    yield
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    logging.setLogRecordFactory(factory)
    for number, action in signals.items():
        if signal.getsignal(number) is not action:
            signal.signal(number, action)


@cache
def _why_no_engine() -> str | None:
    # In a process of its own: the client's sockets are not always closed when nobody answers.
    command = [sys.executable, "-c", "import docker; docker.from_env(timeout=10).ping()"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except subprocess.TimeoutExpired:
        return "no answer within 60 s"
    return (asked.stderr.strip().splitlines() or ["no reason given"])[-1][:200] if asked.returncode else None


@cache
def _why_no_postgres() -> str | None:
    try:
        PostgresServer.find_binaries()
    except PostgresUnavailableError as error:
        return str(error)
    return None


def _skip(reason: str) -> None:
    if NO_SKIP:
        pytest.fail(f"SQUIRE_TEST_NO_SKIP=1, but {reason}", pytrace=False)
    pytest.skip(reason)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what needs Postgres, so that `-m "not postgres"` leaves it out."""
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    if parameters.get("database") == "postgres" or "postgres" in getattr(item, "fixturenames", ()):
        item.add_marker("postgres")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the demos, which take longest: at the end all other processes would wait for one of them.

    They stay one after the other: pytest-xdist gives each process an equal part of the list, in its order.
    """
    items.sort(key=lambda item: item.path.parent.name != "demo")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure no coverage of slow tests where the others reach the floor: it takes 0.7 times as long again."""
    running = Coverage.current()
    if running is None or item.get_closest_marker("slow") is None or _NEED_SLOW.intersection(item.path.parts):
        return (yield)
    running.stop()
    try:
        return (yield)
    finally:
        running.start()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a container engine, or Postgres, where there is none."""
    if item.get_closest_marker("docker") and (why := _why_no_engine()):
        _skip(f"no container engine answers: {why}")
    if item.get_closest_marker("postgres") and (why := _why_no_postgres()):
        _skip(f"no Postgres for the ledger: {why}")


@pytest.fixture(scope="session")
def _standing_clock() -> Clock:
    return Clock()


@pytest.fixture
def clock(_standing_clock: Clock) -> Clock:
    """The ledger's time; it stands still until a test moves it."""
    _standing_clock.now = START
    return _standing_clock


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A Postgres server of our own on loopback, for the whole session."""
    server = PostgresServer.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """A Redis server of our own on loopback, for the whole session."""
    server = RedisServer.start()
    if server is None:
        _skip("redis-server is not installed")
    else:
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """Which database a ledger of this test is on."""
    return str(request.param)


@pytest.fixture
def ledger_url(database: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty ledger with its schema, at this URL."""
    if database == "sqlite":
        with folder_in_memory() as folder:
            yield f"sqlite:///{sqlite_ledger_file(Path(folder) / 'ledger.sqlite')}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        yield server.empty_ledger()


@pytest.fixture
def open_at(request: pytest.FixtureRequest) -> Callable[..., Ledger]:
    """Open a ledger that is closed when the test ends."""

    def open_one(url: str, **options: object) -> Ledger:
        opened = Ledger(url, **options)  # type: ignore[arg-type] # passed on as they are
        request.addfinalizer(opened.close)
        return opened

    return open_one


@pytest.fixture(scope="session")
def _sqlite_ledger(_standing_clock: Clock) -> Iterator[Ledger]:
    with folder_in_memory() as folder:
        standing = Ledger(f"sqlite:///{sqlite_ledger_file(Path(folder) / 'ledger.sqlite')}", clock=_standing_clock)
        start_ids_high(standing)
        yield standing
        standing.close()


@pytest.fixture(scope="session")
def _postgres_ledger(_standing_clock: Clock, postgres: PostgresServer) -> Iterator[Ledger]:
    standing = Ledger(postgres.empty_ledger(), clock=_standing_clock)
    start_ids_high(standing)
    yield standing
    standing.close()


@pytest.fixture
def ledger(database: str, request: pytest.FixtureRequest, clock: Clock) -> Ledger:  # noqa: ARG001 - sets the time
    """An empty ledger, on each database in turn, at `clock`'s time."""
    # One for the session, emptied for each test: its compiled statements are most of what a new one costs.
    standing: Ledger = request.getfixturevalue(f"_{database}_ledger")
    empty_tables(standing)
    return standing
