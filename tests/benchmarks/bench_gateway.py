"""A streamed answer through the gateway, as a multiple of asking the provider directly: `make bench-gateway`.

The provider is a process of its own on loopback, the gateway another, the client a third. The client asks directly and
through the gateway by turns, so that what else the machine does concerns both alike. Then gateways are killed in
mid-stream, and the tokens in their logs are compared with those that the client received.
"""

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import httpx

from squire_pipelines.gateway.call_log import read_calls
from squire_pipelines.gateway.server import socket_directory
from tests.support.figures import Figure, percentile, ratio, report

ROUNDS = 60
WARM_UP = 5
PIECES = 400
RATE = 1000  # pieces a second: several times as fast as models write
KILLS = 12
CHAT = "/v1/chat/completions"
BODY = {"model": "small", "stream": True, "messages": [{"role": "user", "content": "hello " * 200}]}

PROVIDER = """
import asyncio, json, sys
piece = json.dumps({"choices": [{"index": 0, "delta": {"content": "word "}}]})
PIECE = f"data: {piece}\\n\\n".encode()
USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 300, "completion_tokens": 400}}\\n\\ndata: [DONE]\\n\\n'
HEAD = b"HTTP/1.1 200 OK\\r\\ncontent-type: text/event-stream\\r\\ntransfer-encoding: chunked\\r\\n\\r\\n"

def chunk(data):
    return f"{len(data):x}\\r\\n".encode() + data + b"\\r\\n"

async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            size = int(head.lower().split(b"content-length:")[1].split(b"\\r\\n")[0])
            await reader.readexactly(size)
            rate = float(head.split(b"anthropic-beta: ")[1].split(b"\\r\\n")[0]) if b"anthropic-beta: " in head else 0
            writer.write(HEAD)
            begin = asyncio.get_running_loop().time()
            for number in range(int(sys.argv[1])):
                if rate:
                    wait = begin + number / rate - asyncio.get_running_loop().time()
                    if wait > 0:
                        await asyncio.sleep(wait)
                writer.write(chunk(PIECE))
                await writer.drain()
            writer.write(chunk(USAGE) + b"0\\r\\n\\r\\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""

GATEWAY = """
import sys, threading
from pathlib import Path
from squire_pipelines.gateway.call_log import CallLog
from squire_pipelines.gateway.server import Gateway
from squire_pipelines.gateway.wire import GatewayConfig
socket, url, folder = sys.argv[1:]
log = CallLog(Path(folder), "bench")
with Gateway(Path(socket), GatewayConfig("bench", url, "sk-none", ("small",)), log=log):
    print("ready", flush=True)
    threading.Event().wait(600)
"""


@contextmanager
def child(code: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a process that writes one line when it is ready."""
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise RuntimeError
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def ask(client: httpx.Client, rate: float) -> tuple[float, float, int]:
    """Return the seconds to the first byte of the answer's body and to its last, and how many pieces came."""
    headers = {"anthropic-beta": str(rate)} if rate else {}
    began = time.perf_counter()
    first, pieces = 0.0, 0
    with client.stream("POST", CHAT, json=BODY, headers=headers) as answer:
        for chunk in answer.iter_raw():
            first = first or time.perf_counter() - began
            pieces += chunk.count(b"word ")
    return first, time.perf_counter() - began, pieces


@dataclass
class Turns:
    """Seconds of each turn to an answer's first byte, and to its end."""

    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)


def ask_by_turns(direct: httpx.Client, through: httpx.Client, rate: float, rounds: int) -> tuple[Turns, Turns]:
    """Ask the provider directly and through the gateway in each round, in an order that swaps."""
    asked = (direct, Turns()), (through, Turns())
    for number in range(rounds + WARM_UP):
        for client, turns in asked if number % 2 else reversed(asked):
            first, whole, pieces = ask(client, rate)
            if pieces != PIECES:
                raise RuntimeError(f"{client.base_url}: {pieces} of {PIECES} pieces")
            if number >= WARM_UP:
                turns.first.append(first)
                turns.whole.append(whole)
    return asked[0][1], asked[1][1]


def recovered(url: str) -> tuple[int, int]:
    """Return the tokens that the client received from gateways that were then killed, and those in their logs."""
    received = logged = 0
    for number in range(KILLS):
        with tempfile.TemporaryDirectory() as folder, socket_directory() as socket:
            with child(GATEWAY, str(socket), url, folder) as (process, _):
                after = 7 + number * 29
                count = 0
                transport = httpx.HTTPTransport(uds=str(socket))
                try:
                    with (
                        httpx.Client(transport=transport, base_url="http://g", timeout=30) as client,
                        client.stream("POST", CHAT, json=BODY, headers={"anthropic-beta": str(RATE)}) as answer,
                    ):
                        for chunk in answer.iter_raw():
                            count += chunk.count(b"word ")
                            if count >= after:
                                os.kill(process.pid, signal.SIGKILL)
                except httpx.HTTPError:
                    pass  # the gateway was killed, as it should be
                process.wait(10)
            received += count
            logged += min(count, sum(call.output_tokens or 0 for call in read_calls(Path(folder))))
            socket.unlink(missing_ok=True)
    return received, logged


def main() -> int:
    """Measure and report."""
    with (
        child(PROVIDER, str(PIECES)) as (_, port),
        socket_directory() as socket,
        tempfile.TemporaryDirectory() as folder,
    ):
        url = f"http://127.0.0.1:{port}/v1"
        with child(GATEWAY, str(socket), url, folder):
            transport = httpx.HTTPTransport(uds=str(socket))
            with (
                httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as direct,
                httpx.Client(transport=transport, base_url="http://gateway", timeout=30) as through,
            ):
                paced, paced_through = ask_by_turns(direct, through, RATE, ROUNDS)
                unpaced, unpaced_through = ask_by_turns(direct, through, 0, ROUNDS // 2)
        received, logged = recovered(url)
        socket.unlink(missing_ok=True)
    added = [b - a for a, b in zip(paced.first, paced_through.first, strict=True)]
    return report(
        "gateway",
        [
            Figure("first byte, times the direct one's", ratio(paced_through.first, paced.first), "x", 6.0),
            Figure(f"whole answer at {RATE} pieces/s, times", ratio(paced_through.whole, paced.whole), "x", 1.05),
            Figure("whole answer unpaced, times", ratio(unpaced_through.whole, unpaced.whole), "x", 12.0),
            Figure("added to the first byte, median", statistics.median(added) * 1000, "ms"),
            Figure("added to the first byte, p95", percentile(added, 0.95) * 1000, "ms"),
            Figure("pieces/s unpaced, gateway", PIECES / statistics.median(unpaced_through.whole), "1/s"),
            Figure("pieces/s unpaced, direct", PIECES / statistics.median(unpaced.whole), "1/s"),
            Figure(f"tokens lost of {received} in {KILLS} kills", 100 * (1 - logged / received), "%", 0.0),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
