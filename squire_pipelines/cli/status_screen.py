"""The screen of `squire status` as lines of text: what fits into the height, and nothing that is wrong is left out.

Pure: it neither reads nor writes anything.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from textwrap import TextWrapper

from squire_pipelines.cli.text import age, counted, duration
from squire_pipelines.domain.alert_rules import Severity
from squire_pipelines.domain.conditions import Condition, HealthLevel
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.ledger.overview import ListedPullRequest, OpenAttempt
from squire_pipelines.runtime.machine_facts import MachineProcess
from squire_pipelines.runtime.status_facts import StatusFacts, WaitGroup

MIN_HEIGHT = 24
_LEAST_ROWS = 2
_IN_FULL = 3
_LEAST_WIDTH = 20
_HANGING = f"{'':<11}"
_MAX_PROBLEM = 600
_MOST_ALERTS = 10
_MOST_LINES = 9
_STYLES = {HealthLevel.OK: "green", HealthLevel.DEGRADED: "yellow", HealthLevel.DOWN: "red"}


@dataclass(frozen=True, slots=True)
class ScreenLine:
    """One line: its text behind some blanks or a number, and its color where it has one."""

    text: str
    color: str | None = None
    is_bold: bool = False
    indent: str = ""

    def cut(self, width: int) -> "ScreenLine":
        """Return the line, cleaned and no wider than `width`."""
        text = one_line(self.text, limit=max(1, width - len(self.indent)))
        return replace(self, text=f"{self.indent}{text}", indent="")


@dataclass(frozen=True, slots=True)
class _ScreenSection:
    """A heading with rows, of which those that have no room are counted; `command` lists all of them."""

    heading: str
    rows: Sequence[ScreenLine]
    total: int
    command: str


def screen_lines(facts: StatusFacts, *, width: int = 80, height: int = MIN_HEIGHT) -> tuple[ScreenLine, ...]:
    """Return the lines of the screen, none wider than `width`.

    As many as fit into `height`, which counts as at least 24; more only where more things are wrong than fit.
    """
    head = list(_head(facts))
    foot = list(_foot(facts, width))
    sections = [] if facts.work is None else list(_sections(facts))
    free = max(height, MIN_HEIGHT) - 1 - len(head) - len(foot) - len(sections)
    problems, room = _fitting_problems(facts, width, free, sum(min(len(one.rows), _LEAST_ROWS) for one in sections))
    lines = head
    for section, rows in zip(sections, _shares([len(section.rows) for section in sections], room), strict=True):
        lines += _section_lines(section, rows)
    lines += [*problems, *foot]
    return tuple(line.cut(width) for line in lines)


def _fitting_problems(facts: StatusFacts, width: int, free: int, needed: int) -> tuple[list[ScreenLine], int]:
    """Return the lines of what is wrong, with as much of each as fits, and how many lines are left for the work.

    Args:
        facts: What is shown.
        width: Of the screen.
        free: Lines for what is wrong and for the work.
        needed: Lines of them that the work has at least.
    """
    least = 2 if len(facts.wrong) + len(facts.alerts) <= _IN_FULL else 1
    for most in range(_MOST_LINES, least, -1):
        problems = list(_problems(facts, width, most))
        if free - len(problems) >= needed:
            return problems, free - len(problems)
    problems = list(_problems(facts, width, least))
    return problems, free - len(problems)


def _shares(wanted_rows: Sequence[int], room: int) -> list[int]:
    """Share out `room` among sections: each gets the same until it has all of its rows, and at least two."""
    shares = [0] * len(wanted_rows)
    left = max(room, 0)
    while left > 0 and any(share < most for share, most in zip(shares, wanted_rows, strict=True)):
        for place, most in enumerate(wanted_rows):
            if left > 0 and shares[place] < most:
                shares[place] += 1
                left -= 1
    return [min(most, max(share, _LEAST_ROWS)) for share, most in zip(shares, wanted_rows, strict=True)]


def _head(facts: StatusFacts) -> Iterator[ScreenLine]:
    level = facts.level
    where = f" · {facts.home}" if facts.home else ""
    head = f"Squire is {level} · {facts.now:%Y-%m-%d %H:%M:%S} UTC{where}"
    yield ScreenLine(head, _STYLES[level], is_bold=True)
    if facts.problem:
        yield ScreenLine(f"the work cannot be read: {facts.problem}", "red")


def _sections(facts: StatusFacts) -> Iterator[_ScreenSection]:
    work = facts.work
    if work is None:
        return
    now = work.now
    running = [_attempt_line(attempt, now) for attempt in work.attempts]
    yield _ScreenSection("Running", running, work.attempts_total, "squire tasks list --status running")
    waiting = [_wait_line(group, now) for group in facts.waits]
    heading = "Waiting" if work.counts["ready"] == facts.waits_read else f"Waiting (by the first {facts.waits_read})"
    yield _ScreenSection(heading, waiting, work.counts["ready"], "squire tasks list --status ready")
    proposed = []
    if work.counts["proposed"]:
        waited = age(work.oldest_proposal, now)
        text = f"for your approval, the oldest for {waited}: `squire tasks list --status proposed`"
        proposed = [ScreenLine(text, "yellow", indent="  ")]
    yield _ScreenSection("Proposed", proposed, work.counts["proposed"], "")
    pulls = [_pull_line(one, now) for one in work.pulls]
    yield _ScreenSection("Open pull requests", pulls, work.pulls_total, "squire tasks list --status succeeded")
    if facts.machines:  # what is wrong first: the last ones may have no room
        machines = [_machine_line(one, now) for one in sorted(facts.machines, key=lambda one: not one.is_wrong)]
        yield _ScreenSection("Machines", machines, len(machines), "squire status --json")


def _section_lines(section: _ScreenSection, most: int) -> Iterator[ScreenLine]:
    shown = section.rows[:most]
    left = len(section.rows) - len(shown)
    more = f"; {left} more lines: `{section.command}`" if left and section.command else ""
    yield ScreenLine(f"{section.heading}: {section.total or 'none'}{more}", is_bold=True)
    yield from shown


def _attempt_line(attempt: OpenAttempt, now: datetime) -> ScreenLine:
    tries = f", attempt {attempt.number}" if attempt.number > 1 else ""
    state = "" if attempt.status == "running" else f"{attempt.status}, "
    text = f"{state}{attempt.agent or 'agent'} {attempt.repository} {attempt.task_id}{tries}: {attempt.title}"
    return ScreenLine(text, indent=f"{age(attempt.since, now):>8} ")


def _wait_line(group: WaitGroup, now: datetime) -> ScreenLine:
    until = ""
    if group.until is not None and group.until > now:
        until = f", the first for {duration((group.until - now).total_seconds())} more"
    return ScreenLine(f"for {group.text}{until}", indent=f"{group.tasks:>8} ")


def _pull_line(pull: ListedPullRequest, now: datetime) -> ScreenLine:
    reason = f" ({pull.reason})" if pull.reason else ""
    text = f"{pull.repository}#{pull.number} waits for {pull.waits_for}{reason}"
    return ScreenLine(text, "yellow" if pull.needs_a_person else None, indent=f"{age(pull.since, now):>8} ")


def _machine_line(process: MachineProcess, now: datetime) -> ScreenLine:
    seen = f", last seen {age(process.seen_at, now)} ago" if process.is_wrong else ""
    about = f": {process.about}" if process.about else ""
    text = f"{process.name} is {process.state}{seen}, version {process.version}{about}"
    return ScreenLine(text, "yellow" if process.is_wrong else None, indent=f"{process.kind:>8} ")


def _problems(facts: StatusFacts, width: int, most: int) -> Iterator[ScreenLine]:
    wrong = sorted(facts.wrong, key=lambda condition: -condition.level.severity)
    alerts = sorted(facts.alerts, key=lambda alert: alert.severity is not Severity.CRITICAL)
    count = len(wrong) + len(alerts)
    if not count:
        return
    yield ScreenLine(f"Wrong: {count}", is_bold=True)
    for condition in wrong:
        text = f"{_words(condition)}, {age(condition.since, facts.now)}: {condition.reason}"
        yield from _problem(condition.level, text, condition.hint, _STYLES[condition.level], width=width, most=most)
    for alert in alerts[:_MOST_ALERTS]:
        color = _STYLES[HealthLevel.DOWN if alert.severity is Severity.CRITICAL else HealthLevel.DEGRADED]
        text = f"{alert.rule.replace('_', ' ')}, {alert.subject}, {age(alert.began_at, facts.now)}: {alert.reason}"
        yield from _problem(alert.severity, text, alert.hint, color, width=width, most=most)
    if len(alerts) > _MOST_ALERTS:
        yield ScreenLine(f"and {len(alerts) - _MOST_ALERTS} more: `squire alerts list`", "yellow", indent=_HANGING)


def _problem(label: str, text: str, hint: str, color: str, *, width: int, most: int) -> Iterator[ScreenLine]:
    yield from _wrapped(text, f"  {label:<8} ", width, most, color)
    if hint:
        yield from _wrapped(f"next: {hint}", _HANGING, width, most, None)


def _wrapped(
    text: str, first: str, width: int, most: int, color: str | None, *, hanging: str = _HANGING
) -> Iterator[ScreenLine]:
    """Yield a text in at most so many lines; the last one ends with dots where there is more."""
    room = max(_LEAST_WIDTH, width - len(hanging))
    wrapper = TextWrapper(room, max_lines=most, placeholder=" …")
    for place, line in enumerate(wrapper.wrap(one_line(text, limit=_MAX_PROBLEM))):
        yield ScreenLine(line, color, indent=hanging if place else first)


def _words(condition: Condition) -> str:
    return condition.name.replace("_", " ")


def _foot(facts: StatusFacts, width: int) -> Iterator[ScreenLine]:
    for window in facts.debugging[:_IN_FULL]:
        name, until = window.repository or "all repositories", f"{window.until:%Y-%m-%d %H:%M} UTC"
        yield ScreenLine(f"Debugged until {until}: {name}; `squire debug off` ends it", "yellow")
    if len(facts.debugging) > _IN_FULL:
        yield ScreenLine(f"and {len(facts.debugging) - _IN_FULL} more: `squire debug status`", "yellow")
    asked = [condition for condition in facts.conditions if condition not in facts.stale]
    starting = [condition for condition in asked if condition.is_starting]
    for condition in starting:
        yield ScreenLine(f"Starting: {condition.reason}", "yellow")
    well = ", ".join(_words(condition) for condition in asked if condition.is_ok and condition not in starting)
    if well:
        yield from _wrapped(f"Well: {well}", "", width, _IN_FULL, "green", hanging="      ")
    if facts.stale:
        ages = max(condition.age_s(facts.now) for condition in facts.stale)
        names = ", ".join(_words(condition) for condition in facts.stale)
        text = f"Not looked at for up to {duration(ages)}: {names}; `squire status --now` asks"
        yield ScreenLine(text, "yellow")
    if facts.unknown:
        names = ", ".join(name.replace("_", " ") for name in facts.unknown)
        yield ScreenLine(f"Never looked at: {names}; `squire status --now` asks", "yellow")
    if asked:
        oldest = max(condition.age_s(facts.now) for condition in asked)
        yield ScreenLine(f"Facts: {counted(len(asked), 'condition')}, at most {duration(oldest)} old")
