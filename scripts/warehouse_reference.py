"""Writes docs/reference/warehouse.md from the comments in the warehouse; `--check` fails when it is not up to date."""

import sys
from pathlib import Path

import duckdb

from scripts.reference_page import write_or_check
from squire_pipelines.warehouse import schema

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "warehouse.md"
_HEAD = """\
# The warehouse

<!-- Written by scripts/warehouse_reference.py from the comments in the warehouse; do not edit. -->

The warehouse is one DuckDB file, `squire history path`. It is published from the ledger and the archive: usually
the previous file is copied, what changed since is added, and the copy replaces the file by a rename.
[Queries](../guide/queries.md) says how to query it, and [decision 0014](../decisions/0014-incremental-publication.md)
why it is made like this.

- **When.** After something has happened, at most every `warehouse.min_interval_s` seconds, and less often the
  larger the file is: on average no more than `warehouse.write_rate` bytes are written in a second. At least every
  ten minutes in any case. The assets `history/*` have a freshness policy: a warning after 15 minutes, a failure
  after 30. `squire history publish` does it now.
- **A full publication** reads everything again: `squire history publish --full`, or the job `rebuild_history`. It
  also happens on its own, and says why (`SELECT mode, reason FROM _publication`), when there is no file, when the file
  is damaged, of another version or of another ledger, when somebody wrote to it, when the ledger was restored from a
  backup, when its clock was set back, and when the file has half as much again as it needs.
- **What left the ledger stays.** Retention moves old rows into Parquet files beside the warehouse
  (`archive/<table>/`). They are in the warehouse before and after, also after a full publication.
- **Any client may open it, read-only, at any time and for as long as it likes.** It sees the state at the moment at
  which it opened the file, and blocks nothing. The file is read-only, and for its owner alone (0400). What a client
  writes in spite of that, whether into the file or as a write-ahead log beside it, is gone after the next publication,
  which is a full one; the log is renamed.
- **Dagster's runs** are linked by `run_id` in `attempts`, `collections` and `plans`; they are not copied.
- Times are UTC. Columns that end in `_s` are seconds, in `_usd` US dollars; shares are from 0 to 1.
"""
_SECTIONS = (
    ("Views", schema.METRICS, "Each answers a question, at the time of the publication."),
    ("Tables", schema.TABLES, "The ledger's, with the archived rows. Read JSON columns with `->>`."),
    (
        "Tables that are derived at publication",
        (*schema.DERIVED, *schema.ROLLED_UP),
        "The views read them, which makes the views quick. They follow from the other tables.",
    ),
    ("About the file", schema.OWN, "About the publication itself."),
)


def page() -> str:
    """Return the page's text."""
    with duckdb.connect() as connection:
        schema.create_tables(connection)
        schema.create_metrics(connection)
        comments = dict(
            connection.execute(
                "SELECT table_name, comment FROM duckdb_tables() UNION ALL "
                "SELECT view_name, comment FROM duckdb_views()"
            ).fetchall()
        )
    parts = [_HEAD]
    for title, names, text in _SECTIONS:
        parts.append(f"\n## {title}\n\n{text}\n")
        for name in names:
            parts.append(f"\n### `{name}`\n\n{comments[name]}\n\n| column | type | is |\n|---|---|---|\n")
            columns = schema.column_schema(name)
            parts += [f"| `{column}` | {kind} | {comment} |\n" for column, kind, comment in columns]
    return "".join(parts)


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page(), description=__doc__))
