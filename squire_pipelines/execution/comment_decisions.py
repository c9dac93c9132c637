"""What people decide in comments about work that is planned or under way: approve, reject, stop, retry, hold.

Each is about the task that the command names, else about the newest one of the issue or pull request with the comment.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from squire_pipelines.domain.commands import CommandName
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.requests import is_operator
from squire_pipelines.domain.signals import SignalKind
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import NotFoundError, RefusedError
from squire_pipelines.execution.given_command import GivenCommand
from squire_pipelines.execution.requests import repeat_task
from squire_pipelines.ledger import bulk, decisions, followed_pulls, outcomes, tasks
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.task_signals import newest_task_of
from squire_pipelines.ledger.tasks import Task, TaskEvent
from squire_pipelines.settings.model import Settings

# A word that begins as ids do and is too short for one was cut: it must not be taken for words about another task.
_TASK_ID = re.compile(r"t(?=[a-z]*\d)[0-9a-z]{12,31}|t\d[0-9a-z]{4,}")
_AROUND_ID = "`'\"*_.,:;()[]<>"


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
    history = [event for event in tasks.events(tx, task.id) if event.subject == EventSubject.TASK]
    if any(event.at > order.comment.created_at and is_operator(event.actor) for event in history):
        return f"somebody who runs Squire decided about the task {task.id} after the comment"
    return _change(tx, settings, order, task, words, history=history)


def _change(
    tx: Transaction, settings: Settings, order: GivenCommand, task: Task, words: str, *, history: Sequence[TaskEvent]
) -> str | None:
    match order.command.name:
        case CommandName.APPROVE:
            change = bulk.approve()
        case CommandName.REJECT:
            change = bulk.reject(words or "rejected in a comment")
        case CommandName.STOP:
            change = bulk.cancel(words or "stopped in a comment")
        case _:
            if task.status is TaskStatus.SUCCEEDED and _is_closed(tx, task.id):
                return _repeat(tx, settings, order, task)
            if _take_up(tx, order):
                return None
            change = bulk.retry(settings.dispatch.max_attempts)
    change = replace(change, reason=f"{change.reason} (asked for in {order.comment.url})")
    # A delivery may be read twice, and what came of the task in between is not what the comment was about.
    if any(event.actor == order.actor and event.reason.endswith(change.reason) for event in history):
        return None
    report = bulk.bulk_update(tx, (task.id,), change, actor=order.actor, trace_id=order.trace_id)
    return report.unmatched[0].reason if report.unmatched else None


def _is_closed(tx: Transaction, task_id: str) -> bool:
    outcome = outcomes.get(tx, task_id)
    return outcome is not None and outcome.state == PullRequestState.CLOSED


def _take_up(tx: Transaction, order: GivenCommand) -> bool:
    """Follow the comment's pull request again where it was left to people; return whether it was."""
    comment = order.comment
    owner = outcomes.task_of_number(tx, order.repository, comment.number) if comment.on_pull_request else None
    if owner is None:
        return False
    reason = f"asked for in {comment.url}"
    # A delivery may be read twice, and the pull request may have been left to people once more since.
    done = any((event.actor, event.reason) == (order.actor, reason) for event in tasks.events(tx, owner))
    return done or followed_pulls.take_up(tx, owner, actor=order.actor, reason=reason)


def _repeat(tx: Transaction, settings: Settings, order: GivenCommand, task: Task) -> str | None:
    """Have a task done anew whose pull request was closed; return why not where that was done for another comment."""
    place = order.comment.url
    again = repeat_task(tx, settings, task.id, actor=order.actor, place=place, trace_id=order.trace_id)
    if again.is_new or any(event.reason.startswith(f"asked for in {place}") for event in tasks.events(tx, again.id)):
        return None
    return f"the task {again.id} does that of {task.id} again: name it to have it done once more"


def _task_of(tx: Transaction, order: GivenCommand) -> tuple[Task, str]:
    """Return the task that a command is about, and its words but for the task's id. Raises NotFoundError."""
    comment, words = order.comment, order.command.text
    first, *further = words.split(maxsplit=1)[:2] or [""]
    name = first.strip(_AROUND_ID).lower()
    if _TASK_ID.fullmatch(name):
        task = tasks.get(tx, name)
        if task.repository.casefold() != order.repository.casefold():  # who may write here decides about no other one
            raise NotFoundError(f"there is no task {name!r} of {order.repository}")
        return task, "".join(further)
    if comment.on_pull_request:
        task_id = _task_of_pull_request(tx, order)
    else:
        task_id = newest_task_of(tx, order.repository, SignalKind.OPEN_ISSUE, str(comment.number))
    if task_id is None:
        raise NotFoundError("there is no task of it")
    return tasks.get(tx, task_id), words


def _task_of_pull_request(tx: Transaction, order: GivenCommand) -> str | None:
    """Return the newest task of a pull request: the one that opened it, or one that was ordered on it."""
    number = order.comment.number
    opened_by = outcomes.task_of_number(tx, order.repository, number)
    ordered = newest_task_of(tx, order.repository, SignalKind.OPEN_PR, str(number))
    if opened_by is None or ordered is None:
        return opened_by or ordered
    if order.command.name is CommandName.RETRY and _is_closed(tx, opened_by):
        return opened_by  # what was refused is the whole of it
    return ordered


def _hold(tx: Transaction, order: GivenCommand) -> str | None:
    """Let the issue or pull request start no work."""
    kind = SignalKind.OPEN_PR if order.comment.on_pull_request else SignalKind.OPEN_ISSUE
    try:
        stored = decisions.find(tx, f"{kind}:{order.comment.number}", repository=order.repository)
        made_at = order.comment.created_at
        if made_at is None or (stored.decision is not None and stored.decision.at > made_at):
            return f"somebody decided about {stored.signal.ref} after the comment"
        reason = order.command.text
        decisions.decide(tx, stored, release=False, actor=order.actor, reason=reason, trace_id=order.trace_id)
    except (NotFoundError, RefusedError) as error:
        return error.message
    return None
