"""Runs a program within bounds of time, output and address space, and collects what it writes.

What is run, and what its output means, is the callers'. Standard library only: a judgement's child imports it.
"""

import contextlib
import math
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

_GRACE_S = 2.0
_STDERR_BYTES = 16 * 1024
_CHUNK = 64 * 1024
# The shell sets the limits and becomes the program: unlike `preexec_fn` it is safe in a process with threads, and
# unlike prlimit(2) on the child it holds from the first instruction on.
_SET_MEMORY = 'ulimit -v "$0"'
_SET_PROCESSOR = 'ulimit -t "$1"'
_LIMITED = ("sh", "-c", f'{_SET_MEMORY} && {_SET_PROCESSOR} && shift && exec "$@"')
# macOS knows no limit of the address space.
_CAN_LIMIT = sys.platform == "linux"
_OUT_OF_PROCESSOR = frozenset({-signal.SIGXCPU, 128 + signal.SIGXCPU})


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """What one run may take.

    Args:
        timeout_s: Then the whole process group is ended.
        max_output: Bytes of standard output; then it is ended too.
        max_memory: Bytes of address space of the program and each of its children; None for no bound.
    """

    timeout_s: float
    max_output: int
    max_memory: int | None = None


@dataclass(slots=True)
class ProcessOutput:
    """What a run wrote, and how it ended: `exit_code` is negative when a signal ended it."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    timed_out: bool = False
    overflowed: bool = False
    exit_code: int = 0


def processor_left_s() -> int | None:
    """Return how many seconds of processor this process and its children may still use; None without a limit.

    The kernel counts RLIMIT_CPU for each process anew. A judgement has one budget for all of its processes.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_CPU)
    if limit == resource.RLIM_INFINITY:
        return None
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    used = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return max(1, math.ceil(limit - used))


def run_bounded(
    command: Sequence[str], *, environment: Mapping[str, str], stdin: BinaryIO | None, limits: ProcessLimits
) -> ProcessOutput:
    """Run a command in a session of its own and collect what it writes; of standard error the last 16 kB.

    Args:
        command: The program and its arguments.
        environment: All that it gets.
        stdin: An open file that it reads from its current position; nothing without one.
        limits: What it may take. Within a judgement's child it also shares that child's budget of processor.

    Raises:
        OSError: It cannot be started.
    """
    if limits.max_memory is not None and _CAN_LIMIT:
        seconds = processor_left_s()
        bounds = str(limits.max_memory // 1024), "unlimited" if seconds is None else str(seconds)
        command = [*_LIMITED, *bounds, *command]
    process = subprocess.Popen(
        command,
        cwd="/",
        env=environment,
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    output = ProcessOutput()
    with process:
        try:
            _collect(process, output, limits)
        finally:
            if process.poll() is None:
                _stop(process)
    output.exit_code = process.returncode
    output.timed_out = output.timed_out or output.exit_code in _OUT_OF_PROCESSOR
    return output


def _collect(process: subprocess.Popen[bytes], output: ProcessOutput, limits: ProcessLimits) -> None:
    """Read the output until the process has ended, or has reached a limit."""
    deadline = time.monotonic() + limits.timeout_s
    with selectors.DefaultSelector() as selector:
        for stream, buffer in ((process.stdout, output.stdout), (process.stderr, output.stderr)):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, buffer)
        while selector.get_map():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                output.timed_out = True
                return
            for key, _ in selector.select(remaining):
                data = os.read(key.fd, _CHUNK)
                if not data:
                    selector.unregister(key.fileobj)
                key.data.extend(data)
            del output.stderr[:-_STDERR_BYTES]
            if len(output.stdout) > limits.max_output:
                del output.stdout[limits.max_output :]
                output.overflowed = True
                return
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        output.timed_out = True


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process group: first politely, so that git takes its lock files away, then whoever is left of it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
