"""`squire run` and `squire dev` as they are typed, with a small program in the place of Dagster's."""

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from squire_pipelines.cli.main import cli
from squire_pipelines.errors import PortInUseError
from squire_pipelines.ledger import deliveries
from squire_pipelines.runtime.ports import check_free, free_port
from squire_pipelines.settings.restarts import Part
from tests.support.children import PATIENCE_S, command_that_starts_others
from tests.support.leak_search import processes_with
from tests.support.pipeline import HANDBOOK, QUIET, Pipeline
from tests.support.programs import small_programs

WHOLE_PROGRAMS_S = 240.0
PYTHON = sys.executable
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _small_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_programs(tmp_path / "bin", monkeypatch)
    monkeypatch.setenv("DAGSTER_HOME", "")  # put back afterwards
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET", "s" * 40)


def squire(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words), prog_name="squire")


@contextmanager
def _dropped_interrupts() -> Iterator[None]:
    """Let Python drop an interrupt that a signal raises in a garbage collection; `interruptible` hears it all the same.

    Any other exception that is dropped is pytest's to report.
    """
    report = sys.unraisablehook

    def hook(dropped: "sys.UnraisableHookArgs") -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            report(dropped)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = report


@contextmanager
def end_when(happened: Callable[[], object]) -> Iterator[None]:
    """Send this process SIGTERM once something has happened, unless the block has ended before."""
    over = threading.Event()

    def watch() -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and not over.wait(0.05):
            if happened():
                os.kill(os.getpid(), signal.SIGTERM)
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with _dropped_interrupts():
            yield
    finally:
        over.set()
        watcher.join(PATIENCE_S)


def dev_says_what_it_serves(pipeline: Pipeline) -> bool:
    """Whether `squire dev` has the file that it writes when everything is started and told."""
    return any(pipeline.settings.home.settings_state.glob(f"process-{Part.DEV}-*.json"))


@pytest.mark.slow
def test_a_dry_run_is_shown_and_starts_nothing(pipeline: Pipeline) -> None:
    result = squire("run", HANDBOOK, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    (plan,) = json.loads(result.stdout)
    assert plan["repository"] == HANDBOOK
    assert not (pipeline.settings.home.run / "daemon.pid").exists()


@pytest.mark.slow
def test_a_run_starts_the_daemon_asks_and_stops_it_when_it_is_told_to_end(pipeline: Pipeline) -> None:
    run = pipeline.settings.home.run
    with end_when((run / "daemon.pid").exists):
        result = squire("run", QUIET)
    assert result.exit_code == 130, result.output
    assert "starting Dagster's daemon" in result.output
    assert list(run.glob("*.pid")) == []
    with pipeline.ledger.write() as tx:
        (asked,) = deliveries.take_for_collection(tx, deliveries.RequestRule(0, 5))
    assert (asked.repository, asked.event) == (QUIET, "collect")


def test_dev_serves_until_it_is_told_to_end_and_leaves_nothing(
    quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    ui, metrics, board = free_port(), free_port(), free_port()
    # The secret of one repository's webhook is enough.
    monkeypatch.delenv("SQUIRE_WEBHOOK_SECRET")
    monkeypatch.setenv("SQUIRE_ACME_HOOK_KEY", "s" * 40)
    secrets = f'[webhooks.secrets]\n"{QUIET}" = ["acme-hook-key"]\n'
    servers = f"[observability]\nport = {metrics}\n[board]\nport = {board}\n"
    quiet_pipeline.configure(f"[webhooks]\nport = {free_port()}\n{secrets}\n{servers}")
    run = quiet_pipeline.settings.home.run
    with end_when(lambda: dev_says_what_it_serves(quiet_pipeline)):
        result = squire("dev", "--port", str(ui))
    assert result.exit_code == 0, result.output
    assert "no webhook is received" not in result.output
    assert "http://127.0.0.1" not in result.output  # the small program answers nowhere
    assert result.output.endswith("stopping …\n")
    assert list(run.glob("*.pid")) == []
    servers_logs = {"board", "code-server", "daemon", "endpoint", "receiver", "webserver"}
    assert {path.stem for path in run.glob("*.log")} == servers_logs


@pytest.mark.parametrize("command", [("dev", "--no-webhooks"), ("run", QUIET)])
def test_what_needs_the_definitions_ends_with_the_error_when_they_cannot_be_loaded(
    pipeline: Pipeline, tmp_path: Path, command: tuple[str, ...]
) -> None:
    program = "#!/bin/sh\necho 'Traceback (most recent call last):'\necho 'ImportError: no engine'\nexit 1\n"
    (tmp_path / "bin" / "python").write_text(program, encoding="utf-8")
    run = pipeline.settings.home.run
    result = squire(*command)
    assert result.exit_code == 3, result.output
    assert "Dagster could not load Squire's definitions: ImportError: no engine" in result.stderr
    assert f"hint: fix the cause and start again; the whole error is in {run}/code-server.log" in result.stderr
    assert "UI:" not in result.output
    assert list(run.glob("*.pid")) == list(run.glob("*.starting")) == []


@pytest.mark.slow
@pytest.mark.timeout(WHOLE_PROGRAMS_S + 120)
@pytest.mark.parametrize("command", [("dev", "--no-webhooks"), ("demo", "--runner", "local", "--home", "demo")])
def test_so_it_is_with_dagsters_own_programs_and_nothing_is_left_running(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    # Python reads this file at its start: in the code server, one module of the definitions cannot be imported.
    broken = "import sys\nif 'grpc' in sys.orig_argv:\n    sys.modules['squire_pipelines.jobs.follow'] = None\n"
    (tmp_path / "sitecustomize.py").write_text(broken, encoding="utf-8")
    home = tmp_path / ("demo" if "demo" in command else "home")
    env = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
        "SQUIRE_PIPELINE__WEBSERVER_PORT": str(free_port()),
    }
    argv = [PYTHON, "-m", "squire_pipelines.cli", *command]
    with command_that_starts_others(argv, cwd=tmp_path, env=env) as process:
        output, errors = process.communicate(timeout=WHOLE_PROGRAMS_S)
        assert process.returncode == 3, output + errors
        assert "could not load Squire's definitions:" in errors
        assert "squire_pipelines.jobs.follow" in errors
        assert "code-server.log" in errors
        assert list((home / "run").glob("*.pid")) == []
        assert processes_with([str(tmp_path)]) == {}


@pytest.mark.slow
@pytest.mark.parametrize("command", [("dev", "--no-webhooks"), ("run", QUIET)])
@pytest.mark.parametrize(
    ("variable", "code", "says"),
    [
        ("SQUIRE_HOME=", 3, "needs SQUIRE_HOME to be set"),
        ("DOCKER_HOST=tcp://127.0.0.1:2375", 3, "needs an engine with a socket here"),
        ("DOCKER_HOST=unix:///nowhere/docker.sock", 4, "no container engine answers"),
    ],
)
def test_an_executor_that_cannot_be_had_is_said_before_anything_starts(  # noqa: PLR0917 - pytest gives them by name
    pipeline: Pipeline,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    variable: str,
    code: int,
    says: str,
) -> None:
    for name in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("SQUIRE_CONFIG", str(pipeline.home / "config.toml"))
    pipeline.configure(runner="docker")
    monkeypatch.setenv("SQUIRE_PIPELINE__EXECUTOR", "docker")
    monkeypatch.setenv(*variable.split("=", 1))
    result = squire(*command)
    assert (result.exit_code, says in result.stderr) == (code, True), result.output
    assert "hint: " in result.stderr
    assert "UI:" not in result.output
    assert [path for home in (pipeline.home, tmp_path / "xdg") for path in home.rglob("*.log")] == []


@pytest.mark.parametrize("home", [".", "../home"])
def test_a_relative_home_and_settings_are_handed_on_from_the_root(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.chdir(pipeline.home)
    monkeypatch.setenv("SQUIRE_HOME", home)
    result = squire("--config", "config.toml", "run", QUIET, "--dry-run")
    assert result.exit_code == 0, result.output
    assert os.environ["SQUIRE_HOME"] == str(pipeline.home)
    assert os.environ["SQUIRE_CONFIG"] == str(pipeline.home / "config.toml")


def test_dev_without_webhooks_needs_no_secret(quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQUIRE_WEBHOOK_SECRET")
    run = quiet_pipeline.settings.home.run
    with end_when(lambda: dev_says_what_it_serves(quiet_pipeline)):
        result = squire("dev", "--no-webhooks", "--port", str(free_port()))
    assert result.exit_code == 0, result.output
    assert not (run / "receiver.log").exists()


def test_dev_goes_on_without_a_webhook_secret_and_a_free_port_for_the_board_and_says_how_to_have_them(
    quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SQUIRE_WEBHOOK_SECRET")
    run = quiet_pipeline.settings.home.run
    with socket.create_server(("127.0.0.1", 0)) as taken:
        quiet_pipeline.configure(f"[board]\nport = {taken.getsockname()[1]}\n")
        refused = squire("dev", "--webhooks", "--port", str(free_port()))
        assert refused.exit_code == 3, refused.output
        with end_when(lambda: dev_says_what_it_serves(quiet_pipeline)):
            result = squire("dev", "--port", str(free_port()))
    assert result.exit_code == 0, result.output
    assert "`squire secrets set webhook-secret`" in result.stderr
    assert "it is served when the port is free" in result.output
    assert not {"receiver", "board"} & {path.stem for path in run.glob("*.log")}
    assert not {"SQUIRE_LOGGING__LEVEL", "SQUIRE_AGENT__KEEP_FAILED_CONTAINERS"} & os.environ.keys()


def test_dev_says_which_port_is_taken_before_it_starts_anything(quiet_pipeline: Pipeline) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = squire("dev", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 4
    assert "pipeline.webserver_port" in result.stderr
    assert list(quiet_pipeline.settings.home.run.glob("*")) == []


def test_dev_serves_its_two_on_two_ports(quiet_pipeline: Pipeline) -> None:
    result = squire("dev", "--port", str(quiet_pipeline.settings.webhooks.port))
    assert result.exit_code == 2
    assert "is webhooks.port" in result.stderr
    assert list(quiet_pipeline.settings.home.run.glob("*")) == []


def test_a_port_may_be_one_of_ipv6() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=f"port {port} on ::1"):
            check_free("::1", port, setting="webhooks.port")
    check_free("::1", port, setting="webhooks.port")


@pytest.mark.slow
def test_the_configuration_of_the_command_line_is_the_childrens_too(pipeline: Pipeline, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text((pipeline.home / "config.toml").read_text(encoding="utf-8"), encoding="utf-8")
    result = squire("--config", str(other), "run", QUIET, "--dry-run")
    assert result.exit_code == 0, result.output
    assert os.environ["SQUIRE_CONFIG"] == str(other)


@pytest.fixture(autouse=True)
def _config_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUIRE_CONFIG", "")
    monkeypatch.delenv("SQUIRE_CONFIG")


@contextmanager
def somebody_who_plans(pipeline: Pipeline) -> Iterator[None]:
    """In the place of Dagster's daemon, a thread does what the inbox asks for, but starts nothing."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.05):
            with pipeline.ledger.write() as tx:
                asked = deliveries.take_for_collection(tx, deliveries.RequestRule(1000, 5))
            if asked:
                names = [delivery.repository for delivery in asked if delivery.repository]
                pipeline.collect(*names, deliveries=[delivery.id for delivery in asked])
                pipeline.plan(*names)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join(PATIENCE_S)


@pytest.mark.slow
@pytest.mark.parametrize("as_json", [False, True])
def test_a_cycle_without_an_engine_ends_with_the_reason_instead_of_waiting(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, *, as_json: bool
) -> None:
    pipeline.configure(runner="docker")
    monkeypatch.setenv("SQUIRE_CONFIG", str(pipeline.home / "config.toml"))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with somebody_who_plans(pipeline):
        result = squire("run", HANDBOOK, "--timeout", "3600", *(["--json"] if as_json else []))
    assert result.exit_code == 4, result.output
    assert "no container engine answers" in result.stderr
    assert "make engine" in result.stderr
    if as_json:
        assert [task["status"] for task in json.loads(result.stdout)["tasks"]] == ["ready"]
        return
    assert result.stdout.count(f"{HANDBOOK}: tasks for the agent ") == 1
    assert "the time was up" not in result.output
    (task,) = json.loads(squire("tasks", "list", "--json").stdout)
    assert task["waiting"] == "its start"
    shown = json.loads(squire("tasks", "show", task["id"], "--json").stdout)
    assert shown["waiting"].startswith("its agent, which cannot start: no container engine answers")
