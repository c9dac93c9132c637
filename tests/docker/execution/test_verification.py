"""Checks in the real container: the committed tree, confined as agents are; setup reaches its registry alone."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from squire_forge.process import ForgeProcess
from tests.support.counted import counted_in
from tests.support.pipeline import LEDGERLIB, Pipeline

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]
FETCH = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=5).read().decode())"
NO_WAY = "import socket; socket.create_connection(('127.0.0.1', 8787), 2)"


class _Registry(BaseHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"package")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@pytest.fixture
def registry() -> Iterator[str]:
    _Registry.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Registry) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def use(pipeline: Pipeline, rules: str, more: str = "") -> None:
    pipeline.commands = {}
    change = 'command = ["sh", "-c", "echo more >> NOTES.md"]'
    pipeline.configure(
        f'[repository."{LEDGERLIB}".agent]\nkind = "command"\nrunner = "docker"\n{change}\n'
        f'[repository."{LEDGERLIB}".verification]\n{rules}\n{more}'
    )


def test_checks_run_confined_on_the_committed_tree(pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path) -> None:
    alone = 'test -z "$(ls /sys/class/net | grep -v lo)"'
    confined = f"test $(id -u) -ne 0 && grep -q 'Seccomp:.2' /proc/self/status && {alone}"
    tests, lint = f"tail -n 1 NOTES.md | grep -q more && {confined}", f'python3 -c "{NO_WAY}"'
    use(pipeline, f"tests = {json.dumps(tests)}\nlint = {json.dumps(lint)}")
    attempt = pipeline.attempt(LEDGERLIB, verification={"run_tests": True, "run_lint": True})
    with counted_in(tmp_path / "counters") as counts:
        pipeline.agent_run(attempt)
        assert counts("squire_containers_started_total") == {"agent": 1, "checks": 1}
    row = pipeline.read_attempt(attempt.id)
    assert row.verification is not None
    checks = {check.name: check for check in row.verification.checks}
    assert checks["tests"].passed, checks
    assert "refused" in checks["lint"].detail
    (hosted,) = [hosted for hosted in forge.state()["repositories"] if hosted["name"] == LEDGERLIB]
    (pull,) = [pull for pull in hosted["pull_requests"] if pull["head"].startswith("squire/")]
    assert pull["draft"]


def test_setup_reads_its_registry_and_the_checks_find_what_it_made(pipeline: Pipeline, registry: str) -> None:
    way = "http://127.0.0.1:8787/egress/packages/thing-1.0"
    fetch = f"mkdir -p deps ~/.cache/x && python3 -c '{FETCH}' {way} > deps/thing"
    tests = "grep -q package deps/thing ~/.cache/x/thing"
    use(
        pipeline,
        f'setup = """{fetch} && cp deps/thing ~/.cache/x/"""\negress = ["packages"]\ntests = "{tests}"',
        f'[gateway]\nallow_private = true\n[gateway.registries.packages]\nbase_url = "{registry}"\n',
    )
    for _ in range(2):
        attempt = pipeline.attempt(LEDGERLIB)
        pipeline.agent_run(attempt)
        row = pipeline.read_attempt(attempt.id)
        assert row.verification is not None
        assert row.verification.passed, row.verification
    assert _Registry.asked == ["/thing-1.0"]
