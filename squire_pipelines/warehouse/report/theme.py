"""The report's colours, in light and in dark: what a drawing names in the light is a variable on the page.

Each stands out from its paper by 3:1 or more, text by 4.5:1 (WCAG 2.2, 1.4.3 and 1.4.11); a test computes it.
"""

from collections.abc import Mapping
from types import MappingProxyType

PAPER = "#fffffe"
"""Of a card. Not quite white, so that nothing else is taken for it."""

INK = "#1f2328"
SOFT = "#59636e"
LINE = "#d1d9e0"
GOOD = "#0969da"
BAD = "#bc4c00"
GONE = "#818b98"
ON_BAR = "#fffffd"
SERIES = ("#7a4fd6", "#187d8b", "#bf3989", "#946300")
"""For things whose order means nothing."""

GROUND = "#f6f8fa"
LINK = "#0550ae"

DARK: Mapping[str, str] = MappingProxyType(
    {
        PAPER: "#151b23",
        INK: "#e6edf3",
        SOFT: "#9ea7b3",
        LINE: "#3d444d",
        GOOD: "#58a6ff",
        BAD: "#f0883e",
        GONE: "#7d8590",
        ON_BAR: "#0b1220",
        SERIES[0]: "#b392f0",
        SERIES[1]: "#39c5cf",
        SERIES[2]: "#f778ba",
        SERIES[3]: "#d29922",
        GROUND: "#0d1117",
        LINK: "#79c0ff",
    }
)
"""What each of them is in the dark."""

VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        PAPER: "--paper",
        INK: "--ink",
        SOFT: "--soft",
        LINE: "--line",
        GOOD: "--good",
        BAD: "--bad",
        GONE: "--gone",
        ON_BAR: "--on-bar",
        SERIES[0]: "--series-1",
        SERIES[1]: "--series-2",
        SERIES[2]: "--series-3",
        SERIES[3]: "--series-4",
        GROUND: "--ground",
        LINK: "--link",
    }
)
"""What each of them is called on the page."""


def variables(*, dark: bool) -> str:
    """The declarations of all variables."""
    return "".join(f"{name}:{DARK[color] if dark else color};" for color, name in VARIABLES.items())
