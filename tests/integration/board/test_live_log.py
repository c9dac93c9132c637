"""The log of an attempt on the board: its end, what is added, and the end of the stream."""

import json
import shutil
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from squire_pipelines.domain.endings import Cause
from tests.support.boards import open_board
from tests.support.cli import SampleData
from tests.support.hostile_text import hidden_characters


def _write_log(tmp_path: Path, task_id: str, content: bytes) -> None:
    path = tmp_path / "home" / "attempts" / f"{task_id}-1" / "agent.log"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)


def _lines(stream: str) -> list[str]:
    return [line for event in stream.split("\n") if event.startswith("data: [") for line in json.loads(event[6:])]


def test_a_stream_gives_what_was_added_and_ends_with_the_attempt(
    browser: TestClient, samples: SampleData, tmp_path: Path
) -> None:
    task_id = samples.ended(Cause.TIMEOUT)
    _write_log(tmp_path, task_id, b"first\nsecond <b>\x1b[31m\nghp_" + b"a" * 36 + b"\nno end")
    answer = browser.get(f"/tasks/{task_id}/attempts/1/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert _lines(answer.text) == ["first", "second <b>", "[redacted]", "no end"]
    assert answer.text.endswith("event: end\ndata: -\n\n")
    later = browser.get(f"/tasks/{task_id}/attempts/1/events?from=6")
    assert _lines(later.text) == ["second <b>", "[redacted]", "no end"]
    again = browser.get(f"/tasks/{task_id}/attempts/1/events", headers={"Last-Event-ID": "6"})
    assert _lines(again.text) == _lines(later.text)


def test_the_page_has_the_last_lines_escaped_and_follows_while_the_attempt_runs(
    browser: TestClient, samples: SampleData, tmp_path: Path
) -> None:
    running = samples.running().task_id
    _write_log(tmp_path, running, b"<script>x</script>\x1b[2J\nhalf")
    page = browser.get(f"/tasks/{running}/attempts/1/log").text
    assert "&lt;script&gt;" in page
    assert hidden_characters(page) == []
    # A line without its end is left to the stream.
    assert f'data-events="/tasks/{running}/attempts/1/events?from=23"' in page


@pytest.mark.parametrize("path", ["log", "events"])
def test_an_attempt_that_is_not_there_is_said_so(browser: TestClient, samples: SampleData, path: str) -> None:
    task_id = samples.task()
    assert browser.get(f"/tasks/{task_id}/attempts/1/{path}").status_code == 404


def test_a_log_on_another_machine_is_not_shown_and_the_page_says_so(browser: TestClient, samples: SampleData) -> None:
    task_id = samples.ended(Cause.TIMEOUT)
    page = browser.get(f"/tasks/{task_id}/attempts/1/log").text
    assert "There is no log, or not any more." in page
    assert "data-events" not in page


def test_a_log_and_a_change_on_another_machine_come_from_the_store(
    samples: SampleData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = samples.ended(Cause.TIMEOUT)
    stored = tmp_path / "mounted" / "attempts" / f"{task_id}-1"
    (stored / "keep").mkdir(parents=True)
    (stored / "agent.log").write_text("first\nsecond\n")
    (stored / "keep" / "change.diff").write_text("+a line of the change\n")
    monkeypatch.setenv("SQUIRE_FILES__URL", f"file://{tmp_path}/mounted")
    with open_board(samples.ledger) as browser:
        assert _lines(browser.get(f"/tasks/{task_id}/attempts/1/events").text) == ["first", "second"]
        assert "second" in browser.get(f"/tasks/{task_id}/attempts/1/log").text
        assert "a line of the change" in browser.get(f"/tasks/{task_id}").text
        shutil.rmtree(tmp_path / "home" / "cache" / "stored-files")
        (tmp_path / "mounted").rename(tmp_path / "unmounted")
        log, task = (browser.get(f"/tasks/{task_id}{path}") for path in ("/attempts/1/log", ""))
    assert log.status_code == task.status_code == 200
    assert "is not there" in log.text
    assert "What was changed cannot be shown" in task.text
