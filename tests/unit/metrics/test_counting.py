"""What processes count is added up once, whenever each of them ends, and wherever one is killed."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from squire_pipelines.metrics import counting, families, folding
from squire_pipelines.metrics.counting import ProcessCounters
from squire_pipelines.metrics.folding import read_all
from squire_pipelines.metrics.series import Series, parse_series, series_name
from squire_pipelines.metrics.values_file import FILE_BYTES, MAX_SERIES, ValuesFile, read_values
from squire_pipelines.observability.logging import Component, configure_logging
from squire_pipelines.observability.process_counts import count_process

REFUSED = series_name(families.DELIVERIES_REFUSED, ("401",))
COUNT = """
import sys
from pathlib import Path
from squire_pipelines.metrics import counting, families
counting.start_counting(Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    counting.count(families.DELIVERIES_REFUSED, "401")
print("counted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    counting.start_counting(tmp_path)
    yield tmp_path
    counting.stop_counting()


def start_process(folder: Path, count: int) -> "subprocess.Popen[str]":
    """Start a process that counts, and wait until it has."""
    process = subprocess.Popen(
        [sys.executable, "-c", COUNT, str(folder), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "counted\n"
    return process


def test_two_processes_and_this_one_are_added_up_also_when_one_was_killed(folder: Path) -> None:
    first, second = start_process(folder, 3), start_process(folder, 4)
    counting.count(families.DELIVERIES_REFUSED, "401")
    assert read_all(folder).values[REFUSED] == 8
    assert read_all(folder).living == 3
    first.kill()
    first.communicate(timeout=30)
    assert read_all(folder).values[REFUSED] == 8
    assert read_all(folder).living == 2
    assert len(list(folder.glob("process-*"))) == 2
    second.communicate("", timeout=30)
    assert read_all(folder).values[REFUSED] == 8
    counting.count(families.DELIVERIES_REFUSED, "401")
    assert read_all(folder).values[REFUSED] == 9


def test_a_kill_between_adding_up_and_removing_doubles_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counting.count(families.DELIVERIES_REFUSED, "401", amount=5)
    counting.stop_counting()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            read_all(folder)
    assert len(list(folder.glob("process-*"))) == 1
    assert read_all(folder).values[REFUSED] == 5
    assert list(folder.glob("process-*")) == []
    assert read_all(folder).values[REFUSED] == 5


def test_a_kill_before_the_totals_are_written_loses_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counting.count(families.DELIVERIES_REFUSED, "401", amount=5)
    counting.stop_counting()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            read_all(folder)
    assert read_all(folder).values[REFUSED] == 5


def test_a_label_that_is_not_among_the_values_is_counted_as_other(folder: Path) -> None:
    for number in range(3):
        counting.count(families.DELIVERIES_REFUSED, f"4{number}\n|x")
    assert read_all(folder).values == {series_name(families.DELIVERIES_REFUSED, ("other",)): 3}


def test_a_histogram_counts_each_value_in_one_bucket(folder: Path) -> None:
    for value in (0.001, 0.0011, 100):
        counting.observe(families.LOCK_WAITS, value)
    parts = {parse_series(name): value for name, value in read_all(folder).values.items()}
    name = families.LOCK_WAITS.name
    assert parts == {
        Series(name, (), "le=0.001"): 1,
        Series(name, (), "le=0.01"): 1,
        Series(name, (), "le=+Inf"): 1,
        Series(name, (), "sum"): pytest.approx(100.0021),
    }


def test_of_a_last_moment_the_greatest_counts(folder: Path) -> None:
    counting.note_latest(families.SENSOR_LAST_TICK, 7, "dispatch")
    counting.stop_counting()
    read_all(folder)
    counting.start_counting(folder)
    counting.note_latest(families.SENSOR_LAST_TICK, 5, "dispatch")
    counting.note_latest(families.SENSOR_LAST_TICK, 4, "dispatch")
    assert list(read_all(folder).values.values()) == [7]


def _count_in_fork() -> None:
    counting.count(families.DELIVERIES_REFUSED, "401")
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_forked_process_counts_in_a_file_of_its_own(folder: Path) -> None:
    counting.count(families.DELIVERIES_REFUSED, "401")
    child = multiprocessing.get_context("fork").Process(target=_count_in_fork)
    child.start()
    child.join(30)
    counting.count(families.DELIVERIES_REFUSED, "401")
    assert read_all(folder).values[REFUSED] == 3
    assert read_all(folder).living == 1


def test_without_a_folder_nothing_is_counted_and_nothing_fails_and_the_log_says_so_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(Component.WEBHOOKS)
    counting.count(families.DELIVERIES_REFUSED, "401")
    (tmp_path / "file").touch()
    count_process(Component.WEBHOOKS, tmp_path / "file")
    counting.count(families.DELIVERIES_REFUSED, "401")
    counting.count(families.DELIVERIES_REFUSED, "503")
    counting.stop_counting()
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert (line["event"], line["level"], line["component"]) == ("process_not_counted", "warning", "webhooks")
    assert str(tmp_path / "file") in line["error"]


def test_many_short_processes_leave_few_files_where_nobody_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "FOLD_AT", 5)
    for _ in range(20):
        counting.start_counting(tmp_path)
        counting.count(families.DELIVERIES_REFUSED, "401")
        counting.stop_counting()
        assert len(list(tmp_path.glob("process-*"))) <= 6
    assert read_all(tmp_path).values[REFUSED] == 20


def test_a_process_that_finds_too_many_living_ones_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "FOLD_AT", 2)
    monkeypatch.setattr(folding, "MAX_FILES", 2)
    living = [ValuesFile(tmp_path) for _ in range(2)]
    failures: list[OSError] = []
    counters = ProcessCounters(tmp_path, failures.append)
    counters.add(families.DELIVERIES_REFUSED, ("401",), 1)
    assert [str(failure) for failure in failures] == ["2 processes are counted already"]
    assert REFUSED not in read_all(tmp_path).values
    for file in living:
        file.close()
    counters = ProcessCounters(tmp_path, failures.append)
    counters.add(families.DELIVERIES_REFUSED, ("401",), 1)
    assert read_all(tmp_path).values[REFUSED] == 1
    counters.close()


def test_a_file_holds_so_many_series_and_no_more(tmp_path: Path) -> None:
    file = ValuesFile(tmp_path)
    places = [file.add_series(f"+{number:04}|") for number in range(MAX_SERIES + 1)]
    assert places[-1] is None
    assert file.path.stat().st_size == FILE_BYTES
    file.close()
    long = ValuesFile(tmp_path)
    names = [long.add_series(f"+{number}{'x' * 1000}|") for number in range(100)]
    assert None in names
    long.close()


@pytest.mark.parametrize("content", [b"", b"squire1\n", b"nonsense" * 10_000, b"squire1\n" + b"\xff" * FILE_BYTES])
def test_a_damaged_file_breaks_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "process-1.values").write_bytes(content)
    read_values(content)
    assert REFUSED not in read_all(tmp_path).values
    assert list(tmp_path.glob("process-*")) == []


def test_what_killed_processes_never_finished_is_removed_after_a_while(tmp_path: Path) -> None:
    old, new = tmp_path / ".totals.json.abc.part", tmp_path / "process-2.new"
    for path in (old, new):
        path.touch()
    read_all(tmp_path)
    assert old.exists()
    os.utime(old, (0, 0))
    os.utime(new, (0, 0))
    read_all(tmp_path)
    assert not old.exists()
    assert not new.exists()


def test_damaged_totals_are_put_aside(tmp_path: Path) -> None:
    (tmp_path / "totals.json").write_text('{"values": [1]}', encoding="utf-8")
    assert read_all(tmp_path).values == {}
    assert (tmp_path / "totals.damaged").exists()
