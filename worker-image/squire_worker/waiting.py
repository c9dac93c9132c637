"""Waiting for an order, in a container that was made before anybody knew what for."""

from __future__ import annotations

import json
import os
import signal

MAX_ORDER_BYTES = 65536


def wait_for_order() -> None:
    """Takes the order's environment over; returns at once where no order is to be waited for.

    Blocks in opening the pipe, without any processor time. SIGTERM ends the process as it ends any other, and so does
    the alarm when no order comes in time.
    """
    pipe = os.environ.pop("SQUIRE_ORDER", None)
    wait_s = int(os.environ.pop("SQUIRE_ORDER_WAIT_S", "3600"))
    if pipe is None:
        return
    signal.alarm(wait_s)
    text = b""
    while not text:  # somebody may open the pipe and write nothing
        with open(pipe, "rb") as file:  # noqa: PTH123 - a pipe, not a file with a place
            text = file.read(MAX_ORDER_BYTES)
    signal.alarm(0)
    os.environ.update(json.loads(text)["environment"])
