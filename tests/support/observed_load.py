"""The same work with metrics, logs and traces on and off, by turns: what it costs to be watched.

On: each writer counts and logs as Squire's processes do, and the operator's endpoint of that home reads its metrics and
sends its traces to a receiver. Off: neither, and the endpoint stands still. The endpoint is one process throughout.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from squire_pipelines.gateway.server import socket_directory
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.metrics.counting import start_counting
from squire_pipelines.observability.logging import Component, bound_context, configure_logging
from squire_pipelines.trusted_certificates import tls_context
from tests.benchmarks.bench_gateway import CHAT, GATEWAY, PROVIDER, child
from tests.support import ledger_load
from tests.support.ledgers import TRACE, add_tasks, spec, sqlite_ledger_file
from tests.support.otlp_receiver import receiving

PROCESSES = 4
TASKS = 400
PIECES = 40

OBSERVED = """
from squire_pipelines.metrics.counting import start_counting
from squire_pipelines.observability.logging import Component, configure_logging
configure_logging(Component.GATEWAY, stream=open(sys.argv[3] + "/gateway.log", "a", buffering=1))
start_counting(Path(sys.argv[3]) / "metrics", on_failure=print)
"""
"""What a gateway's process does more when it is watched; it stands after the imports of the other."""


def change_observed(url: str, ids: Sequence[str], seconds: float, folder: str, barrier: Any) -> ledger_load.Load:
    """Change tasks as `ledger_load.change_without_pause` does, in a process that counts and logs."""
    with Path(folder, "writer.log").open("a", encoding="utf-8", buffering=1) as log, bound_context(trace_id=TRACE):
        configure_logging(Component.PIPELINE, stream=log)
        start_counting(Path(folder) / "metrics", on_failure=print)
        return ledger_load.change_without_pause(url, ids, seconds, barrier)


@contextmanager
def _watched_home(folder: Path, collector: str) -> Iterator["subprocess.Popen[str]"]:
    """Run the operator's endpoint of a home, which sends its traces to a collector."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SQUIRE_", "OTEL_"))}
    own = {
        "SQUIRE_HOME": str(folder),
        "SQUIRE_OBSERVABILITY__PORT": "0",
        "SQUIRE_TRACING__ENDPOINT": collector,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "squire_pipelines.endpoint"],
        env=kept | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            if process.stdout is None or "url" not in json.loads(process.stdout.readline()):
                raise RuntimeError("the endpoint did not start")
            yield process
        finally:
            process.kill()


def transitions(folder: Path, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Return the changes a second of each round, `on` and `off`, on a ledger for each that grows alike."""
    homes = {"on": folder / "on", "off": folder / "off"}
    urls, ids = {}, {}
    for name, home in homes.items():
        home.mkdir()
        urls[name] = f"sqlite:///{sqlite_ledger_file(home / 'ledger.sqlite')}"
        ledger = Ledger(urls[name])
        ids[name] = add_tasks(ledger, *(spec(f"k{number}") for number in range(TASKS)))
        ledger.close()
    rates: dict[str, list[float]] = {"on": [], "off": []}
    with receiving() as receiver, _watched_home(homes["on"], receiver.url) as endpoint:
        for number in range(rounds):
            # A task is somewhere between two states after a round, so that each round has tasks of its own.
            part = slice(number * TASKS // rounds, (number + 1) * TASKS // rounds)
            for name in ("on", "off") if number % 2 else ("off", "on"):
                own = ids[name][part]
                calls = [
                    (urls[name], own[process::PROCESSES], seconds, *([str(homes["on"])] if name == "on" else []))
                    for process in range(PROCESSES)
                ]
                work = change_observed if name == "on" else ledger_load.change_without_pause
                endpoint.send_signal(signal.SIGCONT if name == "on" else signal.SIGSTOP)
                loads = ledger_load.together(work, calls)
                rates[name].append(sum(load.changes for load in loads) / seconds)
        endpoint.send_signal(signal.SIGCONT)
        receiver.next()  # traces of this home were sent, or it was no measurement of that
    return rates


def model_calls(rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each call through a gateway, `on` and `off`."""
    code = {"off": GATEWAY, "on": GATEWAY.replace("socket, url, folder", f"{OBSERVED}socket, url, folder")}
    body = json.dumps({"model": "small", "stream": True, "seed": 0, "logit_bias": {"999": PIECES}, "messages": []})
    seconds: dict[str, list[float]] = {"on": [], "off": []}
    with ExitStack() as stack:
        _, port = stack.enter_context(child(PROVIDER))
        clients = {}
        for name, program in code.items():
            socket = stack.enter_context(socket_directory())
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            stack.enter_context(child(program, str(socket), f"http://127.0.0.1:{port}/v1", folder))
            transport = httpx.HTTPTransport(verify=tls_context(), uds=str(socket))
            clients[name] = stack.enter_context(httpx.Client(transport=transport, base_url="http://g", timeout=30))
        for number in range(rounds + 5):
            for name in ("on", "off") if number % 2 else ("off", "on"):
                took = _ask(clients[name], body)
                if number >= 5:
                    seconds[name].append(took)
    return seconds


def _ask(client: httpx.Client, body: str) -> float:
    answer = client.post(CHAT, content=body, headers={"content-type": "application/json"})
    answer.raise_for_status()
    return answer.elapsed.total_seconds()
