"""A pod's log that is read again after a cut: no line is lost, and none comes twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.agents.kubernetes.pod_log import ResumableLines


def test_what_follows_of_a_line_that_came_in_pieces_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squire_pipelines.agents.kubernetes.pod_log.MAX_LINE_BYTES", 30)
    lines, first = ResumableLines(), b"2026-03-01T12:00:00Z 123456789"
    assert len(first) == 30
    pieces = [first, b"middle", b"2026-03-01T12:00:01Z next", b"no line"]
    assert [lines.take(piece) for piece in pieces] == [b"123456789", b"middle", b"next", None]
    lines.begin_again()
    assert [lines.take(piece) for piece in pieces[:2]] == [None, None]


def kept_since(lines: list[bytes], since: str) -> list[bytes]:
    """Return what a node answers: the lines whose own time is not before the second."""
    return [line for line in lines if line[:19].decode() >= since[:19]]


def stamped(second: int, nanosecond: int, text: str) -> bytes:
    return f"2026-11-30T17:{second // 60:02d}:{second % 60:02d}.{nanosecond:09d}Z {text}".encode()


ENTRIES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from(["a", "b", ""])), max_size=40)


@given(ENTRIES, st.lists(st.integers(0, 40), max_size=6))
def test_after_any_cuts_each_line_was_taken_once(entries: list[tuple[int, int, str]], cuts: list[int]) -> None:
    clock, lines = 100, []
    for step, nanosecond, text in entries:
        clock += step
        lines.append(stamped(clock, nanosecond, text))
    reader = ResumableLines()
    taken: list[bytes] = []
    for cut in [*sorted(cuts), len(lines)]:
        reader.begin_again()
        answers = [reader.take(line) for line in kept_since(lines[:cut], reader.since)]
        taken += [text for text in answers if text is not None]
    assert taken == [line.split(b" ", 1)[1] for line in lines]


def test_a_line_that_stands_a_little_late_is_not_lost() -> None:
    lines = [stamped(100, 5, "a"), stamped(101, 0, "b")]
    reader = ResumableLines()
    first = [reader.take(line) for line in lines]
    late = stamped(100, 7, "c")  # standard error of the second before, below a line of standard output
    reader.begin_again()
    again = [reader.take(line) for line in kept_since([*lines, late], reader.since)]
    assert first == [b"a", b"b"]
    assert again == [None, None, b"c"]


def test_words_of_the_node_are_no_lines() -> None:
    reader = ResumableLines()
    assert reader.take(b"unable to retrieve container logs for containerd://abc") is None
    assert reader.take(b"2026-11-30T17:00:00.1+02:00 in a zone") == b"in a zone"
    assert reader.since == "2026-11-30T14:59:58Z"
    assert reader.take(b"2026-13-41T99:00:00Z no day") == b"no day"
