import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.hidden import is_unseen
from squire_pipelines.terminal.clean import one_line, plain
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
        ("[red]no markup[/red]", "[red]no markup[/red]"),
        ("tab\tand\r\nline", "tab\tand\nline"),
        ("\ud800", ""),
    ],
)
def test_what_a_terminal_would_act_upon_is_taken_out(hostile: str, shown: str) -> None:
    assert plain(hostile) == shown


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
