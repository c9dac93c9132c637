"""The system of record: tables, migrations and one module per aggregate. SQL only; no Dagster, no HTTP."""

HEAD_REVISION = "0048"
"""The newest migration, whose schema this code reads and writes."""
