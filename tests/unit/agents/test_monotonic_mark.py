"""Seconds that nobody can set."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from squire_pipelines.agents import monotonic_mark


def test_a_wall_clock_that_jumps_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "started.json"
    monotonic_mark.write(path)
    with time_machine.travel(datetime.now(UTC) + timedelta(hours=5)):
        elapsed = monotonic_mark.elapsed(path)
    assert elapsed is not None
    assert elapsed < 60


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"boot_id": "another", "boottime_s": 1}', '{"boot_id": 5}'])
def test_of_another_boot_nothing_is_known(tmp_path: Path, text: str) -> None:
    path = tmp_path / "started.json"
    path.write_text(text)
    assert monotonic_mark.elapsed(path) is None


def test_without_a_note_nothing_is_known(tmp_path: Path) -> None:
    assert monotonic_mark.elapsed(tmp_path / "none") is None


def test_where_it_cannot_be_written_it_is_left_out(tmp_path: Path) -> None:
    monotonic_mark.write(tmp_path / "no" / "such" / "folder")
    assert not (tmp_path / "no").exists()
