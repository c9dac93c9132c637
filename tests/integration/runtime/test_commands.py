"""`squire run` and `squire dev` as they are typed, with a small program in the place of Dagster's."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from squire_pipelines.cli.main import cli
from squire_pipelines.ledger import deliveries
from squire_pipelines.runtime import services
from squire_pipelines.runtime.ports import free_port
from tests.support.pipeline import HANDBOOK, QUIET, Pipeline

PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def _small_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nexec sleep 100\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(services, "_program", lambda _name: str(program))
    monkeypatch.setenv("DAGSTER_HOME", "")  # put back afterwards
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET", "s" * 40)


def squire(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words), prog_name="squire")


@contextmanager
def end_when_up(run: Path, *names: str) -> Iterator[None]:
    """Send this process SIGTERM once all these children are recorded."""

    def watch() -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if all((run / f"{name}.pid").exists() for name in names):
                os.kill(os.getpid(), signal.SIGTERM)
                return
            time.sleep(0.05)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        watcher.join(PATIENCE_S)


def test_a_dry_run_is_shown_and_starts_nothing(pipeline: Pipeline) -> None:
    result = squire("run", HANDBOOK, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    (plan,) = json.loads(result.stdout)
    assert plan["repository"] == HANDBOOK
    assert not (pipeline.settings.home.run / "daemon.pid").exists()


def test_a_run_starts_the_daemon_asks_and_stops_it_when_it_is_told_to_end(pipeline: Pipeline) -> None:
    run = pipeline.settings.home.run
    with end_when_up(run, "daemon"):
        result = squire("run", QUIET)
    assert result.exit_code == 130, result.output
    assert "starting Dagster's daemon" in result.output
    assert list(run.glob("*.pid")) == []
    with pipeline.ledger.write() as tx:
        (asked,) = deliveries.take_for_collection(tx, retry_after_s=0)
    assert (asked.repository, asked.event) == (QUIET, "collect")


def test_dev_serves_until_it_is_told_to_end_and_leaves_nothing(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.configure(f"[webhooks]\nport = {free_port()}\n")
    run, ui = quiet_pipeline.settings.home.run, free_port()
    with end_when_up(run, "webserver"):
        result = squire("dev", "--port", str(ui))
    assert result.exit_code == 0, result.output
    assert f"UI:        http://127.0.0.1:{ui}" in result.output
    assert "/webhooks/github" in result.output
    assert result.output.endswith("stopping …\n")
    assert list(run.glob("*.pid")) == []
    assert {path.stem for path in run.glob("*.log")} == {"daemon", "receiver", "webserver"}


def test_dev_without_webhooks_needs_no_secret(quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SQUIRE_WEBHOOK_SECRET")
    run = quiet_pipeline.settings.home.run
    with end_when_up(run, "webserver"):
        result = squire("dev", "--no-webhooks", "--port", str(free_port()))
    assert result.exit_code == 0, result.output
    assert not (run / "receiver.log").exists()


def test_dev_says_which_port_is_taken_before_it_starts_anything(quiet_pipeline: Pipeline) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = squire("dev", "--port", str(taken.getsockname()[1]))
    assert result.exit_code == 4
    assert "pipeline.webserver_port" in result.stderr
    assert not quiet_pipeline.settings.home.run.exists()


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
