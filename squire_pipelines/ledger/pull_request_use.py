"""Which pull requests count towards a repository's caps, and which tasks add to one that is open already.

Standard library only, as all that `squire tasks list` needs. Dispatch reads the same while it holds its lock.
"""
# ruff: noqa: S608 - the texts put together are names of ours; every value is a parameter

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from squire_pipelines.domain.queue_rules import WINDOW, PullRequestUse
from squire_pipelines.ledger.task_query import QueryRunner

MAX_NEW = 1_000
"""So many new pull requests of a repository's last hour are read."""


def has_pull_request(task: str, *states: str) -> str:
    """Return the condition that a task has a pull request in one of these states, of its own or one that it adds to.

    A follow-up adds to that of the task whose branch is its base. The inner questions are the same for each row, so
    that a database answers them once, however long the queue is.

    Args:
        task: The name of the task's table in the statement.
        states: Of a pull request.
    """
    named = ", ".join(f"'{state}'" for state in states)
    return (
        f"({task}.id IN (SELECT task_id FROM outcomes WHERE state IN ({named})) "
        f"OR ({task}.repository, {task}.base_branch) IN (SELECT opener.repository, opener.branch FROM outcomes o "
        f"JOIN tasks opener ON opener.id = o.task_id WHERE o.state IN ({named})))"
    )


def read_use(runner: QueryRunner, repositories: Sequence[str], *, now: datetime) -> dict[str, PullRequestUse]:
    """Return what counts in each of these repositories."""
    names = list(dict.fromkeys(repositories))
    if not names:
        return {}
    open_ones = _count(runner, "o.repository", "FROM outcomes o WHERE o.state = 'open'", names)
    under_way = _count(
        runner,
        "a.repository",
        "FROM attempts a JOIN tasks t ON t.id = a.task_id "
        f"WHERE a.status <> 'ended' AND NOT {has_pull_request('t', 'open')}",
        names,
    )
    condition, values = runner.among("repository", names)
    since = runner.moment(now - WINDOW)
    rows = runner.run(
        "SELECT repository, opened_at FROM outcomes WHERE updated_at > :since AND opened_at > :since "
        f"AND {condition} ORDER BY opened_at LIMIT {MAX_NEW * len(names)}",
        {**values, "since": since},
    )
    opened: dict[str, list[datetime]] = {}
    for row in rows:
        opened.setdefault(row["repository"], []).append(_moment(row["opened_at"]))
    return {
        name: PullRequestUse(open_ones.get(name, 0), under_way.get(name, 0), tuple(opened.get(name, ())))
        for name in names
    }


def _count(runner: QueryRunner, column: str, rest: str, names: Sequence[str]) -> dict[str, int]:
    condition, values = runner.among(column, names)
    sql = f"SELECT {column} AS repository, count(*) AS number {rest} AND {condition} GROUP BY {column}"
    return {row["repository"]: row["number"] for row in runner.run(sql, values)}


def _moment(value: Any) -> datetime:
    moment: datetime = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment.astimezone(UTC)
