"""Tables of plans: what planners proposed, how that came about, and what models answered."""

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, String, Table, false

from squire_pipelines.domain.plan_making import CacheState
from squire_pipelines.ledger.columns import CleanText, RowId, UtcDateTime, metadata, one_of

plans = Table(
    "plans",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("repository", String(140), nullable=False),
    Column("planner", CleanText, nullable=False),
    Column("signals_digest", String(64), nullable=False),
    Column("plan", JSON, nullable=False),
    Column("findings", JSON, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("tasks_proposed", Integer, nullable=False),
    Column("tasks_created", Integer),
    Column("trace_id", String(32), nullable=False),
    Column("run_id", String(40)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("admitted_at", UtcDateTime),
    Column("model", CleanText),
    Column("provider", String(40)),
    Column("prompt_version", String(40)),
    Column("provisional", Boolean, nullable=False, server_default=false()),
    Column("model_failures", Integer, nullable=False, server_default="0"),
    Column("ask_again_at", UtcDateTime),
    Column("settings_digest", String(64)),
    Column("asks", Integer),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("cost_usd", Float),
    Column("latency_s", Float),
    Column("cache_hit", Boolean),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("failure", CleanText),
    Column("failed_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "repository", "created_at"),
    Index(None, "updated_at"),
    Index(None, "created_at", "id"),
    Index(None, "trace_id"),
)

plan_answers = Table(
    "plan_answers",
    metadata,
    Column("id", RowId, primary_key=True),
    Column("plan_id", String(32), nullable=False),
    Column("provider", String(40), nullable=False),
    Column("model", CleanText, nullable=False),
    Column("number", Integer, nullable=False),
    Column("reason", CleanText, nullable=False),
    Column("text", CleanText, nullable=False),
    Column("chars", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "plan_id"),
    Index(None, "created_at"),
)

plan_inputs = Table(
    "plan_inputs",
    metadata,
    Column("plan_id", String(32), primary_key=True),
    Column("inputs", CleanText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "created_at"),
)

plan_cache = Table(
    "plan_cache",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("state", String(10), nullable=False),
    Column("holder", String(32), nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Column("plan", JSON(none_as_null=True)),
    Column("model", CleanText),
    Column("provider", String(40)),
    Column("prompt_version", String(40)),
    Column("error_code", String(40)),
    Column("error", CleanText),
    Column("hint", CleanText),
    Column("updated_at", UtcDateTime, nullable=False),
    one_of("state", CacheState),
    Index(None, "until"),
)
