"""Finding the engine and the worker's files, without either."""

import hashlib
import json
import socket
import tempfile
from pathlib import Path

import pytest

from squire_pipelines.agents import engine, reap, worker_files
from squire_pipelines.agents.docker_runner import DockerRunner
from squire_pipelines.agents.local_runner import LocalRunner
from squire_pipelines.agents.runners import choose_runner
from squire_pipelines.errors import ConfigError, EngineError
from squire_pipelines.sections.agents import AgentSettings

NOWHERE = ("unix:///nowhere/docker.sock",)


def test_a_named_engine_is_the_only_one_tried() -> None:
    assert engine.engine_hosts({"DOCKER_HOST": "tcp://h:1"}, 1000) == ("tcp://h:1",)


def test_podmans_sockets_come_before_dockers_default(tmp_path: Path) -> None:
    hosts = engine.engine_hosts({"XDG_RUNTIME_DIR": "/run/x", "HOME": str(tmp_path)}, 1000)
    assert hosts == (
        "unix:///run/x/podman/podman.sock",
        "unix:///run/podman/podman.sock",
        "unix:///var/run/docker.sock",
        "unix:///run/x/docker.sock",
    )
    assert engine.engine_hosts({}, 1000)[0] == "unix:///run/user/1000/podman/podman.sock"


def _context(home: Path, name: str, host: str) -> None:
    meta = home / ".docker" / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    (home / ".docker" / "config.json").write_text(json.dumps({"currentContext": name}))
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))


def test_dockers_current_context_is_its_default(tmp_path: Path) -> None:
    _context(tmp_path, "desktop", "unix:///home/u/.docker/desktop/docker.sock")
    hosts = engine.engine_hosts({"HOME": str(tmp_path), "XDG_RUNTIME_DIR": "/run/x"}, 1000)
    assert hosts[2:4] == ("unix:///home/u/.docker/desktop/docker.sock", "unix:///var/run/docker.sock")
    assert "desktop" not in "".join(engine.engine_hosts({"HOME": str(tmp_path), "DOCKER_CONTEXT": "default"}, 1000))


@pytest.mark.parametrize("text", ["", "[]", "null", '{"currentContext": 5}', '{"currentContext": "none-such"}'])
def test_a_context_that_says_nothing_is_passed_over(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    hosts = engine.engine_hosts({"DOCKER_CONFIG": str(tmp_path)}, 1000)
    assert len(hosts) == 4


def test_where_nobody_answers_there_are_no_engines_to_look_after() -> None:
    with engine.connect_all(1, hosts=NOWHERE) as clients:
        assert clients == []


@pytest.mark.parametrize(("version", "old"), [("1.40", True), ("1.41", False), ("1.100", False), ("", False)])
def test_an_engine_is_too_old_by_its_api(version: str, *, old: bool) -> None:
    info = engine.EngineInfo("unix://x", "Docker", "1", version, 1, 1, ())
    assert info.is_older_than(engine.MIN_API) is old


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
    assert worker_files.worker_file("entrypoint.py").is_file()
    assert '"defaultAction"' in worker_files.seccomp_profile()


def test_a_missing_file_of_the_worker_is_a_matter_of_installation(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing"):
        worker_files.worker_file("entrypoint.py", places=(tmp_path,))


def test_the_engines_times_are_understood() -> None:
    seen = reap.parse_time("2026-11-22T10:00:00.123456789Z")
    assert seen is not None
    assert seen.isoformat() == "2026-11-22T10:00:00.123456+00:00"
    assert reap.parse_time("2026-11-22T10:00:00Z") is not None
    assert reap.parse_time("0001-01-01T00:00:00Z") is None
    assert reap.parse_time(None) is None
