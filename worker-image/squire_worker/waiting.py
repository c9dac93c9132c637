"""Waits for the host: for the start order of a container that was made early, and until the result was taken."""

from __future__ import annotations

import json
import os
import signal

from squire_worker.contract import note

MAX_ORDER_BYTES = 65536


def wait_for_order() -> None:
    """Wait for the order and take its environment over; return at once where there is no pipe for one.

    Opening the pipe blocks without using the processor. SIGTERM ends the process as it ends any other, and so does the
    alarm when no order comes in time.
    """
    pipe = os.environ.pop("SQUIRE_ORDER", None)
    wait_s = int(os.environ.pop("SQUIRE_ORDER_WAIT_S", "3600"))
    if pipe is None:
        return
    signal.alarm(wait_s)
    text = b""
    while not text:  # a process may open the pipe and write nothing
        with open(pipe, "rb") as file:  # noqa: PTH123 - a pipe, not a file with a place
            text = file.read(MAX_ORDER_BYTES)
    signal.alarm(0)
    os.environ.update(json.loads(text)["environment"])


def ignore_early_hand_out() -> None:
    """Let no SIGUSR1 end the entrypoint before it waits for it; a handler, because children would inherit SIG_IGN."""
    signal.signal(signal.SIGUSR1, lambda _number, _frame: None)


def wait_until_taken() -> None:
    """Wait until the host has read the result; return at once where `/out` is a folder of the host's.

    The host sends SIGUSR1, or another process of the host's does after the first has died.
    """
    wait_s = int(os.environ.get("SQUIRE_HAND_OUT_S", "0"))
    if not wait_s:
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    note("the result is ready")
    signal.sigtimedwait({signal.SIGUSR1}, wait_s)
