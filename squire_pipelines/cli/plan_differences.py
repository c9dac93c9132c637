"""How two plans are shown beside one another, and what they cost: for `squire plans make` and `squire plans replay`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from squire_pipelines.cli.text import counted
from squire_pipelines.domain.plan_comparison import Difference, TaskComparison
from squire_pipelines.domain.plan_making import PlanUse
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.terminal.output import write_line

_MARKS = {Difference.SAME: "=", Difference.CHANGED: "~", Difference.ADDED: "+", Difference.REMOVED: "-"}
_MAX_VALUE = 120


def describe_use(use: PlanUse | None) -> str:
    """Return what a plan's conversations used, as the end of a line; empty where no model was asked."""
    if use is None:
        return ""
    if use.cache_hit:
        return "; the same was asked before: nothing was asked and paid"
    cost = f"{use.cost_usd:.4f} USD" if use.cost_usd is not None else "at a price that is not known"
    tokens = f"{use.input_tokens} tokens in, {use.output_tokens} out"
    return f"; {counted(use.asks, 'request')}, {tokens}, {cost}, {use.latency_s:.1f} s"


def differences_as_json(
    compared: Sequence[TaskComparison], reasons: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Return each task of either plan with how it differs; `reasons` say why facts and tasks are left out now."""
    return [
        {
            "difference": one.difference,
            "before": one.before.key if one.before is not None else None,
            "after": one.after.key if one.after is not None else None,
            "title": one.task.title,
            "why": _why(one, reasons or {}),
            "changes": [asdict(change) for change in one.changes],
        }
        for one in compared
    ]


def write_differences(compared: Sequence[TaskComparison], other: str, reasons: Mapping[str, str] | None = None) -> None:
    """Write each task of either plan with how it differs from `other`, which names what it is compared with.

    `reasons` say why facts and tasks are left out now, by their names.
    """
    counts = Counter(one.difference for one in compared)
    summary = ", ".join(f"{counts[kind]} {kind}" for kind in Difference if counts[kind]) or "no tasks in either"
    write_line(f"compared with {other}: {summary}")
    for one in compared:
        why = f" ({one_line(text)})" if (text := _why(one, reasons or {})) else ""
        write_line(f"  {_MARKS[one.difference]} {one_line(one.task.key)}: {one_line(one.task.title)}{why}")
        for change in one.changes:
            before, after = (one_line(value, limit=_MAX_VALUE) or "nothing" for value in (change.before, change.after))
            write_line(f"      {change.name}: {before} -> {after}")


def _why(one: TaskComparison, reasons: Mapping[str, str]) -> str:
    """Return why a task of the other plan is gone; empty where it is not, or nobody knows."""
    if one.difference is not Difference.REMOVED:
        return ""
    return next((reasons[name] for name in (*one.task.signals, one.task.key) if name in reasons), "")
