"""Each action of the board does what its command does, is audited as the person's, and is done once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from squire_pipelines.domain.alert_rules import Severity
from squire_pipelines.domain.alert_steps import AlertState, AlertStep
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.schedules import Rhythm
from squire_pipelines.domain.tasks import Priority, TaskStatus
from squire_pipelines.ledger import alerts, decisions, schedules, tasks
from squire_pipelines.ledger.schedules import NewSchedule
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import audit, task_events
from tests.support.boards import hidden_fields, open_board
from tests.support.cli import SampleData, Squire
from tests.support.ledgers import REPOSITORY, TRACE, spec


@pytest.fixture
def browser(samples: SampleData) -> Iterator[TestClient]:
    with open_board(samples.ledger, settings=f'repositories = ["{REPOSITORY}"]\n') as board:
        yield board


def _do(browser: TestClient, path: str, **fields: str) -> str:
    """Send a form with the token of the session, and return the page that it leads to."""
    csrf = hidden_fields(browser.get("/new").text)["csrf"]
    answer = browser.post(path, data={"csrf": csrf, **fields})
    return browser.get(answer.headers["location"]).text if answer.status_code == 303 else answer.text


def _status(ledger: Ledger, task_id: str) -> TaskStatus:
    with ledger.read() as tx:
        return tasks.get(tx, task_id).status


def _audited(ledger: Ledger) -> list[dict[str, Any]]:
    with ledger.read() as tx:
        query = select(audit.c.actor, audit.c.action, audit.c.subject, audit.c.detail).order_by(audit.c.id)
        return [dict(row) for row in tx.execute(query).mappings()]


def _events(ledger: Ledger, task_id: str) -> list[tuple[object, ...]]:
    columns = (task_events.c.subject, task_events.c.before, task_events.c.after, task_events.c.reason)
    with ledger.read() as tx:
        query = select(*columns).where(task_events.c.task_id == task_id).order_by(task_events.c.id)
        return [tuple(row) for row in tx.execute(query)]


CHANGES = [
    (("approve",), {}),
    (("reject", "--reason", "not now"), {"reason": "not now"}),
    (("start",), {}),
    (("cancel",), {}),
    (("priority",), {"level": "low"}),
]


@pytest.mark.parametrize(("words", "fields"), CHANGES)
def test_an_action_leaves_the_rows_that_its_command_leaves(
    browser: TestClient, samples: SampleData, tmp_path: Path, words: tuple[str, ...], fields: dict[str, str]
) -> None:
    by_board, by_command = samples.task("One", approved=False), samples.task("Two", approved=False)
    page = _do(browser, f"/tasks/{by_board}/{words[0]}", **fields)
    result = Squire(tmp_path / "home")("tasks", *words, by_command, *fields.get("level", "").split())
    assert result.exit_code == 0
    assert result.output.strip().replace(by_command, by_board) in page
    assert _status(samples.ledger, by_board) == _status(samples.ledger, by_command)
    assert _events(samples.ledger, by_board) == _events(samples.ledger, by_command)
    first, second = _audited(samples.ledger)[-2:]
    assert first["actor"] == "board:ada"
    assert str(second["actor"]).startswith("cli:")
    assert first["action"] == second["action"]
    assert (first["subject"], second["subject"]) == (by_board, by_command)


def test_two_people_who_approve_at_once_approve_once(browser: TestClient, samples: SampleData) -> None:
    task_id = samples.task(approved=False)
    assert f"{task_id}: ready" in _do(browser, f"/tasks/{task_id}/approve")
    assert f"task {task_id} is not proposed" in _do(browser, f"/tasks/{task_id}/approve")
    assert [row["action"] for row in _audited(samples.ledger)].count("tasks.approve") == 1


def test_an_action_on_what_has_just_ended_says_so_and_does_nothing(browser: TestClient, samples: SampleData) -> None:
    task_id = samples.ended(Cause.COMPLETED)
    before = _events(samples.ledger, task_id)
    page = _do(browser, f"/tasks/{task_id}/cancel")
    assert f"task {task_id} has succeeded already: there is nothing to cancel" in page
    assert _events(samples.ledger, task_id) == before


def test_a_failed_task_is_retried_and_a_priority_is_one_of_four(browser: TestClient, samples: SampleData) -> None:
    task_id = samples.ended(Cause.POLICY_REJECTED)
    assert "ready, up to" in _do(browser, f"/tasks/{task_id}/retry")
    assert _status(samples.ledger, task_id) is TaskStatus.READY
    assert "There is no such action." in _do(browser, f"/tasks/{task_id}/priority", level="highest")
    assert "There is no such action." in _do(browser, f"/tasks/{task_id}/delete")
    assert "there is no task" in _do(browser, "/tasks/t0nothere0000000/approve")


def test_a_request_becomes_a_task_word_for_word(browser: TestClient, samples: SampleData) -> None:
    fields = {"repository": REPOSITORY.upper(), "text": "Sort the imports.\r\nAll of them.", "priority": "low"}
    page = _do(browser, "/tasks", **fields, hold="1")
    assert "Sort the imports." in page
    with samples.ledger.read() as tx:
        task = tasks.get(tx, page.partition('action="/tasks/')[2].partition("/")[0])
    assert task.spec.prompt == "Sort the imports.\nAll of them."
    assert (task.repository, task.status, task.priority) == (REPOSITORY, TaskStatus.PROPOSED, Priority.LOW)
    similar = _do(browser, "/tasks", **fields)
    assert "this says nearly the same as" in similar


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": " \n"}, "the text is empty"),
        ({"text": "x" * 50_001}, "more than 50000 characters"),
        ({"text": "Do it.", "repository": "other/one"}, "is not one of Squire&#39;s repositories"),
        ({"text": "Do it.", "priority": "soon"}, "There is no such priority."),
    ],
)
def test_a_request_that_cannot_be_says_why_and_makes_nothing(
    browser: TestClient, fields: dict[str, str], message: str
) -> None:
    assert message in _do(browser, "/tasks", **{"repository": REPOSITORY, **fields})
    assert "No task matches." in browser.get("/tasks").text


def test_a_signal_is_released_as_it_was_read_or_not_at_all(browser: TestClient, samples: SampleData) -> None:
    samples.reading(title="Broken")
    with samples.ledger.write() as tx:
        stored = decisions.find(tx, "open_issue:7")
        decisions.decide(tx, stored, release=False, actor="cli:bob", reason="later", trace_id="ab" * 16)
    listed = browser.get("/signals").text
    assert f'href="/signals/{stored.id}"' in listed
    version = hidden_fields(browser.get(f"/signals/{stored.id}").text)["text_version"]
    changed = _do(browser, f"/signals/{stored.id}/release", text_version="f" * 32)
    assert "has changed since it had the version" in changed
    assert "open_issue:7: yes:" in _do(browser, f"/signals/{stored.id}/release", text_version=version)
    last = _audited(samples.ledger)[-1]
    assert (last["actor"], last["action"]) == ("board:ada", "signal.released")
    page = browser.get(f"/signals/{stored.id}").text
    assert "Tasks that were made of it before go on." in page
    assert "open_issue:7: held" in _do(browser, f"/signals/{stored.id}/hold", **hidden_fields(page))
    assert _audited(samples.ledger)[-1]["action"] == "signal.held"


def test_an_alert_is_silenced_and_sent_again(browser: TestClient, samples: SampleData) -> None:
    with samples.ledger.write() as tx:
        firing = AlertState("al1", "disk_full:x", "disk_full", "x", Severity.WARNING, "why", "do", tx.now, tx.now)
        alerts.record_step(tx, AlertStep((firing,)), None, (), alerts.QueueBounds())
    assert '<option value="disk_full:x">' in browser.get("/alerts").text
    for refused in ({"match": "nonsense", "for": "1h"}, {"match": "*", "for": "1y"}):
        assert "no such alert or time" in _do(browser, "/alerts/silence", **refused)
    silenced = {"match": "disk_full:x", "for": "8h", "reason": "known"}
    assert "disk_full:x is silenced until" in _do(browser, "/alerts/silence", **silenced)
    silence = hidden_fields(browser.get("/alerts").text)["match"]
    assert "disk_full:x is sent again" in _do(browser, "/alerts/unsilence", match=silence)
    assert "nothing is silenced as" in _do(browser, "/alerts/unsilence", match=silence)
    kept = [(row["actor"], row["action"]) for row in _audited(samples.ledger)]
    assert kept == [("board:ada", "alerts.silence"), ("board:ada", "alerts.unsilence")]


def test_a_schedule_is_paused_goes_on_and_is_removed(browser: TestClient, samples: SampleData) -> None:
    with samples.ledger.write() as tx:
        new = NewSchedule(REPOSITORY, spec("Sort the imports"), Rhythm("0 3 * * 1", "Europe/Berlin"), tx.now, "cli:ann")
        schedule_id = schedules.create(tx, new, most=5, trace_id=TRACE).id
    page = browser.get("/schedules").text
    assert "Sort the imports" in page
    assert f'action="/schedules/{schedule_id}/resume"' not in page
    paused = _do(browser, f"/schedules/{schedule_id}/pause")
    assert f"{schedule_id}: paused" in paused
    assert f'action="/schedules/{schedule_id}/resume"' in paused
    assert "is paused already" in _do(browser, f"/schedules/{schedule_id}/pause")
    assert f"{schedule_id}: active; the next task comes" in _do(browser, f"/schedules/{schedule_id}/resume")
    assert "There are none." in _do(browser, f"/schedules/{schedule_id}/remove")
    assert "There is no such action." in _do(browser, f"/schedules/{schedule_id}/undo")
    assert [row["actor"] for row in _audited(samples.ledger)[-3:]] == ["board:ada"] * 3
