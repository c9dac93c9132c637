"""A child process that Squire owns: in a session of its own, recorded on disk, stopped with everything that it started.

The record outlives a killed parent, so that the next start finds and stops what is left.
"""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from squire_pipelines.errors import NotReachableError
from squire_pipelines.health.process_records import process_record, process_start_time
from squire_pipelines.home import make_folder
from squire_pipelines.observability.log_files import VARIABLE, FileKey, ProcessLog, file_key, rotate_if_full
from squire_pipelines.sections.operation import LoggingSettings

_POLL_S = 0.05
_KILLED_WITHIN_S = 5.0  # longer, the kernel is waiting for a device
_MAX_TAIL_BYTES = 65536
_LOGGING = LoggingSettings()


def has_terminal() -> bool:
    """Return whether this process has a terminal that could be closed; one that was closed is none."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


@contextlib.contextmanager
def interruptible(*, reload: Callable[[], None] | None = None) -> Iterator[Callable[[], None]]:
    """Raise KeyboardInterrupt in the block at SIGINT, SIGTERM or SIGHUP (the terminal is closed), once.

    Children live in sessions of their own, so that whoever started them must stop them. Only in the main thread. Yields
    a check for loops that wait: it raises KeyboardInterrupt if a signal has come. Python drops what a handler raises in
    a finalizer or a weak reference's callback, and a signal that comes during a garbage collection is handled in such.

    Args:
        reload: Called at a SIGHUP that no closed terminal has sent: somebody has the settings read again.
    """
    interrupted = False

    def check() -> None:
        if interrupted:
            raise KeyboardInterrupt

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        for number in before:  # the block is being left: a second signal would cut that short
            signal.signal(number, signal.SIG_IGN)
        check()

    # `nohup` ignores SIGHUP for us, and that is to last.
    is_ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    had_terminal = has_terminal() and not is_ignored

    def hang_up(number: int, frame: FrameType | None) -> None:
        # The system takes a closed terminal from its processes before it tells them.
        if reload is None or (had_terminal and not has_terminal()):
            interrupt(number, frame)
        else:
            reload()

    handlers: dict[signal.Signals, Callable[[int, FrameType | None], None]]
    handlers = {signal.SIGINT: interrupt, signal.SIGTERM: interrupt}
    if reload is not None or not is_ignored:
        handlers[signal.SIGHUP] = hang_up
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        signal.signal(number, handler)
    try:
        yield check
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextlib.contextmanager
def without_interruption() -> Iterator[None]:
    """Keep a signal that interrupts back until the block has ended, for one that stops what would otherwise go on.

    Python runs handlers in the main thread whichever thread a signal is delivered to: a mask would not keep it back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    kept = {number: handler for number, handler in before.items() if handler not in {None, signal.SIG_IGN}}
    for number in kept:
        signal.signal(number, lambda number, _frame: pending.append(number))
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
        if pending:
            signal.raise_signal(pending[0])


def ignore_interruptions() -> None:
    """Ignore from now on what would interrupt, at the end of an `interruptible` block, which takes it back."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _signal_group(pid: int, number: int) -> bool:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return False
    return True


def stop_group(pid: int, *, grace_s: float, reap: Callable[[], object] = lambda: None) -> None:
    """End a session's processes with SIGTERM, and those that are left after `grace_s` with SIGKILL.

    Args:
        pid: Of the process that leads the session.
        grace_s: How long the processes have to end by themselves.
        reap: Takes note of the leader's end when it is a child of this process: until then it counts as alive.
    """
    deadline = time.monotonic() + grace_s
    alive = _signal_group(pid, signal.SIGTERM)
    while alive and time.monotonic() < deadline:
        reap()
        time.sleep(_POLL_S)
        alive = _signal_group(pid, 0)
    if alive:
        _signal_group(pid, signal.SIGKILL)


@dataclass(slots=True)
class Child:
    """One child process and its record `<run>/<name>.pid`; its output goes to `<run>/<name>.log`, which rotates."""

    name: str
    process: subprocess.Popen[bytes]
    record: Path
    log: Path
    log_start: tuple[FileKey | None, int]
    """Where its own output begins: in which file, and at which byte."""
    is_ended: bool = False
    """Whether it was stopped with everything that it started."""

    @classmethod
    def start(
        cls,
        name: str,
        argv: Sequence[str],
        *,
        run: Path,
        env: Mapping[str, str],
        logging: LoggingSettings = _LOGGING,
        deaths: int = 0,
    ) -> "Child":
        """Start it. Raises NotReachableError when the program is not there, or the record cannot be written.

        Args:
            name: Of its record and its log.
            argv: The command.
            run: The folder of both.
            env: Its environment.
            logging: Bounds of its log.
            deaths: How often in a row the child of this name has died, which the record has for those who look at it.
        """
        log = make_folder(run) / f"{name}.log"
        process_log = ProcessLog(log, logging.max_file, logging.files)
        rotate_if_full(process_log)
        with log.open("ab") as sink:
            log_start = (file_key(log), sink.tell())
            try:
                process = subprocess.Popen(
                    list(argv),
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    env={**env, VARIABLE: process_log.variable()},
                    start_new_session=True,
                )
            except OSError as error:
                raise NotReachableError(
                    f"{name} could not be started: {argv[0]}: {error.strerror}",
                    hint="install Squire again: in a checkout with `make setup`",
                ) from error
        record = run / f"{name}.pid"
        try:
            record.write_text(process_record(process.pid, deaths=deaths), encoding="utf-8")
        except OSError as error:  # nobody would find it again
            stop_group(process.pid, grace_s=0, reap=process.poll)
            raise NotReachableError(
                f"{name} could not be started: {record}: {error.strerror}", hint="free some disk space if there is none"
            ) from error
        return cls(name, process, record, log, log_start)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def ask_to_end(self) -> None:
        """Send it, and everything that it started, SIGTERM; `stop` then waits no longer than for the slowest."""
        if not self.is_ended:
            _signal_group(self.process.pid, signal.SIGTERM)

    def stop(self, *, grace_s: float) -> None:
        """Stop it with everything that it started, and remove its record."""
        self.end_processes(grace_s=grace_s)
        self.record.unlink(missing_ok=True)

    def end_processes(self, *, grace_s: float) -> None:
        """Stop it with everything that it started, once; its record stays, so that it counts as one that has died."""
        if self.is_ended:
            return  # its number may be another's by now
        stop_group(self.process.pid, grace_s=grace_s, reap=self.process.poll)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_KILLED_WITHIN_S)
        self.is_ended = True

    def last_lines(self, count: int = 20) -> tuple[str, ...]:
        """Return the end of what it wrote, of which at most 64 KiB are read."""
        began_in, start = self.log_start
        try:
            with self.log.open("rb") as file:
                status = os.fstat(file.fileno())
                own = start if (status.st_dev, status.st_ino) == began_in else 0
                file.seek(max(own, status.st_size - _MAX_TAIL_BYTES))
                return tuple(file.read(_MAX_TAIL_BYTES).decode(errors="replace").splitlines()[-count:])
        except FileNotFoundError:
            return ()  # it was rotated, and nobody has written since


def stop_orphans(run: Path, *, grace_s: float = 5.0) -> tuple[str, ...]:
    """Stop what an earlier, killed parent left running, by its records. Return the names of what was stopped."""
    stopped = []
    for record in sorted(run.glob("*.pid")):
        try:
            known = json.loads(record.read_text(encoding="utf-8"))
            pid, birth = int(known["pid"]), known["birth"]
        except (ValueError, KeyError, TypeError):
            record.unlink(missing_ok=True)  # half written when the power went: nothing can be learned from it
            continue
        # The leader may be gone while its workers live; a group's number is not reused while it has members.
        if process_start_time(pid) in {birth, None} and _signal_group(pid, 0):
            stop_group(pid, grace_s=grace_s)
            stopped.append(record.stem)
        record.unlink(missing_ok=True)
    return tuple(stopped)
