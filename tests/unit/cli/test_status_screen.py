"""The screen of `squire status`: it fits, hides nothing that is wrong, and cleans what strangers wrote."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.cli.status_screen import screen_lines
from squire_pipelines.domain.alert_rules import Severity
from squire_pipelines.domain.alert_steps import AlertState
from squire_pipelines.domain.conditions import ORDER, Condition, HealthLevel
from squire_pipelines.ledger.overview import ListedPullRequest, OpenAttempt, WorkOverview
from squire_pipelines.ledger.task_rows import TaskRow
from squire_pipelines.ledger.waiting import WaitKind
from squire_pipelines.runtime.status_facts import StatusFacts, WaitGroup, group_waits

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
OK, DEGRADED, DOWN = HealthLevel.OK, HealthLevel.DEGRADED, HealthLevel.DOWN


def condition(name: str, level: HealthLevel = OK, *, age_s: float = 5, text: str = "why") -> Condition:
    hint = "" if level is OK else f"do something about it: {text}"
    return Condition(name, level, text, hint, NOW - timedelta(hours=1), NOW - timedelta(seconds=age_s), 60)


def attempt(number: int, title: str = "Fix the build") -> OpenAttempt:
    task = f"T{number}"
    return OpenAttempt(task, "acme/shop", title, 1, "running", "opencode", "big", NOW - timedelta(minutes=number))


def pull(number: int, waits_for: str = "a review") -> ListedPullRequest:
    url = f"https://github.test/acme/shop/pull/{number}"
    return ListedPullRequest(f"T{number}", "acme/shop", number, "Fix", url, waits_for, "", NOW - timedelta(days=1))


def facts(count: int = 2, *, conditions: Sequence[Condition] = (), **values: Any) -> StatusFacts:
    work = WorkOverview(
        NOW,
        {"proposed": count, "ready": 3 * count, "running": count},
        tuple(attempt(number) for number in range(count)),
        count,
        tuple(pull(number) for number in range(count)),
        count,
        NOW - timedelta(days=2) if count else None,
    )
    waits = tuple(WaitGroup("budget", f"budget {number}", 3) for number in range(count))
    return StatusFacts(NOW, "/home/me/squire", tuple(conditions), work, waits, 3 * count, **values)


def texts(known: StatusFacts, **size: int) -> list[str]:
    return [line.text for line in screen_lines(known, **size)]


@given(st.integers(0, 60), st.integers(30, 200), st.integers(0, 100))
def test_no_line_is_wider_than_the_terminal_and_all_fit_while_little_is_wrong(
    count: int, width: int, height: int
) -> None:
    lines = texts(facts(count, conditions=[condition("engine", DOWN), condition("disk")]), width=width, height=height)
    assert max(map(len, lines)) <= width
    if width >= 60:
        assert len(lines) < max(height, 24)


@given(st.lists(st.sampled_from(ORDER), unique=True), st.integers(0, 60))
def test_everything_that_is_wrong_is_shown_with_what_to_do_however_much_that_is(names: list[str], count: int) -> None:
    shown = "\n".join(texts(facts(count, conditions=[condition(name, DOWN) for name in names])))
    for name in names:
        assert f"{name.replace('_', ' ')}, 1h00m: why" in shown
    assert shown.count("next: do something") == len(names)


def test_a_long_cause_is_shown_whole_where_there_is_room() -> None:
    cause = "word " * 40 + "the end"
    wrong = condition("settings", HealthLevel.DEGRADED, text=cause)
    assert " ".join(" ".join(texts(facts(0, conditions=[wrong]))).split()).count("the end") == 2  # reason and hint
    assert len(texts(facts(2, conditions=[wrong]))) <= 24


def alert(subject: str, severity: Severity = Severity.WARNING) -> AlertState:
    hint = f"do something about {subject}"
    began = NOW - timedelta(hours=2)
    return AlertState("al1", subject, "task_failures", subject, severity, "why", hint, began, NOW)


def test_alerts_about_the_work_stand_with_what_is_wrong_the_worst_first() -> None:
    alerts = (alert("acme/shop"), alert("acme/api", Severity.CRITICAL))
    lines = texts(facts(0, conditions=[condition("disk", DEGRADED)], alerts=alerts))
    assert lines[lines.index("Wrong: 3") :][1:] == [
        "  degraded disk, 1h00m: why",
        "           next: do something about it: why",
        "  critical task failures, acme/api, 2h00m: why",
        "           next: do something about acme/api",
        "  warning  task failures, acme/shop, 2h00m: why",
        "           next: do something about acme/shop",
        "Never looked at: engine, models, clock; `squire status --now` asks",
        "Facts: 1 condition, at most 5s old",
    ]


def test_of_many_alerts_the_first_are_shown_and_the_others_counted() -> None:
    shown = texts(facts(0, alerts=[alert(f"acme/r{number}") for number in range(14)]))
    assert "           and 4 more: `squire alerts list`" in shown
    assert sum("task failures" in line for line in shown) == 10
    assert shown[0].startswith("Squire is degraded")


def test_one_screen_says_what_runs_waits_and_is_wrong() -> None:
    conditions = [condition("ledger"), condition("daemon", DOWN, text="the daemon has died"), condition("engine")]
    assert texts(facts(conditions=conditions)) == [
        "Squire is down · 2026-03-01 12:00:00 UTC · /home/me/squire",
        "Running: 2",
        "      0s opencode acme/shop T0: Fix the build",
        "      1m opencode acme/shop T1: Fix the build",
        "Waiting: 6",
        "       3 for budget 0",
        "       3 for budget 1",
        "Proposed: 2",
        "  for your approval, the oldest for 2d: `squire tasks list --status proposed`",
        "Open pull requests: 2",
        "      1d acme/shop#0 waits for a review",
        "      1d acme/shop#1 waits for a review",
        "Wrong: 1",
        "  down     daemon, 1h00m: the daemon has died",
        "           next: do something about it: the daemon has died",
        "Well: ledger, engine",
        "Never looked at: models, clock; `squire status --now` asks",
        "Facts: 3 conditions, at most 5s old",
    ]


def test_what_nobody_looks_at_any_more_is_told_apart_from_what_is_well() -> None:
    known = facts(conditions=[condition("ledger"), condition("engine", DOWN, age_s=7200), condition("clock", age_s=90)])
    shown = "\n".join(texts(known))
    assert known.level is DEGRADED
    assert "Not looked at for up to 2h00m: engine, clock" in shown
    assert "Well: ledger\n" in shown
    assert "engine, 1h00m" in shown


def test_what_is_starting_is_neither_wrong_nor_well() -> None:
    starting = replace(condition("daemon", text="the daemon is starting, for 8 s by now"), is_starting=True)
    lines = texts(facts(0, conditions=[condition("disk"), starting]))
    assert "Starting: the daemon is starting, for 8 s by now" in lines
    assert "Well: disk" in lines
    assert not any(line.startswith("Wrong") for line in lines)


def test_a_title_of_a_stranger_is_one_clean_line() -> None:
    known = facts(0)
    assert known.work is not None
    work = WorkOverview(NOW, known.work.counts, (attempt(1, "a\x1b[31m\nb\u202ec"),), 1, (), 0, None)
    (line,) = [text for text in texts(StatusFacts(NOW, "/h", (), work)) if "T1" in text]
    assert "\x1b" not in line
    assert "\n" not in line
    assert "\u202e" not in line


def test_a_ledger_that_cannot_be_read_is_told_above_all() -> None:
    shown = texts(StatusFacts(NOW, "/h", (condition("ledger", DOWN),), problem="it is locked"))
    assert shown[1] == "the work cannot be read: it is locked"


def row(kind: WaitKind, text: str, *, until: datetime | None = None, repository: str = "acme/shop") -> TaskRow:
    columns: dict[str, Any] = dict.fromkeys(TaskRow.__dataclass_fields__)
    return TaskRow(
        **columns | {"repository": repository, "waiting": text, "waiting_for": kind.value, "waiting_until": until}
    )


@pytest.mark.parametrize("kind", [kind for kind in WaitKind if kind is not WaitKind.APPROVAL])  # of proposed tasks
def test_every_kind_of_wait_of_a_ready_task_has_a_text(kind: WaitKind) -> None:
    (group,) = group_waits([row(kind, "a budget")], lambda _: "its start")
    assert (group.kind, group.tasks) == (kind, 1)
    assert group.text


def test_waits_are_counted_by_what_is_waited_for_and_end_with_the_first() -> None:
    soon, later = NOW + timedelta(minutes=5), NOW + timedelta(hours=5)
    groups = group_waits(
        [
            row(WaitKind.DEPENDENCY, "depends on T1"),
            row(WaitKind.DEPENDENCY, "depends on T2"),
            row(WaitKind.TIME, "not before 17:00", until=later),
            row(WaitKind.TIME, "not before 12:05", until=soon),
            row(WaitKind.TIME, "not before 12:05", until=soon),
            row(WaitKind.BUDGET, "the budget of a day"),
            row(WaitKind.START, "its start"),
        ],
        lambda repository: f"a free slot in {repository}",
    )
    assert [(group.text, group.tasks, group.until) for group in groups] == [
        ("their time", 3, soon),
        ("tasks that they depend on", 2, None),
        ("a free slot in acme/shop", 1, None),
        ("the budget of a day", 1, None),
    ]
