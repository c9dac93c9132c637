"""The gateway as a program: its config by standard input, its reports by standard output, its end with either."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from squire_pipelines.gateway.call_log import read_calls
from squire_pipelines.gateway.model import GatewayLimits
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.wire import CONFIG_LINE, GatewayConfig
from squire_pipelines.trusted_certificates import tls_context
from tests.support.provider import DirectedProvider

KEY = "sk-" + "k" * 20
PROGRAM = """
import sys
from pathlib import Path
from squire_pipelines.gateway.__main__ import main
sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
"""
BODY = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}


class Program:
    """The program, its folders, and what it has reported."""

    def __init__(self, folder: Path) -> None:
        self.socket, self.log = folder / "gateway.sock", folder / "calls"
        argv = [sys.executable, "-c", PROGRAM, str(folder), str(self.log)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe)

    def tell(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def report(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        status: dict[str, Any] = json.loads(self.process.stdout.readline())
        return status

    def ask(self) -> httpx.Response:
        with httpx.Client(
            transport=httpx.HTTPTransport(verify=tls_context(), uds=str(self.socket)), base_url="http://g", timeout=30
        ) as client:
            return client.post("/v1/chat/completions", json=BODY)


@pytest.fixture
def program() -> Iterator[Program]:
    with tempfile.TemporaryDirectory(prefix="sq-") as folder:
        made = Program(Path(folder))
        yield made
        made.process.kill()
        made.process.communicate(timeout=20)


@pytest.mark.slow
def test_it_serves_reports_and_ends_with_its_input(program: Program, upstream: DirectedProvider) -> None:
    config = GatewayConfig(
        "t1-1",
        (Upstream(upstream.url, KEY, ("small",)),),
        limits=GatewayLimits(max_tokens=20),
        every_s=0.05,
        trace_id="t1",
    )
    program.tell(CONFIG_LINE.write(config))
    assert program.report()["totals"] == {"tokens": 0, "usd": 0.0, "requests": 0, "refused": 0}
    assert program.ask().status_code == 200
    assert upstream.seen[0].headers["authorization"] == f"Bearer {KEY}"
    status = program.report()
    while status["call"] is None:
        status = program.report()
    assert (status["call"]["input_tokens"], status["call"]["output_tokens"]) == (5, 2)
    assert status["totals"]["tokens"] == 7
    assert program.ask().status_code == 400, "what it asks is an estimate of more than the rest"
    output, errors = program.process.communicate(timeout=20)
    assert program.process.returncode == 0
    assert json.loads(output.splitlines()[-1])["exhausted"] == "20 tokens"
    assert not program.socket.exists()
    assert [call.error for call in read_calls(program.log)] == [None, "budget"]
    assert KEY.encode() not in output + errors
    lines = [json.loads(line) for line in errors.splitlines() if b"gateway.price_unknown" in line]
    assert [(line["component"], line["attempt_id"], line["trace_id"]) for line in lines] == [("gateway", "t1-1", "t1")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "line", [b"", b"{}\n", b'{"attempt_id": 3, "upstreams": [{"base_url": null, "api_key": "sk-hidden"}]}\n']
)
def test_without_a_configuration_it_ends_and_says_so_without_repeating_it(program: Program, line: bytes) -> None:
    program.tell(line)
    output, errors = program.process.communicate(timeout=20)
    assert (program.process.returncode, output) == (1, b"")
    assert b"the gateway's configuration cannot be read" in errors
    assert b"sk-hidden" not in errors
