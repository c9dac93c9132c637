"""The table of the roles that one process of all machines has at a time."""

from sqlalchemy import Column, Integer, String, Table

from squire_pipelines.ledger.columns import CleanText, UtcDateTime, metadata

role_leases = Table(
    "role_leases",
    metadata,
    Column("role", String(40), primary_key=True),
    Column("holder", CleanText, nullable=False),
    Column("version", String(40), nullable=False),
    Column("token", Integer, nullable=False),
    Column("taken_at", UtcDateTime, nullable=False),
    Column("lease_until", UtcDateTime, nullable=False),
)
"""A row for each role. `token` grows whenever another process takes it."""
