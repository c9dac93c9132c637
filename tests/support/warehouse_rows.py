"""Rows of warehouse tables that a test puts in by hand."""

import duckdb


def insert(connection: duckdb.DuckDBPyConnection, table: str, **values: object) -> None:
    """Insert a row; what is not given and must be there is empty."""
    columns = connection.execute(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ? AND NOT is_nullable", [table]
    ).fetchall()
    empty: dict[str, object] = {
        name: "2026-11-01 12:00:00+00" if "TIMESTAMP" in kind else 0 if kind in {"BIGINT", "BOOLEAN"} else "{}"
        for name, kind in columns
    }
    row = empty | values
    marks = ", ".join("?" for _ in row)
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", list(row.values()))  # noqa: S608 - names of our own
