"""The agent's output on its way into the log."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from squire_pipelines.agents.logs import LogSink, clean


class FullDisk:
    """A file on a disk without space."""

    def write(self, _: bytes) -> int:
        raise OSError(28, "No space left on device")

    def close(self) -> None:
        return


def sink(tmp_path: Path, limit: int = 1000, **more: object) -> LogSink:
    return LogSink(tmp_path / "agent.log", limit_bytes=limit, **more)  # type: ignore[arg-type]


def text(tmp_path: Path) -> str:
    return (tmp_path / "agent.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\rb\x08c\x9bd", "abcd"),
        ("tab\tstays", "tab\tstays"),
        ("\x1b(Bplain", "plain"),
    ],
)
def test_terminal_codes_are_taken_out(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned


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
    assert len(log._rest) <= 2**20
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


def test_a_full_disk_is_remembered_and_the_output_still_taken(tmp_path: Path) -> None:
    log = sink(tmp_path)
    assert log._file is not None
    log._file.close()
    log._file = FullDisk()  # type: ignore[assignment]
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
