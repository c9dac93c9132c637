import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.hidden import hidden_character, is_far_away, is_no_text
from squire_pipelines.domain.untrusted_text import printable
from tests.support.planted_names import HIDDEN_SIGNS

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"


@pytest.mark.parametrize(
    "line",
    [
        "plain = 1\t# with a tab",
        "with a carriage return\r",
        "\f",
        "Gr\u00fc\u00dfe, 日本語, \u0420\u0443\u0441\u0441\u043a\u0438\u0439, עברית, العربية",
        f"emoji {FAMILY} \u2764\ufe0f 1\ufe0f\u20e3 \U0001f44d\U0001f3fd \U0001f3f3\ufe0f\u200d\U0001f308",
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "# \u2139\ufe0f Command-line programs",
        "\U0001f9d1\U0001f3fd\u200d\U0001f4bb \u2757\ufe0f \u00a9\ufe0f \u203c\ufe0f \u2194\ufe0f",
        PERSIAN,
        "\u0915\u094d\u200d\u0937 \u0db6\u0dca\u200d\u0dbb",
        "שלום\u200f!",
        "prix : 5\u00a0€, 1\u202f000, 日本\u3000語",
        "\u28ff\u2800\u28ff",
        "葛\U000e0100飾区",
        "cafe\u0301, a\u0308, \u0e01\u0e34",
    ],
)
def test_ordinary_text_has_nothing_hidden(line: str) -> None:
    assert hidden_character(line) is None


@pytest.mark.parametrize("sign", HIDDEN_SIGNS)
def test_what_nobody_sees_is_found_in_the_middle_of_code(sign: str) -> None:
    for line in (f"admin{sign}user = 1", f"x = 1 {sign} # y", f"{sign}x = 1"):
        assert hidden_character(line) == sign
    assert hidden_character(f"x = '{sign}{sign}'") == sign


@pytest.mark.parametrize(
    "line",
    [
        "if user == 'adm\u200ein':  # \u05d0",
        "# \u05d0 " + "\u200e\u200f" * 20,
        "\u1820" + "\u180b\u180c\u180d" * 20,
        "if a =\u200d= b:",
        "x |\u200d| y",
        "a +\ufe0f= 1",
        "a +\U000e0101 b",
        "id == '1\ufe0f2\ufe0e'",
        "\u00b0\ufe0f\u00b0",
        "a\U00013441b",
        "a\U0001d159b",
        "a\U0001107fb",
        "a\u2d7fb",
    ],
)
def test_what_ordinary_text_needs_elsewhere_hides_nothing_here(line: str) -> None:
    assert hidden_character(line) is not None


@pytest.mark.parametrize("line", ["\u05d0 (\u05d1) 7\u200f, x", "\u200f\u05d0", "\u2229\ufe00", "\u1828\u180e\u1820"])
def test_marks_and_selectors_in_their_place_are_ordinary(line: str) -> None:
    assert hidden_character(line) is None


def test_a_strangers_text_keeps_nothing_that_is_not_drawn() -> None:
    assert printable("ad\u3164m\U000e0101in\ufe0f") == "admin"


def test_a_mark_at_the_beginning_of_a_file_and_colors_in_a_snapshot_are_ordinary() -> None:
    assert hidden_character("\ufeffusing System;", starts_file=True) is None
    assert hidden_character("\ufeff\ufeffusing System;", starts_file=True) == "\ufeff"
    assert hidden_character("exports[`x`] = `\x1b[31mred\x1b[39m`;", may_color=True) is None
    assert hidden_character("\x1b[1;38;5;9m\x1b[38:2::1:2:3mred\x1b[m", may_color=True) is None
    assert hidden_character("\x1b[31mred\x1b[39m") == "\x1b"
    assert hidden_character("\x1b[31m\x08", may_color=True) == "\x08"
    assert hidden_character("\x1b[31m\u202e", may_color=True) == "\u202e"


@pytest.mark.parametrize(
    "sequence",
    [
        "\x1b[2K",
        "\x1b[1A",
        "\x1b]0;title\x07",
        "\x1b]8;;https://x\x1b\\",
        "\x1b",
        "\x1b[31",
        "\x1b[?25l",
        "\x1b\x1b[0m[2K",
    ],
)
def test_colors_alone_are_ordinary_in_expected_output(sequence: str) -> None:
    assert hidden_character(f"a \x1b[31m{sequence} b", may_color=True) == "\x1b"


@given(st.text(max_size=40))
def test_every_format_and_control_character_beside_letters_is_found(text: str) -> None:
    line = "a".join(("", *text, ""))
    suspicious = [
        c for c in text if unicodedata.category(c) in {"Cf", "Co", "Zl", "Zp"} and c not in "\u200e\u200f\u061c"
    ]
    visible = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2"
    if any(c not in visible for c in suspicious):
        assert hidden_character(line) is not None


def test_code_behind_a_screen_of_blanks_is_found_and_ordinary_columns_are_not() -> None:
    assert is_far_away("x = 1;" + " " * 5000 + "evil()")
    assert is_far_away("x = 1;" + "\t\u00a0" * 200 + "evil()")
    assert is_far_away("x = 1;" + "\t" * 25 + "evil()"), "200 columns"
    assert is_far_away("x = 1;" + " " * 30 + "a" + " \t" * 24 + "evil()")
    assert is_far_away("\u3000" * 100 + "evil()")
    assert not is_far_away("\t" * 20 + "deep()")
    assert not is_far_away("x = 1" + " " * 5000)
    assert not is_far_away("| a" + " " * 150 + "| b |")


def test_selectors_of_letters_are_few_in_a_line() -> None:
    name = "\u845b\U000e0100\u98fe\u533a\u6995\U000e0101"
    assert hidden_character(name) is None
    assert hidden_character("".join(f"\u845b{chr(0xE0100 + byte)}" for byte in b"obey me now")) is not None


def test_a_zero_byte_and_bytes_that_are_no_utf8_are_no_text() -> None:
    assert is_no_text("a\0b")
    assert is_no_text(b"caf\xe9".decode("utf-8", "surrogateescape"))
    assert not is_no_text("café \ufffd")
