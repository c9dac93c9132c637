"""What a repository's dashboard shows: read from the ledger, with the reasons that `squire tasks list` gives."""

from collections.abc import Sequence

from sqlalchemy import func, select

from squire_pipelines.domain.dashboards import BoxAction
from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger import collections, tasks
from squire_pipelines.ledger.list_sql import read_ids
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import outcomes as outcome_table
from squire_pipelines.ledger.tables import tasks as task_table
from squire_pipelines.ledger.task_query import SortOrder, TaskQuery
from squire_pipelines.ledger.tasks import Task
from squire_pipelines.ledger.waiting import WaitKind
from squire_pipelines.publishing.dashboard_words import DashboardItem, DashboardSection
from squire_pipelines.settings.model import Settings

_SHOWN = 40
"""So many of a section are read; the others are counted."""

_TO_START = (BoxAction.RUN, BoxAction.STOP)


def dashboard_sections(tx: Transaction, settings: Settings, repository: str) -> tuple[DashboardSection, ...]:
    """Return the sections of a repository's dashboard. `settings` are those that hold there."""
    proposed, ready = _tasks(tx, repository, TaskStatus.PROPOSED), _tasks(tx, repository, TaskStatus.READY)
    waits = {task.id: _wait(tx, settings, task) for task in ready}
    capped = [task for task in ready if waits[task.id][0] is WaitKind.CAP]
    others = [task for task in ready if waits[task.id][0] is not WaitKind.CAP]
    count = {status: _count(tx, repository, status) for status in TaskStatus}
    unread = count[TaskStatus.READY] - len(ready)
    return (
        _pulls(tx, repository),
        _section("Running", _tasks(tx, repository, TaskStatus.RUNNING), count[TaskStatus.RUNNING], (BoxAction.STOP,)),
        _section("Waiting for approval", proposed, count[TaskStatus.PROPOSED], _TO_START),
        DashboardSection("Waiting", [_item(one, waits[one.id][1], _TO_START) for one in others], len(others) + unread),
        DashboardSection(
            "Held back by a cap", [_item(one, waits[one.id][1], _TO_START) for one in capped], len(capped)
        ),
        _held_signals(tx, repository),
        _section("Failed", _tasks(tx, repository, TaskStatus.FAILED), count[TaskStatus.FAILED], (BoxAction.RETRY,)),
    )


def _pulls(tx: Transaction, repository: str) -> DashboardSection:
    column = outcome_table.c
    is_open = (column.repository == repository, column.state == PullRequestState.OPEN)
    columns = (column.task_id, column.pr_number, column.follow_state, column.follow_reason, task_table.c.title)
    query = select(*columns).join(task_table, task_table.c.id == column.task_id).where(*is_open)
    items = []
    for row in tx.execute(query.order_by(column.pr_number).limit(_SHOWN)):
        state = (row.follow_state or "").replace("_", " ")
        note = f"{state}: {row.follow_reason}" if row.follow_reason else state
        actions = (BoxAction.RETRY,) if row.follow_state == FollowState.HANDED_OVER else ()
        items.append(DashboardItem(f"#{row.pr_number}", row.title, note, row.task_id, actions))
    total = tx.execute(select(func.count()).select_from(outcome_table).where(*is_open)).scalar_one()
    return DashboardSection("Open pull requests", items, int(total))


def _held_signals(tx: Transaction, repository: str) -> DashboardSection:
    """Return the facts that start no work before a person lets them."""
    items = [
        DashboardItem(signal.ref, signal.title, signal.verdict.reason)
        for signal in collections.active_signals(tx, repository)
        if signal.verdict is not None and not signal.verdict.may_start
    ]
    return DashboardSection("Held", items[:_SHOWN], len(items))


def _tasks(tx: Transaction, repository: str, status: TaskStatus) -> list[Task]:
    order = SortOrder.NEWEST if status.is_final else SortOrder.PRIORITY
    query = TaskQuery(repository=repository, statuses=(status.value,), order=order, limit=_SHOWN)
    return [tasks.get(tx, task_id) for task_id in read_ids(tx.query_runner(), query)[0]]


def _count(tx: Transaction, repository: str, status: TaskStatus) -> int:
    query = select(func.count()).select_from(task_table)
    return int(
        tx.execute(query.where(task_table.c.repository == repository, task_table.c.status == status)).scalar_one()
    )


def _wait(tx: Transaction, settings: Settings, task: Task) -> tuple[WaitKind | None, str]:
    limits, rules = settings.budgets_for(task.repository), settings.dispatch.queue_rules
    wait = tasks.waiting_reason(tx, task, limits, rules)
    return (wait.kind, f"waits for {wait.text}") if wait is not None else (None, "")


def _section(heading: str, shown: Sequence[Task], total: int, actions: tuple[BoxAction, ...]) -> DashboardSection:
    return DashboardSection(heading, [_item(task, _note(task), actions) for task in shown], total)


def _item(task: Task, note: str, actions: tuple[BoxAction, ...]) -> DashboardItem:
    return DashboardItem(task.id, task.title, note, task.id, actions)


def _note(task: Task) -> str:
    """Return why a task failed; its cause alone, since a message may name folders of the host."""
    return str(task.cause or "") if task.status is TaskStatus.FAILED else ""
