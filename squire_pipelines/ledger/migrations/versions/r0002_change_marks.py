"""Change marks, columns that attempts fill, budgets, the archive's tables, and rules that the database keeps."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.operations.base import BatchOperations

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

Column = sa.Column[Any]
_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")

# What a row's newest time was, which becomes its change mark. Frozen: a later table of columns must not change this.
_TIMES = {
    "deliveries": ("received_at", "requested_at", "collected_at", "applied_at"),
    "collections": ("started_at", "ended_at", "planned_at"),
    "signals": ("first_seen_at", "last_seen_at", "gone_at"),
    "plans": ("created_at", "admitted_at"),
    "attempts": ("queued_at", "claimed_at", "agent_started_at", "agent_ended_at", "ended_at"),
}
_FINAL = "(status IN ('succeeded', 'failed', 'cancelled')) = (ended_at IS NOT NULL)"
_NEW_COLUMNS: dict[str, Callable[[], list[Column]]] = {
    "deliveries": list,
    "collections": lambda: [
        sa.Column("requests", sa.Integer(), nullable=True),
        sa.Column("quota_cost", sa.Integer(), nullable=True),
        sa.Column("quota_remaining", sa.Integer(), nullable=True),
    ],
    "signals": list,
    "plans": lambda: [
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("prompt_version", sa.String(length=40), nullable=True),
    ],
    "attempts": lambda: [
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("prompt_version", sa.String(length=40), nullable=True),
        sa.Column("agent_version", sa.Text(), nullable=True),
        sa.Column("timings", sa.JSON(), nullable=True),
        sa.Column("not_before", _TIME, nullable=True),
        sa.Column("verification", sa.JSON(), nullable=True),
        sa.Column("previous_id", sa.String(length=40), nullable=True),
    ],
}
_KINDS = "kind IN ('fix_ci', 'address_review', 'resolve_issue', 'manual', 'other')"
_AUTOINCREMENT = ("deliveries", "collections", "signals", "task_events", "model_calls", "audit")
"""Tables whose newest row may be archived and deleted: SQLite would give its id out again."""

_INDEXES = {
    "deliveries": ("updated_at", "repository id", "received_at"),
    "collections": ("updated_at", "ended_at id"),
    "signals": ("updated_at", "last_seen_at id", "repository last_seen_at id", "kind last_seen_at id"),
    "plans": ("updated_at", "created_at id"),
    "tasks": (
        "updated_at id priority created_at", "priority created_at id",
        "repository created_at id", "repository priority created_at id",
        "status kind created_at id", "status kind updated_at id priority created_at",
        "status kind priority created_at id",
        "repository status kind created_at id", "repository status kind updated_at id",
        "repository status kind priority created_at id",
        "plan_id",
    ),
    "task_dependencies": ("depends_on",),
    "attempts": ("updated_at", "repository queued_at id", "queued_at id", "ended_at"),
    "task_events": ("at",),
    "model_calls": ("at",),
    "outcomes": ("updated_at",),
}  # fmt: skip
_PARTIAL_INDEXES = (
    ("cause", "cause created_at id"),
    ("cause", "cause updated_at id"),
    ("cause", "cause priority created_at id"),
    ("cause", "repository cause created_at id"),
    ("cause", "repository cause updated_at id"),
    ("ended_at", "ended_at id priority created_at"),
)
"""Of `tasks`, each without the rows of which the first column named is not known."""

_REPLACED = ("repository status", "status priority ready_at")
"""Indexes of `tasks` as it was: others begin with the same columns, or with those that are asked for."""

# The state machine, as it was when this was written.
_CHANGES = {
    "tasks": (
        "proposed>ready", "proposed>cancelled", "ready>cancelled", "ready>running", "running>ready",
        "running>succeeded", "running>failed", "running>cancelled", "failed>ready", "cancelled>ready",
    ),
    "attempts": (
        "queued>running", "queued>ended", "running>publishing", "running>ended", "publishing>ended",
    ),
}  # fmt: skip
_WITH_WORDS = ("priority", "created_at", "repository", "kind")
_BATCH = 1000
_APPEND_ONLY = ("task_events", "model_calls", "audit")


def upgrade() -> None:
    """Apply."""
    for table, new in _NEW_COLUMNS.items():
        for column in [*new(), sa.Column("updated_at", _TIME, nullable=True)]:
            op.add_column(table, column)
        op.execute(f"UPDATE {table} SET updated_at = {_newest(_TIMES[table])}")  # noqa: S608 - names of ours
        with _changed(table) as batch:
            batch.alter_column("updated_at", existing_type=_TIME, nullable=False)
    op.add_column("outcomes", sa.Column("review_state", sa.String(length=20), nullable=True))
    with _changed("model_calls") as batch:
        batch.add_column(sa.Column("call_id", sa.String(length=80), nullable=True))
        batch.add_column(sa.Column("cached_tokens", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("estimated", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch.create_unique_constraint(op.f("uq_model_calls_call_id"), ["call_id"])
    for table in ("task_events", "audit"):
        with _changed(table):
            pass
    for replaced in _REPLACED:
        op.drop_index(_index("tasks", replaced.split()), table_name="tasks")
    # No code of ours left such rows; a hand may have.
    final = "status IN ('succeeded', 'failed', 'cancelled')"
    op.execute(f"UPDATE tasks SET ended_at = updated_at WHERE {final} AND ended_at IS NULL")  # noqa: S608 - ours
    op.execute(f"UPDATE tasks SET ended_at = NULL WHERE NOT {final} AND ended_at IS NOT NULL")  # noqa: S608 - ours
    op.execute(f"UPDATE tasks SET kind = 'other' WHERE NOT ({_KINDS})")  # noqa: S608 - ours
    with _changed("tasks") as batch:
        batch.create_check_constraint(op.f("ck_tasks_final_has_ended"), _FINAL)
        batch.create_check_constraint(op.f("ck_tasks_kind_known"), _KINDS)
    _create_new_tables()
    for name, table, columns, there in _indexes():
        op.create_index(name, table, columns, unique=False, sqlite_where=there, postgresql_where=there)
    _create_rules()
    _fill_words()


def downgrade() -> None:
    """Undo. What only the new schema knows is lost: budgets, what was archived, the new columns."""
    _drop_rules()
    for name, table, _, _ in _indexes():
        op.drop_index(name, table_name=table)
    for table in ("task_words", "archives", "archived_tasks", "budgets"):
        op.drop_table(table)
    with _changed("tasks", back=True) as batch:
        batch.drop_constraint(op.f("ck_tasks_final_has_ended"), type_="check")
        batch.drop_constraint(op.f("ck_tasks_kind_known"), type_="check")
    for replaced in _REPLACED:
        op.create_index(_index("tasks", replaced.split()), "tasks", replaced.split(), unique=False)
    for table in ("task_events", "audit"):
        with _changed(table, back=True):
            pass
    with _changed("model_calls", back=True) as batch:
        batch.drop_constraint(op.f("uq_model_calls_call_id"), type_="unique")
        for name in ("call_id", "cached_tokens", "estimated"):
            batch.drop_column(name)
    op.drop_column("outcomes", "review_state")
    for table, new in _NEW_COLUMNS.items():
        with _changed(table, back=True) as batch:
            for name in [*(column.name for column in new()), "updated_at"]:
                batch.drop_column(name)


@contextmanager
def _changed(table: str, *, back: bool = False) -> Iterator[BatchOperations]:
    """Change a table: in place on Postgres, by a copy on SQLite."""
    options = {"sqlite_autoincrement": True} if table in _AUTOINCREMENT and not back else {}
    with op.batch_alter_table(
        table,
        recreate="always" if _is_sqlite() else "never",
        table_kwargs=options,
    ) as batch:
        yield batch


def _indexes() -> Iterator[tuple[str, str, list[str], sa.TextClause | None]]:
    """Name, table, columns and condition of each new index."""
    for table, each_index in _INDEXES.items():
        for columns in each_index:
            yield _index(table, columns.split()), table, columns.split(), None
    for known, columns in _PARTIAL_INDEXES:
        yield _index("tasks", columns.split()), "tasks", columns.split(), sa.text(f"{known} IS NOT NULL")
    # Of a task that changed after its end.
    yield op.f("ix_tasks_changed_later"), "tasks", ["updated_at", "id"], sa.text("updated_at <> ended_at")


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _newest(columns: Sequence[str]) -> str:
    if not _is_sqlite():
        return f"GREATEST({', '.join(columns)})"  # which passes over NULL
    times = ", ".join(f"COALESCE({name}, '')" for name in columns)
    return f"MAX({times})"


def _index(table: str, names: Sequence[str]) -> str:
    return op.f(f"ix_{table}_{'_'.join(names)}")


def _create_new_tables() -> None:
    op.create_table(
        "budgets",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("purpose", sa.String(length=10), nullable=False),
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("task_id", sa.String(length=32), nullable=True),
        sa.Column("attempt_id", sa.String(length=40), nullable=True),
        sa.Column("reserved_usd", sa.Float(), server_default="0", nullable=False),
        sa.Column("reserved_tokens", sa.Integer(), server_default="0", nullable=False),
        sa.Column("spent_usd", sa.Float(), server_default="0", nullable=False),
        sa.Column("spent_tokens", sa.Integer(), server_default="0", nullable=False),
        sa.Column("spent_requests", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("opened_at", _TIME, nullable=False),
        sa.Column("checked_at", _TIME, nullable=True),
        sa.Column("settled_at", _TIME, nullable=True),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.CheckConstraint("purpose IN ('attempt', 'plan')", name=op.f("ck_budgets_purpose_known")),
        sa.CheckConstraint("state IN ('open', 'settled', 'released')", name=op.f("ck_budgets_state_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_budgets")),
    )
    for names in (("state",), ("opened_at",), ("repository", "opened_at"), ("task_id",), ("updated_at",)):
        op.create_index(_index("budgets", names), "budgets", list(names), unique=False)
    op.create_table(
        "archived_tasks",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("cause", sa.String(length=40), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("cost_usd", sa.Float(), nullable=True),
        sa.Column("branch", sa.String(length=120), nullable=True),
        sa.Column("pr_number", sa.Integer(), nullable=True),
        sa.Column("pr_url", sa.Text(), nullable=True),
        sa.Column("outcome", sa.String(length=20), nullable=True),
        sa.Column("trace_id", sa.String(length=32), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("ended_at", _TIME, nullable=False),
        sa.Column("archived_at", _TIME, nullable=False),
        sa.Column("archive", sa.Text(), nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_archived_tasks")),
        sa.UniqueConstraint("repository", "fingerprint", name=op.f("uq_archived_tasks_repository_fingerprint")),
    )
    op.create_index(_index("archived_tasks", ("archived_at",)), "archived_tasks", ["archived_at"], unique=False)
    op.create_table(
        "archives",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("table_name", sa.String(length=40), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("first_at", _TIME, nullable=True),
        sa.Column("last_at", _TIME, nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_archives")),
    )
    op.create_index(_index("archives", ("table_name", "created_at")), "archives", ["table_name", "created_at"])
    op.create_table(
        "task_words",
        sa.Column("word", sa.String(length=64), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("task_id", sa.String(length=32), nullable=False),
        sa.Column("repository", sa.String(length=140), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("word", "priority", "created_at", "task_id", name=op.f("pk_task_words")),
        sqlite_with_rowid=False,
    )


def _create_rules() -> None:
    for table, changes in _CHANGES.items():
        allowed = ", ".join(f"'{change}'" for change in changes)
        illegal = f"OLD.status <> NEW.status AND (OLD.status || '>' || NEW.status) NOT IN ({allowed})"
        message = f"{table}: a change of status that no rule allows"
        _create_trigger(f"{table}_status_change", table, f"UPDATE OF status ON {table}", illegal, message)
    for table in _APPEND_ONLY:
        _create_trigger(f"{table}_append_only", table, f"UPDATE ON {table}", "", f"{table}: rows are never changed")


def _create_trigger(name: str, table: str, on: str, condition: str, message: str) -> None:
    when = f"WHEN ({condition})" if condition else ""
    if _is_sqlite():
        op.execute(f"CREATE TRIGGER {name} BEFORE {on} {when} BEGIN SELECT RAISE(ABORT, '{message}'); END")
        return
    op.execute(
        f"CREATE FUNCTION squire_{table}_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{message}' USING ERRCODE = 'check_violation'; END $$"
    )
    op.execute(f"CREATE TRIGGER {name} BEFORE {on} FOR EACH ROW {when} EXECUTE FUNCTION squire_{table}_refuse()")


def _drop_rules() -> None:
    names = {table: f"{table}_status_change" for table in _CHANGES}
    names |= {table: f"{table}_append_only" for table in _APPEND_ONLY}
    for table, name in names.items():
        if _is_sqlite():
            op.execute(f"DROP TRIGGER {name}")
        else:
            op.execute(f"DROP TRIGGER {name} ON {table}")
            op.execute(f"DROP FUNCTION squire_{table}_refuse()")


def _fill_words() -> None:
    connection = op.get_bind()
    tasks = sa.table("tasks", *(sa.column(name) for name in ("id", "title", *_WITH_WORDS)))
    task_words = sa.table("task_words", *(sa.column(name) for name in ("word", "task_id", *_WITH_WORDS)))
    last = ""
    while True:
        query = sa.select(tasks).where(tasks.c.id > last).order_by(tasks.c.id).limit(_BATCH)
        rows = connection.execute(query).mappings().all()
        words = [
            {"word": word, "task_id": row["id"], **{name: row[name] for name in _WITH_WORDS}}
            for row in rows
            for word in _words_of(row["title"])
        ]
        if words:
            connection.execute(sa.insert(task_words), words)
        if len(rows) < _BATCH:
            return
        last = rows[-1]["id"]


def _words_of(text: str) -> list[str]:
    """Return the words of a title as the code of this revision split them."""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return list(dict.fromkeys(word[:64] for word in re.findall(r"[^\W_]+", plain)))[:32]
