"""Processes that count, and those that add up, are killed at any moment: no count is lost, and none is doubled."""

import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import pytest

from squire_pipelines.metrics import families
from squire_pipelines.metrics.folding import read_all
from squire_pipelines.metrics.series import series_name

ROUNDS = 60
COUNTING = 3
PATIENCE_S = 60
REFUSED = series_name(families.DELIVERIES_REFUSED, ("401",))
COUNT = """
import os, sys
from pathlib import Path
from squire_pipelines.metrics import counting, families
counting.start_counting(Path(sys.argv[1]))
number = 0
while True:
    counting.count(families.DELIVERIES_REFUSED, "401")
    number += 1
    os.pwrite(1, number.to_bytes(8, "little"), 0)
"""
ADD_UP = """
import sys
from pathlib import Path
from squire_pipelines.metrics.folding import read_all
while True:
    read_all(Path(sys.argv[1]))
"""


def counted_by(output: IO[bytes]) -> int:
    """Return how many counts a process has told of; it may have made one more."""
    return int.from_bytes(os.pread(output.fileno(), 8, 0), "little")


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_counts_survive_kills_of_whoever_counts_and_whoever_adds_up(tmp_path: Path) -> None:
    rng = random.Random(7)  # noqa: S311 - moments, no secret
    least = processes = 0
    for _ in range(ROUNDS):
        outputs = [tempfile.TemporaryFile() for _ in range(COUNTING)]  # noqa: SIM115 - closed below
        children = [subprocess.Popen([sys.executable, "-c", COUNT, str(tmp_path)], stdout=output) for output in outputs]
        children.append(subprocess.Popen([sys.executable, "-c", ADD_UP, str(tmp_path)]))
        deadline = time.monotonic() + PATIENCE_S
        while not all(map(counted_by, outputs)) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(rng.random() * 0.3)
        for child in children:
            time.sleep(rng.random() * 0.02)
            child.kill()
            child.wait(PATIENCE_S)
        least += sum(map(counted_by, outputs))
        processes += COUNTING
        for output in outputs:
            output.close()
        assert least <= read_all(tmp_path).values.get(REFUSED, 0) <= least + processes
    assert least > ROUNDS
    assert list(tmp_path.glob("process-*")) == []
