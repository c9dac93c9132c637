"""The tables of tenants: whose a repository was when, and what each is owed of the slots."""

from sqlalchemy import Column, Float, String, Table

from squire_pipelines.ledger.columns import CleanText, UtcDateTime, metadata

repository_tenants = Table(
    "repository_tenants",
    metadata,
    Column("repository", CleanText, primary_key=True),
    Column("since", UtcDateTime, primary_key=True),
    Column("until", UtcDateTime),
    Column("tenant", String(32), nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)
"""A row for each time that a repository was one tenant's; `until` is empty while it is.

The first row of a repository begins before everything. Where there are no tenants there is no row.
"""

tenant_credits = Table(
    "tenant_credits",
    metadata,
    Column("tenant", String(32), primary_key=True),
    Column("credit", Float, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)
"""What each tenant that waits for a slot is owed of the next one: see `domain.fair_shares`."""
