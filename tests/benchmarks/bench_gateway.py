"""A streamed answer through the gateway, as a multiple of other ways to the provider: `make bench-gateway`.

The provider is a process of its own on loopback, the gateway another, the client a third. A fourth is a bare
pass-through: the gateway's server and client libraries, and nothing between them. The client asks all of them by turns,
so that what else the machine does concerns all alike. `LITELLM=PATH` adds LiteLLM's proxy, installed elsewhere. Then
gateways are killed in mid-stream, and the tokens in their logs are compared with those that the client received.
"""

import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import httpx

from squire_pipelines.gateway.call_log import read_calls
from squire_pipelines.gateway.server import Gateway, socket_directory
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.wire import GatewayConfig
from tests.support.figures import Figure, ratio, report

ROUNDS = 60
WARM_UP = 5
PIECES = 400
FIRST_PIECES = 5
RATE = 1000  # pieces a second: several times as fast as models write
KILLS = 12
CHAT = "/v1/chat/completions"
SIZES = {"22 kB": 22_000, "200 kB": 200_000}
MAX_RATIO = 1.6
MAX_OF_LITELLM = 0.15
LITELLM_START_S = 90

PROVIDER = """
import asyncio, json, re
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
            body = await reader.readexactly(size)
            # The request says how fast it wants how much: pieces a second as its seed, and their number.
            rate, pieces = (int(re.search(name + rb'": ?(\\d+)', body)[1]) for name in (b"seed", b"logit_bias.*999"))
            writer.write(HEAD)
            begin = asyncio.get_running_loop().time()
            for number in range(pieces):
                if rate:
                    wait = begin + number / rate - asyncio.get_running_loop().time()
                    if wait > 0:
                        await asyncio.sleep(wait)
                writer.write(chunk(PIECE))
                await writer.drain()
            writer.write(chunk(USAGE) + b"0\\r\\n\\r\\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError, IndexError):
        writer.close()  # a proxy that looks whether the provider is there sends no body

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
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.wire import GatewayConfig
socket, url, folder = sys.argv[1:]
log = CallLog(Path(folder), "bench")
with Gateway(Path(socket), GatewayConfig("bench", (Upstream(url, "sk-none", ("small",)),)), log=log):
    print("ready", flush=True)
    threading.Event().wait(600)
"""


BARE = """
import sys
import httpx, uvicorn

async def app(scope, receive, send):
    global client
    if scope["type"] == "lifespan":
        client = httpx.AsyncClient(timeout=30)
        await receive()
        await send({"type": "lifespan.startup.complete"})
        print("ready", flush=True)
        await receive()
        return
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    request = client.build_request("POST", sys.argv[2] + "/chat/completions", content=bytes(body), headers={
        "content-type": "application/json", "authorization": "Bearer sk-none", "accept-encoding": "identity"})
    response = await client.send(request, stream=True)
    headers = [(b"content-type", response.headers["content-type"].encode())]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    async for chunk in response.aiter_bytes():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
    await response.aclose()

uvicorn.run(app, uds=sys.argv[1], http="h11", lifespan="on", ws="none", access_log=False, log_config=None)
"""


SENDERS = """
import sys
from concurrent.futures import ThreadPoolExecutor
import httpx
head = b'{"model": "small", "seed": 0, "logit_bias": {"999": 5}, "stream": true, "messages": ['
head += b'{"role": "user", "content": "'
body = head + b"x" * (16 * 2**20 - 200) + b'"}]}'
def ask(_):
    with httpx.Client(transport=httpx.HTTPTransport(uds=sys.argv[1]), base_url="http://g", timeout=60) as client:
        return client.post("/v1/chat/completions", content=body).status_code
with ThreadPoolExecutor(16) as pool:
    assert set(pool.map(ask, range(16))) == {200}
"""
SENDER = """
import sys
import httpx
client = httpx.Client(transport=httpx.HTTPTransport(uds=sys.argv[1]), base_url="http://g", timeout=60)
for path in sys.argv[3:]:
    for _ in range(int(sys.argv[2])):
        answer = client.post("/v1/chat/completions", content=open(path, "rb").read())
        assert answer.status_code in (400, 413), answer.text
"""


def request_body(size: int, *, rate: int, pieces: int) -> bytes:
    """Return an agent's request of about that many bytes: a conversation with tools and the files that it has read."""
    schema = {"type": "object", "properties": {"path": {"type": "string", "description": "A path. " * 8}}}
    tools = [
        {"type": "function", "function": {"name": f"tool_{number}", "description": "Does. " * 40, "parameters": schema}}
        for number in range(12)
    ]
    messages: list[dict[str, object]] = [{"role": "system", "content": "You are an agent. " * 200}]
    document = {"model": "small", "stream": True, "seed": rate, "logit_bias": {"999": pieces}, "max_tokens": 1000}
    while len(json.dumps({**document, "messages": messages, "tools": tools})) < size:
        call = {"id": f"call_{len(messages)}", "type": "function", "function": {"name": "tool_1", "arguments": "{}"}}
        file = "def area(width, height):\n    return width * height  # [m²], {both: known}\n" * 30
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": file},
        ]
    return json.dumps({**document, "messages": messages, "tools": tools}).encode()


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


def ask(client: httpx.Client, body: bytes) -> tuple[float, float, int]:
    """Return the seconds to the first byte of the answer's body and to its last, and how many pieces came."""
    began = time.perf_counter()
    first, pieces = 0.0, 0
    headers = {"content-type": "application/json", "authorization": "Bearer sk-none"}
    with client.stream("POST", CHAT, content=body, headers=headers) as answer:
        for chunk in answer.iter_raw():
            first = first or time.perf_counter() - began
            pieces += chunk.count(b"word ")
    return first, time.perf_counter() - began, pieces


@dataclass
class Turns:
    """Seconds of each turn to an answer's first byte, and to its end."""

    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)


def ask_by_turns(clients: dict[str, httpx.Client], body: bytes, pieces: int, rounds: int) -> dict[str, Turns]:
    """Ask each of the ways in each round, in an order that swaps."""
    turns = {name: Turns() for name in clients}
    for number in range(rounds + WARM_UP):
        for name in clients if number % 2 else reversed(clients):
            first, whole, received = ask(clients[name], body)
            if received != pieces:
                raise RuntimeError(f"{name}: {received} of {pieces} pieces")
            if number >= WARM_UP:
                turns[name].first.append(first)
                turns[name].whole.append(whole)
    return turns


@contextmanager
def litellm_proxy(url: str) -> Iterator[str | None]:
    """Run LiteLLM's proxy before the provider if LITELLM names its program; yield its address."""
    program = os.environ.get("LITELLM")
    if not program:
        yield None
        return
    with socket.socket() as free, tempfile.TemporaryDirectory() as folder:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
        config = Path(folder) / "config.yaml"
        config.write_text(
            "model_list:\n- model_name: small\n  litellm_params:\n    model: openai/small\n"
            f"    api_base: {url}\n    api_key: sk-none\n",
            encoding="utf-8",
        )
        free.close()
        argv = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
        environment["LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"] = "true"  # on loopback, with no key of worth
        with subprocess.Popen(
            argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, cwd=folder
        ) as process:
            try:
                address = f"http://127.0.0.1:{port}"
                deadline = time.monotonic() + LITELLM_START_S
                while time.monotonic() < deadline:
                    with contextlib.suppress(httpx.HTTPError):
                        if httpx.get(f"{address}/health/liveliness", timeout=2).is_success:
                            break
                    time.sleep(0.5)
                else:
                    raise RuntimeError("LiteLLM's proxy did not start")
                yield address
            finally:
                process.terminate()


def recovered(url: str) -> tuple[int, int]:
    """Return the tokens that the client received from gateways that were then killed, and those in their logs."""
    received = logged = 0
    body = request_body(2000, rate=RATE, pieces=PIECES)
    for number in range(KILLS):
        with tempfile.TemporaryDirectory() as folder, socket_directory() as socket:
            with child(GATEWAY, str(socket), url, folder) as (process, _):
                after = 7 + number * 29
                count = 0
                transport = httpx.HTTPTransport(uds=str(socket))
                try:
                    with (
                        httpx.Client(transport=transport, base_url="http://g", timeout=30) as client,
                        client.stream("POST", CHAT, content=body) as answer,
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


def memory_mib(name: str) -> float:
    """Return one of this process's figures of memory."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def refusals(url: str) -> tuple[float, float, float]:
    """Return what requests cost the process of the gateway that are costly to read, wrong, or large.

    The gateway is in this process here, as it is in a supervisor. The figures are the seconds for which other threads
    were stopped (one looks at the clock every millisecond), the processor's seconds, and the growth in MiB.
    """
    pauses: list[float] = []
    over = threading.Event()

    def watch() -> None:
        before = time.perf_counter()
        while not over.wait(0.001):
            now = time.perf_counter()
            pauses.append(now - before)
            before = now

    size = 4 * 2**20
    head = b'{"model": "small", "messages": ['
    costly = (b"[" * size, head + b"[]," * (size // 3), head + b'{"a":1},' * (size // 8), head + b"0," * (size // 2))
    wrong = b'{"model": "large", "messages": [{"role": "user", "content": "' + b"x" * size + b'"}]}'
    with socket_directory() as place, Gateway(place, GatewayConfig("bench", (Upstream(url, "sk-none", ("small",)),))):
        client = [sys.executable, "-c", SENDER, str(place)]
        watcher = threading.Thread(target=watch)
        watcher.start()
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / str(number) for number in range(len(costly) + 1)]
            for file, body in zip(files, (*costly, wrong), strict=True):
                file.write_bytes(body)
            subprocess.run([*client, "1", *map(str, files[:-1])], check=True, timeout=120)
            over.set()
            watcher.join()
            began = time.process_time()
            subprocess.run([*client, "30", str(files[-1])], check=True, timeout=120)
            seconds = time.process_time() - began
    with socket_directory() as place, Gateway(place, GatewayConfig("bench", (Upstream(url, None, ("small",)),))):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the greatest size counts from here
        before = memory_mib("VmRSS")
        subprocess.run([sys.executable, "-c", SENDERS, str(place)], check=True, timeout=120)
        return max(pauses), seconds, memory_mib("VmHWM") - before


def main() -> int:
    """Measure and report."""
    with contextlib.ExitStack() as stack:
        _, port = stack.enter_context(child(PROVIDER))
        url = f"http://127.0.0.1:{port}/v1"
        gateway_socket, bare_socket = (stack.enter_context(socket_directory()) for _ in range(2))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(child(GATEWAY, str(gateway_socket), url, folder))
        stack.enter_context(child(BARE, str(bare_socket), url))
        litellm_url = stack.enter_context(litellm_proxy(url))

        def client(**options: object) -> httpx.Client:
            return stack.enter_context(httpx.Client(timeout=30, **options))  # type: ignore[arg-type]

        clients = {
            "direct": client(base_url=f"http://127.0.0.1:{port}"),
            "gateway": client(transport=httpx.HTTPTransport(uds=str(gateway_socket)), base_url="http://gateway"),
            "bare": client(transport=httpx.HTTPTransport(uds=str(bare_socket)), base_url="http://bare"),
        }
        slower = {**clients, "LiteLLM": client(base_url=litellm_url)} if litellm_url else clients
        first = {
            name: ask_by_turns(slower, request_body(size, rate=0, pieces=FIRST_PIECES), FIRST_PIECES, ROUNDS)
            for name, size in SIZES.items()
        }
        pair = {name: clients[name] for name in ("direct", "gateway")}
        paced = ask_by_turns(pair, request_body(2000, rate=RATE, pieces=PIECES), PIECES, ROUNDS // 2)
        unpaced = ask_by_turns(pair, request_body(2000, rate=0, pieces=PIECES), PIECES, ROUNDS // 2)
        received, logged = recovered(url)
        pause, seconds, growth = refusals(url)
        for place in (gateway_socket, bare_socket):
            place.unlink(missing_ok=True)
    figures = []
    for name, turns in first.items():
        figures.append(
            Figure(
                f"first byte, {name}, times the pass-through's",
                ratio(turns["gateway"].first, turns["bare"].first),
                "x",
                MAX_RATIO,
            )
        )
        added = {way: statistics.median(_added(turns, way)) * 1000 for way in turns if way != "direct"}
        figures += [Figure(f"added to the first byte, {name}, {way}", value, "ms") for way, value in added.items()]
        if "LiteLLM" in added:
            share = added["gateway"] / added["LiteLLM"]
            figures.append(Figure(f"of what LiteLLM adds, {name}", share, "x", MAX_OF_LITELLM))
    figures += [
        Figure(
            f"whole answer at {RATE} pieces/s, times", ratio(paced["gateway"].whole, paced["direct"].whole), "x", 1.05
        ),
        Figure("whole answer unpaced, times", ratio(unpaced["gateway"].whole, unpaced["direct"].whole), "x", 12.0),
        Figure("pieces/s unpaced, gateway", PIECES / statistics.median(unpaced["gateway"].whole), "1/s"),
        Figure("pieces/s unpaced, direct", PIECES / statistics.median(unpaced["direct"].whole), "1/s"),
        Figure("other threads stopped by four costly bodies of 4 MiB", pause * 1000, "ms", 250),
        Figure("growth by 16 requests of 16 MiB at once", growth, "MiB", 200),
        Figure("processor for 30 wrong requests of 4 MiB", seconds, "s", 5),
        Figure(f"tokens lost of {received} in {KILLS} kills", 100 * (1 - logged / received), "%", 0.0),
    ]
    return report("gateway", figures)


def _added(turns: dict[str, Turns], way: str) -> list[float]:
    """Return what a way adds to the first byte in each round."""
    return [b - a for a, b in zip(turns["direct"].first, turns[way].first, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
