"""The agent's output on its way into the log."""

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.agents.logs import LogSink, OutputOptions


class FileOnFullDisk(io.FileIO):
    """A file on a disk without space."""

    def write(self, _: object) -> int:
        raise OSError(28, "No space left on device")


def sink(
    tmp_path: Path,
    limit: int = 1000,
    *,
    redact: Callable[[str], str] = str,
    echo: Callable[[str], object] | None = None,
    truncate: bool = False,
    **more: Any,
) -> LogSink:
    output = OutputOptions(redact, echo, truncate_log=truncate)
    return LogSink(tmp_path / "agent.log", limit_bytes=limit, output=output, **more)


def text(tmp_path: Path) -> str:
    return (tmp_path / "agent.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\rb\x08c\x9bd", "abc"),
        ("tab\tstays", "tab\tstays"),
        ("\x1b(Bplain", "plain"),
    ],
)
def test_terminal_codes_are_taken_out(tmp_path: Path, raw: str, cleaned: str) -> None:
    log = sink(tmp_path)
    log.feed(f"{raw}\n".encode())
    log.close()
    assert text(tmp_path) == f"{cleaned}\n"


def test_lines_come_whole_however_they_are_cut(tmp_path: Path) -> None:
    lines: list[str] = []
    log = sink(tmp_path, on_line=lines.append)
    for piece in (b"one\ntw", b"o\nthr\xc3", b"\xa9e"):
        log.feed(piece)
    log.close()
    assert lines == ["one", "two", "thrée"]
    assert text(tmp_path) == "one\ntwo\nthrée\n"
    assert log.tail == ("one", "two", "thrée")


def test_the_log_is_ours_alone(tmp_path: Path) -> None:
    sink(tmp_path).close()
    assert (tmp_path / "agent.log").stat().st_mode & 0o777 == 0o600


def test_bytes_that_are_no_text_do_not_matter(tmp_path: Path) -> None:
    log = sink(tmp_path)
    log.feed(b"\xff\xfe ok\n")
    log.close()
    assert text(tmp_path).endswith(" ok\n")


def test_a_flood_is_cut_with_a_mark_and_still_taken(tmp_path: Path) -> None:
    log = sink(tmp_path, limit=100)
    for number in range(10_000):
        log.feed(f"line {number}\n".encode())
    assert log.overflowed
    log.close()
    assert len(text(tmp_path)) < 250
    assert text(tmp_path).count("the log is cut here") == 1
    assert log.tail[-1] == "line 9999"


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    log = sink(tmp_path, limit=10 * 2**20)
    for _ in range(5):
        log.feed(b"x" * 2**20)
    assert len(log._rests["output"]) <= 2**20
    log.close()
    assert all(len(line) <= 500 for line in log.tail)


def test_secrets_are_gone_before_anything_sees_the_line(tmp_path: Path) -> None:
    seen: list[str] = []
    log = sink(tmp_path, redact=lambda line: line.replace("hunter2", "***"), on_line=seen.append)
    log.feed(b"the word is hunter2\n")
    log.close()
    assert seen == ["the word is ***"]
    assert "hunter2" not in text(tmp_path)
    assert log.tail == ("the word is ***",)


def test_a_secret_broken_up_by_colours_is_found(tmp_path: Path) -> None:
    log = sink(tmp_path, redact=lambda line: line.replace("hunter2", "***"))
    log.feed(b"hun\x1b[0mter2\n")
    log.close()
    assert text(tmp_path) == "***\n"


def test_the_agents_start_is_the_first_such_line(tmp_path: Path) -> None:
    log = sink(tmp_path)
    log.feed(b"squire: agent started soon\n")
    assert log.agent_started_at is None
    log.feed(b"squire: agent started\n")
    first = log.agent_started_at
    log.feed(b"squire: agent started\n")
    log.close()
    assert first is not None
    assert first == log.agent_started_at
    assert abs((datetime.now(UTC) - first).total_seconds()) < 60


def test_a_line_of_one_stream_amid_a_line_of_the_other_leaves_both_whole(tmp_path: Path) -> None:
    log = LogSink(tmp_path / "agent.log", limit_bytes=1000)
    log.feed(b"2915", "stdout")
    log.feed(b"squire: agent started\n", "stderr")
    log.feed(b"8\nnext", "stdout")
    log.feed(b"last", "stderr")
    log.close()
    assert (tmp_path / "agent.log").read_text().splitlines() == ["squire: agent started", "29158", "next", "last"]
    assert log.agent_started_at is not None


def test_a_full_disk_is_remembered_and_the_output_still_taken(tmp_path: Path) -> None:
    log = sink(tmp_path, open_file=FileOnFullDisk)
    log.feed(b"a\nb\n")
    log.close()
    assert log.failure is not None
    assert log.tail == ("a", "b")


def test_after_closing_nothing_is_written(tmp_path: Path) -> None:
    log = sink(tmp_path)
    log.close()
    log.feed(b"late\n")
    log.close()
    assert text(tmp_path) == ""


def test_a_log_that_may_be_cut_ends_with_its_last_lines(tmp_path: Path) -> None:
    made = sink(tmp_path, limit=100, truncate=True)
    made.feed(b"".join(f"line {number}\n".encode() for number in range(1000)))
    made.feed(b"the very last\nwithout an end")
    made.close()
    text = (tmp_path / "agent.log").read_text()
    assert text.startswith("line 0\n")
    assert "the log is cut here" in text
    assert "bytes were left out here; these are the last lines\n" in text
    assert text.endswith("the very last\nwithout an end\n")
    assert made.dropped_bytes > 8000
    assert len(text) < 3000


def test_after_the_cut_a_flood_costs_no_memory(tmp_path: Path) -> None:
    made = sink(tmp_path, limit=100)
    for _ in range(50):
        made.feed(b"x" * 1_000_000)
    assert len(made._rests["output"]) <= 1024 * 1024
    assert made.dropped_bytes >= 49_000_000
    made.close()


def test_what_is_recorded_is_echoed_and_nothing_else(tmp_path: Path) -> None:
    echoed: list[str] = []
    made = sink(tmp_path, limit=30, redact=lambda text: text.replace("secret", "***"), echo=echoed.append)
    made.feed(b"a secret\n\x1b[31mred\x1b[0m\n" + b"much more than there is room for\n" * 9)
    made.close()
    assert "".join(echoed) == (tmp_path / "agent.log").read_text()
    assert "".join(echoed).startswith("a ***\nred\n")


def test_when_a_part_was_written_stands_beside_the_log(tmp_path: Path) -> None:
    times = tmp_path / "agent.log.times"
    times.write_text("0 1.000\n")
    made = sink(tmp_path)
    made.feed(b"one\n")
    made.feed(b"within the same second\n")
    made.close()
    (row,) = times.read_text().splitlines()
    assert row.split()[0] == "0"
    made = sink(tmp_path, append=True)
    made.feed(b"by a later supervisor\n")
    made.close()
    assert times.read_text().splitlines()[1].split()[0] == str(len("one\nwithin the same second\n"))


def test_an_echo_that_breaks_does_not_stop_the_log(tmp_path: Path) -> None:
    def broken(_text: str) -> None:
        raise ValueError

    made = sink(tmp_path, echo=broken)
    made.feed(b"one\n")
    made.feed(b"two\n")
    made.close()
    assert (tmp_path / "agent.log").read_text() == "one\ntwo\n"


def test_a_log_that_goes_on_counts_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "agent.log").write_text("before\n")
    made = sink(tmp_path, limit=12, append=True)
    made.feed(b"more\nand more\n")
    made.close()
    assert (tmp_path / "agent.log").read_text().startswith("before\nmore\nsquire: the log is cut here")
