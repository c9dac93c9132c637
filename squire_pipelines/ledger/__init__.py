"""The system of record: tables, migrations and one module per aggregate. SQL only; no Dagster, no HTTP."""
