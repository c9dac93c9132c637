"""Finding the engine and the worker's files, without either."""

import socket
import tempfile
from pathlib import Path

import pytest

from squire_pipelines.agents import engine, files, reap
from squire_pipelines.agents.docker_runner import DockerRunner
from squire_pipelines.agents.local_runner import LocalRunner
from squire_pipelines.agents.runners import choose_runner
from squire_pipelines.errors import ConfigError, EngineError
from squire_pipelines.settings import AgentSettings

NOWHERE = ("unix:///nowhere/docker.sock",)


def test_a_named_engine_is_the_only_one_tried() -> None:
    assert engine.engine_hosts({"DOCKER_HOST": "tcp://h:1"}, 1000) == ("tcp://h:1",)


def test_dockers_socket_comes_before_podmans() -> None:
    hosts = engine.engine_hosts({"XDG_RUNTIME_DIR": "/run/x"}, 1000)
    assert hosts == (
        "unix:///var/run/docker.sock",
        "unix:///run/x/docker.sock",
        "unix:///run/x/podman/podman.sock",
        "unix:///run/podman/podman.sock",
    )
    assert "unix:///run/user/1000/podman/podman.sock" in engine.engine_hosts({}, 1000)


def test_a_missing_engine_names_what_was_tried_and_what_to_do() -> None:
    with pytest.raises(EngineError, match="no such file") as caught:
        engine.connect(1, hosts=NOWHERE)
    assert "unix:///nowhere/docker.sock" in str(caught.value)
    assert "make engine" in caught.value.hint
    assert engine.engine_available(1, hosts=NOWHERE) is None


def test_a_socket_without_an_engine_is_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "docker.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        with pytest.raises(EngineError, match="connection refused"):
            engine.connect(1, hosts=(f"unix://{path}",))


def test_a_host_that_is_no_address_is_refused() -> None:
    with pytest.raises(EngineError):
        engine.connect(1, hosts=("ftp://x",))


def test_without_an_engine_a_command_runs_locally_but_opencode_does_not() -> None:
    command = AgentSettings(kind="command", command=("true",))
    runner = choose_runner(command, hosts=NOWHERE)
    assert isinstance(runner, LocalRunner)
    assert not runner.is_sandbox
    runner.close()
    with pytest.raises(EngineError, match="local"):
        choose_runner(AgentSettings(model="m"), hosts=NOWHERE)
    with pytest.raises(EngineError):
        choose_runner(AgentSettings(kind="command", command=("true",), runner="docker"), hosts=NOWHERE)


def test_who_asks_for_local_gets_it() -> None:
    assert isinstance(choose_runner(AgentSettings(runner="local"), hosts=NOWHERE), LocalRunner)
    assert DockerRunner.is_sandbox


def test_the_workers_files_are_found_in_a_checkout() -> None:
    assert files.worker_file("entrypoint.py").is_file()
    assert '"defaultAction"' in files.seccomp_profile()


def test_a_missing_file_of_the_worker_is_a_matter_of_installation(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing"):
        files.worker_file("entrypoint.py", places=(tmp_path,))


def test_the_engines_times_are_understood() -> None:
    seen = reap.parse_time("2026-11-22T10:00:00.123456789Z")
    assert seen is not None
    assert seen.isoformat() == "2026-11-22T10:00:00.123456+00:00"
    assert reap.parse_time("2026-11-22T10:00:00Z") is not None
    assert reap.parse_time("0001-01-01T00:00:00Z") is None
    assert reap.parse_time(None) is None
