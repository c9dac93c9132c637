"""`squire logs`: all logs of a home in the order of time, and the story of one task."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from squire_pipelines.domain.endings import Cause
from squire_pipelines.ledger import attempts as attempt_rows
from squire_pipelines.ledger import tasks as task_rows
from tests.support.cli import SampleData, Squire

TOKEN = "ghp_" + "a1B2" * 9


def receiver_line(event: str, *, ago: timedelta = timedelta(0), **values: str) -> str:
    at = (datetime.now(UTC) - ago).isoformat().replace("+00:00", "Z")
    line = {"event": event, "level": "info", "timestamp": at, "component": "webhooks", **values}
    return json.dumps(line) + "\n"


def add(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def test_a_tasks_story_is_told_in_order_from_all_that_knows_of_it(squire: Squire, samples: SampleData) -> None:
    task_id, other = samples.ended(Cause.COMPLETED), samples.task("Another")
    task = samples.read(task_rows.get, task_id)
    (attempt,) = samples.read(attempt_rows.of_task, task_id)
    add(squire.home / "attempts" / attempt.id / "agent.log", "what the agent wrote\n")
    receiver = squire.home / "run" / "receiver.log"
    add(receiver, receiver_line("its delivery", ago=timedelta(minutes=5), trace_id=task.trace_id))
    add(receiver, receiver_line("another's", trace_id=task.trace_id, task_id=other))
    result = squire("logs", "--task", task_id)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert "webhooks  its delivery" in lines[0]
    assert "ledger    task ready" in lines[1]
    assert any("ledger    attempt" in line and "completed" in line for line in lines)
    assert any("agent     what the agent wrote" in line for line in lines)
    assert "another's" not in result.stdout
    assert squire.ok("logs", task_id) == result.stdout
    by_attempt = squire.ok("logs", task_id, "--attempt", "1")
    assert squire.ok("logs", "--attempt", attempt.id) == by_attempt
    assert "what the agent wrote" in by_attempt
    assert "its delivery" not in by_attempt
    assert "ledger" not in squire.ok("logs", task_id, "--component", "agent")
    assert "its delivery" in squire.ok("logs", "--trace", task.trace_id[:8])


def test_lines_are_chosen_cleaned_and_without_secrets(squire: Squire) -> None:
    receiver = squire.home / "run" / "receiver.log"
    add(receiver, receiver_line("long ago", ago=timedelta(hours=3)))
    add(receiver, receiver_line(f"\x1b[31mred {TOKEN}", repository="acme/shop", token=TOKEN))
    add(receiver, receiver_line("wrong", exception="Traceback\n  x\nE: y").replace('"info"', '"error"'))
    shown = squire.ok("logs")
    assert "red [redacted]" in shown
    assert "wrong\n    Traceback\n      x\n    E: y\n" in shown
    assert "\x1b" not in shown
    assert TOKEN not in shown
    assert "long ago" not in shown
    assert "long ago" in squire.ok("logs", "--since", "4h", "--until", "1h")
    assert "red" not in squire.ok("logs", "--level", "error")
    only = [json.loads(line) for line in squire.ok("logs", "--repository", "Acme/Shop", "--json").splitlines()]
    assert [(line["text"], line["repository"]) for line in only] == [("red [redacted]", "acme/shop")]
    assert only[0]["values"] == {"token": "[redacted]"}
    assert only[0]["source"] == "run/receiver.log"
    result = squire("logs", "-n", "1")
    assert "wrong" in result.stdout
    assert "red" not in result.stdout
    assert "1 line before these is not shown" in result.stderr.replace("are", "is")


def test_nothing_that_answers_is_said_with_what_was_searched(squire: Squire, samples: SampleData) -> None:
    samples.task("One")
    add(squire.home / "run" / "receiver.log", receiver_line("one"))
    result = squire("logs", "--trace", "f" * 32)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "no line answers: 1 log with" in result.stderr
    assert str(squire.home) in result.stderr
    assert "has a task's trace" in result.stderr
    assert "is not among the repositories" in squire("logs", "--repository", "no/such").stderr


def test_unknown_ids_and_options_that_contradict_are_errors(squire: Squire, samples: SampleData) -> None:
    task_id = samples.ended(Cause.COMPLETED)
    assert "there is no task" in squire.fails(1, "logs", "--task", "tnone")
    assert "tnone-1" in squire.fails(1, "logs", "--attempt", "tnone-1")
    assert "its attempts are 1 to 1" in squire.fails(1, "logs", task_id, "--attempt", "7")
    assert "it has had none yet" in squire.fails(1, "logs", samples.task("New"), "--attempt", "7")
    assert "is no trace" in squire.fails(2, "logs", "--trace", "xyz")
    assert "two tasks are named" in squire.fails(2, "logs", task_id, "--task", "tother")
    assert "--follow and --until" in squire.fails(2, "logs", "--follow", "--until", "1h")


def test_what_is_added_is_shown_until_the_person_ends_it(
    squire: Squire, samples: SampleData, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = samples.running()
    receiver = squire.home / "run" / "receiver.log"
    add(receiver, receiver_line("before", task_id=attempt.task_id))

    def rotate() -> None:
        receiver.replace(receiver.with_name("receiver.log.1"))
        add(receiver, receiver_line("after the rotation", task_id=attempt.task_id))
        add(receiver, receiver_line("another's"))

    def interrupt() -> None:
        raise KeyboardInterrupt

    acts: list[Callable[[], None]] = [rotate, lambda: None, interrupt]
    monkeypatch.setattr("squire_pipelines.cli.logs.time.sleep", lambda _: acts.pop(0)())
    result = squire("logs", attempt.task_id, "--follow", "--component", "webhooks")
    assert result.exit_code == 0
    assert [line.split()[3] for line in result.stdout.splitlines()] == ["before", "after"]
