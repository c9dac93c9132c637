"""What people decide in comments about work that is planned or under way: approve, reject, stop, retry, hold.

Each is about the task that the command names, else about the newest one of the issue or pull request with the comment.
"""

import re

from squire_pipelines.domain.commands import CommandName
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.signals import SignalKind
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import NotFoundError, RefusedError
from squire_pipelines.execution.given_command import GivenCommand
from squire_pipelines.execution.requests import repeat_task
from squire_pipelines.ledger import bulk, decisions, outcomes, tasks
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.task_signals import newest_task_of
from squire_pipelines.ledger.tasks import Task
from squire_pipelines.settings.model import Settings

_TASK_ID = re.compile(r"t(?=[a-z]*\d)[0-9a-z]{12,31}")


def decide(tx: Transaction, settings: Settings, order: GivenCommand) -> str | None:
    """Do what a command other than `do` asks for; return why not where that cannot be."""
    if order.command.name is CommandName.HOLD:
        return _hold(tx, order)
    if order.command.name is CommandName.RELEASE:
        return "a release is about a text that was read: set the release label, or run `squire signals release`"
    try:
        task, words = _task_of(tx, order)
    except NotFoundError as error:
        return error.message
    # A delivery may come late, or once more: a word is about what its author could see.
    if order.comment.created_at is None or task.created_at > order.comment.created_at:
        return f"the task {task.id} came after the comment"
    return _change(tx, settings, order, task, words)


def _change(tx: Transaction, settings: Settings, order: GivenCommand, task: Task, words: str) -> str | None:
    match order.command.name:
        case CommandName.APPROVE:
            change = bulk.approve()
        case CommandName.REJECT:
            change = bulk.reject(words or "rejected in a comment")
        case CommandName.STOP:
            change = bulk.cancel(words or "stopped in a comment")
        case _:
            outcome = outcomes.get(tx, task.id)
            if task.status is TaskStatus.SUCCEEDED and outcome is not None and outcome.state == PullRequestState.CLOSED:
                place = order.comment.url
                repeat_task(tx, settings, task.id, actor=order.actor, place=place, trace_id=order.trace_id)
                return None
            change = bulk.retry(settings.dispatch.max_attempts)
    report = bulk.bulk_update(tx, (task.id,), change, actor=order.actor, trace_id=order.trace_id)
    return report.unmatched[0].reason if report.unmatched else None


def _task_of(tx: Transaction, order: GivenCommand) -> tuple[Task, str]:
    """Return the task that a command is about, and its words but for the task's id. Raises NotFoundError."""
    comment, words = order.comment, order.command.text
    name, _, rest = words.partition(" ")
    if _TASK_ID.fullmatch(name):
        task = tasks.get(tx, name)
        if task.repository.casefold() != order.repository.casefold():  # who may write here decides about no other one
            raise NotFoundError(f"there is no task {name!r} of {order.repository}")
        return task, rest.strip()
    if comment.on_pull_request:
        task_id = outcomes.task_of_number(tx, order.repository, comment.number)
    else:
        task_id = newest_task_of(tx, order.repository, SignalKind.OPEN_ISSUE, str(comment.number))
    if task_id is None:
        raise NotFoundError("there is no task of it")
    return tasks.get(tx, task_id), words


def _hold(tx: Transaction, order: GivenCommand) -> str | None:
    """Let the issue or pull request start no work."""
    kind = SignalKind.OPEN_PR if order.comment.on_pull_request else SignalKind.OPEN_ISSUE
    try:
        stored = decisions.find(tx, f"{kind}:{order.comment.number}", repository=order.repository)
        reason = order.command.text
        decisions.decide(tx, stored, release=False, actor=order.actor, reason=reason, trace_id=order.trace_id)
    except (NotFoundError, RefusedError) as error:
        return error.message
    return None
