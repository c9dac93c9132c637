"""`python -m squire_forge`: serve one forge on the loopback interface until SIGTERM or SIGINT.

It prints one line of JSON when it is ready:
`{"ready": true, "url": "http://127.0.0.1:PORT", "pid": N, "token_file": "HOME/token"}`.
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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import uvicorn

from squire_forge.app import build_app
from squire_forge.certificates import own_certificate
from squire_forge.errors import ConfigError, ForgeError, PortInUseError
from squire_forge.hosting import HostRequest, host
from squire_forge.limits import LIMIT
from squire_forge.samples import build_samples
from squire_forge.world import MERGE_PREFIX, ForgeConfig, World

_HOST = "127.0.0.1"
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - only where somebody names the forge for others
_GRACE_S = 1
_BACKLOG = 256


class _Server(uvicorn.Server):
    """A server that prints when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Mapping[str, object]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start serving, then print the line that tells the caller where."""
        await super().startup(sockets)
        print(json.dumps(self._ready), flush=True)  # noqa: T201 - the protocol


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m squire_forge",
        description="Serve a stand-in for GitHub on 127.0.0.1 until SIGTERM or Ctrl-C: GraphQL on /api/graphql, REST on"
        " /api/v3, git on /OWNER/NAME.git, pages for people on /. It starts with an empty world, or with --samples.",
        epilog="When it is ready it prints one line of JSON: its address, its process id and the file of its token.",
    )
    parser.add_argument("--home", type=Path, required=True, help="folder of its state, made if missing")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0, the default, takes a free one")
    parser.add_argument(
        "--name",
        metavar="NAME",
        help="be reached by this name from other machines or containers too, and not on loopback alone. Its pages ask "
        "nobody for the token",
    )
    parser.add_argument(
        "--https", action="store_true", help="serve HTTPS, with a certificate that it makes: HOME/certificate.pem"
    )
    parser.add_argument("--samples", action="store_true", help="host the four sample repositories of the owner demo")
    parser.add_argument("--webhook-url", help="where it sends webhooks; without it none are sent")
    parser.add_argument(
        "--token-file", type=Path, help="file with the token; the default HOME/token is made if missing"
    )
    parser.add_argument("--webhook-secret-file", type=Path, help="file with the webhooks' secret; likewise")
    merging = parser.add_mutually_exclusive_group()
    merging.add_argument(
        "--merge-prefix",
        default=MERGE_PREFIX,
        metavar="PREFIX",
        help="merge green pull requests from branches that begin with this (default: %(default)s)",
    )
    merging.add_argument("--no-merge", action="store_true", help="merge nothing without a request")
    parser.add_argument("--rate-limit", type=int, default=LIMIT, help="requests, and GraphQL points, in an hour")
    return parser.parse_args(argv)


def _secret(path: Path | None, default: Path) -> str:
    """Return the secret in a file; make the default file (0600) when it is missing."""
    if path is None:
        path = default
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(secrets.token_hex(20))
    try:
        value = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="name a readable file") from error
    if not value:
        raise ConfigError(f"{path} is empty", hint="write the secret into it, or remove it")
    return value


@contextmanager
def _lock_home(home: Path) -> Iterator[None]:
    """Lock the folder for this process, until it ends. Raises ConfigError when another forge has locked it.

    The lock's file holds the process id, for a program that has to stop a forge which its parent left running.
    """
    with (home / "forge.lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"another forge runs on {home}", hint="stop it, or choose another --home") from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise PortInUseError(
            f"port {port} on {host} is in use", hint="stop what listens there, or choose another --port"
        ) from error
    return listener


def _exit_cleanly(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until stopped and return the exit code."""
    options = _arguments(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        home = options.home.absolute()
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        token_file = options.token_file or home / "token"
        token = _secret(options.token_file, home / "token")
        webhook_secret = _secret(options.webhook_secret_file, home / "webhook-secret")
        with _lock_home(home), _listen(_EVERYWHERE if options.name else _HOST, options.port) as listener:
            name = options.name or _HOST
            certificate = own_certificate(home, (name, "localhost", _HOST)) if options.https else None
            url = f"http{'s' if certificate else ''}://{name}:{listener.getsockname()[1]}"
            world = World(
                ForgeConfig(
                    home=home,
                    web_url=url,
                    token=token,
                    webhook_secret=webhook_secret,
                    webhook_url=options.webhook_url,
                    merge_prefix=None if options.no_merge else options.merge_prefix,
                    rate_limit=options.rate_limit,
                )
            )
            for sample in build_samples(home / "samples") if options.samples else ():
                host(world, HostRequest.model_validate(sample.hosting()))
            server = uvicorn.Config(
                build_app(world),
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
                ssl_certfile=None if certificate is None else certificate.file,
                ssl_keyfile=None if certificate is None else certificate.key,
            )
            for number in (signal.SIGTERM, signal.SIGINT):
                # The server raises the signal again after it has stopped; to be stopped is no failure.
                signal.signal(number, _exit_cleanly)
            ready = {"ready": True, "url": url, "pid": os.getpid(), "token_file": os.fspath(token_file)}
            _Server(server, ready).run(sockets=[listener])
    except ForgeError as error:
        print(f"forge: {error}", file=sys.stderr)  # noqa: T201 - a command's message
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
