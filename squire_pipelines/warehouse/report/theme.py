"""The report's colours, in light and in dark: a light colour in a plot becomes a CSS variable on the page.

Each has a contrast to its background of 3:1 or more, text of 4.5:1 (WCAG 2.2, 1.4.3 and 1.4.11); a test computes it.
"""

from collections.abc import Mapping
from types import MappingProxyType

PAPER = "#fffffe"
"""A card's background. Not quite white, so that it is no other colour's value."""

INK = "#1f2328"
SOFT = "#59636e"
LINE = "#d1d9e0"
GOOD = "#0969da"
BAD = "#bc4c00"
GONE = "#818b98"
ON_BAR = "#fffffd"
SERIES = ("#7a4fd6", "#187d8b", "#bf3989", "#946300")
"""For series without an order."""

PAGE = "#f6f8fa"
LINK = "#0550ae"

_COLORS = (
    (PAPER, "#151b23", "--paper"),
    (INK, "#e6edf3", "--ink"),
    (SOFT, "#9ea7b3", "--soft"),
    (LINE, "#3d444d", "--line"),
    (GOOD, "#58a6ff", "--good"),
    (BAD, "#f0883e", "--bad"),
    (GONE, "#7d8590", "--gone"),
    (ON_BAR, "#0b1220", "--on-bar"),
    (SERIES[0], "#b392f0", "--series-1"),
    (SERIES[1], "#39c5cf", "--series-2"),
    (SERIES[2], "#f778ba", "--series-3"),
    (SERIES[3], "#d29922", "--series-4"),
    (PAGE, "#0d1117", "--page"),
    (LINK, "#79c0ff", "--link"),
)

DARK: Mapping[str, str] = MappingProxyType({light: dark for light, dark, _ in _COLORS})
"""The dark colour of each light one."""

VARIABLES: Mapping[str, str] = MappingProxyType({light: variable for light, _, variable in _COLORS})
"""The CSS variable of each light colour."""


def variables(*, dark: bool) -> str:
    """Return the declarations of all variables."""
    return "".join(f"{name}:{DARK[color] if dark else color};" for color, name in VARIABLES.items())
