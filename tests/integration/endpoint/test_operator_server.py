"""The operator's endpoint as a process: what it answers, a port in use, and its end."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from squire_pipelines import __version__
from squire_pipelines.endpoint.operator_server import listen_patiently
from squire_pipelines.http_server import listen
from squire_pipelines.metrics.families import ALL, READINGS
from squire_pipelines.sections.observability import ObservabilitySettings
from tests.support.children import wait_until
from tests.support.ledgers import new_sqlite_ledger

PATIENCE_S = 30
AFTER_SOMETHING = frozenset(
    {
        "squire_attempt_part_duration_seconds",
        "squire_budget_limit_tokens",
        "squire_budget_limit_usd",
        "squire_condition",
        "squire_condition_checked_timestamp_seconds",
        "squire_delivery_check_age_seconds",
        "squire_delivery_lag_seconds",
        "squire_github_blocked_seconds",
        "squire_github_quota_forecast_remaining",
        "squire_github_quota_limit",
        "squire_github_quota_remaining",
        "squire_github_quota_reset_timestamp_seconds",
        "squire_github_request_duration_seconds",
        "squire_github_requests_total",
        "squire_ledger_lock_wait_seconds",
        "squire_model_call_duration_seconds",
        "squire_model_calls_total",
        "squire_model_calls_unpriced_total",
        "squire_model_cost_usd_total",
        "squire_model_first_token_seconds",
        "squire_model_tokens_total",
        "squire_provider_budget_limit_usd",
        "squire_provider_budget_used_usd",
        "squire_ready_to_agent_seconds",
        "squire_sensor_last_tick_timestamp_seconds",
        "squire_task_duration_seconds",
        "squire_task_endings_total",
        "squire_task_start_seconds",
        "squire_tasks_completed_total",
        "squire_tasks_created_total",
        "squire_tasks_pending",
        "squire_tasks_running",
        "squire_warehouse_published_timestamp_seconds",
        "squire_warehouse_size_bytes",
    }
)
"""Families that have no value in a new home: something has to happen first, or to be set. All others have one."""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start an endpoint of a home of its own, and kill it in the end."""
    processes: list[subprocess.Popen[str]] = []

    def start_process(*argv: str, port: int = 0, **variables: str) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SQUIRE_")}
        own = {"SQUIRE_HOME": str(tmp_path), "SQUIRE_OBSERVABILITY__PORT": str(port)}
        process = subprocess.Popen(
            [sys.executable, "-m", *argv],
            env=kept | own | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start_process
    for process in processes:
        process.kill()
        process.communicate(timeout=PATIENCE_S)


def test_the_process_serves_metrics_that_prometheus_can_read_until_it_is_asked_to_stop(
    start: Start, tmp_path: Path
) -> None:
    new_sqlite_ledger(tmp_path / "ledger.sqlite").close()
    process = start("squire_pipelines.endpoint")
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    pages = httpx.get(url, timeout=PATIENCE_S).json()
    assert pages["squire"] == __version__
    assert "/metrics" in pages["pages"]
    wait_until(lambda: 'timestamp_seconds{reading="changes"}' in httpx.get(f"{url}/metrics", timeout=PATIENCE_S).text)
    answer = httpx.get(f"{url}/metrics", timeout=PATIENCE_S)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    assert families["squire_build_info"].samples[0].labels == {"version": __version__}
    with_values = {name for name, family in families.items() if family.samples}
    empty = {family.name for family in ALL if family.name.removesuffix("_total") not in with_values}
    assert empty <= AFTER_SOMETHING
    failures = families["squire_metrics_reading_failures"].samples
    assert {sample.labels["reading"]: sample.value for sample in failures} == dict.fromkeys(READINGS, 0)
    assert httpx.post(f"{url}/metrics", timeout=PATIENCE_S).status_code == 405
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0


def test_the_process_looks_at_everything_and_says_how_it_is(start: Start) -> None:
    agent = {"SQUIRE_AGENT__KIND": "command", "SQUIRE_AGENT__COMMAND": '["true"]', "SQUIRE_AGENT__RUNNER": "local"}
    process = start("squire_pipelines.endpoint", **agent)
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    assert httpx.get(f"{url}/healthz", timeout=PATIENCE_S).json() == {"ok": True}
    deadline = time.monotonic() + PATIENCE_S
    while (answer := httpx.get(f"{url}/readyz", timeout=PATIENCE_S)).status_code != 200:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    document = answer.json()
    levels = {condition["name"]: condition["level"] for condition in document["conditions"]}
    assert (document["ready"], document["level"]) == (True, "degraded")
    assert levels.pop("daemon") == "degraded"  # none runs in this home
    assert levels == dict.fromkeys(("settings", "ledger", "disk", "clock", "engine", "models", "upkeep"), "ok")


def test_the_command_says_which_setting_names_a_port_in_use_and_ends(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("squire_pipelines.cli", "metrics", "serve", port=taken.getsockname()[1])
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 4
    assert "is in use" in errors
    assert "observability.port" in errors


def test_who_waits_for_its_port_has_it_as_soon_as_it_is_free(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="squire")
    taken = listen("127.0.0.1", 0, section="observability")
    settings = ObservabilitySettings(port=taken.getsockname()[1])
    threading.Timer(0.2, taken.close).start()
    listener = listen_patiently(settings, stop=threading.Event(), every_s=0.02)
    assert listener is not None
    listener.close()
    assert [record.getMessage() for record in caplog.records] == [
        "the endpoint waits for its port",
        "the endpoint's port is free again",
    ]


def test_waiting_for_a_port_ends_with_the_process() -> None:
    stop = threading.Event()
    with listen("127.0.0.1", 0, section="observability") as taken:
        threading.Timer(0.1, stop.set).start()
        settings = ObservabilitySettings(port=taken.getsockname()[1])
        assert listen_patiently(settings, stop=stop, every_s=0.02) is None
