"""The text of a table's cell for people. Pure, and without rich: JSON output needs none of it."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from squire_pipelines.domain.terminal_text import one_line

MAX_CELL = 500
"""Characters of a cell."""
_WEB_ADDRESS = re.compile(r"https?://[!-~]{1,2000}")


@dataclass(frozen=True, slots=True)
class Link:
    """A short text that leads to an address: a terminal's link, and the address itself in a pipe."""

    text: str
    url: str | None

    @property
    def target(self) -> str | None:
        """The address, if a terminal may follow it: one of the web, without spaces and control characters."""
        return self.url if self.url and _WEB_ADDRESS.fullmatch(self.url) else None


def pull_link(number: int | None, url: str | None) -> Link | None:
    """Return the cell of a pull request: `#2`."""
    return None if number is None else Link(f"#{number}", url)


def cell_text(cell: object, *, limit: int = MAX_CELL) -> str:
    """Return a cell on one line: times to the second, fractions to three places, JSON in its short form.

    A time in a zone is written in UTC, with a `Z`; one without is written as it is.
    """
    return one_line(_text(cell), limit=limit)


def _text(cell: object) -> str:
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%d %H:%M:%S}" if cell.tzinfo is None else f"{cell.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    if isinstance(cell, float | Decimal):
        return rounded(float(cell))
    if cell is None or isinstance(cell, bool):
        return "" if cell is None else str(cell).lower()
    if isinstance(cell, dict | list | tuple):
        return json.dumps(cell, ensure_ascii=False, separators=(",", ":"), default=str)
    return cell.text if isinstance(cell, Link) else str(cell)


def rounded(number: float) -> str:
    """Return a number to three places, or to three digits where it is smaller than that: `0.3`, `12.346`, `1.2e-05`."""
    if number != 0 and abs(number) < 0.001:  # noqa: PLR2004 - what three places show of it would be nothing
        return f"{number:.3g}"
    text = f"{number:.3f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def is_number(cell: Any) -> bool:
    """Return whether a cell is a number, which stands at the right of its column and is never cut."""
    return isinstance(cell, int | float | Decimal) and not isinstance(cell, bool)
