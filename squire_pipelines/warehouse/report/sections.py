"""The report's sections: a sentence, a table and the name of a plot each. Pure functions of the numbers.

Strangers' text loses its control characters here, for page, plot and terminal; escaping is for whoever writes it.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass

from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.warehouse.report.numbers import ReportNumbers

MAX_ROWS = 120
MAX_TEXT = 300
NONE = "-"
"""Shown where there is no number."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_FORMATS = {"hour": "%Y-%m-%d %H:%M", "day": "%Y-%m-%d", "week": "%Y-%m-%d", "month": "%Y-%m"}


@dataclass(frozen=True, slots=True)
class ReportSection:
    """One plot with its text, its table, and in `reading` how to read it.

    Without `rows` there is nothing to plot, and `nothing` says why.
    """

    key: str
    title: str
    text: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    nothing: str
    reading: str = ""


def clean(text: str) -> str:
    """Return `text` on one line of at most `MAX_TEXT` characters, as a terminal may show it."""
    return one_line(text, limit=MAX_TEXT)


def short(text: str, most: int) -> str:
    """Return `text` cleaned, without its middle when it is longer than `most` characters."""
    whole = clean(text)
    if len(whole) <= most:
        return whole
    end = most // 2
    return f"{whole[: most - end - 1]}…{whole[-end:]}"


def duration(seconds: float | None) -> str:
    """Format a duration in its largest unit: `0.4 s`, `45 s`, `12 min`, `3.1 h`, `9.5 d`."""
    if seconds is None:
        return NONE
    if seconds < _MINUTE:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004 - two digits are enough
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < _DAY:
        return f"{seconds / _HOUR:.1f} h"
    return f"{seconds / _DAY:.1f} d"


def percent(rate: float | None) -> str:
    """Format a rate of 0 to 1 as a percentage."""
    return NONE if rate is None else f"{100 * rate:.0f} %"


def times(rate: float | None) -> str:
    """Format a burn rate: `0.8 times`."""
    return NONE if rate is None else f"{rate:.1f} times"


def money(usd: float | None) -> str:
    """Format US dollars, below one dollar to a tenth of a cent."""
    if usd is None:
        return NONE
    return f"${usd:,.3f}" if 0 < usd < 1 else f"${usd:,.2f}"


def counted(count: int, noun: str) -> str:
    """Format a number of things: `1 task`, `2 tasks`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def headline(report: ReportNumbers) -> tuple[tuple[str, str, str], ...]:
    """Return the first numbers of the report: name, value and a remark."""
    totals = report.totals
    ended = totals.succeeded + totals.failed
    return (
        ("Tasks ended well", percent(totals.success_rate), f"{totals.succeeded:,} of {ended:,}"),
        ("Merged", f"{totals.merged:,}", f"{counted(totals.pull_requests, 'pull request')} opened"),
        (
            "Merged as the agent left them",
            percent(totals.merged_unchanged_rate),
            "nobody pushed to them" if totals.merged else "none is merged",
        ),
        ("Signal to merge", duration(totals.seconds_to_merge), "half took less" if totals.merged else "none is merged"),
        ("Cost per merged PR", money(totals.cost_per_merged_pr), f"{money(totals.cost_usd)} in all, planning too"),
        ("Attempts", f"{totals.attempts:,}", f"{totals.failed_attempts:,} failed"),
        ("New tasks", f"{totals.created:,}", f"{totals.unfinished:,} unfinished now"),
        ("Default branches red", f"{report.red_hours:,.0f} h", "all repositories together"),
    )


def sections(report: ReportNumbers) -> tuple[ReportSection, ...]:
    """Return all sections in their order."""
    return (
        _throughput(report),
        _success(report),
        _targets(report),
        _causes(report),
        _cost(report),
        _stages(report),
        _ci_red(report),
    )


def _throughput(report: ReportNumbers) -> ReportSection:
    totals = report.totals
    ended = totals.succeeded + totals.failed + totals.cancelled
    rows = [
        (moment.strftime(_FORMATS[report.bucket]), *map(str, counts))
        for moment, *counts in map(astuple, report.throughput)
        if any(counts)
    ]
    return ReportSection(
        "throughput",
        "Throughput",
        f"{counted(ended, 'task')} ended: {totals.succeeded:,} succeeded, {totals.failed:,} failed, "
        f"{totals.cancelled:,} cancelled; {counted(totals.merged, 'pull request')} merged.",
        (report.bucket.capitalize(), "Created", "Succeeded", "Failed", "Cancelled", "Merged"),
        _first(reversed(rows)),
        "No task was created or ended in this time.",
        f"Each bar is one {report.bucket}; the line shows merged pull requests.",
    )


def _success(report: ReportNumbers) -> ReportSection:
    rows = [(clean(row.repository), str(row.succeeded), str(row.failed), percent(row.rate)) for row in report.success]
    worst = min(report.success, key=lambda row: (row.rate, -row.failed), default=None)
    text = f"{percent(report.totals.success_rate)} of the tasks that succeeded or failed did succeed."
    if worst is not None and len(report.success) > 1:
        text += f" Lowest: {clean(worst.repository)} with {percent(worst.rate)}."
    return ReportSection(
        "success",
        "Success by repository",
        text,
        ("Repository", "Succeeded", "Failed", "Rate"),
        _first(rows),
        "No task succeeded or failed in this time.",
    )


def _targets(report: ReportNumbers) -> ReportSection:
    rows = [
        (
            clean(row.repository),
            row.target.replace("_", " "),
            f"{row.missed} of {row.events}",
            f"{100 * row.allowed:.3g} %",
            *map(times, (row.rate_1h, row.rate_6h, row.rate_3d)),
        )
        for row in report.targets
    ]
    burning = sum(row.rate_3d > 1 for row in report.targets)
    text = f"{burning} of {counted(len(rows), 'target')} with events was missed more often than it allows."
    if burning:
        worst = report.targets[0]
        name = f"{worst.target.replace('_', ' ')} of {clean(worst.repository)}"
        text += f" Worst: {name}, {times(worst.rate_3d)} as often."
    return ReportSection(
        "targets",
        "Targets in the last three days",
        text,
        ("Repository", "Target", "Missed", "Allowed", "1 h", "6 h", "3 d"),
        _first(rows),
        "Nothing counted for a target in the three days before the publication.",
        "The burn rate is how many times as many miss a target as it allows: right of the line, more.",
    )


def _causes(report: ReportNumbers) -> ReportSection:
    rows = [
        (
            clean(row.cause),
            str(row.attempts),
            str(row.tasks),
            "yes" if row.transient else "no",
            clean(row.last_message or ""),
        )
        for row in report.causes
    ]
    text = f"{report.totals.failed_attempts:,} of {report.totals.attempts:,} attempts failed."
    if report.causes:
        text += f" Most often: {clean(report.causes[0].cause)}, {counted(report.causes[0].attempts, 'time')}."
    return ReportSection(
        "causes",
        "Why attempts failed",
        text,
        ("Cause", "Attempts", "Tasks", "Tried again", "What the newest one said"),
        _first(rows),
        "No attempt failed in this time.",
    )


def _cost(report: ReportNumbers) -> ReportSection:
    models: dict[str, list[float]] = {}
    for cost in report.cost:
        sums = models.setdefault(cost.model, [0, 0, 0, 0, 0])
        priced = cost.cost_usd is not None
        for i, value in enumerate((cost.calls, cost.input_tokens, cost.output_tokens, cost.cost_usd or 0, priced)):
            sums[i] += value
    rows = [
        (clean(model), f"{calls:,.0f}", f"{read:,.0f}", f"{wrote:,.0f}", money(usd) if priced else NONE)
        for model, (calls, read, wrote, usd, priced) in sorted(models.items(), key=lambda item: (-item[1][3], item[0]))
    ]
    totals = report.totals
    return ReportSection(
        "cost",
        "Cost of models",
        f"{counted(totals.model_calls, 'call')} cost {money(totals.cost_usd)} where a price is known. "
        f"Tokens: {totals.input_tokens:,} read, {totals.output_tokens:,} written.",
        ("Model", "Calls", "Tokens read", "Tokens written", "Cost"),
        _first(rows),
        "No model was called in this time.",
        f"Each bar is one {report.bucket}.",
    )


def _stages(report: ReportNumbers) -> ReportSection:
    rows = [(row.stage, str(row.tasks), duration(row.p50_s), duration(row.p95_s)) for row in report.stages]
    single_stages = [row for row in report.stages if row.stage != "seen to merged"]
    slowest = max(single_stages, key=lambda row: row.p50_s, default=None)
    text = "How long tasks stayed in each stage."
    if slowest is not None:
        text += f" Longest: {slowest.stage}, {duration(slowest.p50_s)}."
    return ReportSection(
        "stages",
        "Time in each stage",
        text,
        ("Stage", "Tasks", "Median", "95 % below"),
        tuple(rows),
        "No task went from one stage to the next in this time.",
        "The dot is the median, the ring is what 95 % stay below.",
    )


def _ci_red(report: ReportNumbers) -> ReportSection:
    hours: dict[str, list[float]] = {}
    for red in report.ci_red:
        hours.setdefault(red.repository, [0, 0])[not red.on_default_branch] += red.hours
    rows = [
        (clean(name), f"{default:,.1f}", f"{other:,.1f}")
        for name, (default, other) in sorted(hours.items(), key=lambda item: (-item[1][0], -item[1][1], item[0]))
    ]
    return ReportSection(
        "ci_red",
        "Time with failing checks",
        f"Default branches were red for {report.red_hours:,.1f} hours.",
        ("Repository", "Default branch, hours", "Other branches, hours"),
        _first(rows),
        "No check was seen failing in this time.",
        f"Hours of all repositories together; each bar is one {report.bucket}.",
    )


def _first(rows: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    return tuple(rows)[:MAX_ROWS]
