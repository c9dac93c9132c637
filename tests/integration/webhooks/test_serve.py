"""The receiver as a process: start, refusals to start, and its end."""

import contextlib
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from squire_pipelines.errors import ConfigError, PortInUseError
from squire_pipelines.http_server import listen, url_of
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import set_level
from squire_pipelines.webhooks.ledger_threads import THREAD_PREFIX
from squire_pipelines.webhooks.serve import ServeOptions, busy_threads, exit_with, main
from tests.support.deliveries import SECRET, ReceiverProcess, headers, push

Start = Callable[..., ReceiverProcess]
HANG_S = 20
"""Longer than a process needs to end, and shorter than a statement waits for the ledger's lock."""


@pytest.fixture
def own_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Settings for a receiver in the test's own process, whose signals and logs are put back afterwards."""
    for name, value in ReceiverProcess.environment(tmp_path / "home").items():
        if name.startswith("SQUIRE_"):
            monkeypatch.setenv(name, value)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    set_level(None)


def stored_ids(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {row[0] for row in connection.execute("SELECT delivery_id FROM deliveries")}


@pytest.mark.usefixtures("own_process")
def test_main_serves_until_it_is_told_to_stop_and_ends_well(tmp_path: Path) -> None:
    statuses = []

    def visit(url: str) -> None:
        body = push()
        statuses.append(httpx.post(f"{url}/webhooks/github", content=body, headers=headers(body)).status_code)
        statuses.append(httpx.get(f"{url}/readyz").status_code)
        with socket.create_connection(("127.0.0.1", httpx.URL(url).port or 0), timeout=HANG_S) as connection:
            connection.sendall(b"no request\r\n\r\n")
            statuses.append(int(connection.recv(65536).split()[1]))
        signal.raise_signal(signal.SIGTERM)

    visitors = []

    def announce(url: str) -> None:
        visitors.append(threading.Thread(target=visit, args=(url,)))
        visitors[0].start()

    assert main(announce=announce) == 0
    visitors[0].join()
    assert statuses == [202, 200, 400]
    path = tmp_path / "home" / "ledger.sqlite"
    assert stored_ids(path) == {"d-1"}
    with closing(sqlite3.connect(path)) as connection:
        refused = connection.execute("SELECT source, status, reason, count FROM delivery_refusals").fetchall()
    assert refused == [("unknown", 400, "it is no HTTP request", 1)]


@pytest.mark.usefixtures("own_process")
def test_main_says_on_standard_error_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SQUIRE_WEBHOOK_SECRET")
    assert main() == 3
    output = capsys.readouterr()
    assert output.out == ""
    assert "webhook-secret" in output.err
    assert "hint: " in output.err


def test_process_says_where_it_listens_and_answers_there(start: Start) -> None:
    receiver = start()
    assert receiver.pid == receiver.process.pid
    assert receiver.url.startswith("http://127.0.0.1:")
    assert httpx.get(f"{receiver.url}/healthz").status_code == 200


@pytest.mark.slow
def test_process_without_a_secret_refuses_to_start(tmp_path: Path) -> None:
    environment = ReceiverProcess.environment(tmp_path / "home")
    del environment["SQUIRE_WEBHOOK_SECRET"]
    process = ReceiverProcess.spawn(environment)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (3, "")
    assert "SQUIRE_WEBHOOK_SECRET" in errors


@pytest.mark.slow
def test_process_whose_port_is_in_use_says_so(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0, section="webhooks") as taken:
        port = str(taken.getsockname()[1])
        process = ReceiverProcess.spawn(ReceiverProcess.environment(tmp_path / "home", SQUIRE_WEBHOOKS__PORT=port))
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (4, "")
    assert f"port {port} on 127.0.0.1 is in use" in errors
    assert "webhooks.port" in errors


@pytest.mark.slow
def test_secret_is_not_in_what_the_process_writes(start: Start) -> None:
    receiver = start()
    body = SECRET + push()
    httpx.post(f"{receiver.url}/webhooks/github", content=body, headers=headers(body))
    httpx.post(f"{receiver.url}/webhooks/github", content=push(), headers=headers(b"", event=SECRET.decode()))
    receiver.process.send_signal(signal.SIGTERM)
    output, errors = receiver.process.communicate(timeout=5)
    assert "delivery refused" in errors
    assert SECRET.decode() not in output + errors


@pytest.mark.slow
def test_the_command_serves_outlives_sighup_and_ends_well(tmp_path: Path) -> None:
    environment = ReceiverProcess.environment(tmp_path / "home", SQUIRE_WEBHOOKS__PORT="8471")
    receiver = ReceiverProcess.of(environment, ("squire_pipelines.cli", "webhooks", "serve", "--port", "0"))
    try:
        body = push()
        for delivery, number in (("d-1", signal.SIGHUP), ("d-2", signal.SIGTERM)):
            sent = headers(body, delivery=delivery)
            assert httpx.post(f"{receiver.url}/webhooks/github", content=body, headers=sent).status_code == 202
            receiver.process.send_signal(number)
        assert receiver.process.wait(timeout=HANG_S) == 0
    finally:
        receiver.end()
    assert stored_ids(tmp_path / "home" / "ledger.sqlite") == {"d-1", "d-2"}


def lock_ledger(home: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(home / "ledger.sqlite", isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def wait_until_refused(url: str) -> None:
    """Until the process takes no new connections."""
    deadline = time.monotonic() + 60
    with contextlib.suppress(httpx.TransportError):
        while time.monotonic() < deadline:
            httpx.get(f"{url}/healthz")
        raise AssertionError("the process still answers")


def post_behind_the_lock(pool: ThreadPoolExecutor, url: str) -> "Future[httpx.Response]":
    """Post a delivery which the receiver has certainly begun to deal with when this returns."""
    body, sent = push(), threading.Event()

    def whole_body() -> Iterator[bytes]:
        yield body
        sent.set()

    headers_sent = headers(body) | {"Content-Length": str(len(body))}
    answer = pool.submit(httpx.post, f"{url}/webhooks/github", content=whole_body(), headers=headers_sent, timeout=10)
    assert sent.wait(10)
    # What arrived before this question was asked is read before it is answered.
    assert httpx.get(f"{url}/healthz").status_code == 200
    return answer


@pytest.mark.slow
def test_sigterm_lets_requests_finish(start: Start, tmp_path: Path) -> None:
    receiver = start()
    with closing(lock_ledger(tmp_path / "home")) as lock, ThreadPoolExecutor(1) as pool:
        answer = post_behind_the_lock(pool, receiver.url)
        receiver.process.send_signal(signal.SIGTERM)
        wait_until_refused(receiver.url)
        lock.execute("ROLLBACK")
        assert answer.result().status_code == 202
    assert receiver.process.wait(timeout=HANG_S) == 0
    assert stored_ids(tmp_path / "home" / "ledger.sqlite") == {"d-1"}


@pytest.mark.slow
def test_sigterm_ends_the_process_though_the_ledger_is_busy(start: Start, tmp_path: Path) -> None:
    receiver = start()
    with closing(lock_ledger(tmp_path / "home")), ThreadPoolExecutor(1) as pool:
        answer = post_behind_the_lock(pool, receiver.url)
        receiver.process.send_signal(signal.SIGTERM)
        assert receiver.process.wait(timeout=HANG_S) == 0  # the ledger stays locked until it has ended
        with contextlib.suppress(httpx.TransportError):  # hung up on: not acknowledged either
            assert answer.result().status_code >= 500


def test_exit_waits_for_threads_that_end() -> None:
    release = threading.Event()
    worker = threading.Thread(target=release.wait, name=f"{THREAD_PREFIX}_0", daemon=True)
    worker.start()
    assert busy_threads(wait_s=0.05) == (worker.name,)
    release.set()
    with pytest.raises(SystemExit) as caught:
        exit_with(7)
    assert caught.value.code == 7
    assert not worker.is_alive()


def test_port_that_somebody_listens_on_is_in_use() -> None:
    with listen("127.0.0.1", 0, section="webhooks") as taken, pytest.raises(PortInUseError) as caught:
        listen("127.0.0.1", taken.getsockname()[1], section="webhooks")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_address_that_is_not_ours_is_a_wrong_setting(host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        listen(host, 0, section="webhooks")
    assert "webhooks.host" in str(caught.value)


def test_url_of_an_ipv6_address_has_brackets() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        listener = listen("::1", 0, section="webhooks")
    except ConfigError:
        pytest.skip("no IPv6 here")
    with listener:
        assert url_of(listener) == f"http://[::1]:{listener.getsockname()[1]}"


@pytest.mark.slow
def test_ledger_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "ledger.sqlite").write_bytes(b"this is no database" * 100)
    process = ReceiverProcess.spawn(ReceiverProcess.environment(home))
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (1, "")
    assert "ledger.sqlite" in errors


@pytest.mark.slow
def test_schema_is_made_at_the_first_start(start: Start, tmp_path: Path) -> None:
    (tmp_path / "home" / "ledger.sqlite").unlink()
    receiver = start()
    assert httpx.get(f"{receiver.url}/readyz").status_code == 200
    ledger = Ledger(f"sqlite:///{tmp_path / 'home' / 'ledger.sqlite'}")
    assert ledger.revision() is not None
    ledger.close()


@pytest.mark.usefixtures("own_process")
@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "some.host"])  # noqa: S104 - refused
def test_nothing_is_served_without_verification_where_others_reach_it(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(ServeOptions(host=host, verifies_nothing=True)) == 3
    assert "--insecure-no-secret is for 127.0.0.1" in capsys.readouterr().err


@pytest.mark.usefixtures("own_process")
def test_without_a_secret_it_serves_on_loopback_when_that_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SQUIRE_WEBHOOK_SECRET")
    visitors = []

    def visit(url: str) -> None:
        unsigned = {name: value for name, value in headers(push()).items() if "Signature" not in name}
        httpx.post(f"{url}/webhook", content=push(), headers=unsigned)
        signal.raise_signal(signal.SIGTERM)

    def announce(url: str) -> None:
        visitors.append(threading.Thread(target=visit, args=(url,)))
        visitors[0].start()

    assert main(ServeOptions(host="localhost", port=0, verifies_nothing=True), announce=announce) == 0
    visitors[0].join()
    assert stored_ids(tmp_path / "home" / "ledger.sqlite") == {"d-1"}
