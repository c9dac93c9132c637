"""`python -m squire_forge`: serve one forge on the loopback interface until SIGTERM or SIGINT.

Prints one line of JSON when it is ready: `{"ready": true, "url": "http://127.0.0.1:PORT", "pid": N}`.
Exit codes: 0 stopped, 2 usage, 3 configuration, 4 the port is in use.
"""

import argparse
import fcntl
import json
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn

from squire_forge.app import build_app
from squire_forge.errors import ConfigError, ForgeError, PortInUseError
from squire_forge.limits import LIMIT
from squire_forge.world import ForgeConfig, World

_HOST = "127.0.0.1"
_GRACE_S = 1
_BACKLOG = 256


class _Server(uvicorn.Server):
    """A server that says when it is ready."""

    def __init__(self, config: uvicorn.Config, url: str) -> None:
        super().__init__(config)
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving, then print the line that whoever started us is waiting for."""
        await super().startup(sockets)
        print(json.dumps({"ready": True, "url": self._url, "pid": os.getpid()}), flush=True)  # noqa: T201 - the protocol


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m squire_forge", description="A stand-in for GitHub.")
    parser.add_argument("--home", type=Path, required=True, help="folder of the forge's state; made if missing")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--webhook-url", help="where webhooks are sent; none are without it")
    parser.add_argument("--token-file", type=Path, help="file with the token; made in --home without it")
    parser.add_argument("--webhook-secret-file", type=Path, help="file with the webhooks' secret; made in --home")
    parser.add_argument("--no-merge", action="store_true", help="leave green pull requests open")
    parser.add_argument("--rate-limit", type=int, default=LIMIT, help="requests, and GraphQL points, in an hour")
    return parser.parse_args(argv)


def _secret(path: Path | None, default: Path) -> str:
    """The secret in a file; the default file is made (0600) when it is missing."""
    if path is None:
        path = default
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(secrets.token_hex(20))
    try:
        value = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if not value:
        raise ConfigError(f"{path} is empty")
    return value


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold the home for this process; the lock ends with it, however it ends. Raises ConfigError if it is held.

    The lock's file tells who holds it, for whoever has to end a forge that a killed demo left running.
    """
    with (home / "forge.lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"another forge runs on {home}", hint="stop it, or give another --home") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_HOST, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise PortInUseError(
            f"port {port} on {_HOST} is in use", hint="stop what listens there, or give another --port"
        ) from error
    return listener


def _stopped(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until stopped; returns the exit code."""
    given = _arguments(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        home = given.home.absolute()
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        token = _secret(given.token_file, home / "token")
        webhook_secret = _secret(given.webhook_secret_file, home / "webhook-secret")
        with _alone(home), _listen(given.port) as listener:
            url = f"http://{_HOST}:{listener.getsockname()[1]}"
            config = ForgeConfig(
                home=home,
                web_url=url,
                token=token,
                webhook_secret=webhook_secret,
                webhook_url=given.webhook_url,
                merge=not given.no_merge,
                rate_limit=given.rate_limit,
            )
            options = uvicorn.Config(
                build_app(World(config)),
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
            )
            for number in (signal.SIGTERM, signal.SIGINT):
                # The server raises the signal once more when it has ended; being stopped is no failure.
                signal.signal(number, _stopped)
            _Server(options, url).run(sockets=[listener])
    except ForgeError as error:
        print(f"forge: {error}", file=sys.stderr)  # noqa: T201 - a command's message
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
