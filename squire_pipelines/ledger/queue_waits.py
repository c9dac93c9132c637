"""What ready tasks wait for by the settings: dependencies that have to be merged, caps on pull requests, budgets.

What needs no settings is in `waiting`. Dispatch obeys the same rules, see `due_tasks`.
"""
# ruff: noqa: S608 - the texts put together are names of ours; every value is a parameter

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import select

from squire_pipelines.domain.budgets import renewed_at
from squire_pipelines.domain.queue_rules import CapReached, PullRequestUse, QueueRules, cap_reached, pull_request_room
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger import budgets
from squire_pipelines.ledger.breakers import read_tripped
from squire_pipelines.ledger.pull_request_use import has_pull_request, read_use
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import tasks
from squire_pipelines.ledger.task_query import QueryRunner
from squire_pipelines.ledger.waiting import Wait, WaitKind

RulesOf = Callable[[str], QueueRules]


def ready_rules(tx: Transaction, rules_of: RulesOf) -> dict[str, QueueRules]:
    """Return the rules of each repository that has ready tasks."""
    names = tx.execute(select(tasks.c.repository).where(tasks.c.status == TaskStatus.READY).distinct()).scalars()
    return {name: rules_of(name) for name in names.all()}


def read_room(tx: Transaction, rules: Mapping[str, QueueRules]) -> dict[str, int]:
    """Return how many attempts that may open a pull request can start in each repository that has caps."""
    uses = read_use(tx.query_runner(), [name for name, rule in rules.items() if rule.caps is not None], now=tx.now)
    return {
        name: pull_request_room(caps, use, tx.now)
        for name, use in uses.items()
        if (caps := rules[name].caps) is not None
    }


def read_caps(tx: Transaction, rules: Mapping[str, QueueRules]) -> dict[str, CapReached]:
    """Return the cap that leaves no room, for each of these repositories in which one does."""
    uses = read_use(tx.query_runner(), list(rules), now=tx.now)
    reached = {name: _cap(rules[name], use, tx) for name, use in uses.items()}
    return {name: cap for name, cap in reached.items() if cap is not None}


def _cap(rules: QueueRules, use: PullRequestUse, tx: Transaction) -> CapReached | None:
    return None if rules.caps is None else cap_reached(rules.caps, use, tx.now)


def read_waits(
    tx: Transaction,
    repositories: Mapping[str, str],
    rules_of: RulesOf,
    limits_of: budgets.LimitsOf,
) -> dict[str, Wait]:
    """Return what tasks wait for by the settings, of those that wait for nothing else.

    Args:
        tx: The transaction.
        repositories: The repository of each task, by the task's id.
        rules_of: What holds in a repository.
        limits_of: Its budgets.
    """
    if not repositories:
        return {}
    rules = {name: rules_of(name) for name in dict.fromkeys(repositories.values())}
    caps = read_caps(tx, rules)
    runner = tx.query_runner()
    merging = [task_id for task_id, name in repositories.items() if rules[name].wait_for_merge]
    unmerged = _read_unmerged(runner, merging)
    capped = _read_opening(runner, [task_id for task_id, name in repositories.items() if name in caps])
    blocks = budgets.blocked_by_budget(tx, limits_of)
    tripped_tasks = read_tripped(tx, {task_id: rules[name] for task_id, name in repositories.items()}, repositories)
    waits = {}
    for task_id, name in repositories.items():
        if task_id in unmerged:
            waits[task_id] = Wait(WaitKind.DEPENDENCY, f"depends on the merge of {', '.join(unmerged[task_id])}")
        elif task_id in capped:
            waits[task_id] = Wait(WaitKind.CAP, str(caps[name]), caps[name].frees_at)
        elif (trip := tripped_tasks.get(task_id)) is not None:
            waits[task_id] = Wait(WaitKind.BREAKER, str(trip), trip.until)
        elif (shortage := blocks.why(name, task_id)) is not None:
            waits[task_id] = Wait(WaitKind.BUDGET, str(shortage), renewed_at(shortage.scope, tx.now))
    return waits


def _read_unmerged(runner: QueryRunner, ids: Sequence[str]) -> dict[str, list[str]]:
    """Return, for each of these tasks that has any, those which it depends on whose pull request is still open."""
    if not ids:
        return {}
    condition, values = runner.among("d.task_id", ids)
    rows = runner.run(
        "SELECT d.task_id, d.depends_on FROM task_dependencies d JOIN tasks t ON t.id = d.depends_on "
        f"WHERE {has_pull_request('t', 'open')} AND {condition} ORDER BY d.depends_on",
        values,
    )
    unmerged: dict[str, list[str]] = {}
    for row in rows:
        unmerged.setdefault(row["task_id"], []).append(row["depends_on"])
    return unmerged


def _read_opening(runner: QueryRunner, ids: Sequence[str]) -> frozenset[str]:
    """Return those of these tasks that would open a pull request, and that no person has told to start all the same."""
    if not ids:
        return frozenset()
    condition, values = runner.among("t.id", ids)
    rows = runner.run(
        f"SELECT t.id FROM tasks t WHERE t.start_requested_at IS NULL AND NOT {has_pull_request('t', 'open')} "
        f"AND {condition}",
        values,
    )
    return frozenset(row["id"] for row in rows)
