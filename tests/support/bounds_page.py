"""Reads the tables of docs/guide/bounds.md, which list all that grows."""

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "bounds.md"
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class BoundRow:
    """A row of a table: the places or tables that it is about, what ends them, its default and the setting of it."""

    names: tuple[str, ...]
    end: str
    default: str
    setting: str


def rows_of(heading: str) -> list[BoundRow]:
    """Return the rows of the table below a heading."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = []
    for line in section.splitlines():
        if not line.startswith("| ") or line.startswith("| what |"):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows.append(BoundRow(tuple(_CODE.findall(cells[1])), cells[2], cells[3], cells[4].strip("`")))
    return rows


def unlisted(home: Path) -> list[str]:
    """Return what a home has that no row is about: files and folders in it, and in its folder `cache`."""
    listed = {name for row in rows_of("Files of the home") for name in row.names}
    places = [path for path in home.iterdir() if path.name != "cache"]
    places += (home / "cache").iterdir() if (home / "cache").is_dir() else []
    return sorted(str(path.relative_to(home)) for path in places if str(path.relative_to(home)) not in listed)
