"""How busy the machine's processors are, and how many of them this process may use."""

import math
import os
from pathlib import Path

from squire_pipelines.domain.launching import ProcessorLoad

_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")


def parse_quota(text: str) -> float | None:
    """Return how many processors a cgroup's `cpu.max` allows; None for no bound, and for what it cannot be.

    See "cpu.max" in https://docs.kernel.org/admin-guide/cgroup-v2.html: the quota and the period, in microseconds.
    """
    quota, _, period = text.strip().partition(" ")
    if not (quota.isascii() and quota.isdecimal() and period.isascii() and period.isdecimal()) or not int(period):
        return None
    return int(quota) / int(period)


def usable_processors(*, quota_file: Path = _QUOTA_FILE) -> int:
    """Return how many processors this process may use by its affinity and its cgroup; at least 1."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota = parse_quota(quota_file.read_text(encoding="ascii", errors="replace"))
    except OSError:
        quota = None
    return max(1, count if quota is None else min(count, math.ceil(quota)))


def read_load(*, quota_file: Path = _QUOTA_FILE) -> ProcessorLoad:
    """Return the machine's load: the mean of the last minute, which is 0 where the system does not tell it."""
    try:
        runnable = os.getloadavg()[0]
    except OSError:
        runnable = 0.0
    return ProcessorLoad(usable_processors(quota_file=quota_file), runnable / (os.cpu_count() or 1))
