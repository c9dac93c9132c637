import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.hidden import is_unseen
from squire_pipelines.domain.terminal_text import one_line, plain, without_sequences
from tests.support.hostile_text import HOSTILE, hidden_characters


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
        ("fi\u3164l\u115fler", "filler"),
        ("se\ufe0flec\U000e0101tor", "selector"),
        ("half \x1b[3", "half 3"),
        ("a \x1b]0;title without an end", "a 0;title without an end"),
        ("\x9d0;title\x9ctext\x90q\x9c", "text"),
        ("\x1b\x1b[0m[31mnested", "nested"),
        ("[red]no markup[/red]", "[red]no markup[/red]"),
        ("tab\tand\r\nline", "tab\tand\nline"),
        ("\ud800", ""),
    ],
)
def test_what_a_terminal_would_act_upon_is_taken_out(hostile: str, shown: str) -> None:
    assert plain(hostile) == shown


@given(HOSTILE)
def test_what_was_cleaned_stays_as_it_is(text: str) -> None:
    assert plain(plain(text)) == plain(text)
    assert plain(without_sequences(text)) == plain(text)


def test_without_sequences_all_else_stays() -> None:
    text = "tab\t page\f\r\nzero\u200bwidth \ue000 bell\x07 nul\0"
    assert without_sequences(text) == text
    assert without_sequences("\x1b[1m".join(text)) == text


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece", ["\x1b]", "\x1b[", "\x1bP", "\x1b", "\x9d", "\x90", "\x9b", "\x9b1", "\x1b ", "\x1b]0\x1bP"]
)
def test_the_time_is_proportional_to_the_length(piece: str) -> None:
    without_sequences(piece * 300_000)


@given(HOSTILE)
def test_no_text_keeps_a_character_that_is_not_shown(text: str) -> None:
    assert hidden_characters(plain(text)) == []


@given(
    st.text(
        st.characters(exclude_categories=["C", "Zl", "Zp"]).filter(lambda sign: not is_unseen(sign))
        | st.sampled_from("\n\t")
    )
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert plain(text) == text


@given(st.text(), st.integers(2, 40))
def test_one_line_is_one_line_of_bounded_length(text: str, limit: int) -> None:
    line = one_line(text, limit=limit)
    assert len(line) <= limit
    assert "\n" not in line


def test_a_long_line_says_that_it_was_cut() -> None:
    assert one_line("abcdef", limit=4) == "abc…"
