"""The life of a pull request as lines of text, one step under the other, within the width of a terminal."""

import textwrap
from collections.abc import Iterator, Sequence

from squire_pipelines.cli.text import duration, instant
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.pull_life import LifeStep, LifeStepKind
from squire_pipelines.domain.terminal_text import one_line

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
    width = min(max(width, _MIN_WIDTH), _MAX_WIDTH)
    for step in life:
        lasted = "" if step.lasted_s is None else duration(step.lasted_s)
        head = f"  {instant(step.at)}  {lasted:>{_LASTED}}  "
        reason = "" if step.kind is LifeStepKind.TASK and step.reason == Cause.COMPLETED else step.reason
        text = one_line(": ".join(filter(None, (_description(step), reason))), limit=500)
        if step.actor and step.kind is not LifeStepKind.STATE:
            text += f" (by {one_line(step.actor, limit=100)})"
        if step.trace_id != trace_id:
            text += f" (trace {step.trace_id})"
        yield from textwrap.wrap(text, width, initial_indent=head, subsequent_indent=" " * len(head))


def _description(step: LifeStep) -> str:
    if step.kind is LifeStepKind.TASK:
        of_head = f" of {step.head_sha[:7]}" if step.head_sha else ""
        work = _WORK.get(step.step, "does what a person asked for")
        return f"task {step.task_id} {work}{of_head}: {step.status}"
    if step.kind is LifeStepKind.NOTE:
        return "then" if step.reason else step.step
    return f"ended as {step.step}" if step.kind is LifeStepKind.ENDING else step.step
