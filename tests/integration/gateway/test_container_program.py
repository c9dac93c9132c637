"""The program of the gateway's container, without the container: what it reports, and when it ends."""

import io
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from squire_pipelines.gateway.__main__ import Reporter, serve
from squire_pipelines.gateway.server import SOCKET_NAME
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.wire import STATUS_LINE, GatewayConfig, GatewayStatus
from squire_pipelines.trusted_certificates import tls_context


def reports(out: io.BytesIO) -> list[GatewayStatus]:
    return [STATUS_LINE.read(line) for line in out.getvalue().splitlines()]


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder whose name leaves room for a socket's."""
    with tempfile.TemporaryDirectory(prefix="sq-") as folder:
        yield Path(folder)


def test_it_serves_until_its_supervisor_is_gone_and_tells_of_each_call(place: Path) -> None:
    out = io.BytesIO()
    reporter = Reporter(out)
    config = GatewayConfig("k-1", (Upstream("http://127.0.0.1:9/v1", None, ("small",)),), every_s=0.05)
    pipe_end, supervisor = os.pipe()
    server = threading.Thread(
        target=serve,
        args=(config, reporter),
        kwargs={"until": pipe_end, "socket_folder": place, "log_folder": place / "calls"},
    )
    server.start()
    try:
        pause = threading.Event()
        for _ in range(600):
            if reports(out):  # the first is written once it listens
                break
            pause.wait(0.05)
        transport = httpx.HTTPTransport(verify=tls_context(), uds=str(place / SOCKET_NAME))
        with httpx.Client(transport=transport, base_url="http://g", timeout=20) as client:
            asked = client.post("/v1/chat/completions", json={"model": "another", "messages": []})
        assert asked.status_code == 400
    finally:
        os.close(supervisor)
        server.join(30)
        os.close(pipe_end)
    assert not server.is_alive()
    statuses = reports(out)
    assert [status.call.status for status in statuses if status.call is not None] == [400]
    assert statuses[0].totals.requests == 0
    assert not (place / SOCKET_NAME).exists()
    assert list((place / "calls").iterdir())
