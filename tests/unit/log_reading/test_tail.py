from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from squire_pipelines.log_reading.tail import MAX_PIECE_BYTES, follow, read_tail


def test_the_tail_is_the_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("one\ntwo\nthree\n")
    tail = read_tail(log, lines=2)
    assert (tail.lines, tail.cut, tail.end) == (("two", "three"), True, 14)


def test_a_tail_within_its_bytes_begins_with_a_whole_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a long first line\nsecond\nthird\n")
    tail = read_tail(log, lines=10, max_bytes=16)
    assert tail.lines == ("second", "third")
    assert tail.cut


def test_control_sequences_of_the_log_reach_no_terminal(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\x1b[31mred\x1b[0m \xff\n")
    assert read_tail(log, lines=5).lines == ("red \ufffd",)


def test_a_line_without_its_end_is_left_to_who_goes_on_reading(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("whole\nhalf")
    tail = read_tail(log, lines=5)
    assert tail.lines == ("whole",)
    assert list(follow(log, offset=tail.end, ended=lambda: True, wait=_never, idle_rounds=9)) == ["half"]


def _never() -> None:
    pytest.fail("there was nothing to wait for")


def _script(*steps: Callable[[], object]) -> Callable[[], None]:
    rest: Iterator[Callable[[], object]] = iter(steps)

    def wait() -> None:
        next(rest)()

    return wait


def test_following_shows_what_is_added_until_the_writer_has_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"  # not there at first
    over = [False]

    def add(text: str) -> Callable[[], None]:
        def step() -> None:
            with log.open("a") as file:
                file.write(text)

        return step

    def end() -> None:
        add("last\n")()
        over[0] = True

    lines = follow(log, offset=0, ended=lambda: over[0], wait=_script(add("fir"), add("st\nsec"), end), idle_rounds=5)
    assert list(lines) == ["first", "seclast"]


def test_following_gives_up_when_nothing_is_added(tmp_path: Path) -> None:
    waits: list[None] = []
    lines = follow(tmp_path / "log", offset=0, ended=lambda: False, wait=lambda: waits.append(None), idle_rounds=4)
    assert list(lines) == []
    assert len(waits) == 3


def test_a_line_that_never_ends_is_shown_in_pieces(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * (2 * MAX_PIECE_BYTES + 5))
    lines = list(follow(log, offset=0, ended=lambda: True, wait=_never, idle_rounds=2))
    assert "".join(lines) == "x" * (2 * MAX_PIECE_BYTES + 5)
    assert len(lines) > 1
