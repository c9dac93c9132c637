from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.cli.text import age, between, duration, instant, one_line, plain, size


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07text", "text"),
        ("\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\", "click"),
        ("\x9b2Jgone", "gone"),
        ("a\x00b\x08c\x7fd", "abcd"),
        ("user\u202egnp.exe", "usergnp.exe"),
        ("zero\u200bwidth", "zerowidth"),
        ("half \x1b[3", "half 3"),
        ("[red]no markup[/red]", "[red]no markup[/red]"),
        ("tab\tand\r\nline", "tab\tand\nline"),
        ("\ud800", ""),
    ],
)
def test_what_a_terminal_would_act_upon_is_taken_out(hostile: str, shown: str) -> None:
    assert plain(hostile) == shown


@given(st.text())
def test_no_text_keeps_an_escape_or_a_control_character(text: str) -> None:
    shown = plain(text)
    assert all(character in "\t\n" or character.isprintable() or not character.isascii() for character in shown)
    assert "\x1b" not in shown


@given(st.text(), st.integers(2, 40))
def test_one_line_is_one_line_of_bounded_length(text: str, limit: int) -> None:
    line = one_line(text, limit=limit)
    assert len(line) <= limit
    assert "\n" not in line


def test_a_long_line_says_that_it_was_cut() -> None:
    assert one_line("abcdef", limit=4) == "abc…"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-3, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h00m"), (86399, "23h59m"), (200000, "2d")],
)
def test_durations_are_in_their_largest_unit(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_times_are_utc_and_empty_when_there_are_none() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert instant(moment) == "2026-01-02 03:04:05"
    assert age(moment, moment + timedelta(minutes=5)) == "5m"
    assert between(moment, moment + timedelta(seconds=1.25)) == "1.2s"
    assert (instant(None), age(None, moment), between(moment, None), between(None, moment)) == ("", "", "", "")


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**20, "1.0 MiB"), (3 * 2**30, "3.0 GiB")]
)
def test_sizes_are_for_people(count: int, shown: str) -> None:
    assert size(count) == shown
