"""The tables of alerts: what is or was wrong, which messages go to whom, and what is silenced until when."""

from sqlalchemy import JSON, Boolean, Column, Index, Integer, String, Table

from squire_pipelines.ledger.columns import CleanText, UtcDateTime, metadata, one_of

MESSAGE_STATES = ("queued", "sending", "sent", "dropped")

alerts = Table(
    "alerts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("key", CleanText, nullable=False),
    Column("rule", String(40), nullable=False),
    Column("subject", CleanText, nullable=False),
    Column("severity", String(20), nullable=False),
    Column("reason", CleanText, nullable=False),
    Column("hint", CleanText, nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("cleared_at", UtcDateTime),
    Column("notified_at", UtcDateTime),
    Column("notified_severity", String(20)),
    Column("notifications", Integer, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "ended_at"),
    Index(None, "updated_at"),
)
"""A row for each time that something was wrong; `ended_at` is empty while it is. One that is over does not change."""

alert_messages = Table(
    "alert_messages",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("target", String(60), nullable=False),
    Column("content", JSON, nullable=False),
    Column("state", String(20), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("again_at", UtcDateTime, nullable=False),
    Column("claim_until", UtcDateTime),
    Column("error", CleanText),
    Column("is_drop_reported", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
    one_of("state", MESSAGE_STATES),
    Index(None, "state", "target", "created_at"),
)
"""A row for each message to each target. Its id is the same at each try, so that a receiver knows a repetition."""

alert_silences = Table(
    "alert_silences",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("match", CleanText, nullable=False),
    Column("reason", CleanText, nullable=False),
    Column("created_by", CleanText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
)
