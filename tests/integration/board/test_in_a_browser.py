"""The board in Chromium: at three widths nothing overflows, nothing is asked of another host, and all has its name."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from squire_pipelines.domain.endings import Cause
from tests.support.chromium import PROGRAM, BrowserTab, open_tab
from tests.support.cli import SampleData
from tests.support.ledgers import new_sqlite_ledger

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed: apt-get install chromium"),
]

# What a screen reader misses: controls, tables and landmarks without a name, ids that are there twice.
UNNAMED = """[
  ...[...document.querySelectorAll("input:not([type=hidden]), select, textarea")].filter(
    (field) => !field.labels.length && !field.getAttribute("aria-label")).map((field) => field.outerHTML),
  ...[...document.querySelectorAll("a, button")].filter(
    (control) => !control.textContent.trim()).map((control) => control.outerHTML),
  ...[...document.querySelectorAll("table")].filter((table) => !table.caption).map((table) => "table without caption"),
  ...["main", "header", "footer", "h1", "title", "[lang]"].filter(
    (name) => document.querySelectorAll(name).length !== 1),
  ...[...document.querySelectorAll("[id]")].map((node) => node.id).filter(
    (id, place, all) => all.indexOf(id) !== place),
]"""
FOLDED = "[...document.querySelectorAll('caption')].filter((one) => one.clientWidth < 100).length"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


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
    ledger.close()
    log = home / "attempts" / running.id / "agent.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * 500 + b"\n")
    attempt_log = f"/tasks/{running.task_id}/attempts/1/log"
    of_tasks = ("/tasks", f"/tasks/{ended}", f"/tasks/{running.task_id}", attempt_log, "/new")
    pages = ("/", *of_tasks, "/signals?all=1", "/plans", f"/plans/{plan_id}", "/spending", "/alerts")
    environment = {**os.environ, "SQUIRE_BOARD__PORT": "0"}
    command = [sys.executable, "-m", "squire_pipelines.board"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as board:
        try:
            assert board.stdout is not None
            yield board.stdout.readline().partition('"url": "')[2].partition('"')[0], pages
        finally:
            board.terminate()


def test_every_page_fits_three_widths_and_asks_no_other_host(
    address: tuple[str, tuple[str, ...]], tmp_path: Path
) -> None:
    url, pages = address
    with open_tab(tmp_path / "profile") as tab:
        for page in pages:
            for width in (400, 900, 1600):
                tab.open(f"{url}{page}", width=width)
                assert tab.evaluate(OVERFLOW) == 0, (page, width)
                assert tab.evaluate(FOLDED) == 0, (page, width)
            assert tab.evaluate(UNNAMED) == [], page
        assert tab.errors == []
        assert [asked for asked in tab.requested if not asked.startswith(url)] == []
        _check_that_a_form_works(tab, url)


def _check_that_a_form_works(tab: BrowserTab, url: str) -> None:
    """Approve a task as a person does, so that the browser's own headers are seen."""
    tab.open(f"{url}/tasks?status=proposed", width=900)
    tab.open(tab.evaluate("document.querySelector('tbody a').href"), width=900)
    tab.submit("form[action$='/approve']")
    assert tab.evaluate("document.querySelector('[role=status]').textContent").strip().endswith(": ready")
