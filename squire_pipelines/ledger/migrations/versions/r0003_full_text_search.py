"""Full-text search by the database, in place of the table `task_words`: FTS5 on SQLite, a GIN index on Postgres."""

# ruff: noqa: S608 - the texts put together are names of ours

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op
from alembic.operations.base import BatchOperations

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
_WIDE_INDEXES = ("updated_at id priority created_at", "status kind updated_at id priority created_at")
"""Indexes of `tasks` whose last two columns led to the words of a title."""

_NARROW_INDEXES = ("updated_at id", "status kind updated_at id")

# The tokenizer splits at the spaces between words and at nothing else in them: they are letters and digits alone.
# An id is looked up as hexadecimal digits, since an imported one may have any sign.
_FTS_TABLE = """
CREATE VIRTUAL TABLE task_search USING fts5 (words, id_hex, task_id UNINDEXED, tokenize = 'ascii', detail = 'column')
"""
_INSERT = "INSERT INTO task_search (words, id_hex, task_id) "
_ADD = f"{_INSERT} VALUES (NEW.title_words, hex(NEW.id), NEW.id)"
_REMOVE = """
DELETE FROM task_search
WHERE rowid IN (SELECT rowid FROM task_search WHERE task_search MATCH 'id_hex:' || hex(OLD.id))
"""
_TRIGGERS = {
    "tasks_search_insert": f"AFTER INSERT ON tasks BEGIN {_ADD}; END",
    "tasks_search_update": f"AFTER UPDATE OF id, title_words ON tasks BEGIN {_REMOVE}; {_ADD}; END",
    "tasks_search_delete": f"AFTER DELETE ON tasks BEGIN {_REMOVE}; END",
}
_CHANGES = (
    "'proposed>ready', 'proposed>cancelled', 'ready>cancelled', 'ready>running', 'running>ready', "
    "'running>succeeded', 'running>failed', 'running>cancelled', 'failed>ready', 'cancelled>ready'"
)
_STATUS_TRIGGER = f"""
CREATE TRIGGER tasks_status_change BEFORE UPDATE OF status ON tasks
WHEN (OLD.status <> NEW.status AND (OLD.status || '>' || NEW.status) NOT IN ({_CHANGES}))
BEGIN SELECT RAISE(ABORT, 'tasks: a change of status that no rule allows'); END
"""
_GIN_INDEX = """
CREATE INDEX ix_tasks_title_words ON tasks USING gin (array_to_tsvector(string_to_array(title_words, ' ')))
"""


def upgrade() -> None:
    """Apply."""
    op.create_index("ix_task_words_task_id", "task_words", ["task_id"])  # for this alone; it goes with its table
    op.add_column("tasks", sa.Column("title_words", sa.Text(), nullable=True))
    joined = "group_concat(word, ' ')" if _is_sqlite() else "string_agg(word, ' ')"
    words = f"SELECT {joined} FROM task_words WHERE task_words.task_id = tasks.id"
    op.execute(f"UPDATE tasks SET title_words = COALESCE(({words}), '')")
    op.drop_table("task_words")
    _replace_indexes(_WIDE_INDEXES, _NARROW_INDEXES)
    with _changed_tasks(("updated_at", "title_words", "spec")) as batch:
        batch.alter_column("title_words", existing_type=sa.Text(), nullable=False)
    if not _is_sqlite():
        op.execute(_GIN_INDEX)
        return
    op.execute(_FTS_TABLE)
    op.execute(f"{_INSERT} SELECT title_words, hex(id), id FROM tasks ORDER BY created_at, id")
    for name, event in _TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} {event}")


def downgrade() -> None:
    """Undo."""
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
    split = "unnest(string_to_array(title_words, ' ')) AS words (value)"
    if _is_sqlite():  # words have no sign that JSON would take for its own
        split = """json_each('["' || replace(title_words, ' ', '","') || '"]') AS words"""
    op.execute(
        "INSERT INTO task_words (word, priority, created_at, task_id, repository, kind) "
        f"SELECT words.value, priority, created_at, tasks.id, repository, kind FROM tasks, {split} "
        "WHERE title_words <> ''"
    )
    if _is_sqlite():
        for name in _TRIGGERS:
            op.execute(f"DROP TRIGGER {name}")
        op.execute("DROP TABLE task_search")
    else:
        op.execute("DROP INDEX ix_tasks_title_words")
    with _changed_tasks() as batch:
        batch.drop_column("title_words")
    _replace_indexes(_NARROW_INDEXES, _WIDE_INDEXES)


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


@contextmanager
def _changed_tasks(*order: tuple[str, ...]) -> Iterator[BatchOperations]:
    """Change the table in place on Postgres, by a copy on SQLite, whose triggers go with the old table.

    `order` moves columns: what a list reads of a row should not lie behind a large column.
    """
    with op.batch_alter_table(
        "tasks", recreate="always" if _is_sqlite() else "never", partial_reordering=list(order)
    ) as batch:
        yield batch
    if _is_sqlite():
        op.execute(_STATUS_TRIGGER)


def _replace_indexes(old: tuple[str, ...], new: tuple[str, ...]) -> None:
    for columns in old:
        op.drop_index(f"ix_tasks_{columns.replace(' ', '_')}", table_name="tasks")
    for columns in new:
        op.create_index(f"ix_tasks_{columns.replace(' ', '_')}", "tasks", columns.split())
