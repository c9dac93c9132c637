"""Tables that fit their terminal: the one place that lays out rows for people. Importing this imports rich.

A terminal that is too narrow gets, in this order: shorter prose, fewer columns (those that the caller can spare),
shorter names, and at last each row as a record, one field below the other. Ids, numbers, times and links are never
cut or folded, and reasons go on in the next line. A pipe has all columns whole, with one line for each row.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from squire_pipelines.terminal.cells import Link, cell_text, is_number

_GAP = 2
_SHORT = 12
"""Characters up to which a column is left whole whatever it has in it."""
_PROSE, _LEAST_PROSE, _LEAST_NAME = 24, 16, 14
"""Characters that prose keeps at first and at last, and that a name keeps at last."""
_WHOLE = frozenset({"id", "run", "attempt", "status", "age", "key"})
_STYLES = {
    "succeeded": "green",
    "merged": "green",
    "completed": "green",
    "ok": "green",
    "failed": "red",
    "fail": "red",
    "closed": "red",
    "cancelled": "dim",
    "running": "cyan",
    "open": "cyan",
    "proposed": "yellow",
    "stale": "yellow",
    "warn": "yellow",
}


@dataclass(frozen=True, slots=True)
class _Column:
    """A column: what its cells say, its width in characters, and what it may be cut to: at first, and at last."""

    heading: str
    cells: Sequence[Text]
    has_numbers: bool
    width: int
    comfortable: int
    least: int
    wraps: bool


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    room: int | None,
    keep: Iterable[str] = (),
    spare: Iterable[str] = (),
    wrap: Iterable[str] = (),
) -> RenderableType:
    """Lay out rows in `room` characters, without the columns that are empty in all rows and not named in `keep`.

    Args:
        headings: Of the columns.
        rows: Their cells; control characters and line breaks are taken out.
        room: The terminal's width; None for a pipe.
        keep: Headings of columns that are shown though empty.
        spare: Headings of the columns that a narrow terminal does without, the most dispensable first.
        wrap: Headings of the columns whose text goes on in the next line where others end with an ellipsis.
    """
    kept, wrapped, all_rows = set(keep), set(wrap), [tuple(row) for row in rows]
    columns = [
        _column(name, [row[i] for row in all_rows], is_pipe=room is None, wraps=name in wrapped)
        for i, name in enumerate(headings)
    ]
    columns = [column for column in columns if column.heading in kept or any(column.cells)]
    widths = _fitted(columns, room, spare) if room is not None else [(column, column.width) for column in columns]
    if widths is None:
        return _records(columns, len(all_rows))
    drawn = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for column, width in widths:
        drawn.add_column(
            column.heading,
            justify="right" if column.has_numbers else "left",
            no_wrap=not column.wraps,
            overflow="fold" if column.wraps else "ellipsis",
            width=width,
        )
    for row in zip(*(column.cells for column, _ in widths), strict=True):
        drawn.add_row(*row)
    return drawn if room is not None else _Unpadded(drawn)


@dataclass(frozen=True, slots=True)
class _Unpadded:
    """A table for a pipe: no line is filled up to the width of the longest."""

    drawn: Table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for line in console.render_lines(self.drawn, options, pad=False):
            while line and not line[-1].text.strip():
                line.pop()
            yield from line[:-1]
            for last in line[-1:]:
                yield Segment(last.text.rstrip(), last.style, last.control)
            yield Segment.line()


def _column(heading: str, cells: Sequence[object], *, is_pipe: bool, wraps: bool) -> _Column:
    texts = [_text(cell, is_pipe=is_pipe) for cell in cells]
    width = max([cell_len(heading), *(text.cell_len for text in texts)])
    filled = [cell for cell in cells if cell not in (None, "")]
    has_json = any(isinstance(cell, dict | list | tuple) for cell in filled)
    is_prose = has_json or any(" " in text.plain for text in texts)
    has_values = not has_json and any(not isinstance(cell, str) for cell in filled)
    is_whole = width <= _SHORT or heading in _WHOLE or has_values
    comfortable = min(width, max(cell_len(heading), _PROSE)) if wraps or (is_prose and not is_whole) else width
    least = min(width, max(cell_len(heading), _LEAST_PROSE if is_prose else _LEAST_NAME))
    if wraps or is_whole:
        least = comfortable
    has_numbers = heading != "id" and bool(filled) and all(is_number(cell) for cell in filled)
    return _Column(heading, texts, has_numbers, width, comfortable, least, wraps)


def _text(cell: object, *, is_pipe: bool) -> Text:
    if is_pipe and isinstance(cell, Link):
        return Text(cell_text(cell.url or cell.text))
    content = cell_text(cell)
    text = Text(content, style=_STYLES.get(content, ""))
    if isinstance(cell, Link) and cell.target is not None:
        text.stylize(Style(link=cell.target))
    return text


def _fitted(columns: Sequence[_Column], room: int, spare: Iterable[str]) -> list[tuple[_Column, int]] | None:
    """Return the columns that fit into `room` with their widths; None when nothing that can be read does."""
    shown = list(columns)
    for left_out in ("", *spare):
        shown = [column for column in shown if not left_out or column.heading != left_out]
        if (left := room - _total([column.comfortable for column in shown])) >= 0:
            return list(_widened([(column, column.comfortable) for column in shown], left))
    left = room - _total([column.least for column in shown])
    return None if left < 0 else list(_widened([(column, column.least) for column in shown], left))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * max(0, len(widths) - 1)


def _widened(columns: list[tuple[_Column, int]], left: int) -> Iterator[tuple[_Column, int]]:
    """Yield the columns in their order, with what is left of the room shared among those that are cut."""
    cut = sorted((column.width - width, i) for i, (column, width) in enumerate(columns) if column.width > width)
    more: dict[int, int] = {}
    for position, (missing, i) in enumerate(cut):
        more[i] = min(missing, left // (len(cut) - position))
        left -= more[i]
    for i, (column, width) in enumerate(columns):
        yield column, width + more.get(i, 0)


def _records(columns: Sequence[_Column], count: int) -> Group:
    """Lay out each row as lines of a name and a value; a value that is longer than its line goes on in the next."""
    lines: list[Text] = []
    for i in range(count):
        if lines:
            lines.append(Text())
        lines.extend(
            Text.assemble((f"{column.heading}: " if column.heading else "", "dim"), column.cells[i])
            for column in columns
            if column.cells[i] or len(columns) == 1
        )
    return Group(*lines)
