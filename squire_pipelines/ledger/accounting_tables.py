"""Tables beside the work itself: what it may cost, what was archived, what GitHub's limits and names are."""

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, String, Table, UniqueConstraint

from squire_pipelines.domain.looks import RepositoryState
from squire_pipelines.domain.rate_limits import LimitKind
from squire_pipelines.ledger.columns import CleanText, UtcDateTime, metadata, one_of

budgets = Table(
    "budgets",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("purpose", String(10), nullable=False),
    Column("repository", String(140), nullable=False),
    Column("task_id", String(32)),
    Column("attempt_id", String(40)),
    Column("reserved_usd", Float, nullable=False, server_default="0"),
    Column("reserved_tokens", Integer, nullable=False, server_default="0"),
    Column("spent_usd", Float, nullable=False, server_default="0"),
    Column("spent_tokens", Integer, nullable=False, server_default="0"),
    Column("spent_requests", Integer, nullable=False, server_default="0"),
    Column("provider_usd", JSON(none_as_null=True)),
    Column("state", String(10), nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("checked_at", UtcDateTime),
    Column("settled_at", UtcDateTime),
    Column("trace_id", String(32), nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    one_of("purpose", ("attempt", "plan")),
    one_of("state", ("open", "settled", "released")),
    Index(None, "state"),
    Index(None, "opened_at"),
    Index(None, "repository", "opened_at"),
    Index(None, "task_id"),
    Index(None, "updated_at"),
)

archived_tasks = Table(
    "archived_tasks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("repository", String(140), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("title", CleanText, nullable=False),
    Column("status", String(20), nullable=False),
    Column("cause", String(40)),
    Column("attempts", Integer, nullable=False),
    Column("cost_usd", Float),
    Column("branch", String(120)),
    Column("pr_number", Integer),
    Column("pr_url", CleanText),
    Column("outcome", String(20)),
    Column("trace_id", String(32)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime, nullable=False),
    Column("archived_at", UtcDateTime, nullable=False),
    Column("archive", CleanText),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("repository", "fingerprint"),
    Index(None, "archived_at"),
)

archives = Table(
    "archives",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("table_name", String(40), nullable=False),
    Column("rows", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("first_at", UtcDateTime),
    Column("last_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "table_name", "created_at"),
)

github_limits = Table(
    "github_limits",
    metadata,
    Column("credential", String(40), primary_key=True),
    Column("kind", String(20), primary_key=True),
    Column("blocked_until", UtcDateTime),
    Column("strikes", Integer, nullable=False, server_default="0"),
    Column("quota", Integer),
    Column("remaining", Integer),
    Column("reset_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
    one_of("kind", LimitKind),
)

repositories = Table(
    "repositories",
    metadata,
    Column("repository", String(140), primary_key=True),
    Column("github_id", BigInteger),
    Column("name", CleanText),
    Column("state", String(20), nullable=False),
    Column("message", CleanText),
    Column("digest", String(64)),
    Column("looked_at", UtcDateTime),
    Column("read_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
    one_of("state", RepositoryState),
    Index(None, "github_id"),
)
