"""Tables: what a narrow terminal leaves out, and what it never does."""

import io
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import RenderableType

from squire_pipelines.terminal.cells import Link, cell_text, pull_link, rounded
from squire_pipelines.terminal.console import PIPE_WIDTH, CleanConsole
from squire_pipelines.terminal.tables import table

HEADINGS = ("id", "repository", "title", "status", "cost", "pull request", "changed")
ROW = (
    "t-4f2a91",
    "acme/warehouse-of-everything",
    "Mend the test of the parser that fails on Tuesdays when the moon is full",
    "succeeded",
    1234567,
    Link("#2", "https://github.com/acme/shop/pull/2"),
    datetime(2026, 3, 1, 12, 0, 0, 999, tzinfo=UTC),
)
WHOLE = ("t-4f2a91", "1234567", "#2", "2026-03-01 12:00:00Z")


def drawn(renderable: RenderableType, width: int = PIPE_WIDTH) -> list[str]:
    stream = io.StringIO()
    CleanConsole(file=stream, width=width, markup=False, highlight=False).print(renderable)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("room", [1, 20, 40, 60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_ids_numbers_times_and_links_are_whole(room: int) -> None:
    lines = drawn(table(HEADINGS, [ROW, ROW], room=room), room)
    assert all(cell_len(line) <= room for line in lines)
    if room >= 20:
        assert all(any(whole in line for line in lines) for whole in WHOLE[:3])
    if room >= 40:
        assert WHOLE[3] in "\n".join(lines)
    if room >= 100:
        assert len(lines) == 4  # the heading, its line and the rows: nothing is folded
        assert "…" in lines[2] or room == 200


def test_the_columns_that_can_be_spared_go_before_prose_is_hard_to_read_and_come_back_with_the_room() -> None:
    spare = ("cost", "changed")
    (narrow, *_), (wider, *_) = (drawn(table(HEADINGS, [ROW], room=room, spare=spare), room) for room in (114, 122))
    assert ("cost" in narrow, "changed" in narrow, "title" in narrow) == (False, True, True)
    assert "cost" in wider


def test_what_fits_in_no_way_is_a_record_for_each_row() -> None:
    lines = drawn(table(HEADINGS, [ROW, (*ROW[:5], None, None)], room=45), 45)
    assert lines[0] == "id: t-4f2a91"
    assert "pull request: #2" in lines
    assert lines.count("") == 1
    assert sum(line.startswith("pull request") for line in lines) == 1  # what is empty is left out


def test_a_pipe_has_one_line_for_each_row_with_all_of_it_and_the_address_in_place_of_its_number() -> None:
    lines = drawn(table(HEADINGS, [ROW], room=None))
    assert len(lines) == 3
    assert "https://github.com/acme/shop/pull/2" in lines[2]
    assert ROW[2] in lines[2]
    assert "#2" not in lines[2]


def test_no_line_in_a_pipe_is_filled_up_to_the_longest() -> None:
    rows: list[list[object]] = [["short", "x"], ["long", "y" * 300], ["empty", ""], ["empty", None]]
    lines = drawn(table(["name", "text"], rows, room=None))
    assert [line for line in lines if line != line.rstrip()] == []
    assert [len(line) for line in lines[2:]] == [8, 307, 5, 5]


def test_a_terminal_gets_a_link_only_to_the_web() -> None:
    stream = io.StringIO()
    console = CleanConsole(file=stream, width=80, force_terminal=True, markup=False)
    console.print(
        table(("a", "b"), [(pull_link(2, "https://example.com/2"), pull_link(3, "file:///etc/passwd"))], room=80)
    )
    assert "\x1b]8;" in stream.getvalue()
    assert "https://example.com/2" in stream.getvalue()
    assert "passwd" not in stream.getvalue()


def test_a_reason_goes_on_in_the_next_line_where_other_prose_ends_with_an_ellipsis() -> None:
    reason = "the engine does not answer at its socket, so that no agent can start before somebody starts it"
    lines = drawn(table(("id", "title", "reason"), [("t-1", ROW[2], reason)], room=80, wrap=("reason",)), 80)
    assert len(lines) > 3
    place = lines[0].index("reason")
    assert " ".join(line[place:] for line in lines[2:]).split() == reason.split()


def test_columns_without_content_are_left_out_unless_they_are_kept() -> None:
    assert drawn(table(("a", "b", "c"), [(1, None, "")], room=80, keep=("c",)), 80)[0].split() == ["a", "c"]
    assert drawn(table(("a", "b"), [], room=80, keep=("a", "b")), 80)[0].split() == ["a", "b"]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, ""),
        (True, "true"),
        (0.1 + 0.2, "0.3"),
        (12.3456, "12.346"),
        (1234567.0, "1234567"),
        (0.0000123456, "1.23e-05"),
        (Decimal("2.50"), "2.5"),
        ({"a": [1, 2]}, '{"a":[1,2]}'),
        (datetime(2026, 3, 1, 12, 0, 1, 5, tzinfo=UTC).replace(tzinfo=None), "2026-03-01 12:00:01"),
        ("a\x1b[31m b\nc", "a b c"),
    ],
)
def test_a_cell_is_short_and_on_one_line(cell: object, text: str) -> None:
    assert cell_text(cell) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_rounded_number_is_near_the_number(number: float) -> None:
    assert float(rounded(number)) == pytest.approx(number, rel=0.01, abs=0.0005)


@given(
    st.lists(st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=60)), min_size=4, max_size=4), max_size=4),
    st.integers(1, 200),
)
def test_any_rows_fit_any_terminal(rows: list[list[object]], room: int) -> None:
    lines = drawn(table(("one", "two", "three", "four"), rows, room=room, spare=("three",)), room)
    assert all(cell_len(line) <= room for line in lines)
