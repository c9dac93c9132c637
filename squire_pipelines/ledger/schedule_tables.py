"""Tables of schedules: requests that become tasks later, and what came of each of their times."""

from sqlalchemy import JSON, Boolean, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table

from squire_pipelines.domain.schedules import ScheduleState
from squire_pipelines.ledger.columns import CleanText, RowId, UtcDateTime, metadata, one_of

schedules = Table(
    "schedules",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("repository", String(140), nullable=False),
    Column("title", CleanText, nullable=False),
    Column("spec", JSON, nullable=False),
    Column("template", CleanText),
    Column("hold", Boolean, nullable=False),
    Column("cron", CleanText),
    Column("time_zone", String(64), nullable=False),
    Column("state", String(10), nullable=False),
    Column("next_at", UtcDateTime),
    Column("created_by", CleanText, nullable=False),
    Column("trace_id", String(32), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
    one_of("state", ScheduleState),
    CheckConstraint("(state = 'active') = (next_at IS NOT NULL)", name="active_has_next"),
    Index(None, "state", "next_at"),
    Index(None, "repository", "id"),
)

schedule_runs = Table(
    "schedule_runs",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("schedule_id", String(32), ForeignKey("schedules.id"), nullable=False),
    Column("due_at", UtcDateTime, nullable=False),
    Column("last_due_at", UtcDateTime, nullable=False),
    Column("times", Integer, nullable=False),
    Column("missed", Integer, nullable=False),
    Column("task_id", String(32)),
    Column("skipped", CleanText),
    Column("at", UtcDateTime, nullable=False),
    Index(None, "schedule_id", "id"),
)
