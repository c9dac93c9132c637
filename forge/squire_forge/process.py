"""Starts and stops the forge as a process of its own. `client` talks to it."""

import contextlib
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import squire_forge
from squire_forge.client import ForgeClient
from squire_forge.errors import NotReachableError, PortInUseError

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
_MAX_LOG_BYTES = 5_000_000
_PORT_IN_USE = 4


class ForgeProcess(ForgeClient):
    """A running forge, which `start` returns; `stop` (or the end of a `with` block) ends it and keeps its folder."""

    def __init__(self, options: Sequence[str], *, port: int, home: Path, token: str, webhook_secret: str) -> None:
        self._options = options
        self._log = home / "forge.log"
        self._child, url = self._launch(port)
        super().__init__(url, home=home, token=token, webhook_secret=webhook_secret)

    @classmethod
    def start(
        cls,
        home: Path,
        *,
        port: int = 0,
        webhook_url: str | None = None,
        token: str | None = None,
        webhook_secret: str | None = None,
        merge_prefix: str | None = "squire/",
        rate_limit: int = 5_000,
        secrets_folder: Path | None = None,
    ) -> Self:
        """Start a forge on the state in `home` and wait (at most 30 s) until it serves.

        Args:
            home: Folder of its state, made if missing; a forge continues from the state that it finds there.
            port: Port on 127.0.0.1; 0 takes a free one.
            webhook_url: Where it sends webhooks; None sends none. It may differ from start to start.
            token: The token that it accepts; None takes the one of the last start, or makes one.
            webhook_secret: The key of the webhooks' signatures; None likewise.
            merge_prefix: It merges green pull requests whose branch begins with this; None merges none.
            rate_limit: REST requests, and GraphQL points, that the token has in an hour.
            secrets_folder: Where the files with the two are, for example in memory; None for `home`.

        Raises:
            PortInUseError: The port is taken.
            NotReachableError: It ended, or was not ready in time; the message has its last lines.
        """
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = secrets_folder or home
        token_file, secret_file = folder / "token", folder / "webhook-secret"
        token = _store_secret(token_file, token)
        webhook_secret = _store_secret(secret_file, webhook_secret)
        options = [
            *("--home", os.fspath(home)),
            *("--token-file", os.fspath(token_file), "--webhook-secret-file", os.fspath(secret_file)),
            *(() if webhook_url is None else ("--webhook-url", webhook_url)),
            *(("--no-merge",) if merge_prefix is None else ("--merge-prefix", merge_prefix)),
            *("--rate-limit", str(rate_limit)),
        ]
        return cls(options, port=port, home=home, token=token, webhook_secret=webhook_secret)

    def _launch(self, port: int) -> tuple[subprocess.Popen[bytes], str]:
        """Start the child and wait until it serves; return it with its URL."""
        # A log that has grown too large is overwritten; within one run it holds warnings only.
        mode = "wb" if self._log.exists() and self._log.stat().st_size > _MAX_LOG_BYTES else "ab"
        command = [sys.executable, "-m", "squire_forge", "--port", str(port), *self._options]
        with self._log.open(mode) as errors:
            child = self._spawn(command, errors)
        with contextlib.ExitStack() as stack:
            # Runs also after a Ctrl-C during the wait: nothing else knows of the child yet.
            stack.callback(_end, child)
            url = _wait_ready(child, self._log)
            stack.pop_all()
        return child, url

    def keep_up(self) -> bool:
        """Start the forge again, with its state and at its port, when it has ended; return whether it had.

        Raises:
            PortInUseError, NotReachableError: As `start`.
        """
        if self._child.poll() is None:
            return False
        _close_output(self._child)
        self._child, _ = self._launch(self.port)
        return True

    @staticmethod
    def _spawn(command: Sequence[str], errors: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start the child in a session of its own, with a pipe as its standard output."""
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=_environment(),
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The process id of the forge, which leads a session and a process group of its own."""
        return self._child.pid

    def stop(self) -> int:
        """End the forge with SIGTERM, after 10 s with SIGKILL; return its exit code. Do nothing when it has ended."""
        self.close()
        _end(self._child)
        return self._child.returncode

    def kill(self) -> None:
        """End the forge and its children with SIGKILL, as a crash would."""
        self.close()
        if self._child.poll() is None:
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait(STOP_TIMEOUT_S)
        _close_output(self._child)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _store_secret(path: Path, value: str | None) -> str:
    """Store `value` in a file of mode 0600; without a value return the stored one, or make one."""
    if value is None and path.exists():
        return path.read_text(encoding="utf-8").strip()
    value = value or secrets.token_hex(20)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(value)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return value


def _environment() -> dict[str, str]:
    """Return our environment with this package's folder first in PYTHONPATH, so that the child finds the package."""
    root = os.fspath(Path(squire_forge.__file__).resolve().parent.parent)
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def _wait_ready(child: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + READY_TIMEOUT_S
    line = b""
    if child.stdout is None:
        raise NotReachableError("the forge was started without a pipe")
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not selector.select(left):
                raise NotReachableError(f"the forge was not ready within {READY_TIMEOUT_S:.0f} s", hint=f"see {log}")
            read = os.read(child.stdout.fileno(), 4096)
            if not read:
                code, last = child.wait(STOP_TIMEOUT_S), log.read_text(errors="replace").strip()[-1000:]
                kind = PortInUseError if code == _PORT_IN_USE else NotReachableError
                raise kind(
                    f"the forge ended with {code}: {last.splitlines()[-1] if last else 'no message'}",
                    hint=f"see {log}",
                )
            line += read
    return str(json.loads(line)["url"])


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(STOP_TIMEOUT_S)
    _close_output(child)


def _close_output(child: subprocess.Popen[bytes]) -> None:
    if child.stdout is not None:
        child.stdout.close()
