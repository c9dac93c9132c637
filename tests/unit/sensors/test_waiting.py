from pathlib import Path

import pytest

from squire_pipelines.deadline import Deadline
from squire_pipelines.health.process_records import stopping_mark
from squire_pipelines.sensors import waiting


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    made: list[float] = []
    monkeypatch.setattr("squire_pipelines.sensors.waiting.time.sleep", made.append)
    return made


def test_a_tick_pauses_until_its_deadline(tmp_path: Path, pauses: list[float]) -> None:
    assert waiting.has_paused(Deadline.after(60), tmp_path)
    assert not waiting.has_paused(Deadline.after(0), tmp_path)
    assert len(pauses) == 1


def test_no_tick_waits_while_the_processes_of_its_home_are_being_stopped(tmp_path: Path, pauses: list[float]) -> None:
    stopping_mark(tmp_path).touch()
    assert not waiting.has_paused(Deadline.after(60), tmp_path)
    assert pauses == []
