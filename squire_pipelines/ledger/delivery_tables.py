"""The tables of deliveries: each as it arrived, what it did, what was refused, and what GitHub says it has sent."""

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, String, Table, UniqueConstraint

from squire_pipelines.ledger.columns import CleanText, RowId, UtcDateTime, metadata

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("source", CleanText, nullable=False),
    Column("delivery_id", CleanText, nullable=False),
    Column("body_sha256", String(64), nullable=False),
    Column("event", CleanText, nullable=False),
    Column("action", CleanText),
    Column("repository", String(140)),
    Column("body", LargeBinary, nullable=False),
    Column("trace_id", String(32), nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("requested_at", UtcDateTime),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("collected_at", UtcDateTime),
    Column("applied_at", UtcDateTime),
    Column("error", CleanText),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("collected_trace_id", String(32)),
    Column("body_encoding", String(10)),
    Column("sender", CleanText),
    Column("hook_id", String(40)),
    Column("signature", String(200)),
    Column("filtered_by", CleanText),
    Column("apply_tries", Integer, nullable=False, server_default="0"),
    Column("set_aside_at", UtcDateTime),
    Column("replays", Integer, nullable=False, server_default="0"),
    Column("replayed_at", UtcDateTime),
    UniqueConstraint("source", "delivery_id", "body_sha256"),
    Index("ix_deliveries_open", "collected_at", "id"),
    Index("ix_deliveries_unapplied", "applied_at", "id"),
    Index(None, "updated_at"),
    Index(None, "repository", "id"),
    Index(None, "received_at"),
    Index(None, "trace_id"),
    sqlite_autoincrement=True,
)
"""A row for each delivery, and for each request to read a repository.

`body` is as it was signed, in the `body_encoding` (None for as it came, `zlib`, `removed`); `signature` is the header
that came with it, so that it can be verified again. A delivery that a rule filtered, or that is about nothing, is
closed at once.
"""

delivery_effects = Table(
    "delivery_effects",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("delivery", RowId, ForeignKey("deliveries.id"), nullable=False),
    Column("effect", String(40), nullable=False),
    Column("subject", CleanText, nullable=False),
    Column("detail", CleanText),
    Column("trace_id", String(32), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("delivery", "effect", "subject"),
    Index(None, "at"),
    sqlite_autoincrement=True,
)
"""What deliveries did, in the transaction that did it; each once for each delivery."""

delivery_refusals = Table(
    "delivery_refusals",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("minute", UtcDateTime, nullable=False),
    Column("source", CleanText, nullable=False),
    Column("status", Integer, nullable=False),
    Column("reason", CleanText, nullable=False),
    Column("count", Integer, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("minute", "source", "status", "reason"),
    Index(None, "updated_at"),
    sqlite_autoincrement=True,
)
"""How many requests were refused in a minute, by status and reason: a flood fills no more than that."""

delivery_checks = Table(
    "delivery_checks",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("hook", CleanText, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("listed", Integer, nullable=False),
    Column("missing", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("redelivered", Integer, nullable=False),
    Column("error", CleanText),
    Column("trace_id", String(32), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index(None, "hook", "id"),
    Index(None, "at"),
    sqlite_autoincrement=True,
)
"""A row for each comparison of a hook's deliveries, as GitHub lists them, with those that are here.

`hook` is a repository, or `app`. `missing` are those that GitHub sent since `since` and that are not here, `failed`
those of them whose answer was no 2xx, and `redelivered` how many were asked for again.
"""
