"""Builds the SQL of a list of tasks, which SQLite and Postgres both read, and asks for a page of ids.

The list of the command, changes of many tasks and exports all come here. Standard library only, so that
`squire tasks list` starts without SQLAlchemy; `task_query` says what can be asked. `docs/decisions` (0013) explains
why the index is chosen here and not by the databases' planners.
"""
# ruff: noqa: S608 - the texts put together are names of ours; every value is a parameter

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any

from squire_pipelines.domain.tenants import DEFAULT_TENANT
from squire_pipelines.ledger.task_query import (
    COLUMNS,
    DESCENDING,
    FINAL_STATUSES,
    KINDS,
    PRIORITIES,
    STATUSES,
    QueryRunner,
    SortOrder,
    TaskQuery,
    position,
    token,
)
from squire_pipelines.ledger.tenant_sql import is_of_tenant
from squire_pipelines.ledger.words import words_of

PROBED = 1_000
"""So many tasks are read in the list's order before another way to the same page is considered."""

MAX_SORTED = 50_000
"""A word or a range of time that matches more tasks than this is never read whole and sorted."""

SORTING_COST = 10
"""Reading a match and sorting it costs about as much as reading so many tasks in the order of an index."""

_FEW = 4
"""A tenant with more repositories has its tasks read along the index of all."""

# Until the end of the transaction. Postgres would take a filter for rare and read and sort the whole table, or compare
# each row of one side with each of the other; and what is forbidden it counts as expensive, which is no reason to
# compile the question. The ways do not depend on the values, so they are planned once and not for each page.
_FORBIDDEN = ("seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin", "material")
_PLANNER = {f"enable_{way}": "off" for way in _FORBIDDEN} | {
    "jit": "off",
    "max_parallel_workers_per_gather": "0",  # starting them takes longer than a page
    "plan_cache_mode": "force_generic_plan",
}
_SET = "SELECT " + ", ".join(f"set_config('{name}', '{value}', true) AS {name}" for name, value in _PLANNER.items())
_SET_BITMAPS = "SELECT set_config('enable_bitmapscan', :value, true), set_config('enable_sort', :value, true)"
_TITLE_VECTOR = "array_to_tsvector(string_to_array(t.title_words, ' '))"
"""The expression of the index `ix_tasks_title_words` on Postgres."""

Rows = Sequence[Mapping[str, Any]]
_Place = tuple[Any, ...]
"""The order's columns of a row of the list, or nothing."""


def read_ids(
    runner: QueryRunner, query: TaskQuery, *, probed: int = PROBED, max_sorted: int = MAX_SORTED
) -> tuple[list[str], str | None]:
    """Return the ids of a page in its order, and the `after` of the next page (None at the end).

    Following `after` gives each task once that was there from the first page on, whatever is added meanwhile; in the
    order of changes, a task that changes meanwhile moves to the front.

    `probed` and `max_sorted` choose between ways to the same answer; only tests pass them.

    Raises:
        NotFoundError: `after` is the id of no task.
        PagePositionError: `after` belongs to another order.
    """
    if not runner.is_sqlite:
        runner.run(_SET, {})
    rows = _Page(runner, query, probed, max_sorted).rows()
    page = rows[: query.limit]
    return [row["id"] for row in page], token(query.order, page[-1]) if len(rows) > query.limit else None


@dataclass(frozen=True, slots=True)
class _Matches:
    """What one condition matches, along an index of its own, and how to get from there to the rows of `tasks`."""

    source: str
    condition: str
    order: str = ""
    join: str = ""

    @property
    def is_words(self) -> bool:
        """Return whether the condition is that of the words, which needs no other look at the title."""
        return not self.order


class _Page:
    """One question: its conditions and parameters, and the ways to its rows."""

    def __init__(self, runner: QueryRunner, query: TaskQuery, probed: int, max_sorted: int) -> None:
        self.runner = runner
        self.query = query
        self.probed = probed
        self.max_sorted = max_sorted
        self.columns = COLUMNS[query.order]
        self.sign, self.direction = ("<", " DESC") if query.order in DESCENDING else (">", "")
        self.after = position(runner, query)
        self.limit = query.limit + 1  # the last one tells that there is a next page
        self.values: dict[str, Any] = {}
        self.words = words_of(query.text)
        self.has_end = bool(query.ended_since or query.ended_until)
        self.by_change = query.order is SortOrder.CHANGED
        self.whose = [is_of_tenant(query.tenant, "t.repository", "t.ended_at")] if query.tenant else []
        equal = {
            "repository": _spellings(runner, query.repository) if query.repository else _few_of(runner, query.tenant),
            "status": query.statuses,
            "kind": query.kinds,
            "cause": query.causes,
        }
        self.equal = {name: tuple(dict.fromkeys(values)) for name, values in equal.items() if values}

    def rows(self) -> Rows:
        """Return the page and one row more, in order.

        The list's order is that of an index, which also has the columns of equal values. Words and most ranges of time
        are no part of it: where few of the first tasks match, it may be shorter to read all that match and sort them.
        """
        query = self.query
        is_wordless = bool(query.text.strip()) and not self.words
        never_ended = self.has_end and query.statuses and not set(query.statuses) & set(FINAL_STATUSES)
        if is_wordless or never_ended or (query.repository and "repository" not in self.equal):
            return ()
        unindexed = [*self.whose, *self._words(), *(self._created() if self.by_change else self._ended())]
        if not unindexed:
            return self._walk((), self.after)
        end = self._place_of(self.probed)
        rows = self._walk(unindexed, self.after, end)
        if len(rows) >= self.limit or not end:
            return rows
        if 2 * len(rows) < self.limit and (matches := self._fewest(len(rows))) is not None:
            return self._sorted(matches)
        return [*rows, *self._walk(unindexed, end, missing=self.limit - len(rows))]

    # ── Ways ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _walk(
        self, conditions: Sequence[str], after: _Place, up_to: _Place = (), *, missing: int | None = None
    ) -> Rows:
        """Return the tasks between two places that meet `conditions`, in the list's order, until the page is full."""
        missing = self.limit if missing is None else missing
        rows: list[Mapping[str, Any]] = []
        for columns, branches in self._branches(conditions, after, up_to):
            rows += self._run(self._union(branches, columns, missing - len(rows)))
            if len(rows) == missing:
                break
        return rows

    def _place_of(self, number: int) -> _Place:
        """Return the place of the task with this number in the list's order, none when there are fewer."""
        for columns, branches in self._branches((), self.after):
            order = self._order(columns, "" if self.direction else " DESC")
            first = f"SELECT p.*, count(*) OVER () AS n FROM ({self._union(branches, columns, number)}) AS p"
            for row in self._run(f"{first} ORDER BY {order} LIMIT 1"):
                number -= row["n"]
                if number == 0:
                    return tuple(row[column] for column in self.columns)
        return ()

    def _fewest(self, seen: int) -> _Matches | None:
        """Return the condition that matches the fewest tasks, if to sort these is less than to read on in order.

        `seen` is how many matched among the first `probed` tasks.
        """
        expected = self.probed * self.limit // seen if seen else self.max_sorted * SORTING_COST
        most = min(expected // SORTING_COST, self.max_sorted)
        fewest = None
        self._allow_bitmaps("on")
        for matches in self._each_matches():
            rows = f"SELECT 1 AS one FROM {matches.source} WHERE {matches.condition}{matches.order} LIMIT {most:d}"
            count = int(self._run(f"SELECT count(*) AS n FROM ({rows}) AS c")[0]["n"])
            if count < most:
                fewest, most = matches, count
        if fewest is None:
            self._allow_bitmaps("off")
        return fewest

    def _each_matches(self) -> Iterator[_Matches]:
        if self.words and self.runner.is_sqlite:
            quoted = " AND ".join(f'"{word}"' for word in self.words)
            search = self._value("search", f"words : ({quoted})")
            yield _Matches(
                "task_search s", f"s.task_search MATCH {search}", join=" CROSS JOIN tasks t ON t.id = s.task_id"
            )
        elif self.words:
            search = self._value("search", " & ".join(f"'{word}'" for word in self.words))
            yield _Matches("tasks t", f"{_TITLE_VECTOR} @@ CAST({search} AS tsquery)")
        for name in ("created_at", "ended_at"):
            # In the order of the index: else Postgres may read the table until it has counted enough.
            if conditions := self._range(f"t.{name}", name):
                yield _Matches("tasks t", " AND ".join(conditions), order=f" ORDER BY t.{name}")

    def _sorted(self, matches: _Matches) -> Rows:
        after = self._beyond(self.after, [_hide(f"t.{column}") for column in self.columns])
        words = () if matches.is_words else self._words()
        conditions = [
            matches.condition,
            *self._checks(self.equal),
            *self._created(),
            *self._ended(),
            *words,
            *self.whose,
            *after,
        ]
        selected = ", ".join(f"{_hide(f't.{column}')} AS {column}" for column in self.columns)
        rows = f"SELECT {selected} FROM {matches.source}{matches.join} WHERE {' AND '.join(conditions)}"
        return self._run(f"{rows} ORDER BY {self._order(self.columns)} LIMIT {self.limit:d}")

    def _branches(
        self, conditions: Sequence[str], after: _Place, up_to: _Place = ()
    ) -> Iterator[tuple[Sequence[str], list[str]]]:
        """Yield SELECTs of which each reads along one index, and the columns of the order in which to merge them."""
        bounds = self._bounds()
        if not bounds or self.query.order is not SortOrder.PRIORITY:
            places = self._beyond(after, self.columns) + self._beyond(up_to, self.columns, is_end=True)
            yield self.columns, self._selects({}, [*bounds, *places, *conditions])
            return
        for priority in PRIORITIES:  # the index has the times below each priority
            if (after and priority < after[0]) or (up_to and priority > up_to[0]):
                continue
            start = after[1:] if after and priority == after[0] else ()
            end = up_to[1:] if up_to and priority == up_to[0] else ()
            places = self._beyond(start, self.columns[1:]) + self._beyond(end, self.columns[1:], is_end=True)
            yield self.columns[1:], self._selects({"priority": (priority,)}, [*bounds, *places, *conditions])

    def _selects(self, fixed: Mapping[str, Sequence[Any]], conditions: Sequence[str]) -> list[str]:
        """Return a SELECT for each combination of the values that an index begins with."""
        select = f"SELECT {', '.join(f't.{column}' for column in self.columns)} FROM tasks t"
        lead, checks = self._lead()
        selects = []
        if self.by_change and self.has_end:
            # Nearly all tasks change for the last time as they end: a range of ends is one of changes. The few others
            # have an index of their own.
            late = ["t.updated_at <> t.ended_at", *conditions, *self._checks(self.equal), *self._ended()]
            selects.append(select + _where(late))
            checks += [*self._range("t.updated_at", "ended_at"), f"{_hide('t.ended_at')} = t.updated_at"]
        for values in product(*lead.values(), *fixed.values()):
            equal = zip((*lead, *fixed), values, strict=True)
            first = [f"t.{name} = {self._value(name, value)}" for name, value in equal]
            selects.append(select + _where([*first, *conditions, *checks]))
        return selects

    def _lead(self) -> tuple[dict[str, Sequence[Any]], list[str]]:
        """Return the columns of equal values that the index begins with, and the checks of those that it has not."""
        is_priority = self.query.order is SortOrder.PRIORITY
        lead: dict[str, Sequence[Any]] = {}
        names: tuple[str, ...] = ("repository",)
        if "cause" in self.equal:
            names = ("cause",) if is_priority else ("repository", "cause")
        elif self.equal.keys() & {"status", "kind"} or (self.by_change and "repository" in self.equal):
            names = ("repository", "status", "kind")
            lead = {"status": STATUSES, "kind": KINDS}
        lead |= {name: self.equal[name] for name in names if name in self.equal}
        return lead, self._checks({name: values for name, values in self.equal.items() if name not in lead})

    def _union(self, branches: Sequence[str], columns: Sequence[str], limit: int) -> str:
        order = f"ORDER BY {self._order(columns)} LIMIT {limit:d}"
        if not self.runner.is_sqlite:  # which merges branches as it reads them, Postgres only when each has an end
            branches = [f"(SELECT * FROM ({branch} {order}) AS b)" for branch in branches]
        return f"{' UNION ALL '.join(branches)} {order}"

    # ── Conditions ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _checks(self, equal: Mapping[str, Sequence[Any]]) -> list[str]:
        return [
            f"{_hide(f't.{name}')} IN ({', '.join(self._value(name, value) for value in values)})"
            for name, values in equal.items()
        ]

    def _words(self) -> list[str]:
        return [f"(' ' || t.title_words || ' ') LIKE {self._value('word', f'% {word} %')}" for word in self.words]

    def _beyond(self, place: _Place, columns: Sequence[str], *, is_end: bool = False) -> list[str]:
        """Return the condition that a row comes behind `place`, or with `is_end` that it does not."""
        if not place:
            return []
        sign = {"<": ">=", ">": "<="}[self.sign] if is_end else self.sign
        values = ", ".join(self._value("place", value) for value in place)
        return [f"({', '.join(columns)}) {sign} ({values})"]

    def _bounds(self) -> list[str]:
        """Return what the ranges say of the order's time: no task ends or changes before it is created."""
        query = self.query
        if self.by_change:
            since = [moment for moment in (query.created_since, query.ended_since) if moment]
            return [f"t.updated_at >= {self._moment(max(since))}"] if since else []
        until = [f"t.created_at <= {self._moment(query.ended_until)}"] if query.ended_until else []
        return self._range("t.created_at", "created_at") + until

    def _created(self) -> list[str]:
        return self._range(_hide("t.created_at"), "created_at")

    def _ended(self) -> list[str]:
        return self._range(_hide("t.ended_at"), "ended_at")

    def _range(self, expression: str, column: str) -> list[str]:
        name = column.removesuffix("_at")
        since, until = getattr(self.query, f"{name}_since"), getattr(self.query, f"{name}_until")
        conditions = [f"{expression} >= {self._moment(since)}"] if since else []
        return [*conditions, f"{expression} < {self._moment(until)}"] if until else conditions

    def _moment(self, value: datetime) -> str:
        return self._value("moment", self.runner.moment(value))

    def _value(self, name: str, value: Any) -> str:
        """Return the name of a parameter with this value; the same question always has the same names."""
        for number in range(len(self.values) + 1):
            key = f"{name}_{number}"
            if self.values.setdefault(key, value) == value:
                return f":{key}"
        raise AssertionError(name)  # one of the numbers is free

    # ── Running ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _order(self, columns: Sequence[str], direction: str | None = None) -> str:
        return ", ".join(column + (self.direction if direction is None else direction) for column in columns)

    def _run(self, sql: str) -> Rows:
        return self.runner.run(sql, self.values)

    def _allow_bitmaps(self, value: str) -> None:
        """Let Postgres use bitmaps, which is the only way to read the index of words."""
        if not self.runner.is_sqlite:
            self.runner.run(_SET_BITMAPS, {"value": value})


def _hide(column: str) -> str:
    """Return an expression for a column's value of which a planner does not know that an index has it."""
    return f"coalesce({column}, {column})"


def _where(conditions: Sequence[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _few_of(runner: QueryRunner, tenant: str | None) -> tuple[str, ...]:
    """Return the repositories that are or were a tenant's, where they are so few that an index is read for each.

    A tenant that never had one has no name there that any repository could have.
    """
    if tenant is None or tenant == DEFAULT_TENANT:
        return ()
    rows = runner.run(
        f"SELECT DISTINCT repository FROM repository_tenants WHERE tenant = :tenant LIMIT {_FEW + 1:d}",
        {"tenant": tenant},
    )
    return tuple(row["repository"] for row in rows) or ("",) if len(rows) <= _FEW else ()


def _spellings(runner: QueryRunner, repository: str | None) -> tuple[str, ...]:
    """Return the repository's name as the ledger has it: GitHub's names are the same in any case."""
    if not repository:
        return ()
    same = "SELECT repository FROM tasks WHERE repository = :name ORDER BY created_at LIMIT 1"
    if runner.run(same, {"name": repository}):
        return (repository,)
    # From name to name along the index, instead of from task to task.
    rows = runner.run(
        "WITH RECURSIVE names(name) AS (SELECT min(repository) FROM tasks UNION ALL "
        "SELECT (SELECT min(t.repository) FROM tasks t WHERE t.repository > names.name) "
        "FROM names WHERE names.name IS NOT NULL) SELECT name FROM names WHERE lower(name) = :name",
        {"name": repository.lower()},
    )
    return tuple(row["name"] for row in rows)
