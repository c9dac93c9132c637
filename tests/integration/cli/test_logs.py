from pathlib import Path

from squire_pipelines.domain.endings import Cause
from tests.support.cli import SampleData, Squire


def _log(squire: Squire, attempt_id: str, text: str) -> Path:
    folder = squire.home / "attempts" / attempt_id
    folder.mkdir(parents=True)
    log = folder / "agent.log"
    log.write_text(text)
    return log


def test_logs_show_the_end_of_what_the_agent_wrote(squire: Squire, samples: SampleData) -> None:
    task_id = samples.ended(Cause.COMPLETED)
    _log(squire, f"{task_id}-1", "one\ntwo\n\x1b[32mthree\x1b[0m\nfour")
    assert squire.ok("tasks", "logs", task_id) == "one\ntwo\nthree\nfour\n"
    result = squire("tasks", "logs", task_id, "-n", "1", "--attempt", "1")
    assert result.stdout == "three\nfour\n"
    assert "has more lines before these" in result.stderr


def test_following_an_attempt_that_has_ended_ends(squire: Squire, samples: SampleData) -> None:
    task_id = samples.ended(Cause.COMPLETED)
    _log(squire, f"{task_id}-1", "one\n")
    assert squire.ok("tasks", "logs", task_id, "-f") == "one\n"


def test_following_a_silent_attempt_ends_and_says_so(squire: Squire, samples: SampleData) -> None:
    attempt = samples.running()
    result = squire("tasks", "logs", attempt.task_id, "-f", "--idle-timeout", "0")
    assert result.exit_code == 0
    assert "the attempt has not ended" in result.stderr


def test_what_is_not_there_is_told(squire: Squire, samples: SampleData) -> None:
    waiting, attempt = samples.task("Waiting"), samples.running()
    ended = samples.ended(Cause.LOST)
    assert "has had no attempt yet; it is ready" in squire.fails(1, "tasks", "logs", samples.task("Later"))
    assert waiting
    assert "add -f to wait for the log" in squire.fails(1, "tasks", "logs", attempt.task_id)
    assert "left no log" in squire.fails(1, "tasks", "logs", ended)
    assert "its attempts are 1 to 1" in squire.fails(1, "tasks", "logs", ended, "--attempt", "2")
    assert "there is no task" in squire.fails(1, "tasks", "logs", "tnone")
