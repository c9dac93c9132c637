"""`squire tasks followup`, and protected paths that a request names."""

from squire_pipelines.domain.signals import ManualTask
from squire_pipelines.ledger import collections, outcomes
from squire_pipelines.ledger import tasks as task_rows
from tests.support.cli import REPOSITORY, SampleData, Squire


def published(samples: SampleData) -> str:
    """A task with an open pull request."""
    task_id = samples.task("First")
    with samples.ledger.write() as tx:
        outcomes.record_opened(
            tx, task_id=task_id, repository=REPOSITORY, pr_number=7, pr_url="https://x/7", head_sha="a" * 40
        )
    return task_id


def test_a_follow_up_is_a_request_for_the_tasks_branch(squire: Squire, samples: SampleData) -> None:
    task_id = published(samples)
    output = squire.ok("tasks", "followup", task_id, "--prompt", "Add a test.", "--allow-protected", "uv.lock")
    assert "pull request #7" in output
    (signal,) = samples.read(collections.active_signals, REPOSITORY)
    assert isinstance(signal.details, ManualTask)
    assert signal.details.branch == samples.read(task_rows.get, task_id).branch
    assert signal.details.allow_protected == ("uv.lock",)
    assert squire.json("tasks", "followup", task_id, "--prompt", "More.")["pull_request"] == "https://x/7"


def test_the_old_followup_takes_the_prompt_as_its_second_word(squire: Squire, samples: SampleData) -> None:
    task_id = published(samples)
    result = squire("followup", task_id, "Tidy up")
    assert result.exit_code == 0, result.output
    assert "is now `squire tasks followup`" in result.stderr


def test_a_task_without_an_open_pull_request_has_no_follow_up(squire: Squire, samples: SampleData) -> None:
    assert "has no open pull request" in squire.fails(5, "tasks", "followup", samples.task("First"), "--prompt", "x")


def test_a_request_names_the_protected_paths_that_it_needs(squire: Squire, samples: SampleData) -> None:
    squire.config(f'repositories = ["{REPOSITORY}"]\n')
    squire.ok("tasks", "new", REPOSITORY, "--prompt", "Upgrade", "--allow-protected", "uv.lock")
    (signal,) = samples.read(collections.active_signals, REPOSITORY)
    assert isinstance(signal.details, ManualTask)
    assert (signal.details.allow_protected, signal.details.branch) == (("uv.lock",), None)
