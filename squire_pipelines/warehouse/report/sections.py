"""What the report shows, section by section: a sentence, a table, and which plot. Pure functions of the numbers.

Whatever strangers wrote is made harmless for a page, a drawing and a terminal here; escaping is each writer's own.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from squire_pipelines.warehouse.report.numbers import Report

MAX_ROWS = 120
MAX_TEXT = 300
NONE = "-"
"""Where there is no number."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_FORMATS = {"hour": "%Y-%m-%d %H:%M", "day": "%Y-%m-%d", "week": "%Y-%m-%d", "month": "%Y-%m"}


@dataclass(frozen=True, slots=True)
class Section:
    """One plot and what belongs to it: what it says, and how it is read.

    Without `rows` there is nothing to draw, and `nothing` says why.
    """

    key: str
    title: str
    text: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    nothing: str
    reading: str = ""


def clean(text: str, *, limit: int = MAX_TEXT) -> str:
    """`text` on one line without control characters, marks of direction and halves of pairs."""
    kept = "".join(" " if char in "\n\t\r" else char for char in text if char in "\n\t\r" or _shown(char))
    joined = " ".join(kept.split())
    return joined if len(joined) <= limit else joined[: limit - 1] + "…"


def _shown(char: str) -> bool:
    return not unicodedata.category(char).startswith("C")


def short(text: str, most: int) -> str:
    """`text` cleaned, its middle left out when it is longer than `most` characters."""
    whole = clean(text)
    if len(whole) <= most:
        return whole
    end = most // 2
    return f"{whole[: most - end - 1]}…{whole[-end:]}"


def duration(seconds: float | None) -> str:
    """A duration in its largest unit: `0.4 s`, `45 s`, `12 min`, `3.1 h`, `9.5 d`."""
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
    """A rate of 0 to 1 for people."""
    return NONE if rate is None else f"{100 * rate:.0f} %"


def money(usd: float | None) -> str:
    """US dollars, small ones to the cent's tenth."""
    if usd is None:
        return NONE
    return f"${usd:,.3f}" if 0 < usd < 1 else f"${usd:,.2f}"


def counted(count: int, noun: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def moment(report: Report, bucket: datetime) -> str:
    """A bucket of time by its beginning."""
    return bucket.strftime(_FORMATS[report.bucket])


def headline(report: Report) -> tuple[tuple[str, str, str], ...]:
    """The numbers that come first: what, how much, and a word on it."""
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


def sections(report: Report) -> tuple[Section, ...]:
    """All sections in their order."""
    return (
        _throughput(report),
        _success(report),
        _causes(report),
        _cost(report),
        _stages(report),
        _ci_red(report),
    )


def _throughput(report: Report) -> Section:
    totals = report.totals
    ended = totals.succeeded + totals.failed + totals.cancelled
    rows = [
        (
            moment(report, each.bucket),
            *map(str, (each.created, each.succeeded, each.failed, each.cancelled, each.merged)),
        )
        for each in report.throughput
        if each.created or each.succeeded or each.failed or each.cancelled or each.merged
    ]
    return Section(
        "throughput",
        "Throughput",
        f"{counted(ended, 'task')} ended: {totals.succeeded:,} succeeded, {totals.failed:,} failed, "
        f"{totals.cancelled:,} cancelled; {counted(totals.merged, 'pull request')} merged.",
        (report.bucket.capitalize(), "Created", "Succeeded", "Failed", "Cancelled", "Merged"),
        _newest(rows),
        "No task was created or ended in this time.",
        f"Each bar is one {report.bucket}; the line shows merged pull requests.",
    )


def _success(report: Report) -> Section:
    rows = [
        (clean(each.repository), str(each.succeeded), str(each.failed), percent(each.rate)) for each in report.success
    ]
    worst = min(report.success, key=lambda each: (each.rate, -each.failed), default=None)
    text = f"{percent(report.totals.success_rate)} of the tasks that succeeded or failed did succeed."
    if worst is not None and len(report.success) > 1:
        text += f" Lowest: {clean(worst.repository)} with {percent(worst.rate)}."
    return Section(
        "success",
        "Success by repository",
        text,
        ("Repository", "Succeeded", "Failed", "Rate"),
        _first(rows),
        "No task succeeded or failed in this time.",
    )


def _causes(report: Report) -> Section:
    rows = [
        (
            clean(each.cause),
            str(each.attempts),
            str(each.tasks),
            "yes" if each.transient else "no",
            clean(each.last_message or ""),
        )
        for each in report.causes
    ]
    text = f"{report.totals.failed_attempts:,} of {report.totals.attempts:,} attempts failed."
    if report.causes:
        text += f" Most often: {clean(report.causes[0].cause)}, {counted(report.causes[0].attempts, 'time')}."
    return Section(
        "causes",
        "Why attempts failed",
        text,
        ("Cause", "Attempts", "Tasks", "Tried again", "What the newest one said"),
        _first(rows),
        "No attempt failed in this time.",
    )


def _cost(report: Report) -> Section:
    models: dict[str, list[float]] = {}
    for each in report.cost:
        sums = models.setdefault(each.model, [0, 0, 0, 0, 0])
        priced = each.cost_usd is not None
        for i, value in enumerate((each.calls, each.input_tokens, each.output_tokens, each.cost_usd or 0, priced)):
            sums[i] += value
    rows = [
        (clean(model), f"{calls:,.0f}", f"{read:,.0f}", f"{wrote:,.0f}", money(usd) if priced else NONE)
        for model, (calls, read, wrote, usd, priced) in sorted(models.items(), key=lambda item: (-item[1][3], item[0]))
    ]
    totals = report.totals
    return Section(
        "cost",
        "Cost of models",
        f"{counted(totals.model_calls, 'call')} cost {money(totals.cost_usd)} where a price is known. "
        f"Tokens: {totals.input_tokens:,} read, {totals.output_tokens:,} written.",
        ("Model", "Calls", "Tokens read", "Tokens written", "Cost"),
        _first(rows),
        "No model was called in this time.",
        f"Each bar is one {report.bucket}.",
    )


def _stages(report: Report) -> Section:
    rows = [(each.stage, str(each.tasks), duration(each.p50_s), duration(each.p95_s)) for each in report.stages]
    slowest = max(
        (each for each in report.stages if each.stage != "seen to merged"), key=lambda e: e.p50_s, default=None
    )
    text = "How long tasks stayed in each stage."
    if slowest is not None:
        text += f" Longest: {slowest.stage}, {duration(slowest.p50_s)}."
    return Section(
        "stages",
        "Time in each stage",
        text,
        ("Stage", "Tasks", "Median", "95 % below"),
        tuple(rows),
        "No task went from one stage to the next in this time.",
        "The dot is the median, the ring is what 95 % stay below.",
    )


def _ci_red(report: Report) -> Section:
    hours: dict[str, list[float]] = {}
    for each in report.ci_red:
        hours.setdefault(each.repository, [0, 0])[not each.on_default_branch] += each.hours
    rows = [
        (clean(name), f"{default:,.1f}", f"{other:,.1f}")
        for name, (default, other) in sorted(hours.items(), key=lambda item: (-item[1][0], -item[1][1], item[0]))
    ]
    return Section(
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


def _newest(rows: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    return tuple(reversed(tuple(rows)))[:MAX_ROWS]
