import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.outcomes import PullRequestReport, PullRequestState
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger import importing, old_tasks, outcomes, tables, tasks
from squire_pipelines.ledger.exporting import export_tasks
from squire_pipelines.ledger.importing import ImportReport
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.task_query import TaskQuery
from tests.support.ledgers import (
    add_tasks,
    dispatch,
    list_tasks,
    rows_as_stored,
    rows_as_told_by_events,
    settle,
    spec,
    start_attempt,
)

MOMENT = "2025-11-03T10:20:30.400Z"


def old(name: str, **values: Any) -> dict[str, Any]:
    """A task as the old product wrote it."""
    return {
        "id": name,
        "repo": "acme/shop",
        "prompt": "Mend the flaky test\n\nIt fails on Mondays.",
        "branch": f"squire/{name}",
        "baseBranch": "auto",
        "status": "pending",
        "createdAt": MOMENT,
        **values,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Write task files of the old product."""

    def write(*files: dict[str, Any] | tuple[str, bytes]) -> Path:
        place = tmp_path / "old"
        place.mkdir(exist_ok=True)
        for one in files:
            name, content = one if isinstance(one, tuple) else (f"{one['id']}.json", json.dumps(one).encode())
            (place / name).write_bytes(content)
        return place

    return write


def take(ledger: Ledger, path: Path) -> ImportReport:
    """Import what is there."""
    return importing.import_tasks(ledger, path, max_attempts=3)


def by_title(ledger: Ledger) -> dict[str, tasks.Task]:
    """The tasks of the ledger by the name that their branch ends with, or their title."""
    with ledger.read() as tx:
        return {task.branch.removeprefix("squire/"): task for task in list_tasks(tx)}


def test_each_state_becomes_what_is_true_of_it_now(ledger: Ledger, folder: Callable[..., Path]) -> None:
    place = folder(
        old("waits"),
        old("runs", status="running", containerId="c1", startedAt=MOMENT),
        old(
            "done", status="completed", completedAt="2025-11-03T11:00:00Z", prUrl="https://github.com/acme/shop/pull/7"
        ),
        old("merged", status="completed", prNumber=8, prMerged=True, prMergedAt="2025-11-04T00:00:00Z"),
        old("closed", status="completed", prNumber=9, prClosed=True, ciFailed=True),
        old("nothing", status="completed", baseBranch="develop", repo="https://github.com/acme/api"),
        old("bad", status="failed", error="no space left"),
    )
    result = take(ledger, place)
    assert result.taken == {"proposed": 1, "failed": 2, "succeeded": 4}
    assert (result.known, result.skipped) == (0, 0)
    assert sum(result.notes.values()) == 1
    tasks_by_title = by_title(ledger)
    waits = next(task for task in tasks_by_title.values() if task.status is TaskStatus.PROPOSED)
    assert waits.title == "Mend the flaky test"
    assert waits.spec.prompt.endswith("It fails on Mondays.")
    assert waits.base_branch == "main"
    assert waits.branch == f"squire/{waits.id}-mend-the-flaky-test"
    assert waits.created_at == datetime(2025, 11, 3, 10, 20, 30, 400_000, tzinfo=UTC)
    assert (tasks_by_title["runs"].status, tasks_by_title["runs"].cause) == (TaskStatus.FAILED, Cause.LOST)
    assert "what became of it is not known" in (tasks_by_title["runs"].message or "")
    assert (tasks_by_title["bad"].cause, tasks_by_title["bad"].message) == (Cause.AGENT_ERROR, "no space left")
    assert tasks_by_title["nothing"].base_branch == "develop"
    assert tasks_by_title["done"].ended_at == datetime(2025, 11, 3, 11, 0, tzinfo=UTC)
    with ledger.read() as tx:
        known = {name: outcomes.get(tx, tasks_by_title[name].id) for name in ("done", "merged", "closed", "nothing")}
        (event,) = tasks.events(tx, tasks_by_title["bad"].id)
        assert [event.subject for event in tasks.events(tx, tasks_by_title["done"].id)] == ["task", "outcome"]
        flaky = list_tasks(tx, TaskQuery(text="flaky"))
    assert {task.id for task in flaky} == {task.id for task in tasks_by_title.values()}
    assert (event.actor, event.before, event.after) == ("import", None, "failed")
    assert "task bad of the old product, failed there (bad.json)" in event.reason
    states = {name: outcome and outcome.state for name, outcome in known.items()}
    assert states == {"done": "open", "merged": "merged", "closed": "closed", "nothing": None}
    assert rows_as_told_by_events(ledger) == rows_as_stored(ledger)


def test_an_imported_pull_request_takes_githubs_next_report(ledger: Ledger, folder: Callable[..., Path]) -> None:
    take(ledger, folder(old("done", status="completed", prNumber=7)))
    report = PullRequestReport(
        repository="acme/shop",
        number=7,
        url="u",
        head_ref="squire/done",
        head_sha="a" * 40,
        state=PullRequestState.MERGED,
        updated_at=datetime(2025, 11, 3, 10, 20, 30, tzinfo=UTC),
        merged_at=datetime(2025, 11, 3, 10, 20, 30, tzinfo=UTC),
    )
    (task,) = by_title(ledger).values()
    with ledger.write() as tx:
        assert outcomes.apply_report(tx, report, actor="test") == task.id
        known = outcomes.get(tx, task.id)
    assert known
    assert known.state is PullRequestState.MERGED


def test_importing_again_changes_nothing(ledger: Ledger, folder: Callable[..., Path]) -> None:
    place = folder(old("one"), old("two", status="failed"))
    before = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in place.iterdir()}
    assert sum(take(ledger, place).taken.values()) == 2
    again = take(ledger, place)
    assert (again.taken, again.known, again.skipped) == ({}, 2, 0)
    folder(old("three"))
    assert take(ledger, place).taken == {"proposed": 1}
    assert before.items() <= {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in place.iterdir()}.items()


def test_stewards_state_file_is_read_after_the_tasks_own_files(ledger: Ledger, folder: Callable[..., Path]) -> None:
    record = {"repo": "acme/shop", "prompt": "Do it", "dispatchedAt": MOMENT}
    state = {
        "lastRun": MOMENT,
        "tasks": [
            {**record, "taskId": "one", "status": "dispatched"},
            {**record, "taskId": "two", "status": "dispatched"},
            {**record, "taskId": "three", "status": "completed", "prUrl": "https://github.com/acme/shop/pull/3"},
            {**record, "taskId": "four", "status": "unheard-of"},
        ],
    }
    place = folder(old("one", status="failed"), ("steward-state.json", json.dumps(state).encode()))
    result = take(ledger, place)
    assert result.taken == {"failed": 2, "succeeded": 1}
    assert (result.known, result.skipped) == (1, 1)
    assert result.reasons[0].where == "task 4"
    assert result.reasons[0].reason == "status 'unheard-of' is unknown"
    assert take(ledger, place / "steward-state.json").known == 3


BAD: list[tuple[str, bytes, str]] = [
    ("broken.json", b'{"id": "x", ', "is no JSON"),
    ("empty.json", b"", "is no JSON"),
    ("latin.json", '{"id": "é"}'.encode("latin-1"), "is not UTF-8"),
    ("number.json", b"17", "is int, not an object"),
    ("nothing.json", b"{}", "is missing"),
    ("deep.json", b"[" * 200_000, "is no JSON that can be read"),
    ("status.json", json.dumps(old("a", status="paused")).encode(), "status 'paused' is unknown"),
    ("noprompt.json", json.dumps({"id": "a", "repo": "a/b", "status": "pending"}).encode(), "prompt is missing"),
    ("types.json", json.dumps(old("a", prNumber="7")).encode(), "prNumber"),
    ("blank.json", json.dumps(old("a", prompt=" \n ")).encode(), "prompt is empty"),
    ("long.json", json.dumps(old("a", prompt="x" * 50_001)).encode(), "prompt"),
    ("repo.json", json.dumps(old("a", repo="shop")).encode(), "is not a repository name"),
    ("time.json", json.dumps(old("a", createdAt="yesterday")).encode(), "Invalid isoformat"),
    ("year.json", json.dumps(old("a", createdAt="0001-01-01T00:00:00Z")).encode(), "between the years"),
    ("first.json", json.dumps(old("a", createdAt="0001-01-01T00:00:00+14:00")).encode(), "between the years"),
    ("last.json", json.dumps(old("a", createdAt="9999-12-31T23:59:59-14:00")).encode(), "between the years"),
    ("epoch.json", json.dumps(old("a", createdAt=1_700_000_000)).encode(), "no time as ISO 8601"),
]


def test_what_cannot_be_taken_is_named_and_the_rest_goes_on(ledger: Ledger, folder: Callable[..., Path]) -> None:
    place = folder(old("good"), *((name, content) for name, content, _ in BAD))
    (place / "link.json").symlink_to(place / "good.json")
    (place / "folder.json").mkdir()
    os.mkfifo(place / "pipe.json")
    with (place / "huge.json").open("wb") as huge:
        huge.truncate(old_tasks.MAX_FILE + 1)
    (place / "notes.txt").write_text("not asked for")
    result = take(ledger, place)
    assert result.taken == {"proposed": 1}
    reasons = {one.file: one.reason for one in result.reasons}
    for name, _, reason in BAD:
        assert reason in reasons.pop(name), name
    assert reasons.pop("link.json") == "is a symbolic link"
    assert reasons.pop("folder.json") == "cannot be read: Is a directory"
    assert reasons.pop("pipe.json") == "is no plain file"
    assert "more than" in reasons.pop("huge.json")
    assert reasons == {}
    assert result.skipped == len(BAD) + 4


def test_a_place_that_is_none_is_an_error(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="cannot be read: No such file"):
        take(ledger, tmp_path / "none")


def test_hostile_text_is_stored_as_text(ledger: Ledger, folder: Callable[..., Path]) -> None:
    prompt = "'; DROP TABLE tasks; --\x00"
    (task,) = (take(ledger, folder(old("a", prompt=prompt))), by_title(ledger))[1].values()
    assert task.title.startswith("'; DROP TABLE tasks; --")


# ── Export and back ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_an_export_comes_back_as_it_was(
    ledger: Ledger, open_at: Callable[..., Ledger], tmp_path: Path, folder: Callable[..., Path]
) -> None:
    attempt = start_attempt(ledger)
    settle(ledger, attempt, Cause.TIMEOUT)
    add_tasks(ledger, spec("b", depends_on=("c",)), spec("c"))
    dispatch(ledger)
    take(ledger, folder(old("merged", status="completed", prNumber=8, prMerged=True)))
    with ledger.read() as tx:
        lines = list(export_tasks(tx, TaskQuery()))
    assert len(lines) == 4
    assert all("lease_token" not in one for line in lines for one in line["attempts"])
    path = tmp_path / "all.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n\nbroken\n" + '{"squire_task": 99}\n')
    assert take(ledger, path).known == 4

    other = open_at(f"sqlite:///{tmp_path / 'other.sqlite'}")
    other.ensure_schema()
    result = take(other, path)
    assert sum(result.taken.values()) == 4
    assert [one.where for one in result.reasons] == ["line 6", "line 7"]
    with other.read() as tx:
        again = list(export_tasks(tx, TaskQuery()))
        assert len(list_tasks(tx, TaskQuery(text="mend"))) == 1
    for line in (*lines, *again):
        line["task"].pop("plan_id", None)
    assert again == lines
    assert take(other, path).known == 4
    assert rows_as_told_by_events(other) == rows_as_stored(other)


def test_an_export_with_earlier_names_of_columns_is_read(
    ledger: Ledger, open_at: Callable[..., Ledger], tmp_path: Path, folder: Callable[..., Path]
) -> None:
    take(ledger, folder(old("merged", status="completed", prNumber=8, prMerged=True)))
    with ledger.read() as tx:
        (line,) = export_tasks(tx, TaskQuery())
    line["outcomes"][0] |= {"told_reason": "it is theirs", "answered": "t2"}
    (tmp_path / "x.jsonl").write_text(json.dumps(line))
    other = open_at(f"sqlite:///{tmp_path / 'other.sqlite'}")
    other.ensure_schema()
    assert take(other, tmp_path / "x.jsonl").reasons == []
    with other.read() as tx:
        row = tx.execute(select(tables.outcomes)).one()
    assert (row.announced_reason, row.answered_task_id) == ("it is theirs", "t2")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda line: line["task"].update(status="paused"), "is not a valid TaskStatus"),
        (lambda line: line["task"].update(nonsense=1), "tasks has no 'nonsense'"),
        (lambda line: line["task"].update(title_words="x"), "tasks has no 'title_words'"),
        (lambda line: line["task"].update(title={"a": 1}), "tasks.title = \"{'a': 1}\": is of another type"),
        (lambda line: line["task"].update(created_at=5), "no time as ISO 8601"),
        (lambda line: line["task"].update(created_at="2026-01-01"), "has no time zone"),
        (lambda line: line["task"].update(created_at="0001-01-01T00:00:00Z"), "between the years"),
        (lambda line: line["events"][0].update(at="0999-01-01T00:00:00Z"), "between the years"),
        (lambda line: line["task"].update(priority="high"), "tasks.priority = 'high': is of another type"),
        (lambda line: line["task"].update(attempts=True), "tasks.attempts = 'True': is of another type"),
        (lambda line: line["task"].update(attempts=2**63), "is too large"),
        (lambda line: line["events"][0].update(subject="zz"), "is not a valid EventSubject"),
        (lambda line: line.update(depends_on=5), "depends_on is no list of ids"),
        (lambda line: line["task"].pop("title"), "title is missing"),
        (lambda line: line["task"].update(ended_at=MOMENT), ""),
        (lambda line: line["events"][0].update(task_id="other"), "events has a row of another task"),
        (lambda line: line.update(task=7), ""),
        (lambda line: line.pop("task"), "task is missing"),
    ],
)
def test_a_line_that_does_not_hold_together_is_left_out_whole(
    ledger: Ledger, tmp_path: Path, change: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    add_tasks(ledger, spec("a"))
    with ledger.read() as tx:
        (line,) = export_tasks(tx, TaskQuery())
    line["task"] |= {"id": "tother", "fingerprint": "f" * 32}
    for event in line["events"]:
        event["task_id"] = "tother"
    change(line)
    (tmp_path / "x.jsonl").write_text(json.dumps(line))
    result = take(ledger, tmp_path / "x.jsonl")
    assert (result.skipped, result.taken) == (1, {}), result
    assert reason in result.reasons[0].reason
    with ledger.read() as tx:
        assert len(tx.execute(select(tables.tasks.c.id)).all()) == 1
        assert len(tx.execute(select(tables.task_events.c.id)).all()) == 1


def test_a_line_without_end_stops_the_file(ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(old_tasks, "MAX_LINE", 100)
    (tmp_path / "x.jsonl").write_text("x" * 200 + "\n{}\n")
    result = take(ledger, tmp_path / "x.jsonl")
    assert [one.reason for one in result.reasons] == ["has more than 100 bytes; the lines after it are left out"]
