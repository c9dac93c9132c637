"""The one place where the question for a page of tasks becomes SQL, which SQLite and Postgres both read.

Standard library only, as `listing`, which says what may be asked. Every way to the rows runs along an index:
`docs/decisions/0013-archive-before-delete.md` says why it is chosen here and not by the databases' planners.
"""
# ruff: noqa: S608 - the texts put together are names of ours; every value is a parameter

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from squire_pipelines.ledger.listing import (
    COLUMNS,
    DESCENDING,
    FINAL_STATUSES,
    KINDS,
    PRIORITIES,
    STATUSES,
    Asking,
    Order,
    TaskQuery,
    position,
    token,
)
from squire_pipelines.ledger.words import words_of

COUNTED = 10_000
"""So far the rows of a way are counted before it is called a long one."""

SORTED = 1_500
"""At most so many rows of a range of ends are sorted, rather than those of a long way looked through."""

FAR = 12
"""So many times more are sorted where the other way is a long one."""

# Until the end of the transaction. A filter that Postgres takes for rare would make it read and sort the whole table;
# and what is forbidden it counts as dear, which is no reason to compile the question.
_NOT = ("enable_seqscan", "enable_bitmapscan", "enable_sort", "enable_hashjoin", "enable_mergejoin", "jit")
_ALONG_INDEXES = "SELECT " + ", ".join(f"set_config('{way}', 'off', true) AS {way}" for way in _NOT)

Rows = Sequence[Mapping[str, Any]]


def read_ids(
    ask: Asking, query: TaskQuery, *, counted: int = COUNTED, at_most_sorted: int = SORTED
) -> tuple[list[str], str | None]:
    """The ids of a page in its order, and what to give as `after` for the next one (None at the end).

    Going on after it gives each task once that was there from the first page on, whatever is added meanwhile; in the
    order of changes, a task that changes meanwhile goes to the front.

    The bounds choose between ways to the same answer, and are given by tests alone.

    Raises:
        NotFoundError: `after` is the id of no task.
        PagePositionError: `after` belongs to another order.
    """
    if not ask.is_sqlite:
        ask.run(_ALONG_INDEXES, {})
    rows = _Search(ask, query, position(ask, query), counted, at_most_sorted).rows()
    page = rows[: query.limit]
    return [row["id"] for row in page], token(query.order, page[-1]) if len(rows) > query.limit else None


class _Search:
    """One question. A way to its rows is a union of branches, each along one index and in its order.

    `lead` names the first columns of that index with the values wanted; what an index cannot say is a check of each
    row, hidden in a function from planners, which might follow another index for its sake.
    """

    def __init__(
        self, ask: Asking, query: TaskQuery, after: tuple[Any, ...], counted: int, at_most_sorted: int
    ) -> None:
        self.counted = counted
        self.at_most_sorted = at_most_sorted
        self.ask = ask
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
        self.repositories = _spellings(ask, query.repository)
        self._rarest: tuple[str, int] | None = None

    def rows(self) -> Rows:
        """The page and one more, in order."""
        wordless = bool(self.query.text.strip()) and not self.words
        if wordless or not self.statuses or (self.query.repository and not self.repositories):
            return ()
        limit = self.query.limit + 1
        for what, most in self._sortable():
            times = self._range(f"t.{what}_at", what)
            if self._count("tasks t", times, f"t.{what}_at", most) < most:
                return self._sorted("tasks t", times + self._filters() + self._words("t", "id"))
        if self._by_word():
            if self.columns[0] == "updated_at":
                way = ["w.word = " + self._value("word", self._rarest_word()[0]), "t.id = w.task_id"]
                others = self._words("w", "task_id", but=self._rarest_word()[0])
                return self._sorted("task_words w CROSS JOIN tasks t", way + self._filters() + others)
            branches = self._word_branches
        else:
            branches = self._task_branches
        if self.columns[0] != "priority" or not self._bounds("x.created_at"):
            return self._union(branches(self.columns, self.after, {}), self.columns, limit)
        # A range of the creation is a range of an index only below one priority.
        found: list[Mapping[str, Any]] = []
        for priority in PRIORITIES:
            here = bool(self.after) and priority == self.after[0]
            if len(found) < limit and not (self.after and priority < self.after[0]):
                each = branches(self.columns[1:], self.after[1:] if here else (), {"priority": (priority,)})
                found += self._union(each, self.columns[1:], limit - len(found))
        return found

    # ── Ways ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _task_branches(
        self, columns: tuple[str, ...], after: tuple[Any, ...], fixed: Mapping[str, tuple[Any, ...]]
    ) -> list[str]:
        lead, checks = self._lead(columns[0], by_priority=bool(fixed))
        checks += self._words("t", "id") + self._ended_check()
        if columns[0] != "created_at":
            checks += self._created_check()
        ranges = self._after(after, [f"t.{column}" for column in columns]) + self._bounds(f"t.{columns[0]}")
        selected = ", ".join(f"t.{column}" for column in self.columns)
        return [
            f"SELECT {selected} FROM tasks t{_where([*equal, *ranges, *checks])}"
            for equal in self._product("t", {**lead, **fixed})
        ]

    def _lead(self, first: str, *, by_priority: bool) -> tuple[dict[str, tuple[Any, ...]], list[str]]:
        """The first columns of the index to take, and the checks of what it does not say."""
        query = self.query
        lead: dict[str, tuple[Any, ...]] = {}
        checks: list[str] = []
        if query.causes:
            lead["cause"] = query.causes
            if self.repositories and first == "created_at" and not by_priority:
                lead["repository"] = self.repositories
            elif self.repositories:
                checks.append(self._one_of("t.repository", self.repositories))
            if query.statuses:
                checks.append(self._one_of("t.status", self.statuses))
            if query.kinds:
                checks.append(self._one_of("t.kind", self.kinds))
            return lead, checks
        if self.repositories:
            lead["repository"] = self.repositories
        if query.statuses or query.kinds or self.by_end or (self.repositories and first == "updated_at"):
            lead |= {"status": self.statuses, "kind": self.kinds}
        return lead, checks

    def _word_branches(
        self, columns: tuple[str, ...], after: tuple[Any, ...], fixed: Mapping[str, tuple[Any, ...]]
    ) -> list[str]:
        word = self._rarest_word()[0]
        checks = self._words("w", "task_id", but=word)
        if self.repositories:
            checks.append(self._one_of("w.repository", self.repositories))
        if self.query.kinds:
            checks.append(self._one_of("w.kind", self.kinds))
        if rest := self._only_the_task_says():
            checks.append(f"(SELECT 1 FROM tasks t WHERE t.id = w.task_id AND {' AND '.join(rest)}) = 1")
        lead: dict[str, tuple[Any, ...]] = {"word": (word,)}
        if columns[0] == "created_at":
            lead["priority"] = PRIORITIES
        names = ["w.task_id" if column == "id" else f"w.{column}" for column in columns]
        ranges = self._after(after, names) + self._bounds("w.created_at" if columns[0] == "created_at" else "")
        selected = ", ".join("w.task_id AS id" if column == "id" else f"w.{column}" for column in self.columns)
        return [
            f"SELECT {selected} FROM task_words w{_where([*equal, *ranges, *checks])}"
            for equal in self._product("w", {**lead, **fixed})
        ]

    def _union(self, branches: Sequence[str], columns: tuple[str, ...], limit: int) -> Rows:
        order = f"ORDER BY {', '.join(column + self.direction for column in columns)} LIMIT {limit:d}"
        if not self.ask.is_sqlite:  # SQLite merges the branches as it reads them, Postgres only when each has an end
            branches = [f"(SELECT * FROM ({branch} {order}) AS b)" for branch in branches]
        return self.ask.run(f"{' UNION ALL '.join(branches)} {order}", self.values)

    def _sorted(self, source: str, conditions: Sequence[str]) -> Rows:
        """A bounded number of rows, whatever their order."""
        after = self._after(self.after, [f"t.{column}" for column in self.columns], hidden=True)
        selected = ", ".join(f"{_hidden(f't.{column}')} AS {column}" for column in self.columns)
        order = ", ".join(column + self.direction for column in self.columns)
        where = _where([*conditions, *after])
        return self.ask.run(
            f"SELECT {selected} FROM {source}{where} ORDER BY {order} LIMIT {self.query.limit + 1:d}", self.values
        )

    # ── Which way ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _sortable(self) -> Iterator[tuple[str, int]]:
        """Ranges of time whose rows may be sorted, and how many at most: more where the order's own way is a long one.

        Nearly all tasks end and change soon after they are created. So who asks for the oldest of those that ended
        lately, or for the last changed of those created long ago, would have to look through most of them.
        """
        query, order = self.query, self.query.order
        far = self.at_most_sorted * FAR
        if self.by_end:
            late = query.ended_since is not None and order in {Order.OLDEST, Order.PRIORITY}
            early = query.ended_until is not None and order is Order.CHANGED
            yield "ended", far if late or early else self.at_most_sorted
        if query.created_until is not None and order is Order.CHANGED:
            yield "created", far

    def _by_word(self) -> bool:
        """Whether the rarest word's rows are the shorter way."""
        if not self.words:
            return False
        query = self.query
        if self.columns[0] != "updated_at" and not (query.statuses or query.causes or self.by_end):
            return True  # the word's own rows say the rest, and are in order
        count = self._rarest_word()[1]
        return count < self.counted and count <= self._count_of_filter()

    def _rarest_word(self) -> tuple[str, int]:
        """The rarest word of the question, and its number of titles, counted so far as `counted`."""
        if self._rarest is None:
            counts = {
                word: self._count("task_words w", ["w.word = " + self._value("word", word)], "w.priority", self.counted)
                for word in self.words
            }
            self._rarest = min(counts.items(), key=lambda one: one[1])
        return self._rarest

    def _count_of_filter(self) -> int:
        lead, _ = self._lead("created_at", by_priority=False)
        if not lead:
            return self.counted
        branches = self._product("t", lead)
        most = max(1, self.counted // len(branches))
        counts = [self._count_sql("tasks t", each, "t.created_at", most) for each in branches]
        found = [int(row["n"]) for row in self.ask.run(" UNION ALL ".join(counts), self.values)]
        return self.counted if most in found else sum(found)

    def _count(self, source: str, conditions: Sequence[str], along: str, most: int) -> int:
        return int(self.ask.run(self._count_sql(source, conditions, along, most), self.values)[0]["n"])

    def _count_sql(self, source: str, conditions: Sequence[str], along: str, most: int) -> str:
        # In the order of the index: else Postgres may read the table from its beginning until it has found enough.
        rows = f"SELECT 1 AS one FROM {source}{_where(conditions)} ORDER BY {along} LIMIT {most:d}"
        return f"SELECT count(*) AS n FROM ({rows}) AS c"

    # ── Conditions ─────────────────────────────────────────────────────────────────────────────────────────────────

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
        if self.query.statuses or self.by_end:
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
        left = ", ".join(_hidden(column) if hidden else column for column in columns)
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
        return self._range(_hidden("t.created_at"), "created")

    def _ended_check(self) -> list[str]:
        return self._range(_hidden("t.ended_at"), "ended")

    def _one_of(self, column: str, values: Sequence[Any]) -> str:
        return f"{_hidden(column)} IN ({', '.join(self._value('one', value) for value in values)})"

    def _product(self, table: str, lead: Mapping[str, Sequence[Any]]) -> list[list[str]]:
        found: list[list[str]] = [[]]
        for column, values in lead.items():
            each = [f"{table}.{column} = {self._value(column, value)}" for value in dict.fromkeys(values)]
            found = [[*one, condition] for one in found for condition in each]
        return found

    def _moment(self, value: Any) -> str:
        return self._value("moment", self.ask.moment(value))

    def _value(self, name: str, value: Any) -> str:
        """The name of a parameter with this value; the same question always has the same names."""
        for number in range(len(self.values) + 1):
            key = f"{name}_{number}"
            if self.values.setdefault(key, value) == value:
                return f":{key}"
        raise AssertionError(name)  # one of the numbers is free


def _hidden(column: str) -> str:
    return f"coalesce({column}, {column})"


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _spellings(ask: Asking, repository: str | None) -> tuple[str, ...]:
    """The repository's name as the ledger has it: GitHub's names are the same in any case."""
    if not repository:
        return ()
    here = "SELECT repository FROM tasks WHERE repository = :name ORDER BY created_at LIMIT 1"
    if ask.run(here, {"name": repository}):
        return (repository,)
    # From name to name along the index, instead of from task to task.
    rows = ask.run(
        "WITH RECURSIVE names(name) AS (SELECT min(repository) FROM tasks UNION ALL "
        "SELECT (SELECT min(t.repository) FROM tasks t WHERE t.repository > names.name) "
        "FROM names WHERE names.name IS NOT NULL) SELECT name FROM names WHERE lower(name) = :name",
        {"name": repository.lower()},
    )
    return tuple(row["name"] for row in rows)
