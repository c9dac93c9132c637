"""The least that a durable receiver of webhooks can be: Starlette, the HMAC, and one insert into SQLite per request.

`python tests/support/bare_receiver.py FILE SECRET` serves with all that uvicorn has, and prints its port.
"""

import asyncio
import hashlib
import hmac
import sqlite3
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


def make_app(path: str, secret: bytes) -> Starlette:
    """Return the application, with a connection of its own to the file."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE IF NOT EXISTS deliveries (id INTEGER PRIMARY KEY, delivery TEXT, body BLOB)")

    async def receive(request: Request) -> JSONResponse:
        body = await request.body()
        expected = "sha256=" + hmac.digest(secret, body, hashlib.sha256).hex()
        if not hmac.compare_digest(expected, request.headers.get("x-hub-signature-256", "")):
            return JSONResponse({"error": "signature"}, status_code=401)
        delivery = request.headers["x-github-delivery"]
        connection.execute("INSERT INTO deliveries (delivery, body) VALUES (?, ?)", (delivery, body))
        return JSONResponse({"ok": True}, status_code=202)

    return Starlette(routes=[Route("/webhooks/github", receive, methods=["POST"])])


async def serve(path: str, secret: bytes) -> None:
    """Serve until the process is ended."""
    config = uvicorn.Config(make_app(path, secret), port=0, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)  # noqa: T201 - for whoever started it
    await serving


if __name__ == "__main__":
    if sys.platform != "win32":
        import uvloop

        uvloop.run(serve(sys.argv[1], sys.argv[2].encode()))
