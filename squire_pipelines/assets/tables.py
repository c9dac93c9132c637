"""What assets show in the UI: tables with a schema, and small Markdown. Text from outside is bounded and escaped."""

import itertools
import re
from collections.abc import Iterable, Sequence

import dagster as dg

_MAX_CELL = 120


def cell(value: object) -> str:
    """Return `value` as one bounded line of text."""
    text = " ".join(str(value if value is not None else "").split())
    return text if len(text) <= _MAX_CELL else text[: _MAX_CELL - 1] + "…"


def escape(value: object) -> str:
    """Return `value` as one bounded line of Markdown without any markup."""
    return "".join("\\" + letter if letter in "\\`*_{}[]<>|#!" else letter for letter in cell(value))


def block(lines: Iterable[str]) -> dg.MarkdownMetadataValue:
    """Return text as it stands, in a fence that is longer than any row of backticks in it."""
    text = "\n".join(lines)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return dg.MetadataValue.md(f"{fence}text\n{text}\n{fence}")


def preview(columns: Sequence[str], rows: Iterable[Sequence[object]], *, limit: int = 20) -> dg.TableMetadataValue:
    """Return the first `limit` rows as a table with a schema; numbers stay numbers, all else is one line of text."""
    records = [
        dg.TableRecord({name: _value(value) for name, value in zip(columns, row, strict=True)})
        for row in itertools.islice(rows, limit)
    ]
    types = {
        name: type(value).__name__ for record in records for name, value in record.data.items() if value is not None
    }
    schema = dg.TableSchema(
        columns=[dg.TableColumn(name, _TYPES.get(types.get(name, ""), "string")) for name in columns]
    )
    return dg.MetadataValue.table(records=records, schema=schema)


_TYPES = {"bool": "bool", "int": "int", "float": "float"}


def _value(value: object) -> str | int | float | bool | None:
    return value if value is None or type(value) in {bool, int, float} else cell(value)  # type: ignore[return-value]
