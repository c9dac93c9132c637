"""The tables of who is signed in to the board, and of the logins that failed there."""

from sqlalchemy import JSON, Column, Float, String, Table

from squire_pipelines.ledger.columns import CleanText, UtcDateTime, metadata

board_sessions = Table(
    "board_sessions",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("person", CleanText, nullable=False),
    Column("tenant", String(32)),
    Column("login_proof", String(64)),
    Column("messages", JSON, nullable=False),
    Column("begun_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
)
"""A row for each session. Its token is the browser's alone; `login_proof` can be compared by whoever has that token."""

login_failures = Table(
    "login_failures",
    metadata,
    Column("address", CleanText, primary_key=True),
    Column("tries_left", Float, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)
"""A row for each address that gave a wrong token in the last minute; `tries_left` is how many more it may give."""
