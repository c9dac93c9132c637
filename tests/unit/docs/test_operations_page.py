"""The guide for operators has the conditions, intervals, bounds and keys that there are."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from squire_pipelines.cli.context import emit_json
from squire_pipelines.cli.status import json_document
from squire_pipelines.domain import condition_rules, service_rules
from squire_pipelines.domain.alert_rules import DEFAULT_POLICIES, AlertRule, Severity
from squire_pipelines.domain.alert_steps import AlertState
from squire_pipelines.domain.conditions import ORDER, Condition, HealthLevel
from squire_pipelines.domain.debugging import DebugWindow
from squire_pipelines.ledger.overview import ListedPullRequest, OpenAttempt, WorkOverview
from squire_pipelines.ledger.stuck_work import SETTLED_WITHIN, STARTED_WITHIN
from squire_pipelines.runtime.health import all_probes
from squire_pipelines.runtime.machine_facts import MachineProcess
from squire_pipelines.runtime.status_facts import StatusFacts, WaitGroup
from squire_pipelines.settings.model import Settings
from tests.support.house import ROOT

PAGE = (ROOT / "docs" / "guide" / "operations.md").read_text(encoding="utf-8")
ALERTS = (ROOT / "docs" / "guide" / "alerts.md").read_text(encoding="utf-8")
CONDITIONS = PAGE.partition("## Conditions")[2].partition("\n## ")[0]
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE_S, HOUR_S = 60, 3600


def row(condition: str) -> str:
    return next(line for line in CONDITIONS.splitlines() if line.startswith(f"| `{condition}` |"))


def test_the_page_has_each_condition_in_its_order() -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \|", CONDITIONS, re.MULTILINE)) == ORDER


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ("ledger", f"longer than {condition_rules.SLOW_LOCK_S:.0f} s"),
        (
            "disk",
            f"below {condition_rules.LEAST_FREE_BYTES // 2**20} MiB or {condition_rules.LEAST_FREE_FILES} files",
        ),
        ("disk", f"below {condition_rules.MIN_FREE_BYTES // 2**30} GiB or {condition_rules.MIN_FREE_FILES:,} files"),
        ("clock", f"{condition_rules.CLOCK_FAIL_S:.0f} s wrong, with a GitHub App"),
        ("clock", f"{condition_rules.CLOCK_WARN_S:.0f} s wrong, or"),
        ("github_token", f"within {service_rules.TOKEN_LAPSES_WITHIN.days} days"),
        ("tasks", f"for {SETTLED_WITHIN.total_seconds() / MINUTE_S:.0f} minutes"),
    ],
)
def test_the_page_has_the_bounds_of_the_rules(condition: str, text: str) -> None:
    assert text in row(condition)


def test_bounds_in_words_are_those_of_the_rules() -> None:
    assert "three times in a row" in row("planner")
    assert service_rules.PLANNER_FAILURES == 3
    assert "for half an hour" in row("tasks")
    assert timedelta(minutes=30) == STARTED_WITHIN
    assert "for 5 minutes" in row("daemon")
    assert service_rules.LATE_PART_S == 5 * MINUTE_S
    assert "an hour ago" in row("warehouse")
    assert "and an hour" in row("backup")
    assert condition_rules.LATE_WAREHOUSE_S == condition_rules.LATE_BACKUP_S == HOUR_S


def test_the_page_has_the_intervals_of_the_probes() -> None:
    settings = Settings.model_validate({"backup": {"schedule": "17 3 * * *"}})
    every_s = {probe.name: f"{probe.every_s:.0f}" for probe in all_probes(lambda: settings)()}
    special = {name: every_s.pop(name) for name in ("daemon", "engine", "github", "backup", "models", "upkeep")}
    assert set(every_s.values()) == {"15"}
    assert special["daemon"] == special["engine"]
    assert (
        f"at this machine and the ledger every 15 seconds, at the daemon and the engine every {special['engine']}, "
        f"at GitHub every {special['github']}, at backups every {special['backup']}, "
        f"at models every {special['models']}, at what grows every {special['upkeep']}."
    ) in CONDITIONS


def test_the_page_on_alerts_says_how_soon_they_are_sent_at_most() -> None:
    probes = {probe.name: probe for probe in all_probes(Settings)()}

    def one_look_s(name: str) -> float:
        return probes[name].every_s + probes[name].timeout_s

    # Of what answers no more, the second look that says so makes it certain.
    silent_engine_s = one_look_s("engine") + max(probes["engine"].every_s, probes["engine"].timeout_s)
    apart_s = service_rules.LATE_TICK_S + probes["daemon"].every_s + DEFAULT_POLICIES[AlertRule.DAEMON_STALLED].after_s
    for words, seconds in (
        ("a disk is full", one_look_s("disk")),
        ("the daemon that `squire dev` started", one_look_s("daemon")),
        ("the token is revoked", one_look_s("github")),
        ("the engine is gone", silent_engine_s),
        ("a daemon that is started apart", apart_s),
    ):
        line = next(line for line in ALERTS.splitlines() if line.startswith(f"| {words}"))
        assert f"| {seconds:.0f} s" in line


def keys_of(value: Any, path: str = "") -> Iterable[str]:
    """The paths of all keys of a document; all rows of a list are one."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield f"{path}.{name}"
            if name != "tasks" or path:  # which has counts by status
                yield from keys_of(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner, path)


def test_the_page_has_the_keys_of_the_status_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    attempt = OpenAttempt("tk1", "acme/shop", "Title", 1, "running", "opencode", "m", NOW)
    pull = ListedPullRequest("tk1", "acme/shop", 7, "Title", "https://example.com", "a review", "", NOW)
    alert = AlertState("al1", "k", "task_failures", "acme/shop", Severity.WARNING, "why", "do", NOW, NOW)
    facts = StatusFacts(
        NOW,
        "/srv/squire",
        (Condition("engine", HealthLevel.OK, "answers", "", NOW, NOW, 60.0),),
        WorkOverview(NOW, {"ready": 3}, (attempt,), 1, (pull,), 1, NOW),
        (WaitGroup("budget", "text", 3, NOW),),
        3,
        debugging=(DebugWindow("acme/shop", NOW, NOW, "ann"),),
        alerts=(alert,),
        machines=(MachineProcess("worker", "w1", "live", "", "0.1.0", NOW, is_wrong=False),),
    )
    emit_json(json_document(facts))
    written = json.loads(capsys.readouterr().out)
    (block,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert set(keys_of(json.loads(block))) == set(keys_of(written))
