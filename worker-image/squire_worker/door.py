"""The container's side of the door of an attempt: inputs in, the gateway, the result out, all by TCP.

For a container without mounts of the host's, in which nobody executes anything: every connection begins here. Whoever
supervises the container may die and be followed by another process at another place; the address stays the same, and
what was not done is tried again. The host's side of the same language is squire_pipelines/agents/door_wire.py.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from squire_worker.contract import EXIT_CODES, FailedError, fail, note
from squire_worker.processes import kill_group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_LINE_BYTES = 512
MAX_CONNECTIONS = 64
MAX_ENTRIES, MAX_DEPTH = 10_000, 16
CHUNK_BYTES = 64 * 1024
CONNECT_S, ANSWER_S, IDLE_S = 5.0, 20.0, 90.0
# Linux asks after two hours by itself. A minute without an answer is the end.
KEPT_ALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
PATIENCE_S = "240"
RELAY_START_S = 10.0
READY = b"\n"
TOKEN = re.compile(r"[0-9a-f]{64}")
UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
FINAL = ("refused", "preface", "name")


class DoorAwayError(Exception):
    """Nobody is there, or not any more: to be tried again."""


class DoorRefusedError(Exception):
    """The door is there and says no: to be tried no more."""


@dataclass(frozen=True)
class Door:
    """Where the door is and what opens it.

    Args:
        host, port: Of whoever passes connections on to the process that supervises this container.
        unit: Which container this is.
        token: What opens the door.
        patience_s: For how long it is tried while nobody is there.
    """

    host: str
    port: int
    unit: str
    token: str
    patience_s: float

    @classmethod
    def from_environment(cls) -> Door | None:
        """Return the door that the environment names, None for none; fail when it says so in a wrong way."""
        address = os.environ.get("SQUIRE_DOOR")
        if not address:
            return None
        host, _, port = address.rpartition(":")
        unit, file = os.environ.get("SQUIRE_DOOR_UNIT", ""), os.environ.get("SQUIRE_DOOR_TOKEN_FILE", "")
        try:
            with open(file, encoding="ascii") as opened:  # noqa: PTH123 - may be empty, which is no path
                token = opened.read(200).strip()
        except (OSError, ValueError) as error:
            fail("input_invalid", f"the file SQUIRE_DOOR_TOKEN_FILE cannot be read: {error}")
        if not host or not port.isdigit() or not UNIT.fullmatch(unit) or not TOKEN.fullmatch(token):
            fail("input_invalid", "SQUIRE_DOOR, SQUIRE_DOOR_UNIT or what is in SQUIRE_DOOR_TOKEN_FILE is none")
        patience_s = float(os.environ.get("SQUIRE_DOOR_PATIENCE_S", PATIENCE_S))
        return cls(host.strip("[]"), int(port), unit, token, patience_s)

    def _connect(self) -> socket.socket:
        try:
            connection = socket.create_connection((self.host, self.port), CONNECT_S)
        except OSError as error:
            raise DoorAwayError(f"nobody answers at {self.host}:{self.port}: {error}") from error
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEPT_ALIVE:
            if hasattr(socket, option):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        return connection

    def _ask(self, verb: str) -> tuple[socket.socket, str]:
        """Return a connection whose door said yes, and what it said; raises DoorAwayError, DoorRefusedError."""
        connection = self._connect()
        try:
            send(connection, f"squire-door/1 {self.unit} {self.token} {verb}\n".encode("ascii"), ANSWER_S)
            return connection, answer(connection)
        except BaseException:
            connection.close()
            raise

    def again(self, act: Callable[[], Any], patience_s: float | None = None) -> Any:
        """Return what `act` returns, tried for as long as nobody is there and patience lasts."""
        deadline = time.monotonic() + (self.patience_s if patience_s is None else patience_s)
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return act()
            except DoorAwayError:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise
            # Many containers wait at once for a worker that comes back.
            time.sleep(min(left_s, pause_s * random.SystemRandom().uniform(0.5, 1.0)))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    # ── Inputs ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def fetch(self, inbox: Path) -> None:
        """Bring the inputs into a folder, whole; fail with `input_invalid`, raise DoorAwayError, DoorRefusedError."""
        self.again(lambda: self._fetch(inbox))

    def _fetch(self, inbox: Path) -> None:
        connection, reply = self._ask("inputs")
        with connection:
            if not reply.isdigit():
                raise DoorAwayError("the door said no size")
            source = Bounded(connection, int(reply))
            try:
                with tarfile.open(fileobj=source, mode="r|") as archive:  # type: ignore[call-overload] # reads alone
                    extract(archive, inbox)
                source.drain()
            except tarfile.TarError as error:
                raise DoorAwayError(f"the inputs were cut: {error}") from error

    # ── The result ───────────────────────────────────────────────────────────────────────────────────────────────────

    def hand_out(self, out: Path, patience_s: float) -> None:
        """Give the door the files that it names, the result last. Raises DoorAwayError, DoorRefusedError.

        What was cut begins with the first file again: another door may have followed, which has none of them.
        """
        self.again(lambda: self._hand_out(out), patience_s)

    def _hand_out(self, out: Path) -> None:
        connection, reply = self._ask("output")
        with connection:
            for name in reply.split(" "):
                file = open_left(out, name)
                if file is None:
                    continue
                with file:
                    size = os.fstat(file.fileno()).st_size
                    send(connection, f"{name} {size}\n".encode("ascii"), IDLE_S)
                    taken = answer(connection)
                    if not taken.isdigit() or int(taken) > size:
                        raise DoorAwayError("the door said no size")
                    left = int(taken)
                    while left:
                        chunk = file.read(min(CHUNK_BYTES, left))
                        if not chunk:
                            raise DoorAwayError(f"{name} has become shorter while it was sent")
                        send(connection, chunk, IDLE_S)
                        left -= len(chunk)
                    if read_line(connection, IDLE_S) != "done":
                        raise DoorAwayError(f"the door did not take {name}")

    # ── The gateway ──────────────────────────────────────────────────────────────────────────────────────────────────

    def pass_on(self, client: socket.socket) -> None:
        """Pass a connection of the agent's on to the gateway, until both sides have ended."""
        with client:
            gateway, _ = self.again(lambda: self._ask("gateway"))
            with gateway:
                gateway.settimeout(None)
                back = threading.Thread(target=copy, args=(gateway, client), daemon=True)
                back.start()
                copy(client, gateway)
                back.join()


class Bounded:
    """A connection as a file to read from, of which so many bytes have to come and no more are read."""

    def __init__(self, connection: socket.socket, size: int) -> None:
        self.connection, self.left = connection, size

    def read(self, size: int) -> bytes:
        """Return bytes as a file does: fewer only at the end."""
        parts = []
        size = min(size, self.left)
        while size:
            part = receive(self.connection, min(size, CHUNK_BYTES), IDLE_S)
            if not part:
                raise DoorAwayError(f"{self.left} bytes of the inputs did not come")
            parts.append(part)
            size -= len(part)
            self.left -= len(part)
        return b"".join(parts)

    def drain(self) -> None:
        """Read what is left."""
        while self.left:
            self.read(CHUNK_BYTES)


def extract(archive: tarfile.TarFile, inbox: Path) -> None:
    """Write the files and folders of an archive below a folder, and nothing of another kind; fail on any other name."""
    for count, member in enumerate(archive, start=1):
        path = PurePosixPath(member.name)
        parts = path.parts
        if path.is_absolute() or ".." in parts or not 0 < len(parts) <= MAX_DEPTH or count > MAX_ENTRIES:
            fail("input_invalid", f"the inputs have an entry that is none: {member.name[:100]!r}")
        target = inbox.joinpath(*parts)
        try:
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
                target.chmod(0o755)
            elif member.isreg():
                write(archive, member, target)
            else:
                fail("input_invalid", f"the inputs have an entry of another kind: {member.name[:100]!r}")
        except OSError as error:
            fail("input_invalid", f"{member.name[:100]} cannot be written into {inbox}: {error.strerror}")


def write(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Write one file of an archive."""
    source = archive.extractfile(member)
    if source is None:
        raise OSError(0, "it has no content")
    target.unlink(missing_ok=True)
    with source, target.open("xb") as file:
        while chunk := source.read(CHUNK_BYTES):
            file.write(chunk)
    target.chmod(0o755 if member.mode & 0o111 else 0o644)


def open_left(out: Path, name: str) -> Any:
    """Open a regular file that lies there; None for none, a link, or anything else that an agent may have put there."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name, re.ASCII):
        return None
    try:
        descriptor = os.open(out / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    return None


def send(connection: socket.socket, data: bytes, within_s: float) -> None:
    """Send all of it; raises DoorAwayError."""
    try:
        connection.settimeout(within_s)
        connection.sendall(data)
    except OSError as error:
        raise DoorAwayError(f"the connection broke: {error}") from error


def receive(connection: socket.socket, size: int, within_s: float) -> bytes:
    """Return what comes next, nothing at the end; raises DoorAwayError."""
    try:
        connection.settimeout(within_s)
        return connection.recv(size)
    except OSError as error:
        raise DoorAwayError(f"the connection broke: {error}") from error


def read_line(connection: socket.socket, within_s: float) -> str:
    """Return a line without its end. A byte at a time: what follows it belongs to others."""
    line = b""
    deadline = time.monotonic() + within_s
    while not line.endswith(b"\n"):
        left_s = deadline - time.monotonic()
        byte = receive(connection, 1, left_s) if left_s > 0 else b""
        line += byte
        if not byte or len(line) > MAX_LINE_BYTES:
            raise DoorAwayError("the connection ended before an answer")
    return line[:-1].decode("ascii", "replace")


def answer(connection: socket.socket) -> str:
    """Return what follows the door's yes; raises DoorAwayError, DoorRefusedError."""
    verdict, _, rest = read_line(connection, ANSWER_S).partition(" ")
    if verdict == "ok":
        return rest
    if verdict == "no" and rest in FINAL:
        raise DoorRefusedError(f"the door refuses: {rest}")
    raise DoorAwayError(f"the door is not ready: {rest[:100]}")


def copy(source: socket.socket, target: socket.socket) -> None:
    """Copy until the source ends, and say so to the target; a side that breaks ends both."""
    try:
        while data := source.recv(CHUNK_BYTES):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for side in (source, target):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


# ── The relay, a process of its own ──────────────────────────────────────────────────────────────────────────────────


def serve_relay(door: Door, port: int) -> None:
    """Pass connections at 127.0.0.1:port on to the gateway, without end."""
    slots = threading.BoundedSemaphore(MAX_CONNECTIONS)

    def pass_on(client: socket.socket) -> None:
        try:
            door.pass_on(client)
        except (DoorAwayError, DoorRefusedError) as error:
            note(f"the gateway was not reached: {error}")
        finally:
            slots.release()

    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(MAX_CONNECTIONS)
        os.write(sys.stdout.fileno(), READY)
        while True:
            client, _ = listener.accept()
            if not slots.acquire(blocking=False):
                client.close()
                continue
            threading.Thread(target=pass_on, args=(client,), daemon=True).start()


@contextlib.contextmanager
def door_relay(port: int) -> Iterator[None]:
    """Have a process relay 127.0.0.1:port to the gateway by the door while the block runs."""
    entrypoint = Path(__file__).resolve().parent.parent / "entrypoint.py"
    command = [sys.executable, "-I", "-u", str(entrypoint), "relay"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
    try:
        # Not looked at by a connection, which would be passed on.
        ready = pipe_of(process)
        if not select.select([ready], [], [], RELAY_START_S)[0] or os.read(ready, 1) != READY:
            fail("relay_failed", f"nothing listens on 127.0.0.1:{port}")
        yield
    finally:
        kill_group(process.pid, signal.SIGKILL)
        process.wait()


def pipe_of(process: subprocess.Popen[bytes]) -> int:
    """Return the descriptor from which its standard output is read."""
    assert process.stdout is not None  # noqa: S101 - it was started with a pipe
    return process.stdout.fileno()


# ── What the entrypoint calls ────────────────────────────────────────────────────────────────────────────────────────


def run_fetch(inbox: Path) -> int:
    """Bring the inputs into a folder, in a container that does nothing else; return the exit code."""
    try:
        door = Door.from_environment()
        if door is None:
            fail("input_invalid", "SQUIRE_DOOR is not set")
        door.fetch(inbox)
    except FailedError as error:
        return ended(error.code, error.message)
    except DoorAwayError as error:
        return ended("door_away", str(error))
    except DoorRefusedError as error:
        return ended("input_invalid", str(error))
    note("the inputs are there")
    return 0


def run_relay(port: int) -> int:
    """Be the relay, until it is killed; return the exit code where it cannot."""
    try:
        door = Door.from_environment()
        if door is None:
            fail("relay_failed", "SQUIRE_DOOR is not set")
        serve_relay(door, port)
    except FailedError as error:
        return ended(error.code, error.message)
    except OSError as error:
        return ended("relay_failed", f"127.0.0.1:{port} cannot be listened on: {error.strerror}")
    return 0


def hand_out_result(out: Path) -> bool:
    """Hand the result out by the door; return False, with a line for the host, when nobody took it."""
    try:
        door = Door.from_environment()
        if door is None:
            return True
        door.hand_out(out, float(os.environ.get("SQUIRE_HAND_OUT_S") or door.patience_s))
    except (FailedError, DoorAwayError, DoorRefusedError) as error:
        note(f"the result was not handed out: {error}")
        return False
    note("the result was taken")
    return True


def ended(code: str, message: str) -> int:
    """Say how it ended and return the exit code."""
    note(f"{code}: {message}")
    return EXIT_CODES[code]
