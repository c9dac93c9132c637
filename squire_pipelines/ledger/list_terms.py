"""What the ways of a list have in common: filters, bounds and places as SQL's conditions, and their parameters.

Standard library only, as `listing`. Which conditions make a way, and which way is taken, is `list_sql`'s.
"""
# ruff: noqa: S608 - the texts put together are names of ours; every value is a parameter

from collections.abc import Mapping, Sequence
from typing import Any

from squire_pipelines.ledger.task_query import (
    COLUMNS,
    DESCENDING,
    FINAL_STATUSES,
    KINDS,
    STATUSES,
    QueryRunner,
    TaskQuery,
)
from squire_pipelines.ledger.words import words_of


class Terms:
    """The conditions of one question.

    Those of a way's lead name the first columns of its index with the values wanted; what an index cannot say is a
    check of each row, hidden in a function from planners, which might follow another index for its sake.
    """

    def __init__(self, runner: QueryRunner, query: TaskQuery, after: tuple[Any, ...]) -> None:
        self.runner = runner
        self.query = query
        self.columns = COLUMNS[query.order]
        self.sign, self.direction = ("<", " DESC") if query.order in DESCENDING else (">", "")
        self.after = after
        self.values: dict[str, Any] = {}
        self.words = words_of(query.text)
        self.by_end = bool(query.ended_since or query.ended_until)
        self.statuses = query.statuses or STATUSES
        if self.by_end:  # only what is over has an end
            self.statuses = tuple(status for status in self.statuses if status in FINAL_STATUSES)
        self.kinds = query.kinds or KINDS
        self.repositories = _spellings(runner, query.repository)

    def _filters(self) -> list[str]:
        """Everything but the words, as checks of a task's row."""
        found = self._only_the_task_says() + self._created_check()
        if self.repositories:
            found.append(self._one_of("t.repository", self.repositories))
        if self.query.kinds:
            found.append(self._one_of("t.kind", self.kinds))
        return found

    def _only_the_task_says(self) -> list[str]:
        found = self._ended_check()
        if self.query.statuses:
            found.append(self._one_of("t.status", self.statuses))
        if self.query.causes:
            found.append(self._one_of("t.cause", self.query.causes))
        return found

    def _words(self, table: str, task_id: str, *, but: str | None = None) -> list[str]:
        # A scalar subquery is looked up row by row; of EXISTS a planner may make a join that reads every title.
        return [
            f"(SELECT 1 FROM task_words x WHERE x.word = {self._value('word', word)} AND x.priority = {table}.priority"
            f" AND x.created_at = {table}.created_at AND x.task_id = {table}.{task_id}) = 1"
            for word in self.words
            if word != but
        ]

    def _after(self, after: tuple[Any, ...], columns: Sequence[str], *, hidden: bool = False) -> list[str]:
        if not after:
            return []
        left = ", ".join(hide(column) if hidden else column for column in columns)
        right = ", ".join(self._value("after", value) for value in after)
        return [f"({left}) {self.sign} ({right})"]

    def _bounds(self, column: str) -> list[str]:
        """What the ranges say about the order's own column: nothing ends or changes before it is created."""
        query, name = self.query, column.rpartition(".")[2]
        if name == "created_at":
            until = [f"{column} <= {self._moment(query.ended_until)}"] if query.ended_until else []
            return self._range(column, "created") + until
        if name == "updated_at":
            since = [moment for moment in (query.created_since, query.ended_since) if moment]
            return [f"{column} >= {self._moment(max(since))}"] if since else []
        return []

    def _range(self, column: str, what: str) -> list[str]:
        since, until = getattr(self.query, f"{what}_since"), getattr(self.query, f"{what}_until")
        found = [f"{column} >= {self._moment(since)}"] if since else []
        return [*found, f"{column} < {self._moment(until)}"] if until else found

    def _created_check(self) -> list[str]:
        return self._range(hide("t.created_at"), "created")

    def _ended_check(self) -> list[str]:
        return self._range(hide("t.ended_at"), "ended")

    def _one_of(self, column: str, values: Sequence[Any]) -> str:
        return f"{hide(column)} IN ({', '.join(self._value('one', value) for value in values)})"

    def _product(self, table: str, lead: Mapping[str, Sequence[Any]]) -> list[list[str]]:
        found: list[list[str]] = [[]]
        for column, values in lead.items():
            each = [f"{table}.{column} = {self._value(column, value)}" for value in dict.fromkeys(values)]
            found = [[*one, condition] for one in found for condition in each]
        return found

    def _moment(self, value: Any) -> str:
        return self._value("moment", self.runner.moment(value))

    def _value(self, name: str, value: Any) -> str:
        """The name of a parameter with this value; the same question always has the same names."""
        for number in range(len(self.values) + 1):
            key = f"{name}_{number}"
            if self.values.setdefault(key, value) == value:
                return f":{key}"
        raise AssertionError(name)  # one of the numbers is free


def hide(column: str) -> str:
    """A column's value, of which a planner does not know that an index has it."""
    return f"coalesce({column}, {column})"


def where_all(conditions: Sequence[str]) -> str:
    """The clause that lets pass what meets all `conditions`."""
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _spellings(runner: QueryRunner, repository: str | None) -> tuple[str, ...]:
    """The repository's name as the ledger has it: GitHub's names are the same in any case."""
    if not repository:
        return ()
    here = "SELECT repository FROM tasks WHERE repository = :name ORDER BY created_at LIMIT 1"
    if runner.run(here, {"name": repository}):
        return (repository,)
    # From name to name along the index, instead of from task to task.
    rows = runner.run(
        "WITH RECURSIVE names(name) AS (SELECT min(repository) FROM tasks UNION ALL "
        "SELECT (SELECT min(t.repository) FROM tasks t WHERE t.repository > names.name) "
        "FROM names WHERE names.name IS NOT NULL) SELECT name FROM names WHERE lower(name) = :name",
        {"name": repository.lower()},
    )
    return tuple(row["name"] for row in rows)
