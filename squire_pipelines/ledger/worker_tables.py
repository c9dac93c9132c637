"""The tables of the processes that take runs from the queue: which there are, and which has taken what."""

from sqlalchemy import JSON, Column, ForeignKey, Index, Integer, String, Table

from squire_pipelines.ledger.columns import CleanText, UtcDateTime, metadata

workers = Table(
    "workers",
    metadata,
    Column("name", String(60), primary_key=True),
    Column("session", String(32), nullable=False),
    Column("host", CleanText, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", String(40), nullable=False),
    Column("schema_revision", String(20), nullable=False),
    Column("queues", JSON, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("can_adopt", JSON, nullable=False),
    Column("refusal", CleanText),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("draining_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Index(None, "seen_at"),
)
"""A row for each worker's name. `session` changes at each start; `can_adopt` are attempts whose work it still has."""

worker_runs = Table(
    "worker_runs",
    metadata,
    Column("run_id", String(40), primary_key=True),
    Column("worker", String(60), ForeignKey("workers.name")),
    Column("session", String(32)),
    Column("queue", CleanText),
    Column("taken_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("exit_code", Integer),
    Column("stop_requested_at", UtcDateTime),
    Index(None, "worker", "ended_at"),
    Index(None, "ended_at"),
)
"""A row for each run that a worker has taken, and for one that nobody may take any more: that has no worker."""
