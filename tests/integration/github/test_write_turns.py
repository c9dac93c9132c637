"""Writes of several processes keep their distance."""

import asyncio
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from squire_pipelines.github.write_turns import WriteTurns

ROOT = Path(__file__).parents[3]
INTERVAL_S = 0.2
WRITER = """
import asyncio, pathlib, sys, time
from squire_pipelines.github.write_turns import WriteTurns
async def main():
    turns = WriteTurns(pathlib.Path(sys.argv[1]))
    for _ in range(3):
        await turns.take(float(sys.argv[2]))
        print(time.time(), flush=True)
asyncio.run(main())
"""


@pytest.mark.slow
def test_the_writes_of_four_processes_are_apart(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", WRITER, str(tmp_path / "run/writes"), str(INTERVAL_S)]
    writers = [subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    times = sorted(float(line) for writer in writers for line in writer.communicate(timeout=60)[0].split())
    assert len(times) == 12
    gaps = [later - earlier for earlier, later in pairwise(times)]
    # Printing comes a little after the turn.
    assert min(gaps) > INTERVAL_S * 0.7


def test_a_killed_writer_leaves_nothing_that_others_wait_for(tmp_path: Path) -> None:
    path = tmp_path / "writes"
    script = WRITER.replace("range(3)", "range(300)")
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(path), "0.05"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline()
    writer.kill()
    writer.communicate()
    asyncio.run(WriteTurns(path).take(0.05))


@pytest.mark.parametrize("content", [b"", b"nonsense", b"99999999999999.0", b"nan"])
def test_a_clock_that_was_set_back_or_a_broken_file_costs_at_most_one_interval(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "writes"
    path.write_bytes(content)
    asyncio.run(asyncio.wait_for(WriteTurns(path).take(0.1), 60))


def test_a_folder_that_cannot_be_written_costs_one_interval(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    began = time.monotonic()
    asyncio.run(WriteTurns(tmp_path / "file/writes").take(0.1))
    assert time.monotonic() - began >= 0.1
