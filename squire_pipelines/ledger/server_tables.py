"""The table of the processes that serve on several machines: receivers, boards and stewards."""

from sqlalchemy import JSON, Column, Index, Integer, String, Table

from squire_pipelines.domain.server_processes import ServerKind, ServerRole
from squire_pipelines.ledger.columns import CleanText, UtcDateTime, metadata, one_of

server_processes = Table(
    "server_processes",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("machine", CleanText, nullable=False),
    Column("home", CleanText, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", String(40), nullable=False),
    Column("role", String(16), nullable=False),
    Column("problem", CleanText),
    Column("secret_marks", JSON, nullable=False),
    Column("salt", String(32), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    one_of("kind", ServerKind),
    one_of("role", ServerRole),
    Index(None, "kind"),
)
"""A row for each process that lives, and for each that vanished within a day without saying that it ends.

`secret_marks` are digests of secrets by their names, made slowly, with the `salt` that all rows share, and cut short:
by them two machines are known to have the same secret, and none is read from them.
"""
