"""Board, forge and report in Chromium: nothing overflows, no other host is asked, and axe finds no barrier."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from squire_pipelines.agents.attempt_files import DIFF_FILE
from squire_pipelines.domain.alert_rules import Severity
from squire_pipelines.domain.alert_steps import AlertState, AlertStep
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.schedules import Rhythm
from squire_pipelines.home import Home
from squire_pipelines.ledger import alerts, decisions, schedules
from squire_pipelines.ledger.schedules import NewSchedule
from squire_pipelines.warehouse.publish import publish_warehouse
from squire_pipelines.warehouse.report.numbers import read_report
from squire_pipelines.warehouse.report.page import html, write_page
from tests.support.chromium import PROGRAM, BrowserTab, check_page, open_tab
from tests.support.cli import SampleData
from tests.support.forge import hosted_home, samples
from tests.support.forked import ForkedForge
from tests.support.ledgers import REPOSITORY, TRACE, new_sqlite_ledger, spec
from tests.support.years import fill

__all__ = ["hosted_home", "samples"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed: apt-get install chromium"),
]


_REPORT = (
    '<!DOCTYPE html><html lang="en"><head><title>Report</title>'
    "<style>p { color: #111; background: #fff }</style></head>"
    "<body><header><h1>Report</h1></header><main><p>All is well.</p></main></body></html>"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserTab]:
    """One browser for all tests of this module."""
    with open_tab(tmp_path_factory.mktemp("chromium")) as tab:
        yield tab


@pytest.fixture
def tab(browser: BrowserTab) -> BrowserTab:
    """The browser, with what it noted of earlier pages forgotten."""
    browser.errors.clear()
    browser.requested.clear()
    return browser


def _check(tab: BrowserTab, origin: str, paths: tuple[str, ...]) -> None:
    for path in paths:
        check_page(tab, f"{origin}{path}")
    assert tab.errors == []
    assert [asked for asked in tab.requested if not asked.startswith(origin)] == []


@pytest.fixture
def address(tmp_path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """A board as a process, with the paths of its pages."""
    home = tmp_path / "home"
    ledger = new_sqlite_ledger(home / "ledger.sqlite")
    samples = SampleData(ledger)
    ended, running = samples.ended(Cause.COMPLETED), samples.running()
    samples.task("A" * 150, approved=False)
    plan_id, _ = samples.plan()
    samples.reading()
    with ledger.write() as tx:
        firing = AlertState("al1", "disk_full:x", "disk_full", "x", Severity.WARNING, "why", "do", tx.now, tx.now)
        signal_id = decisions.find(tx, "open_issue:7").id
        alerts.record_step(tx, AlertStep((firing,)), None, (), alerts.QueueBounds())
        alerts.add_silence(tx, "*", until=tx.now + timedelta(days=9), reason="x", actor="cli:ada", trace_id=None)
        new = NewSchedule(REPOSITORY, spec("S" * 90), Rhythm("0 3 * * 1", "Europe/Berlin"), tx.now, "cli:ada")
        schedules.create(tx, new, most=5, trace_id=TRACE)
    ledger.close()
    log = home / "attempts" / running.id / "agent.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * 500 + b"\n")
    keep = home / "attempts" / f"{ended}-1" / "keep"
    keep.mkdir(parents=True)
    (keep / DIFF_FILE).write_text(f"diff --git a/x b/x\n@@ -1 +1 @@\n-old\n+{'n' * 300}\n kept\n")
    report = Home.from_environment().report
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(_REPORT)
    attempt_log = f"/tasks/{running.task_id}/attempts/1/log"
    of_tasks = ("/tasks", f"/tasks/{ended}", f"/tasks/{running.task_id}", attempt_log, "/new")
    others = (f"/signals/{signal_id}", "/schedules", "/plans", f"/plans/{plan_id}", "/spending", "/alerts", "/report")
    pages = ("/", *of_tasks, "/signals?all=1", *others)
    environment = {**os.environ, "SQUIRE_BOARD__PORT": "0"}
    command = [sys.executable, "-m", "squire_pipelines.board"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as board:
        try:
            assert board.stdout is not None
            yield board.stdout.readline().partition('"url": "')[2].partition('"')[0], pages
        finally:
            board.terminate()


def test_every_page_of_the_board_and_a_form(address: tuple[str, tuple[str, ...]], tab: BrowserTab) -> None:
    url, pages = address
    _check(tab, url, pages)
    # Approve a task as a person does, so that the browser's own headers are seen.
    tab.open(f"{url}/tasks?status=proposed", width=900)
    tab.open(tab.evaluate("document.querySelector('tbody a').href"), width=900)
    tab.submit("form[action$='/approve']")
    assert tab.evaluate("document.querySelector('[role=status]').textContent").strip().endswith(": ready")


def test_every_page_of_the_forge(hosted_home: Path, tmp_path: Path, tab: BrowserTab) -> None:
    home = tmp_path / "forge"
    shutil.copytree(hosted_home, home)
    with ForkedForge.start(home) as forge:
        hostile = {"title": "W" * 200, "body": f"{'x' * 300}\n\n{'|unbreakable' * 30}|\n{'|---' * 30}|\n"}
        forge.act_as("demo/quiet", "ada", **hostile)
        tab.open(f"{forge.url}/demo/ledgerlib", width=900)
        run = tab.evaluate(
            "[...document.querySelectorAll('a')].map((one) => one.pathname).find((it) => /runs/.test(it))"
        )
        of_tickets = ("/demo/webshop/pull/1", "/demo/handbook/issues/1", "/demo/quiet/issues/1")
        _check(tab, forge.url, ("/", "/demo/ledgerlib", *of_tickets, run))


def test_the_report(tmp_path: Path, tab: BrowserTab) -> None:
    ledger = new_sqlite_ledger(tmp_path / "ledger.sqlite")
    fill(ledger, days=30, tasks=20)
    warehouse = tmp_path / "warehouse.duckdb"
    publish_warehouse(ledger, warehouse)
    ledger.close()
    page = tmp_path / "report.html"
    write_page(page, html(read_report(warehouse, since=timedelta(days=30)), cache=tmp_path / "matplotlib"))
    _check(tab, page.as_uri(), ("",))
