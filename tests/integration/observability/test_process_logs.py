"""What each kind of process writes: no secret, whoever logs it, and the component and trace on every line."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.deliveries import ReceiverProcess

SECRET = "correct-horse-battery-staple"
PLANTED = Path(__file__).parents[2] / "support" / "planted"
ROOT = Path(__file__).parents[3]
PATIENCE_S = 120


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    dagster_home = tmp_path / "home" / "dagster"
    dagster_home.mkdir(parents=True)
    (dagster_home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    return {
        **os.environ,
        **ReceiverProcess.environment(tmp_path / "home"),
        "DAGSTER_HOME": str(dagster_home),
        "PYTHONPATH": os.pathsep.join([str(PLANTED), str(ROOT)]),
        "SQUIRE_MODEL_KEY": SECRET,
        "SQUIRE_TEST_PLANT": "1",
    }


def program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def check(stdout: str, stderr: str, *, component: str) -> None:
    """Fail unless the planted lines are in standard error, clean and complete."""
    assert SECRET not in stdout + stderr
    lines = [line for line in json_lines(stderr) if "planted" in line["event"]]
    assert {line["event"] for line in lines} == {
        "planted.ours",
        "planted by a library: [redacted]",
        "planted traceback",
    }, stderr
    for line in lines:
        assert line["component"] == ("agent" if line["event"] == "planted.ours" else component)
        assert (line["trace_id"], line["attempt_id"]) == ("trace-of-the-test", "attempt-of-the-test")
    assert any("invalid literal" in line.get("exception", "") for line in lines)


def test_the_command(environment: dict[str, str]) -> None:
    command = [program("squire"), "config", "path"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    check(done.stdout, done.stderr, component="cli")


@pytest.mark.slow
def test_the_commands_level_is_that_of_its_children(environment: dict[str, str]) -> None:
    code = "from squire_pipelines.cli.main import main; main()"
    for level, planted in (("error", 1), ("info", 3)):
        done = subprocess.run(
            [sys.executable, "-c", code, "--log-level", level, "config", "path"],
            env={**environment, "SQUIRE_LOGGING__LEVEL": "warning"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        )
        assert len(json_lines(done.stderr)) == planted


@pytest.mark.slow
def test_the_receiver(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "squire_pipelines.webhooks"]
    receiver = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert receiver.stdout is not None
    assert json.loads(receiver.stdout.readline())["ready"]
    receiver.send_signal(signal.SIGTERM)
    stdout, stderr = receiver.communicate(timeout=PATIENCE_S)
    assert receiver.returncode == 0
    check(stdout, stderr, component="webhooks")


def test_the_gateways_program(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "squire_pipelines.gateway"]
    done = subprocess.run(
        command, env=environment, input="", capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    check(done.stdout, done.stderr, component="gateway")


@pytest.mark.slow
def test_dagsters_code_server(environment: dict[str, str], tmp_path: Path) -> None:
    socket = tmp_path / "code.sock"
    command = [program("dagster"), "api", "grpc", "--socket", str(socket)]
    server = subprocess.Popen(
        [*command, "-m", "squire_pipelines.definitions"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    first = [server.stdout.readline(), server.stdout.readline()]
    server.send_signal(signal.SIGTERM)
    stdout, stderr = server.communicate(timeout=PATIENCE_S)
    check(stdout, stderr, component="pipeline")
    assert "Started Dagster code server" in first[1]
    assert not [line for line in json_lines(stderr) if line.get("logger", "").startswith("dagster")]  # once is enough


@pytest.mark.slow
@pytest.mark.parametrize("job", ["in_the_run", "in_a_process_of_its_own"])
def test_a_run_and_a_step_of_dagsters(environment: dict[str, str], job: str) -> None:
    del environment["SQUIRE_TEST_PLANT"]
    command = [program("dagster"), "job", "execute", "-m", "tests.support.planted_job", "-j", job]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    kept = [path for path in Path(environment["DAGSTER_HOME"]).rglob("*") if path.is_file()]
    errors = "".join(path.read_text(encoding="utf-8") for path in kept if path.suffix == ".err")
    check(done.stdout, done.stderr + errors, component="pipeline")
    assert "planted in the event log: [redacted]" in done.stderr + errors
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]
