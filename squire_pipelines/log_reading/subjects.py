"""What a task or an attempt is called in the logs: the ids of its attempts and runs, its traces, and since when."""

from dataclasses import dataclass

from squire_pipelines.domain.log_lines import LogLine
from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger import attempts, tasks
from squire_pipelines.ledger.store import Transaction

_BEFORE_S = 3600.0
"""So long before a task was made, the delivery and the plan that it comes from may have been."""


@dataclass(frozen=True, slots=True)
class LogSubject:
    """What lines are about.

    Args:
        ids: Names of which each is in a line about it.
        traces: Of which lines are about it unless they are another task's.
        since: When the first of them may have been written, in seconds since 1970.
        history: What the ledger says of it, as lines, the oldest first.
    """

    ids: frozenset[str]
    traces: frozenset[str]
    since: float
    history: tuple[LogLine, ...]


def subject_of_task(tx: Transaction, task_id: str) -> LogSubject:
    """Return what a task is called. Raises NotFoundError."""
    task = tasks.get(tx, task_id)
    own = attempts.of_task(tx, task_id)
    runs = {attempt.run_id for attempt in own if attempt.run_id}
    ids = {task_id, *(attempt.id for attempt in own), *runs}
    traces = {task.trace_id, *(attempt.trace_id for attempt in own)}
    return LogSubject(
        frozenset(ids),
        frozenset(traces),
        task.created_at.timestamp() - _BEFORE_S,
        _history(tx, task_id, task.repository),
    )


def subject_of_attempt(tx: Transaction, attempt_id: str) -> LogSubject:
    """Return what an attempt is called. Raises NotFoundError."""
    attempt = attempts.get(tx, attempt_id)
    history = _history(tx, attempt.task_id, attempt.repository)
    return LogSubject(
        frozenset({attempt_id, *((attempt.run_id,) if attempt.run_id else ())}),
        frozenset(),
        attempt.queued_at.timestamp() - 1.0,
        tuple(line for line in history if line.context.get("attempt_id") == attempt_id),
    )


def attempt_of(tx: Transaction, task_id: str, number: int) -> str:
    """Return the id of a task's attempt by its number. Raises NotFoundError."""
    tasks.get(tx, task_id)
    numbers = {attempt.number: attempt.id for attempt in attempts.of_task(tx, task_id)}
    if number not in numbers:
        known = f"its attempts are 1 to {max(numbers)}" if numbers else "it has had none yet"
        raise NotFoundError(f"task {task_id} has no attempt {number}", hint=known)
    return numbers[number]


def _history(tx: Transaction, task_id: str, repository: str) -> tuple[LogLine, ...]:
    lines = []
    for event in tasks.events(tx, task_id):
        context = {"trace_id": event.trace_id, "task_id": task_id, "repository": repository}
        if event.attempt_id:
            context["attempt_id"] = event.attempt_id
        change = f"{event.before} → {event.after}" if event.before else event.after
        text = f"{event.subject} {change}{f': {event.reason}' if event.reason else ''}"
        values = {"actor": event.actor}
        lines.append(LogLine(event.at.timestamp(), text, "info", "ledger", "ledger", context, "", values))
    return tuple(lines)
