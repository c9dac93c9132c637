"""Small Markdown for the UI: tables, lists, blocks of text. Text from outside is escaped here."""

import re
from collections.abc import Iterable, Sequence

import dagster as dg

_MAX_CELL = 120


def escape(value: object) -> str:
    """`value` as one safe Markdown table cell: no markup, no line break, bounded."""
    text = " ".join(str(value if value is not None else "").split())
    if len(text) > _MAX_CELL:
        text = text[: _MAX_CELL - 1] + "…"
    return "".join("\\" + letter if letter in "\\`*_{}[]<>|#!" else letter for letter in text)


def bullets(lines: Iterable[str]) -> dg.MarkdownMetadataValue:
    """A Markdown list, or "none"."""
    return dg.MetadataValue.md("\n".join(f"- {escape(line)}" for line in lines) or "none")


def block(lines: Iterable[str]) -> dg.MarkdownMetadataValue:
    """Text as it stands, in a fence that it cannot close: longer than any row of backticks in it."""
    text = "\n".join(lines)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return dg.MetadataValue.md(f"{fence}text\n{text}\n{fence}")


def preview(columns: Sequence[str], rows: Iterable[Sequence[object]], *, limit: int = 20) -> dg.MarkdownMetadataValue:
    """A Markdown table of the first `limit` rows, with a last line that says how many more there are."""
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    everything = list(rows)
    lines += ["| " + " | ".join(escape(cell) for cell in row) + " |" for row in everything[:limit]]
    if len(everything) > limit:
        lines.append(f"\n… and {len(everything) - limit} more")
    return dg.MetadataValue.md("\n".join(lines))
