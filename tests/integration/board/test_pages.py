"""The pages of the board over a real ledger: what they show, and that nobody else's text acts on them."""

import base64
import hashlib
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from squire_pipelines.agents.attempt_files import DIFF_FILE
from squire_pipelines.board.readings import PATCH_LINES
from squire_pipelines.domain.endings import Cause
from squire_pipelines.home import Home
from squire_pipelines.publishing.diff import MAX_DIFF_BYTES
from tests.support.boards import open_board
from tests.support.cli import SampleData
from tests.support.hostile_text import hidden_characters
from tests.support.ledgers import spec

PAGES = ("/", "/tasks", "/signals", "/signals?all=1", "/plans", "/spending", "/alerts")
HOSTILE_TITLE = '<script>alert(1)</script>\x1b[31mred\u202e" onclick=x ghp_' + "a" * 36


def test_every_page_of_an_empty_home_answers_and_says_what_is_not_there(browser: TestClient) -> None:
    for page in PAGES:
        answer = browser.get(page)
        assert answer.status_code == 200, page
        assert answer.text.count("<h1>") == 1
        assert '<main id="content"' in answer.text
    assert "No task matches." in browser.get("/tasks").text
    assert "There are no plans yet" in browser.get("/plans").text


def test_no_page_has_a_script_or_style_of_its_own_or_names_another_host(browser: TestClient) -> None:
    for page in PAGES:
        text = browser.get(page).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=\"/static/board.js\" defer></script>)", text), (
            page
        )
        loaded = re.findall(r'<(?:script|link|img)[^>]* (?:src|href)="([^"]*)"', text)
        assert loaded
        assert all(target.startswith("/static/") for target in loaded)


def test_a_task_shows_what_became_of_it_and_what_it_waits_for(browser: TestClient, samples: SampleData) -> None:
    ended, waiting = samples.ended(Cause.COMPLETED), samples.task("Sort the imports")
    assert "waits for" in browser.get(f"/tasks/{waiting}").text
    page = browser.get(f"/tasks/{ended}").text
    assert 'href="https://github.com/acme/shop/pull/12"' in page
    assert "Attempt 1" in page
    assert "last line" in page
    assert 'href="http://127.0.0.1:3000/runs/run-1"' in page
    listed = browser.get("/tasks", params={"status": "ready", "text": "imports"}).text
    assert f'href="/tasks/{waiting}"' in listed
    assert "<caption>1 task</caption>" in listed
    assert f'href="/tasks/{ended}"' not in listed
    assert "No task matches." in browser.get("/tasks", params={"status": "failed"}).text


def test_a_plan_its_reservations_and_signals_have_pages(browser: TestClient, samples: SampleData) -> None:
    plan_id, _ = samples.plan(spec("Sort the imports"))
    samples.reading()
    samples.ended(Cause.TIMEOUT)
    assert plan_id in browser.get("/plans").text
    assert "Sort the imports" in browser.get(f"/plans/{plan_id}").text
    assert "Broken" in browser.get("/signals?all=1").text
    assert "Broken" not in browser.get("/signals").text  # it is not held


def test_text_of_strangers_is_escaped_cleaned_and_free_of_secrets(browser: TestClient, samples: SampleData) -> None:
    task_id = samples.task(HOSTILE_TITLE)
    for page in ("/tasks", f"/tasks/{task_id}"):
        text = browser.get(page).text
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text
        assert hidden_characters(text) == []
        assert "ghp_" not in text


def test_the_first_page_shows_the_facts_of_the_status(browser: TestClient, samples: SampleData) -> None:
    samples.task("First")
    samples.task("Second", approved=False)
    page = browser.get("/").text
    assert "Waiting: 1" in page
    assert "Proposed: 1" in page


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/tasks/t0nothere0000000", 404),
        ("/nothing", 404),
        ("/tasks?after=t0nothere0000000", 404),
        ("/signals?after=x", 404),
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(browser: TestClient, path: str, status: int) -> None:
    answer = browser.get(path)
    assert answer.status_code == status
    assert "To the first page" in answer.text


def test_a_list_goes_on_at_its_next_page(browser: TestClient, samples: SampleData) -> None:
    for number in range(52):
        samples.task(f"Task {number}")
    first = browser.get("/tasks").text
    following = re.search(r'href="(/tasks\?[^"]*after=[^"]*)"', first)
    assert following is not None
    second = browser.get(following[1].replace("&amp;", "&")).text
    assert second.count('<th scope="row"') == 2


def test_runs_link_to_dagsters_ui_where_it_is_known(samples: SampleData) -> None:
    settings = '[board]\ndagster_url = "https://dagster.example.com/"\n'
    with open_board(samples.ledger, settings=settings) as board:
        assert 'href="https://dagster.example.com"' in board.get("/").text


def _keep_change(tmp_path: Path, task_id: str, patch: bytes) -> None:
    keep = tmp_path / "home" / "attempts" / f"{task_id}-1" / "keep"
    keep.mkdir(parents=True)
    (keep / DIFF_FILE).write_bytes(patch)


def test_a_task_shows_what_its_newest_change_does(browser: TestClient, samples: SampleData, tmp_path: Path) -> None:
    task_id = samples.ended(Cause.POLICY_REJECTED)
    assert "Change of attempt" not in browser.get(f"/tasks/{task_id}").text
    patch = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n kept\n-<b>old\n+++ not a file\n+ghp_" + "a" * 36
    _keep_change(tmp_path, task_id, f"{patch}\n+\x1b[31mred\u202e\n".encode() + b"+caf\xe9\n")
    page = browser.get(f"/tasks/{task_id}").text
    for shown in (
        '<span class="file">+++ b/x</span>',
        '<span class="place">@@ -1,3 +1,3 @@</span>',
        '<span class="kept"> kept</span>',
        '<span class="removed">-&lt;b&gt;old</span>',
        '<span class="added">+++ not a file</span>',
        '<span class="added">+[redacted]</span>',
        '<span class="added">+red</span>',
        '<span class="added">+caf\ufffd</span>',
    ):
        assert shown in page
    assert "It is longer" not in page


@pytest.mark.parametrize(
    ("patch", "is_cut"),
    [(b"+y" * MAX_DIFF_BYTES, True), (b"+y\n" * PATCH_LINES, False), (b"+y\n" * (PATCH_LINES + 1), True)],
)
def test_of_a_long_change_the_beginning_is_shown(
    browser: TestClient, samples: SampleData, tmp_path: Path, patch: bytes, *, is_cut: bool
) -> None:
    task_id = samples.ended(Cause.COMPLETED)
    _keep_change(tmp_path, task_id, patch)
    page = browser.get(f"/tasks/{task_id}").text
    assert ("It is longer: this is its beginning." in page) is is_cut
    assert 0 < page.count("+y") <= MAX_DIFF_BYTES // 2
    assert page.count('<span class="') <= PATCH_LINES + 50


def test_the_report_is_shown_with_a_policy_for_its_own_style(browser: TestClient) -> None:
    missing = browser.get("/report")
    assert missing.status_code == 404
    assert "there is no report yet" in missing.text
    report = Home.from_environment().report
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text("<!DOCTYPE html><style>p{color:red}</style><p>Report</p>")
    answer = browser.get("/report")
    assert answer.text.endswith("<p>Report</p>")
    digest = base64.b64encode(hashlib.sha256(b"p{color:red}").digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert f"default-src 'none'; style-src 'sha256-{digest}';" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
