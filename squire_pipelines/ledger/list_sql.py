"""The one place where the question for a page of tasks becomes SQL, which SQLite and Postgres both read.

Standard library only, as `listing`, which says what may be asked. Every way to the rows runs along an index:
`docs/decisions/0013-archive-before-delete.md` says why it is chosen here and not by the databases' planners.
"""
# ruff: noqa: S608 - the texts put together are names of ours; every value is a parameter

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from squire_pipelines.ledger.list_terms import Terms, hide, where_all
from squire_pipelines.ledger.task_query import PRIORITIES, QueryRunner, SortOrder, TaskQuery, position, token

COUNTED = 10_000
"""So far the rows of a way are counted before it is called a long one."""

PROBED = 1_000
"""How many rows of each word are passed over to see which word is the rarer one."""

SORTED = 1_500
"""At most so many rows of a range of time are sorted, rather than those of a long way looked through."""

FAR = 12
"""So many times more ends are sorted where the other way is a long one: an index has all that their order needs."""

VERY_FAR = 40
"""So many times more are sorted where the other way is known to be longer than that."""

# Until the end of the transaction. A filter that Postgres takes for rare would make it read and sort the whole table,
# or compare each row of one side with each of the other; and what is forbidden it counts as dear, which is no reason
# to compile the question. The ways do not depend on the values: they are planned once, and not for each page.
_NOT = ("seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin", "material")
_SET = {f"enable_{way}": "off" for way in _NOT} | {"jit": "off", "plan_cache_mode": "force_generic_plan"}
_ALONG_INDEXES = "SELECT " + ", ".join(
    f"set_config('{name}', '{value}', true) AS {name}" for name, value in _SET.items()
)

_FILTER = ""  # no word
Rows = Sequence[Mapping[str, Any]]


def read_ids(
    runner: QueryRunner, query: TaskQuery, *, counted: int = COUNTED, at_most_sorted: int = SORTED
) -> tuple[list[str], str | None]:
    """The ids of a page in its order, and what to give as `after` for the next one (None at the end).

    Going on after it gives each task once that was there from the first page on, whatever is added meanwhile; in the
    order of changes, a task that changes meanwhile goes to the front.

    The bounds choose between ways to the same answer, and are given by tests alone.

    Raises:
        NotFoundError: `after` is the id of no task.
        PagePositionError: `after` belongs to another order.
    """
    if not runner.is_sqlite:
        runner.run(_ALONG_INDEXES, {})
    rows = _Search(runner, query, position(runner, query), counted, at_most_sorted).rows()
    page = rows[: query.limit]
    return [row["id"] for row in page], token(query.order, page[-1]) if len(rows) > query.limit else None


class _Search(Terms):
    """One question. A way to its rows is a union of branches, each along one index and in its order."""

    def __init__(
        self, runner: QueryRunner, query: TaskQuery, after: tuple[Any, ...], counted: int, at_most_sorted: int
    ) -> None:
        super().__init__(runner, query, after)
        self.counted = counted
        self.at_most_sorted = at_most_sorted
        self._rarity: dict[str, tuple[Any, ...]] = {}

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
                way = ["w.word = " + self._value("word", self._rarest_word()), "t.id = w.task_id"]
                others = self._words("w", "task_id", but=self._rarest_word())
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
        if self.by_end and columns[0] == "updated_at":
            return self._branches_of_ended(after)
        lead, checks = self._lead(columns[0], by_priority=bool(fixed))
        checks += self._words("t", "id") + self._ended_check()
        if columns[0] != "created_at":
            checks += self._created_check()
        ranges = self._after(after, [f"t.{column}" for column in columns]) + self._bounds(f"t.{columns[0]}")
        selected = ", ".join(f"t.{column}" for column in self.columns)
        return [
            f"SELECT {selected} FROM tasks t{where_all([*equal, *ranges, *checks])}"
            for equal in self._product("t", {**lead, **fixed})
        ]

    def _branches_of_ended(self, after: tuple[Any, ...]) -> list[str]:
        """In the order of changes: nearly all tasks change for the last time as they end.

        So a range of ends is one of changes, but for the others, which have an index of their own.
        """
        lead, checks = self._lead("updated_at", by_priority=False)
        checks += self._words("t", "id") + self._created_check()
        narrow = bool(self.query.statuses or self.query.kinds or lead.keys() - {"status", "kind"})
        at = "t.updated_at" if narrow else "t.ended_at"  # which are the same here
        other = "t.ended_at" if narrow else "t.updated_at"
        ranges = self._after(after, [at, "t.id"]) + self._range(at, "ended") + self._bounds(at)
        checks.append(f"{hide(other)} = {at}")
        found = [
            f"SELECT {at} AS updated_at, t.id FROM tasks t{where_all([*equal, *ranges, *checks])}"
            for equal in self._product("t", lead if narrow else {})
        ]
        late = [
            "t.updated_at <> t.ended_at",
            *self._after(after, ["t.updated_at", "t.id"]),
            *self._bounds("t.updated_at"),
        ]
        late += self._filters() + self._words("t", "id")
        return [*found, f"SELECT t.updated_at, t.id FROM tasks t{where_all(late)}"]

    def _lead(self, first: str, *, by_priority: bool) -> tuple[dict[str, tuple[Any, ...]], list[str]]:
        """The first columns of the index to take, and the checks of what it does not say."""
        query = self.query
        lead: dict[str, tuple[Any, ...]] = {}
        checks: list[str] = []
        if query.causes:
            lead["cause"] = query.causes
            if self.repositories and first != "priority" and not by_priority:
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
        word = self._rarest_word()
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
            f"SELECT {selected} FROM task_words w{where_all([*equal, *ranges, *checks])}"
            for equal in self._product("w", {**lead, **fixed})
        ]

    def _union(self, branches: Sequence[str], columns: tuple[str, ...], limit: int) -> Rows:
        order = f"ORDER BY {', '.join(column + self.direction for column in columns)} LIMIT {limit:d}"
        return self.runner.run(f"{' UNION ALL '.join(self._ended(branches, order))} {order}", self.values)

    def _ended(self, branches: Sequence[str], order: str) -> Sequence[str]:
        """SQLite merges branches as it reads them, Postgres only when each has an end."""
        return (
            branches if self.runner.is_sqlite else [f"(SELECT * FROM ({branch} {order}) AS b)" for branch in branches]
        )

    def _sorted(self, source: str, conditions: Sequence[str]) -> Rows:
        """A bounded number of rows, whatever their order."""
        after = self._after(self.after, [f"t.{column}" for column in self.columns], hidden=True)
        selected = ", ".join(f"{hide(f't.{column}')} AS {column}" for column in self.columns)
        order = ", ".join(column + self.direction for column in self.columns)
        rows = f"SELECT {selected} FROM {source}{where_all([*conditions, *after])}"
        return self.runner.run(f"{rows} ORDER BY {order} LIMIT {self.query.limit + 1:d}", self.values)

    # ── Which way ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _sortable(self) -> Iterator[tuple[str, int]]:
        """Ranges of time whose rows may be sorted, and how many at most: more where the order's own way is a long one.

        Nearly all tasks end and change soon after they are created. So who asks for the oldest of those that ended
        lately, or for the last changed of those created long ago, would have to look through most of them.
        """
        query, order = self.query, self.query.order
        if self.by_end and order is not SortOrder.CHANGED:
            late = query.ended_since is not None and order in {SortOrder.OLDEST, SortOrder.PRIORITY}
            yield "ended", self.at_most_sorted * FAR if late else self.at_most_sorted
        if query.created_until is not None and order is SortOrder.CHANGED:
            many = self.at_most_sorted * VERY_FAR
            between = [f"t.updated_at >= {self._moment(query.created_until)}"]
            if self.after:
                between.append(f"t.updated_at <= {self._value('after', self.after[0])}")
            is_far = self._count("tasks t", between, "t.updated_at", many) == many
            yield "created", many if is_far else self.at_most_sorted

    def _by_word(self) -> bool:
        """Whether the rarest word's rows are the shorter way."""
        if not self.words:
            return False
        query = self.query
        if self.columns[0] == "updated_at":
            return self._sorts_words()
        if not (query.statuses or query.causes or self.by_end):
            return True  # the word's own rows say the rest
        self._compare(with_filter=True)
        return self._rarity[self._rarest_word()] >= self._rarity[_FILTER]

    def _sorts_words(self) -> bool:
        """Whether to sort all rows of the rarest word is less than to look through tasks until a page has it."""
        this = [self._is_word(self._rarest_word())]
        limit = min(self.query.limit, self.counted)
        place = f"SELECT w.priority, w.created_at FROM task_words w{where_all(this)} ORDER BY w.priority, w.created_at"
        last = self.runner.run(f"{place} LIMIT 1 OFFSET {limit:d}", self.values)
        looked_through = self.counted
        if last:  # among so many tasks there is a page of them
            so_far = ", ".join(self._value("place", last[0][name]) for name in ("priority", "created_at"))
            up_to = [f"(t.priority, t.created_at) <= ({so_far})"]
            looked_through = self._count("tasks t", up_to, "t.priority, t.created_at", self.counted)
        count = self._count("task_words w", this, "w.priority", looked_through)
        return count < looked_through and self._filter_finds(count)

    def _rarest_word(self) -> str:
        """The rarest word of the question."""
        if len(self.words) > 1 and not self._rarity:
            self._compare(with_filter=False)
        return max(self.words, key=lambda word: self._rarity.get(word, ()))

    def _compare(self, *, with_filter: bool) -> None:
        """Learn which words are rarer than others, or than tasks of which the filter's own columns hold.

        Rows are passed over by priority, then time, as many of each: of rare ones that leads farther, so that frequent
        ones are told from each other without being counted. Of those that are fewer, the number says it.
        """
        depth = min(PROBED, self.counted)
        ways = {word: [f"task_words w WHERE {self._is_word(word)}"] for word in self.words}
        if with_filter:
            lead, _ = self._lead("created_at", by_priority=True)
            ways[_FILTER] = [f"tasks t{where_all(each)}" for each in self._product("t", lead)]
        names = list(ways)
        order = "ORDER BY priority, created_at LIMIT"
        probes = []
        for number, name in enumerate(names):
            branches = [f"SELECT {number:d} AS number, priority, created_at FROM {way}" for way in ways[name]]
            merged = " UNION ALL ".join(self._ended(branches, f"{order} {depth + 1:d}"))
            probes.append(f"SELECT c.* FROM ({merged} {order} 1 OFFSET {depth:d}) AS c")
        for row in self.runner.run(" UNION ALL ".join(probes), self.values):
            self._rarity[names[row["number"]]] = (0, row["priority"], row["created_at"])
        counts = [
            f"SELECT {number:d} AS number, count(*) AS n FROM (SELECT 1 AS one FROM {way} {order} {depth + 1:d}) AS c"
            for number, name in enumerate(names)
            if name not in self._rarity
            for way in ways[name]
        ]
        few: dict[str, int] = {}
        for row in self.runner.run(" UNION ALL ".join(counts), self.values) if counts else ():
            few[names[row["number"]]] = few.get(names[row["number"]], 0) + int(row["n"])
        self._rarity |= {name: (1, -count) for name, count in few.items()}

    def _filter_finds(self, count: int) -> bool:
        """Whether the tasks of which the filter's own columns hold are no fewer than that."""
        lead, _ = self._lead("created_at", by_priority=False)
        if not lead or not count:
            return True
        counts = [self._count_sql("tasks t", each, "t.created_at", count) for each in self._product("t", lead)]
        return sum(int(row["n"]) for row in self.runner.run(" UNION ALL ".join(counts), self.values)) >= count

    def _is_word(self, word: str) -> str:
        return f"w.word = {self._value('word', word)}"

    def _count(self, source: str, conditions: Sequence[str], along: str, most: int) -> int:
        return int(self.runner.run(self._count_sql(source, conditions, along, most), self.values)[0]["n"])

    def _count_sql(self, source: str, conditions: Sequence[str], along: str, most: int) -> str:
        # In the order of the index: else Postgres may read the table from its beginning until it has found enough.
        rows = f"SELECT 1 AS one FROM {source}{where_all(conditions)} ORDER BY {along} LIMIT {most:d}"
        return f"SELECT count(*) AS n FROM ({rows}) AS c"
