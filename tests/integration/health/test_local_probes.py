"""Probes of this machine: an engine that is absent, refuses or hangs, a full disk, the ledger, our own processes."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from squire_pipelines.domain.condition_rules import ClockFacts
from squire_pipelines.domain.conditions import HealthLevel
from squire_pipelines.health.engine_probe import agents_of, engine_probe, look_at_engine
from squire_pipelines.health.ledger_probe import look_at_ledger
from squire_pipelines.health.machine_probes import look_at_clock, look_at_disks
from squire_pipelines.health.process_records import process_facts, process_record, starting, starting_record
from squire_pipelines.health.service_probes import look_at_code_server, look_at_receiver
from squire_pipelines.health.settings_probe import look_at_settings
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.runtime.daemon_probe import look_at_daemon
from squire_pipelines.runtime.ports import free_port
from tests.integration.health.conftest import Configure
from tests.support.ledgers import sqlite_ledger_file
from tests.support.provider import plain, serve_upstream

OK, DEGRADED, DOWN = HealthLevel.OK, HealthLevel.DEGRADED, HealthLevel.DOWN
MIB = 2**20


def test_an_engine_that_is_not_there_is_down_at_once_and_says_how_it_is_started(
    configure: Configure, tmp_path: Path
) -> None:
    agents = agents_of(configure('[agent]\nrunner = "docker"\n'))
    state = look_at_engine(agents, hosts=(f"unix://{tmp_path}/none.sock",))["engine"]
    assert state.level is DOWN
    assert not state.is_doubtful
    assert "no such file" in state.reason
    assert state.hint


def test_an_engine_that_refuses_is_down(configure: Configure, tmp_path: Path) -> None:
    path = str(tmp_path / "docker.sock")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path)  # nobody listens
    state = look_at_engine(agents_of(configure('[agent]\nrunner = "docker"\n')), hosts=(f"unix://{path}",))["engine"]
    assert state.level is DOWN
    assert "connection refused" in state.reason


def test_an_engine_that_hangs_is_doubtful_and_given_up_in_time(configure: Configure, tmp_path: Path) -> None:
    path = str(tmp_path / "docker.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        began = time.monotonic()
        agents = agents_of(configure('[agent]\nrunner = "docker"\n'))
        state = look_at_engine(agents, hosts=(f"unix://{path}",), timeout_s=0.5)["engine"]
    assert time.monotonic() - began < 5
    assert state.level is DOWN
    assert state.is_doubtful


def test_a_command_that_runs_without_a_container_because_no_engine_answers_is_degraded(configure: Configure) -> None:
    agents = agents_of(configure('[agent]\nkind = "command"\ncommand = ["true"]\n'))
    state = look_at_engine(agents, hosts=("unix:///nonexistent",))["engine"]
    assert (state.level, state.reason) == (
        HealthLevel.DEGRADED,
        "no container engine answers: the agent's command runs on this machine, not in a container",
    )
    assert state.hint.endswith('or set agent.runner = "local" if that is meant')


def test_agents_without_an_engine_need_none(configure: Configure) -> None:
    settings = configure('[agent]\nkind = "command"\ncommand = ["true"]\nrunner = "local"\n')
    assert look_at_engine(agents_of(settings), hosts=("unix:///nonexistent",))["engine"].level is OK


@pytest.mark.parametrize(
    ("free", "files", "level"),
    [(50 * MIB, 10**6, DOWN), (500 * MIB, 10**6, DEGRADED), (2**40, 10, DOWN), (2**40, 0, OK)],
)
def test_a_disk_that_is_full_is_named(configure: Configure, free: int, files: int, level: HealthLevel) -> None:
    def statvfs(path: Path) -> os.statvfs_result:
        status = list(os.statvfs(path))
        # f_bsize, f_frsize, f_blocks, f_bfree, f_bavail, f_files, f_ffree, f_favail, f_flag, f_namemax
        status[1], status[4], status[5], status[7] = 4096, free // 4096, files, files
        return os.statvfs_result(status)

    state = look_at_disks(configure(""), statvfs=statvfs)["disk"]
    assert state.level is level
    assert (state.hint == "") == (level is OK)


def test_a_disk_that_does_not_answer_is_down(configure: Configure) -> None:
    def statvfs(_path: Path) -> os.statvfs_result:
        raise OSError(5, "Input/output error")

    state = look_at_disks(configure(""), statvfs=statvfs)["disk"]
    assert state.level is DOWN
    assert "Input/output error" in state.reason


def test_a_clock_says_how_it_is_set() -> None:
    state = look_at_clock(ClockFacts(3600, signs_in_by_time=True))["clock"]
    assert state.level is DOWN
    assert "set" in state.hint


def test_a_ledgers_server_has_a_clock_to_compare_with_and_a_file_has_none(
    configure: Configure, ledger_url: str, database: str
) -> None:
    offsets: list[float | None] = []
    look_at_ledger(configure(f'ledger_url = "{ledger_url}"\n'), offsets.append)
    if database == "sqlite":
        assert offsets in ([None], [])  # there may be no file yet
    else:
        assert offsets[0] is not None
        assert abs(offsets[0]) < 5


def test_a_ledger_that_is_not_there_is_not_made_by_a_look(configure: Configure, tmp_path: Path) -> None:
    states = look_at_ledger(configure(""))
    assert set(states) == {"ledger"}
    assert states["ledger"].level is OK
    assert not (tmp_path / "home" / "ledger.sqlite").exists()


def test_a_ledger_is_missed_where_something_was_published_from_one(configure: Configure) -> None:
    settings = configure("")
    settings.home.warehouse.parent.mkdir(parents=True, exist_ok=True)
    settings.home.warehouse.touch()
    assert look_at_ledger(settings)["ledger"].level is HealthLevel.DOWN


def test_a_ledger_of_this_version_says_how_all_is(configure: Configure, tmp_path: Path) -> None:
    settings = configure('repositories = ["acme/shop"]\n')
    sqlite_ledger_file(tmp_path / "home" / "ledger.sqlite")
    states = look_at_ledger(settings)
    assert {name: state.level for name, state in states.items()} == dict.fromkeys(
        ("ledger", "schema", "tasks", "planner", "github_quota", "warehouse"), OK
    )


def test_a_ledger_of_another_version_is_not_upgraded_and_nothing_else_is_read(
    configure: Configure, tmp_path: Path
) -> None:
    settings = configure("")
    path = tmp_path / "home" / "ledger.sqlite"
    sqlite_ledger_file(path)
    ledger = Ledger(f"sqlite:///{path}")
    with ledger.write() as tx:
        tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    states = look_at_ledger(settings)
    assert set(states) == {"ledger", "schema"}
    assert states["schema"].level is DOWN
    with starting(settings.home.run, "daemon"):
        states = look_at_ledger(settings)
    assert set(states) == {"ledger", "schema"}
    assert states["schema"].is_starting
    assert ledger.revision() == "0001"
    ledger.close()


def test_a_ledger_that_somebody_keeps_locked_is_doubtful(configure: Configure, tmp_path: Path) -> None:
    settings = configure("")
    path = tmp_path / "home" / "ledger.sqlite"
    sqlite_ledger_file(path)
    ledger = Ledger(f"sqlite:///{path}")
    with ledger.write():
        state = look_at_ledger(settings, busy_timeout_s=0.1)["ledger"]
    ledger.close()
    assert state.level is DOWN
    assert state.is_doubtful


def test_a_ledger_that_is_no_database_is_down(configure: Configure, tmp_path: Path) -> None:
    settings = configure("")
    (tmp_path / "home" / "ledger.sqlite").write_bytes(b"no database at all" * 100)
    assert look_at_ledger(settings)["ledger"].level is DOWN


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def record(folder: Path, name: str, pid: int, *, age_s: float = 3600) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.pid"
    path.write_text(process_record(pid))
    os.utime(path, (time.time() - age_s,) * 2)


def test_a_daemon_is_known_by_its_process_where_dagster_has_nothing_of_it(
    configure: Configure, sleeper: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    settings = configure("")
    home = settings.home
    assert look_at_daemon(settings)["daemon"].level is DEGRADED  # none was started
    home.run.mkdir(parents=True)
    starting = starting_record(home.run, "daemon")
    starting.write_text(process_record(sleeper.pid))
    assert look_at_daemon(settings)["daemon"].is_starting
    starting.unlink()
    record(home.run, "daemon", sleeper.pid)
    assert look_at_daemon(settings)["daemon"].level is OK
    sleeper.send_signal(signal.SIGSTOP)
    assert wait_for_suspension(home.run / "daemon.pid")
    suspended = look_at_daemon(settings)["daemon"]
    assert (suspended.level, f"kill -CONT {sleeper.pid}" in suspended.hint) == (DOWN, True)
    sleeper.kill()
    sleeper.wait(10)
    assert look_at_daemon(settings)["daemon"].level is DOWN


def wait_for_suspension(path: Path) -> bool:
    for _ in range(200):
        if process_facts(path).is_suspended:
            return True
        time.sleep(0.01)
    return False


def test_a_receiver_and_a_code_server_that_this_home_has_not_started_are_no_conditions(configure: Configure) -> None:
    settings = configure("")
    assert look_at_receiver(settings) == look_at_code_server(settings.home) == {}


def test_a_receiver_that_lives_and_does_not_answer_is_degraded(
    configure: Configure, sleeper: "subprocess.Popen[bytes]"
) -> None:
    settings = configure(f"[webhooks]\nport = {free_port()}\n")
    record(settings.home.run, "receiver", sleeper.pid)
    state = look_at_receiver(settings)["receiver"]
    assert state.level is DEGRADED
    assert "ConnectError" in state.reason


@pytest.mark.parametrize(
    ("content", "reason"), [({"ready": False, "reason": "the disk\nis full"}, "the disk is full"), ([], "no reason")]
)
def test_a_receiver_that_is_not_ready_says_why(
    configure: Configure, sleeper: "subprocess.Popen[bytes]", content: Any, reason: str
) -> None:
    with serve_upstream() as receiver:
        receiver.answer = plain(503, content)
        settings = configure(f"[webhooks]\nport = {urlsplit(receiver.url).port}\n")
        record(settings.home.run, "receiver", sleeper.pid)
        state = look_at_receiver(settings)["receiver"]
    assert (state.level, receiver.seen[0].path) == (DEGRADED, "/readyz")
    assert state.reason.endswith(f"its /readyz says 503: {reason}")


def test_a_code_server_is_asked_at_the_socket_that_its_file_names(
    configure: Configure, sleeper: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    home = configure("").home
    record(home.run, "code-server", sleeper.pid)
    path = tmp_path / "code.sock"
    document = {"load_from": [{"grpc_server": {"socket": str(path)}}]}
    (home.run / "workspace.yaml").write_text(json.dumps(document))
    assert look_at_code_server(home)["code_server"].level is DOWN
    record(home.run, "code-server", sleeper.pid, age_s=5)
    assert look_at_code_server(home)["code_server"].is_starting
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert look_at_code_server(home)["code_server"].level is OK


def test_settings_that_no_process_refuses_are_well(configure: Configure) -> None:
    assert look_at_settings(configure("").home)["settings"].level is OK


def test_with_workers_this_machine_needs_no_engine(configure: Configure) -> None:
    settings = configure(
        'ledger_url = "postgresql://squire@db/squire"\n[workers]\nbroker_url = "redis://broker:6379/0"\n'
        '[agent]\nrunner = "docker"\n'
    )
    state = engine_probe(settings).run()["engine"]
    assert state.level is OK
    assert "workers" in state.reason
