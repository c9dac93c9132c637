"""A task's history and the life of its pull request as lines of text, within the width of a terminal."""

import textwrap
from collections.abc import Iterator, Sequence

from squire_pipelines.cli.text import duration, instant
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.pull_life import LifeStep, LifeStepKind
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.ledger.tasks import TaskEvent

_MIN_WIDTH = 60
_MAX_WIDTH = 120
_LASTED = 6
_WORK = {"checks": "mends its checks", "remarks": "answers remarks", "conflict": "resolves a conflict"}


def life_lines(life: Sequence[LifeStep], trace_id: str, *, width: int) -> Iterator[str]:
    """Yield the lines of a life: when, for how long, and what; a trace is named where it is not the task's.

    Args:
        life: The steps, oldest first.
        trace_id: The task's, which most steps have.
        width: Of the terminal, in characters.
    """
    for step in life:
        lasted = "" if step.lasted_s is None else duration(step.lasted_s)
        head = f"  {instant(step.at)}  {lasted:>{_LASTED}}  "
        reason = "" if step.kind is LifeStepKind.TASK and step.reason == Cause.COMPLETED else step.reason
        actor = "" if step.kind is LifeStepKind.STATE else step.actor
        other_trace = "" if step.trace_id == trace_id else step.trace_id
        yield from _wrapped(head, (_description(step), reason), actor, other_trace, width)


def history_lines(events: Sequence[TaskEvent], trace_id: str, *, width: int) -> Iterator[str]:
    """Yield the lines of a history: when, of what, from which state to which, why and by whom.

    Args:
        events: The events, oldest first.
        trace_id: The task's, which most events have.
        width: Of the terminal, in characters.
    """
    names = [_subject(event) for event in events]
    longest = max(map(len, names), default=0)
    for event, name in zip(events, names, strict=True):
        change = event.after if event.before is None else f"{event.before} → {event.after}"
        other_trace = "" if event.trace_id == trace_id else event.trace_id
        head = f"  {instant(event.at)}  {name:<{longest}}  "
        yield from _wrapped(head, (change, event.reason), event.actor, other_trace, width)


def _wrapped(head: str, parts: Sequence[str], actor: str, other_trace: str, width: int) -> list[str]:
    width = min(max(width, _MIN_WIDTH), _MAX_WIDTH)
    text = one_line(": ".join(filter(None, parts)), limit=500)
    if actor:
        text += f" (by {one_line(actor, limit=100)})"
    if other_trace:
        text += f" (trace {other_trace})"
    return textwrap.wrap(text, width, initial_indent=head, subsequent_indent=" " * len(head))


def _subject(event: TaskEvent) -> str:
    """Return what an event is about; an attempt by its number, with which its id ends."""
    if event.attempt_id is None:
        return event.subject
    return f"attempt {event.attempt_id.rpartition('-')[2]}"


def _description(step: LifeStep) -> str:
    if step.kind is LifeStepKind.TASK:
        of_head = f" of {step.head_sha[:7]}" if step.head_sha else ""
        work = _WORK.get(step.step, "does what a person asked for")
        return f"task {step.task_id} {work}{of_head}: {step.status}"
    if step.kind is LifeStepKind.NOTE:
        return "then" if step.reason else step.step
    return f"ended as {step.step}" if step.kind is LifeStepKind.ENDING else step.step
