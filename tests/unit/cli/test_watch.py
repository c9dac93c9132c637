from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.tasks_watch import changes, pages, pages_to_end, show_live
from squire_pipelines.ledger.task_query import TaskQuery
from squire_pipelines.ledger.task_rows import TaskPage, TaskRow

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ROW = TaskRow(
    id="t1",
    repository="acme/shop",
    title="Fix\x1b[1m it",
    kind="other",
    status="ready",
    priority="medium",
    waiting="its start",
    waiting_for="start",
    waiting_until=None,
    cause=None,
    message=None,
    attempts=0,
    max_attempts=3,
    cancel_requested=False,
    branch="squire/t1",
    pr_number=None,
    pr_url=None,
    outcome=None,
    checks=None,
    trace_id="a" * 32,
    created_at=NOW,
    updated_at=NOW,
    ended_at=None,
)


def _world(*states: str) -> tuple[Callable[[TaskQuery], TaskPage], Callable[[], None], list[str]]:
    now = list(states)

    def read(query: TaskQuery) -> TaskPage:
        row = replace(ROW, status=now[0])
        return TaskPage((row,) if not query.statuses or row.status in query.statuses else (), NOW)

    def wait() -> None:
        now.pop(0)

    return read, wait, now


def test_the_last_page_shows_how_everything_ended() -> None:
    read, wait, _ = _world("ready", "running", "succeeded")
    shown = [page.rows[0].status for page in pages(read, TaskQuery(), wait=wait, rounds=9)]
    assert shown == ["ready", "running", "succeeded"]


def test_what_waits_for_a_person_is_not_waited_for() -> None:
    read, wait, _ = _world("proposed")
    assert len(list(pages(read, TaskQuery(), wait=wait, rounds=9))) == 1


def test_a_watch_has_a_bound() -> None:
    read, wait, left = _world(*["running"] * 9)
    assert len(list(pages(read, TaskQuery(), wait=wait, rounds=3))) == 3
    assert len(left) == 7


@pytest.mark.parametrize(("states", "rounds"), [(["proposed", "ready", "running", "failed"], 4), (["cancelled"], 1)])
def test_named_tasks_are_followed_to_their_end_also_while_a_person_is_waited_for(
    states: list[str], rounds: int
) -> None:
    read, wait, _ = _world(*states, "never")
    shown = pages_to_end(lambda: read(TaskQuery()), wait=wait, rounds=9)
    assert [page.rows[0].status for page in shown] == states[:rounds]


def test_named_tasks_are_followed_for_a_bounded_time() -> None:
    read, wait, _ = _world(*["running"] * 9)
    assert len(list(pages_to_end(lambda: read(TaskQuery()), wait=wait, rounds=3))) == 3


def test_each_change_is_one_line() -> None:
    known: dict[str, TaskRow] = {}
    assert list(changes(known, TaskPage((ROW,), NOW))) == ["t1 acme/shop Fix it: ready, waits for its start"]
    assert list(changes(known, TaskPage((ROW,), NOW))) == []
    running = replace(ROW, status="running", waiting=None, attempts=1)
    assert list(changes(known, TaskPage((running,), NOW))) == ["t1 acme/shop Fix it: running"]


def test_the_live_table_ends_with_the_last_page(capsys: pytest.CaptureFixture[str]) -> None:
    done = replace(ROW, status="succeeded", waiting=None)
    last = TaskPage((done,), NOW)
    assert show_live(CliContext(), iter([TaskPage((ROW,), NOW), last])) is last
    shown = capsys.readouterr().out
    assert "succeeded" in shown
    assert "\x1b[1m it" not in shown
