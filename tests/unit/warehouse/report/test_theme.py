"""The colours can be told from their paper."""

import re

import pytest

from squire_pipelines.warehouse.report import theme


def _luminance(color: str) -> float:
    channels = [int(part, 16) / 255 for part in re.findall("[0-9a-f]{2}", color)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _in(color: str, *, dark: bool) -> str:
    return theme.DARK[color] if dark else color


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("color", [theme.INK, theme.SOFT, theme.LINK])
@pytest.mark.parametrize("ground", [theme.PAPER, theme.PAGE])
def test_text_stands_out(color: str, ground: str, *, dark: bool) -> None:
    assert _contrast(_in(color, dark=dark), _in(ground, dark=dark)) >= 4.5


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("color", [theme.GOOD, theme.BAD, theme.GONE, *theme.SERIES])
def test_drawings_stand_out(color: str, *, dark: bool) -> None:
    assert _contrast(_in(color, dark=dark), _in(theme.PAPER, dark=dark)) >= 3


@pytest.mark.parametrize("dark", [False, True])
def test_text_on_a_bar_stands_out(*, dark: bool) -> None:
    assert _contrast(_in(theme.ON_BAR, dark=dark), _in(theme.GOOD, dark=dark)) >= 4.5


def test_every_colour_has_a_dark_one_and_a_name() -> None:
    assert set(theme.DARK) == set(theme.VARIABLES)
    assert len(set(theme.VARIABLES.values())) == len(theme.VARIABLES)
