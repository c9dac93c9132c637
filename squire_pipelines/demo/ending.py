"""Says how a demo ended: where it stopped, or what became of the command in a person's own repository. Pure."""

from collections.abc import Sequence

from squire_pipelines.domain.endings import AGENTS_FAILURES, Cause
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.runtime.cycle import CycleState, CycleTask

_LAST_LINES = 10
_REFUSED = "the change was refused"
_MORE_PATIENCE = 5
_ENDED = frozenset({TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED})
# The pipeline has done its part: the rest is the command's, or the rules' about what it changed.
_COMMANDS_OWN = AGENTS_FAILURES | {Cause.AGENT_NOT_FOUND, Cause.PUBLISH_REFUSED}


def has_result(row: CycleTask) -> bool:
    """Return whether the pipeline brought a task to an end for which the command alone, or a rule, answers."""
    return row.status is TaskStatus.SUCCEEDED or (row.status is TaskStatus.FAILED and row.cause in _COMMANDS_OWN)


def result_lines(row: CycleTask, log_tail: Sequence[str]) -> list[str]:
    """Return what became of the command, if that is no pull request; of a failed one its last lines, too."""
    if row.cause == Cause.NO_CHANGES:
        return ["result: nothing to change: the command left every file as it was"]
    if row.status is not TaskStatus.FAILED:
        return []
    reason = (row.message or row.cause or "").rstrip(".")
    if row.cause in {Cause.POLICY_REJECTED, Cause.PUBLISH_REFUSED, Cause.BUNDLE_INVALID}:
        told_so = reason.startswith(_REFUSED)
        return [f"result: {reason}" if told_so else f"result: {_REFUSED}: {reason}"]
    lines = [f"  {line}" for line in log_tail[-_LAST_LINES:]]
    return [f"result: the command failed: {reason}", *(["its last lines:", *lines] if lines else [])]


def progress(cycle: CycleState) -> tuple[str, str]:
    """Return what a demo has reached as a clause, and what it waits for."""
    ended = sum(row.status in _ENDED for row in cycle.rows)
    if not cycle.collected:
        return "nothing was collected yet", "the daemon's first runs"
    if not cycle.planned:
        return "the signals were collected", "their plan"
    if ended < len(cycle.rows):
        return f"{ended} of {len(cycle.rows)} tasks had ended", "the others"
    return "all tasks had ended", "the last pull requests or the warehouse"


def stop_paragraph(cycle: CycleState, *, idle_s: float, limit_s: float, log: str) -> str:
    """Return one paragraph about a demo that stopped before its end: what was reached, why it stopped, what to do.

    Args:
        cycle: How far it came.
        idle_s: Seconds in which nothing happened.
        limit_s: After how many of them it stops: what `--timeout` sets, or more on a slow machine.
        log: The file of the daemon's log.
    """
    reached, missing = progress(cycle)
    why = (
        f"nothing had happened for {idle_s:.0f} s"
        if idle_s >= limit_s
        else f"it took longer than a demo may, though something had happened {idle_s:.0f} s before"
    )
    return (
        f"The demo stopped before its end: {reached}, it waited for {missing}, and {why}. A busy machine is the usual "
        f"reason. Run it again to go on from here, with --timeout {limit_s * _MORE_PATIENCE:.0f} to wait longer; "
        f"the daemon's log is {log}."
    )
