"""A command on a pseudo-terminal of its own, and a person who reads and types there."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

TIMEOUT_S = 60
_PATIENCE_S = 10
_CTRL_C = "\x03"
_HEARD = "interrupted"
# A session of its own, whose terminal this is: so Ctrl-C reaches the command as it reaches any other. A test run in the
# background has SIGINT ignored, which a child would inherit.
_SCRIPT = """
import fcntl, os, signal, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)
from squire_pipelines.cli.main import main
main()
"""


class Terminal:
    """What a person sees and types.

    Args:
        process: The command.
        our_side: The person's side of the terminal.
    """

    def __init__(self, process: "subprocess.Popen[bytes]", our_side: int) -> None:
        self._process, self._ours = process, our_side
        self._unread = b""
        self.seen = ""

    def expect(self, text: str) -> str:
        """Wait until `text` is shown, and return what was shown from the last expected text up to it."""
        until = time.monotonic() + TIMEOUT_S
        while text.encode() not in self._unread:
            if time.monotonic() > until or not self._read():
                raise AssertionError(f"{text!r} was not shown, but\n{self.seen}")
        before, _, self._unread = self._unread.partition(text.encode())
        return before.decode(errors="replace") + text

    def type(self, keys: str) -> None:
        """Press these keys."""
        os.write(self._ours, keys.encode())

    def end(self) -> tuple[int, str]:
        """Wait until the command ends, and return its exit code and all that was shown."""
        until = time.monotonic() + TIMEOUT_S
        while time.monotonic() < until and self._read():
            pass
        return self._process.wait(timeout=TIMEOUT_S), self.seen

    def interrupt(self) -> tuple[int, str]:
        """Press Ctrl-C, and again while nothing happens, and return as `end` does.

        Python sees a signal after it has asked for the next key only with that key: a signal that comes between its
        last look and the question is seen with the next one, as a person who waits in vain presses once more.
        """
        until = time.monotonic() + TIMEOUT_S
        self.type(_CTRL_C)
        while time.monotonic() < until:
            if not select.select([self._ours], [], [], _PATIENCE_S)[0]:
                if _HEARD not in self.seen:  # one that is closing already would be killed by it
                    self.type(_CTRL_C)
            elif not self._read():
                break
        return self._process.wait(timeout=TIMEOUT_S), self.seen

    def _read(self) -> bool:
        """Take what is shown next; False when the command has closed the terminal."""
        if not select.select([self._ours], [], [], TIMEOUT_S)[0]:
            return False
        try:
            piece = os.read(self._ours, 4096)
        except OSError:  # how Linux says that the other side is closed
            return False
        self._unread += piece
        self.seen += piece.decode(errors="replace")
        return piece != b""


@contextmanager
def on_a_terminal(*words: str, environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Run `squire` with `words` on a terminal; it is ended with the block."""
    our_side, its_side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, *words],
        stdin=its_side,
        stdout=its_side,
        stderr=its_side,
        env={**os.environ, "COLUMNS": "160", "TERM": "xterm-256color", "INPUTRC": "/dev/null", **environment},
        close_fds=True,
    )
    os.close(its_side)
    try:
        yield Terminal(process, our_side)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait(timeout=TIMEOUT_S)
        os.close(our_side)
