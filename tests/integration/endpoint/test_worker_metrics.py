"""A worker's own endpoint: the metrics of its machine, and none of the ledger's."""

import socket

import httpx
import pytest

from squire_pipelines.endpoint.worker_metrics import worker_metrics
from squire_pipelines.reloading.in_force import settings_in_force
from squire_pipelines.settings.model import load_settings
from tests.support.children import wait_until


def served(url: str) -> str:
    text = ""

    def is_read() -> bool:
        nonlocal text
        text = httpx.get(f"{url}/metrics", timeout=30).text
        return "squire_disk_free_bytes{" in text

    wait_until(is_read)
    return text


def test_a_worker_serves_what_its_machine_counts_and_nothing_of_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUIRE_OBSERVABILITY__PORT", "0")
    load_settings().home.data.mkdir(parents=True, exist_ok=True)
    urls: list[str] = []
    with worker_metrics(settings_in_force(), announce=urls.append):
        wait_until(lambda: bool(urls))
        text = served(urls[0])
    assert "squire_build_info{" in text
    assert "squire_tasks{" not in text
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{urls[0]}/metrics", timeout=5)


def test_a_worker_whose_port_is_taken_works_without(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("SQUIRE_OBSERVABILITY__PORT", str(other.getsockname()[1]))
        urls: list[str] = []
        with worker_metrics(settings_in_force(), announce=urls.append):
            assert urls == []
