import pytest

from squire_pipelines.cli.aliases import OLD_NAMES
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger import tasks as task_rows
from tests.support.cli import REPOSITORY, SampleData, Squire


@pytest.mark.parametrize("words", [("list", "--json"), ("ps", "--json"), ("steward", "tasks", "--json")])
def test_an_old_list_is_the_new_one_with_a_hint(squire: Squire, samples: SampleData, words: tuple[str, ...]) -> None:
    samples.running("Under way")
    result = squire(*words)
    assert result.exit_code == 0
    assert '"title": "Under way"' in result.stdout
    assert result.stderr.startswith("hint: `squire ")
    assert "is now `squire tasks list" in result.stderr


def test_ps_lists_what_runs(squire: Squire, samples: SampleData) -> None:
    samples.task("Waiting")
    assert squire("ps").stdout == "No task matches.\n"


def test_old_changes_change(squire: Squire, samples: SampleData) -> None:
    proposed, failed = samples.task(approved=False), samples.ended(Cause.AGENT_ERROR)
    assert squire("start", proposed).exit_code == 0
    assert samples.read(task_rows.get, proposed).status is TaskStatus.READY
    assert squire("stop", proposed).exit_code == 0
    assert samples.read(task_rows.get, proposed).status is TaskStatus.CANCELLED
    assert squire("retry", failed).exit_code == 0
    assert "Specification" in squire("status", failed).stdout
    assert squire("steward", "signals").exit_code == 0
    assert squire("steward", "status").exit_code == 0


def test_the_old_new_takes_the_prompt_as_its_second_word(squire: Squire) -> None:
    path = squire.config(f'repositories = ["{REPOSITORY}"]\n')
    assert squire("--config", str(path), "-v", "new", REPOSITORY, "Tidy up").exit_code == 0
    assert squire("new", REPOSITORY, "--prompt", "Again").exit_code == 0
    assert squire("new", REPOSITORY).exit_code == 2
    assert [row["title"] for row in squire.json("tasks", "list", "--order", "oldest")] == ["Tidy up", "Again"]


def test_old_names_are_not_in_the_help(squire: Squire) -> None:
    shown = squire.ok("--help")
    assert "followup" not in shown
    assert "steward" not in shown


@pytest.mark.parametrize("old", sorted(OLD_NAMES))
def test_every_old_name_shows_the_help_of_the_new_one(squire: Squire, old: str) -> None:
    if OLD_NAMES[old][0] in {"run", "dev"}:
        pytest.importorskip(f"squire_pipelines.cli.{OLD_NAMES[old][0]}")
    result = squire(*old.split(), "--help")
    assert result.exit_code == 0, result.output
    assert f"Usage: squire {OLD_NAMES[old][0]}" in result.stdout
