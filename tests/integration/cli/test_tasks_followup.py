"""`squire tasks followup`: more work on a task's open pull request."""

from datetime import UTC, datetime

import pytest

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.outcomes import PullRequestReport, PullRequestState
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger import followed_pulls, outcomes
from squire_pipelines.ledger import tasks as task_rows
from tests.support.cli import REPOSITORY, SampleData, Squire
from tests.support.provider import plain, serve_upstream


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", "ghp_" + "x" * 36)


def published(samples: SampleData) -> str:
    """A task with an open pull request."""
    task_id = samples.task("First")
    with samples.ledger.write() as tx:
        outcomes.record_opened(
            tx, task_id=task_id, repository=REPOSITORY, pr_number=7, pr_url="https://x/7", head_sha="a" * 40
        )
    return task_id


def test_a_follow_up_is_a_task_into_the_first_tasks_branch(squire: Squire, samples: SampleData) -> None:
    task_id = published(samples)
    output = squire.ok("tasks", "followup", task_id, "Add a test.", "--allow-protected", "uv.lock")
    assert "pull request #7" in output
    task = samples.read(task_rows.get, output.partition(":")[0])
    assert task.base_branch == samples.read(task_rows.get, task_id).branch
    assert (task.spec.prompt, task.spec.allow_protected) == ("Add a test.", ("uv.lock",))
    assert task.status is TaskStatus.READY
    more = squire.json("tasks", "followup", task_id, "--prompt", "More.", "--no-start")
    assert (more["pull_request"], more["status"]) == ("https://x/7", "proposed")


def test_a_follow_up_of_a_follow_up_adds_to_the_same_pull_request(squire: Squire, samples: SampleData) -> None:
    task_id = published(samples)
    second = squire.json("tasks", "followup", task_id, "Add a test.")
    third = squire.json("tasks", "followup", second["id"], "Add another.")
    assert third["pull_request"] == "https://x/7"
    assert third["base_branch"] == second["base_branch"] == samples.read(task_rows.get, task_id).branch


def test_the_old_commands_take_the_text_as_their_second_word(squire: Squire, samples: SampleData) -> None:
    squire.config(f'repositories = ["{REPOSITORY}"]\n')
    task_id = published(samples)
    for words in (("followup", task_id), ("new", REPOSITORY)):
        result = squire(*words, "Tidy up")
        assert result.exit_code == 0, result.output
        assert f"is now `squire tasks {words[0]}`" in result.stderr


def test_a_task_without_an_open_pull_request_has_no_follow_up(squire: Squire, samples: SampleData) -> None:
    assert "has no open pull request" in squire.fails(5, "tasks", "followup", samples.task("First"), "--prompt", "x")


def test_a_task_whose_pull_request_was_closed_is_done_again_by_a_new_one_and_once(
    squire: Squire, samples: SampleData
) -> None:
    squire.config(f'repositories = ["{REPOSITORY}"]\n')
    task_id = samples.ended(Cause.COMPLETED)
    assert "only failed and cancelled tasks" in squire.fails(1, "tasks", "retry", task_id), "it is open"
    with samples.ledger.write() as tx:
        report = PullRequestReport(
            repository=REPOSITORY,
            number=12,
            url="https://x/12",
            head_ref="squire/x",
            head_sha="e" * 40,
            state=PullRequestState.CLOSED,
            updated_at=tx.now,
            closed_at=tx.now,
        )
        outcomes.apply_report(tx, report, actor="github")
    output = squire.ok("tasks", "retry", task_id)
    again = samples.read(task_rows.get, output.split()[-1])
    first = samples.read(task_rows.get, task_id)
    assert (again.spec, again.status, first.status) == (first.spec, TaskStatus.READY, TaskStatus.SUCCEEDED)
    assert again.branch != first.branch
    assert f"done again as {again.id}, which was asked for before" in squire.ok("tasks", "retry", task_id)


def leave_to_people(samples: SampleData) -> str:
    """A task whose pull request is left to people, at the head that is known; its id."""
    task_id = samples.ended(Cause.COMPLETED)
    with samples.ledger.write() as tx:
        (followed,) = followed_pulls.read_followed(tx, task_ids=[task_id])
        state = FollowState.HANDED_OVER
        followed_pulls.record_state(tx, followed, state, "somebody pushed", handed_over="somebody pushed")
    return task_id


@pytest.mark.usefixtures("token")
def test_a_pull_request_that_was_left_to_people_is_followed_again_from_its_present_head(
    squire: Squire, samples: SampleData
) -> None:
    task_id = leave_to_people(samples)
    pull = {
        "number": 12,
        "url": "https://x/12",
        "state": "OPEN",
        "headRefName": samples.read(task_rows.get, task_id).branch,
        "headRefOid": "f" * 40,
        "updatedAt": datetime.now(UTC).isoformat(),
        "commits": {"nodes": []},
    }
    with serve_upstream() as github:
        github.answer = plain(200, {"data": {"r0": {"pr12": pull}}})
        squire.config(f'repositories = ["{REPOSITORY}"]\n[github]\napi_url = "{github.url}"\n')
        assert f"{task_id}: its pull request is followed again" in squire.ok("tasks", "retry", task_id)
    (followed,) = samples.read(lambda tx, one: followed_pulls.read_followed(tx, task_ids=[one]), task_id)
    assert followed.outcome.taken_up_head == followed.outcome.head_sha == "f" * 40


@pytest.mark.usefixtures("token")
def test_where_github_does_not_say_it_is_followed_again_from_the_head_that_is_known(
    squire: Squire, samples: SampleData
) -> None:
    task_id = leave_to_people(samples)
    with serve_upstream() as github:
        github.answer = plain(401, {"message": "Bad credentials"})
        squire.config(f'repositories = ["{REPOSITORY}"]\n[github]\napi_url = "{github.url}"\n')
        assert "handed_over: somebody pushed" in squire.ok("tasks", "show", task_id)
        retried = squire("tasks", "retry", task_id)
    assert f"{task_id}: its pull request is followed again" in retried.stdout
    assert "not asked: GitHub does not say which head it has now" in retried.stderr
    assert "waiting_for_ci: taken up again" in squire.ok("tasks", "show", task_id)
    assert "only failed and cancelled tasks" in squire.fails(1, "tasks", "retry", task_id), "once"
