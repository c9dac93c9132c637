import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from squire_pipelines.cli.parameters import parse_moment, parse_span
from squire_pipelines.domain.endings import Cause
from squire_pipelines.ledger import tables
from tests.support.cli import SampleData, Squire

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def age(samples: SampleData, task_id: str, days: int) -> None:
    """Let a task have ended so many days ago."""
    with samples.ledger.write() as tx:
        row = tables.tasks
        tx.execute(update(row).where(row.c.id == task_id).values(ended_at=tx.now - timedelta(days=days)))


@pytest.mark.slow
def test_old_tasks_are_cleaned_and_what_is_left_is_shown(squire: Squire, samples: SampleData) -> None:
    old, young = samples.ended(Cause.AGENT_ERROR, "An old one"), samples.ended(Cause.AGENT_ERROR, "A young one")
    age(samples, old, 8)
    assert "tasks: 1 would be archived" in squire.ok("tasks", "clean", "--dry-run")
    assert "tasks: 1 archived and deleted" in squire.ok("tasks", "clean")
    assert [row["id"] for row in squire.json("tasks", "list")] == [young]
    shown = squire.ok("tasks", "show", old)
    assert "An old one" in shown
    assert "archived:" in shown
    assert squire.json("tasks", "show", old)["archived"] is True
    assert "was archived on" in squire.fails(1, "tasks", "logs", old)
    assert squire.ok("tasks", "clean") == "Nothing is old enough to be archived.\n"
    assert list((squire.home / "archive" / "tasks").glob("*.parquet"))
    assert squire.json("tasks", "clean", "--older-than", "0d", "--status", "succeeded")["rows"] == {}
    assert squire.json("clean", "--older-than", "0d")["rows"] == {"tasks": 1}


def test_a_task_with_an_open_pull_request_is_said_to_stay(squire: Squire, samples: SampleData) -> None:
    age(samples, samples.ended(Cause.COMPLETED), 8)
    assert "tasks: 1 stay: open pull request" in squire.ok("tasks", "clean")


def test_a_home_in_which_dagster_never_ran_has_nothing_more_to_clean(squire: Squire, samples: SampleData) -> None:
    age(samples, samples.ended(Cause.AGENT_ERROR), 8)
    assert "Dagster has never run in" in squire.fails(1, "tasks", "clean", "--home")
    assert "--older-than" in squire.fails(2, "tasks", "clean", "--home", "--older-than", "7d")
    assert "tasks: 1 would be archived" in squire.ok("tasks", "clean", "--dry-run")


def test_an_import_reports_and_its_exit_code_says_partial(squire: Squire, tmp_path: Path) -> None:
    good = {"id": "a", "repo": "a/b", "prompt": "Do it", "status": "pending", "createdAt": "2026-01-01T00:00:00Z"}
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps(good))
    assert "1 imported (1 proposed), 0 known before" in squire.ok("tasks", "import", str(folder))
    (folder / "b.json").write_text("{")
    result = squire("tasks", "import", str(folder), "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert (report["known"], report["skipped"], report["reasons"][0]["file"]) == (1, 1, "b.json")
    result = squire("tasks", "import", str(folder))
    assert "b.json" in result.stdout
    assert "cannot be read" in squire.fails(1, "tasks", "import", str(tmp_path / "none"))


@pytest.mark.slow
def test_an_export_is_imported_elsewhere(
    squire: Squire, samples: SampleData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples.ended(Cause.AGENT_ERROR)
    file = tmp_path / "all.jsonl"
    assert "wrote 1 task to" in squire("tasks", "export", str(file)).stderr
    assert squire.ok("tasks", "export") == file.read_text()
    assert squire.ok("tasks", "export", "--status", "running") == ""
    assert "cannot be written" in squire.fails(3, "tasks", "export", str(tmp_path / "no" / "x.jsonl"))
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path / "other"))
    assert "1 imported (1 failed)" in squire.ok("tasks", "import", str(file))


def test_lists_are_narrowed_by_every_filter_and_page_on(squire: Squire, samples: SampleData) -> None:
    failed, ready = samples.ended(Cause.AGENT_ERROR, "Fix the parser"), samples.task("Fix the socket")
    for words, expected in {
        ("--text", "PARSER!"): [failed],
        ("--cause", "agent_error"): [failed],
        ("--kind", "other"): [ready, failed],
        ("--ended-since", "1h"): [failed],
        ("--created-until", "1h"): [],
        ("--order", "oldest"): [failed, ready],
    }.items():
        assert [row["id"] for row in squire.json("tasks", "list", *words)] == expected, words
    result = squire("tasks", "list", "--limit", "1", "--order", "changed", "--text", "fix the", "--created-since", "2d")
    line = next(line for line in result.stderr.splitlines() if line.startswith("next page: "))
    assert "--text 'fix the' --created-since 20" in line
    assert "--order changed --limit 1 --after " in line
    import shlex  # noqa: PLC0415 - here alone

    assert len(json.loads(squire.ok(*shlex.split(line)[3:], "--json"))) == 1
    assert "is not a time" in squire.fails(2, "tasks", "list", "--created-since", "soon")
    assert "no place in a list by oldest" in squire.fails(2, "tasks", "list", "--order", "oldest", "--after", "t1@x")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("7d", NOW - timedelta(days=7)),
        ("12h", NOW - timedelta(hours=12)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T12:00+02:00", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        (" 90M ", NOW - timedelta(minutes=90)),
    ],
)
def test_times_are_dates_or_spans(text: str, moment: datetime) -> None:
    assert parse_moment(text, NOW) == moment


@pytest.mark.parametrize("text", ["", "soon", "7", "d", "-7d", "7 years", "9999999d", "999999w", "2026-13-01"])
def test_other_words_are_no_times(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        parse_moment(text, NOW)
    with pytest.raises((ValueError, OverflowError)):
        _ = NOW - parse_span(text)
