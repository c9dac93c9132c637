"""The door of an attempt on loopback, with the worker's real entrypoint and with strangers."""

import dataclasses
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from squire_pipelines.agents.attempt_files import BUNDLE_FILE, RESULT_FILE, read_result
from squire_pipelines.agents.door import DoorLimits, DoorServer, door_environment
from squire_pipelines.agents.door_router import DoorRouter
from squire_pipelines.agents.door_wire import DoorToken, Verb, new_token
from squire_pipelines.agents.model import AttemptInputs, ResultStatus
from squire_pipelines.domain.door_addresses import DoorAddress, RegisteredDoor
from squire_pipelines.errors import LedgerError, PortInUseError
from tests.support.attempts import Origin
from tests.support.doors import (
    QUICK,
    QUICK_ROUTER,
    WITHIN_S,
    call,
    echoing_gateway,
    line,
    open_door,
    read_all,
    read_line,
)
from tests.support.worker import ENTRYPOINT

SCRIPT = (
    "echo work > new.txt && git add new.txt && git commit -qm work && "
    "python3 -c \"import socket, os; c = socket.create_connection(('127.0.0.1', int(os.environ['PORT'])), 30); "
    "c.sendall(b'hello'); print(c.recv(5).decode())\""
)


@pytest.fixture
def token() -> DoorToken:
    return new_token()


@pytest.fixture
def gateway() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sq-") as folder, echoing_gateway(Path(folder) / "g.sock") as socket_path:
        yield socket_path


@pytest.fixture
def prepared(origin: Origin, tmp_path: Path) -> AttemptInputs:
    return origin.prepared(tmp_path, command=("sh", "-c", SCRIPT))


@dataclasses.dataclass
class Container:
    """A container's folders and environment on this machine, with a door and nothing else of its host's."""

    folder: Path
    inputs: AttemptInputs
    token: DoorToken
    address: DoorAddress

    def environment(self) -> dict[str, str]:
        for name in ("in", "out", "work", "home"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "token").write_text(self.token.text + "\n")
        places = {name: str(self.folder / name.removeprefix("SQUIRE_").lower()) for name in PLACES}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        door = door_environment(self.inputs, str(self.address), str(self.folder / "token"))
        more = {
            "SQUIRE_GATEWAY_PORT": port,
            "SQUIRE_DOOR_PATIENCE_S": "20",
            "DEPLOY_TOKEN": "x",
            "PATH": os.environ["PATH"],
        }
        return places | door | more

    def run(self, *mode: str, **changes: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-I", str(ENTRYPOINT), *mode],
            env=self.environment() | changes,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


PLACES = ("SQUIRE_IN", "SQUIRE_OUT", "SQUIRE_WORK", "HOME")


def test_a_container_fetches_its_inputs_reaches_the_gateway_and_hands_its_result_out(
    prepared: AttemptInputs, gateway: Path, token: DoorToken, tmp_path: Path
) -> None:
    script = SCRIPT.replace("os.environ['PORT']", "os.environ['SQUIRE_GATEWAY_URL'].split(':')[2].split('/')[0]")
    launch = dataclasses.replace(prepared.launch, argv=("sh", "-c", script))
    inputs = dataclasses.replace(prepared, launch=launch)
    (inputs.folder.inbox / "attempt.json").write_text(inputs.attempt_json())
    with open_door(inputs, token, gateway) as door:
        container = Container(tmp_path / "container", inputs, token, door.address)
        fetched = container.run("fetch")
        assert (fetched.returncode, door.counts.inputs) == (0, 1), fetched.stderr
        assert _contents(container.folder / "in") == _contents(inputs.folder.inbox)
        done = container.run()
    assert done.returncode == 0, done.stderr
    assert "HELLO" in done.stdout
    assert "squire: the result was taken" in done.stderr
    assert token.text not in done.stdout + done.stderr
    assert door.result_taken.is_set()
    result = read_result(inputs.folder.out)
    assert (result.status, result.commits) == (ResultStatus.CHANGED, 1)
    assert (inputs.folder.out / BUNDLE_FILE).read_bytes() == (container.folder / "out" / BUNDLE_FILE).read_bytes()


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_container_whose_door_stays_away_ends_with_a_name(
    prepared: AttemptInputs, token: DoorToken, tmp_path: Path
) -> None:
    with open_door(prepared, token) as door:
        address = door.address
    container = Container(tmp_path / "container", prepared, token, address)
    fetched = container.run("fetch", SQUIRE_DOOR_PATIENCE_S="0.1")
    assert (fetched.returncode, "door_away: nobody answers" in fetched.stderr) == (123, True)


def test_a_result_that_nobody_takes_is_seen_at_the_exit_code(
    prepared: AttemptInputs, token: DoorToken, tmp_path: Path
) -> None:
    inputs = dataclasses.replace(prepared, launch=dataclasses.replace(prepared.launch, argv=("true",)))
    (inputs.folder.inbox / "attempt.json").write_text(inputs.attempt_json())
    with open_door(inputs, token) as door:
        container = Container(tmp_path / "container", inputs, token, door.address)
        assert container.run("fetch").returncode == 0
    done = container.run(SQUIRE_HAND_OUT_S="0.1")
    assert done.returncode == 123
    assert "squire: the result was not handed out: nobody answers" in done.stderr


def test_a_container_with_a_wrong_token_gives_up_at_once(
    prepared: AttemptInputs, token: DoorToken, tmp_path: Path
) -> None:
    with open_door(prepared, token) as door:
        fetched = Container(tmp_path / "container", prepared, new_token(), door.address).run("fetch")
    assert (fetched.returncode, "the door refuses: refused" in fetched.stderr) == (120, True)
    assert (door.counts.refused, door.counts.inputs) == (1, 0)


def test_crossed_tokens_open_no_door(prepared: AttemptInputs, origin: Origin, tmp_path: Path) -> None:
    other = origin.prepared(tmp_path / "other", attempt_id=f"{prepared.attempt_id}2")
    first_token, second_token = new_token(), new_token()
    with open_door(prepared, first_token) as first, open_door(other, second_token) as second:
        for door, unit, token, answer in (
            (first, prepared.unit, second_token, b"no refused\n"),
            (second, other.unit, first_token, b"no refused\n"),
            (first, other.unit, second_token, b"no away\n"),
            (second, prepared.unit, first_token, b"no away\n"),
        ):
            for verb in Verb:
                assert read_all(call(door.address, line(unit, token, verb))) == answer
        assert (first.counts.connections, second.counts.connections) == (0, 0)
        assert (first.counts.refused, second.counts.refused) == (6, 6)


def handing_out(connection: socket.socket, files: dict[str, bytes]) -> None:
    """Hand files out as a container does."""
    assert read_line(connection) == f"ok {BUNDLE_FILE} {RESULT_FILE}".encode()
    for name, content in files.items():
        connection.sendall(f"{name} {len(content)}\n".encode())
        assert read_line(connection) == f"ok {len(content)}".encode()
        connection.sendall(content)
        assert read_line(connection) == b"done"


def test_an_output_that_is_cut_anywhere_leaves_no_file_or_a_whole_one(
    prepared: AttemptInputs, token: DoorToken
) -> None:
    content = bytes(range(60))
    begin, name = line(prepared.unit, token, Verb.OUTPUT), f"{BUNDLE_FILE} {len(content)}\n".encode()
    whole = begin + name + content
    out = prepared.folder.out
    with open_door(prepared, token) as door:
        for length in range(len(whole)):
            with call(door.address, whole[:length]) as connection:
                connection.shutdown(socket.SHUT_WR)
                read_all(connection)
            assert not list(out.iterdir())
        with call(door.address, whole) as connection:
            assert [read_line(connection) for _ in range(3)][1:] == [b"ok 60", b"done"]
        assert [path.name for path in out.iterdir()] == [BUNDLE_FILE]
        assert (out / BUNDLE_FILE).read_bytes() == content
        assert not door.result_taken.is_set()


def test_a_file_that_is_too_long_is_cut_by_a_byte_more_than_it_may_have(
    prepared: AttemptInputs, token: DoorToken
) -> None:
    most = prepared.limits.output
    with open_door(prepared, token) as door, call(door.address, line(prepared.unit, token, Verb.OUTPUT)) as connection:
        read_line(connection)
        connection.sendall(f"{BUNDLE_FILE} {10**12}\n".encode())
        assert read_line(connection) == f"ok {most + 1}".encode()


@pytest.mark.parametrize("name", ["other.txt", "../x", "a/b", ".hidden", "result.json/..", ""])
def test_no_other_name_is_taken(prepared: AttemptInputs, token: DoorToken, name: str) -> None:
    with open_door(prepared, token) as door, call(door.address, line(prepared.unit, token, Verb.OUTPUT)) as connection:
        read_line(connection)
        connection.sendall(f"{name} 3\nabc".encode())
        assert read_all(connection) in {b"no name\n", b""}
    assert not list(prepared.folder.out.iterdir())


def test_a_symlink_in_the_folder_of_results_is_replaced_and_not_followed(
    prepared: AttemptInputs, token: DoorToken, tmp_path: Path
) -> None:
    (tmp_path / "precious").write_text("precious")
    (prepared.folder.out / RESULT_FILE).symlink_to(tmp_path / "precious")
    with open_door(prepared, token) as door, call(door.address, line(prepared.unit, token, Verb.OUTPUT)) as connection:
        handing_out(connection, {RESULT_FILE: b"{}"})
        assert door.result_taken.wait(WITHIN_S)
    assert (tmp_path / "precious").read_text() == "precious"
    assert (prepared.folder.out / RESULT_FILE).read_bytes() == b"{}"


def test_a_connection_too_many_is_told_so_and_others_go_on(
    prepared: AttemptInputs, token: DoorToken, gateway: Path
) -> None:
    limits = dataclasses.replace(QUICK, connections=2)
    begin = line(prepared.unit, token, Verb.GATEWAY)
    with open_door(prepared, token, gateway, limits) as door:
        first, second = call(door.address, begin), call(door.address, begin)
        with first, second:
            assert (read_line(first), read_line(second)) == (b"ok", b"ok")
            assert read_all(call(door.address, begin)) == b"no busy\n"
            first.sendall(b"still here")
            assert first.recv(100) == b"STILL HERE"


def test_what_says_nothing_in_time_is_ended(prepared: AttemptInputs, token: DoorToken, gateway: Path) -> None:
    limits = DoorLimits(preface_s=0.05, idle_s=0.05, gateway_idle_s=0.05, refusal_pause_s=0.0)
    with open_door(prepared, token, gateway, limits) as door:
        assert read_all(call(door.address, b"squire")) == b"no preface\n"
        assert read_all(call(door.address, line(prepared.unit, token, Verb.GATEWAY))) == b"ok\n"
        assert read_all(call(door.address, line(prepared.unit, token, Verb.OUTPUT))).startswith(b"ok ")


def test_a_door_without_a_gateway_says_so(prepared: AttemptInputs, token: DoorToken, tmp_path: Path) -> None:
    for gateway in (None, tmp_path / "gone.sock"):
        with open_door(prepared, token, gateway) as door:
            assert read_all(call(door.address, line(prepared.unit, token, Verb.GATEWAY))) == b"no gateway\n"


def test_a_door_that_is_closed_ends_what_is_open(prepared: AttemptInputs, token: DoorToken, gateway: Path) -> None:
    with open_door(prepared, token, gateway) as door:
        connection = call(door.address, line(prepared.unit, token, Verb.GATEWAY))
        assert read_line(connection) == b"ok"
    assert read_all(connection) == b""
    with pytest.raises(OSError, match=r".+"):
        call(door.address, b"")


# ── The router ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclasses.dataclass
class Registered:
    """What stands in for the ledger."""

    doors: dict[str, RegisteredDoor] = dataclasses.field(default_factory=dict)
    is_away: bool = False

    def find(self, unit: str) -> RegisteredDoor | None:
        if self.is_away:
            raise LedgerError("the ledger is away")
        return self.doors.get(unit)

    def put(self, door: DoorServer, inputs: AttemptInputs, token: DoorToken) -> None:
        self.doors[inputs.unit] = RegisteredDoor(inputs.unit, door.address, token.sha256)


@pytest.fixture
def registered() -> Registered:
    return Registered()


@pytest.fixture
def router(registered: Registered) -> Iterator[DoorRouter]:
    with DoorRouter(registered.find, port=0, limits=QUICK_ROUTER) as opened:
        yield opened


def test_the_router_passes_a_connection_on_to_where_the_door_is_now(
    prepared: AttemptInputs, token: DoorToken, gateway: Path, registered: Registered, router: DoorRouter
) -> None:
    begin = line(prepared.unit, token, Verb.GATEWAY)
    assert read_all(call(router.port, begin)) == b"no away\n"
    for _ in range(2):  # the second door is the next supervisor's, at another port
        with open_door(prepared, token, gateway) as door:
            registered.put(door, prepared, token)
            with call(router.port, begin) as connection:
                assert read_line(connection) == b"ok"
                connection.sendall(b"hello")
                assert connection.recv(100) == b"HELLO"
        assert read_all(call(router.port, begin)) == b"no away\n"
    registered.is_away = True
    assert read_all(call(router.port, begin)) == b"no away\n"


def test_the_router_refuses_a_wrong_token_before_any_door_is_asked(
    prepared: AttemptInputs, token: DoorToken, registered: Registered, router: DoorRouter
) -> None:
    with open_door(prepared, token) as door:
        registered.put(door, prepared, token)
        assert read_all(call(router.port, line(prepared.unit, new_token(), Verb.INPUTS))) == b"no refused\n"
        assert (door.counts.connections, door.counts.refused) == (0, 0)


def test_whoever_has_a_dead_supervisors_address_learns_no_token_and_gets_nothing(
    prepared: AttemptInputs, token: DoorToken, registered: Registered, router: DoorRouter
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as impostor:
        impostor.settimeout(WITHIN_S)
        address = DoorAddress("127.0.0.1", impostor.getsockname()[1])
        registered.doors[prepared.unit] = RegisteredDoor(prepared.unit, address, token.sha256)
        connection = call(router.port, line(prepared.unit, token, Verb.OUTPUT) + b"result.json 2\n{}")
        peer, _ = impostor.accept()
        with peer:
            routed = read_line(peer)
            assert token.text.encode() not in routed
            assert token.sha256.encode() not in routed
            peer.sendall(b"ok result.json\n")
            assert read_all(connection) == b"no away\n"
            assert read_all(peer) == b""
    # What it was told opens the true door no more than anything else does.
    with open_door(prepared, token) as door:
        assert read_all(call(door.address, routed + b"\n")) == b"no refused\n"


def test_a_container_that_lost_its_supervisor_finds_the_next_one(
    prepared: AttemptInputs, token: DoorToken, registered: Registered, router: DoorRouter, tmp_path: Path
) -> None:
    inputs = dataclasses.replace(prepared, launch=dataclasses.replace(prepared.launch, argv=("sh", "-c", "echo x > y")))
    (inputs.folder.inbox / "attempt.json").write_text(inputs.attempt_json())
    container = Container(tmp_path / "container", inputs, token, DoorAddress("127.0.0.1", router.port))
    with open_door(inputs, token) as door:
        registered.put(door, inputs, token)
        assert container.run("fetch").returncode == 0
    asked: list[str] = []
    next_door = DoorServer(inputs, token.sha256, limits=QUICK)

    def find(unit: str) -> RegisteredDoor | None:
        # The first look finds the dead one's address; after it the next supervisor has registered.
        asked.append(unit)
        return registered.doors.get(unit) if len(asked) == 1 else RegisteredDoor(unit, next_door.address, token.sha256)

    with next_door, DoorRouter(find, port=0, limits=QUICK_ROUTER) as second:
        container.address = DoorAddress("127.0.0.1", second.port)
        done = container.run()
        assert (done.returncode, next_door.result_taken.is_set()) == (0, True), done.stderr
    assert len(asked) > 1


def test_strangers_that_say_nothing_leave_room_for_others(
    prepared: AttemptInputs, token: DoorToken, registered: Registered
) -> None:
    limits = dataclasses.replace(QUICK_ROUTER, unknown_per_address=2)
    with open_door(prepared, token) as door, DoorRouter(registered.find, port=0, limits=limits) as router:
        registered.put(door, prepared, token)
        begin = line(prepared.unit, token, Verb.OUTPUT)
        with call(router.port, begin) as known:  # it counts among the strangers no more
            assert read_line(known).startswith(b"ok ")
            with call(router.port, b"x") as first, call(router.port, b"x") as second:
                assert read_all(call(router.port, begin)) == b"no busy\n"
                first.sendall(b"\n")
                assert read_all(first) == b"no preface\n"
                assert second.fileno() >= 0
                assert _answered(lambda: read_all(call(router.port, line(prepared.unit, token, Verb.INPUTS)))[:3])


def _answered(ask: Callable[[], bytes]) -> bool:
    return any(ask() == b"ok " for _ in range(100))


def test_two_routers_of_one_machine_share_the_port_and_another_program_is_named() -> None:
    with DoorRouter(lambda _: None, port=0) as first, DoorRouter(lambda _: None, port=first.port) as second:
        assert first.port == second.port
    with (
        socket.create_server(("", 0)) as other,
        pytest.raises(PortInUseError, match=r"port \d+ is in use"),
        DoorRouter(lambda _: None, port=other.getsockname()[1]),
    ):
        pass


def test_no_line_of_the_log_has_a_token(  # noqa: PLR0917 - fixtures
    prepared: AttemptInputs,
    token: DoorToken,
    registered: Registered,
    router: DoorRouter,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong = new_token()
    with open_door(prepared, token) as door:
        registered.put(door, prepared, token)
        for port in (door.port, router.port):
            assert read_all(call(port, line(prepared.unit, wrong, Verb.INPUTS))) == b"no refused\n"
            assert read_all(call(port, b"GET / HTTP/1.1\r\n" + token.text.encode() + b"\r\n")) == b"no preface\n"
            assert read_all(call(port, line("t9-9", token, Verb.INPUTS))) == b"no away\n"
            assert read_all(call(port, line(prepared.unit, token, Verb.INPUTS))).startswith(b"ok ")
    written = "".join(capfd.readouterr()) + caplog.text + str([record.__dict__ for record in caplog.records])
    assert "door.token_wrong" in written
    for secret in (token, wrong):
        assert secret.text not in written
