"""What this machine, or this worker on it, is called in logs, traces and alerts."""

import os

MACHINE_VARIABLE = "SQUIRE_MACHINE"
"""The environment's name for what this machine is called; by default its host name."""

MAX_CHARS = 100


def machine_name() -> str:
    """Return what this machine is called."""
    return (os.environ.get(MACHINE_VARIABLE) or os.uname().nodename)[:MAX_CHARS]
