"""Waits for the start order, in a container that was made before its attempt was known."""

from __future__ import annotations

import json
import os
import signal

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
