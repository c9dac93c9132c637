"""What becomes of an attempt's work at the border: kept when it is refused, added to when it follows up."""

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines.assets.tables import cell
from squire_pipelines.domain.canary import canary_for
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.outcomes import ReviewState
from squire_pipelines.domain.plans import ApprovalRule
from squire_pipelines.domain.tasks import Risk, TaskStatus
from squire_pipelines.ledger import bulk, outcomes
from squire_pipelines.ledger.attempts import Attempt
from tests.support.git_repository import git
from tests.support.ledgers import add_task, decide, dispatch
from tests.support.pipeline import LEDGERLIB, Pipeline
from tests.support.refused_pushes import history, refuse_pushes, retried

BY_HAND = ApprovalRule(automatic=False, min_confidence=0, max_risk=Risk.HIGH)


def our_pulls(forge: ForgeProcess) -> list[dict[str, Any]]:
    (hosted,) = [hosted for hosted in forge.state()["repositories"] if hosted["name"] == LEDGERLIB]
    return [pull for pull in hosted["pull_requests"] if pull["head"].startswith("squire/")]


def use(pipeline: Pipeline, command: str, more: str = "") -> None:
    pipeline.commands = {LEDGERLIB: ("sh", "-c", command)}
    pipeline.configure(more)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "rule"),
    [
        ("mkdir -p .github/workflows; echo 'on: push' > .github/workflows/x.yml", "forbidden_path"),
        ("echo x > CODEOWNERS", "protected_path"),
        ("cp $SQUIRE_TASK_FILE /dev/null; cat $(dirname $SQUIRE_TASK_FILE)/deploy.env > notes.txt", "canary"),
        ("echo $DEPLOY_TOKEN | rev > notes.txt", "canary"),
    ],
)
def test_refused_work_is_kept_and_the_message_says_where(
    pipeline: Pipeline, forge: ForgeProcess, command: str, rule: str
) -> None:
    use(pipeline, command)
    attempt = pipeline.attempt()
    done = pipeline.agent_run(attempt, fails=True)
    row = pipeline.read_attempt(attempt.id)
    kept = pipeline.settings.home.attempts / attempt.id / "keep/result.bundle"
    assert row.cause == Cause.POLICY_REJECTED
    assert kept.is_file()
    assert str(kept) in (row.message or "")
    assert row.evidence is not None
    assert (row.evidence.error_code, row.evidence.facts["kept_bundle"]) == (f"policy_{rule}", str(kept))
    assert row.verdict is not None
    assert rule in [finding.rule for finding in row.verdict.findings]
    assert our_pulls(forge) == []
    (output,) = [event for event in done.all_events if event.is_successful_output and event.step_key == "publish"]
    table = output.step_output_data.metadata["findings"]
    assert isinstance(table, dg.TableMetadataValue)
    assert [tuple(record.data.values()) for record in table.records] == [
        (cell(finding.rule), finding.path, finding.line, cell(finding.message)) for finding in row.verdict.findings
    ]


@pytest.mark.slow
def test_the_agent_is_told_what_is_protected_and_given_a_canary(pipeline: Pipeline, forge: ForgeProcess) -> None:
    attempt = pipeline.attempt()
    pipeline.agent_run(attempt)
    folder = pipeline.settings.home.attempts / attempt.id
    assert "`**/.*`" in (folder / "in/prompt.md").read_text()
    assert canary_for(attempt.id) in (folder / "in/deploy.env").read_text()
    (pull,) = our_pulls(forge)
    assert canary_for(attempt.id) not in json.dumps(pull)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"status": 403, "body": '{"message": "Repository was archived so is read-only."}'}, "archived"),
        ({"status": 403, "body": '{"message": "Resource not accessible by personal access token"}'}, "permission"),
        ({"status": 403, "body": '{"message": "The team archived may not do this"}'}, "permission"),
        (
            {"status": 422, "body": '{"message": "Validation Failed", "errors": [{"message": "head is protected"}]}'},
            "validation",
        ),
    ],
)
def test_a_refused_pull_request_is_named_and_the_work_is_kept(
    pipeline: Pipeline, forge: ForgeProcess, fault: dict[str, Any], reason: str
) -> None:
    forge.add_fault(r"POST /api/v3/repos/demo/ledgerlib/pulls$", **fault)
    attempt = pipeline.attempt()
    pipeline.agent_run(attempt, fails=True)
    row = pipeline.read_attempt(attempt.id)
    assert row.cause == Cause.PUBLISH_REFUSED
    assert row.evidence is not None
    assert (row.evidence.error_code, row.evidence.facts["reason"]) == ("publish_refused", reason)
    assert "the agent's work is kept as" in (row.message or "")


FAST = "[publishing]\ntries = 2\nretry_base_s = 0.001\n[dispatch]\nretry_base_s = 0.001\nretry_cap_s = 0.001\n"
COUNTED = "echo run >> {marks}; echo one >> NOTES.md"


def refused_once(pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path) -> tuple[Attempt, Path]:
    """An attempt whose pushes were refused, as they are no more, and the file in which each run of the agent counts."""
    marks = tmp_path / "marks"
    use(pipeline, COUNTED.format(marks=marks), FAST)
    first = pipeline.attempt()
    refuse_pushes(pipeline, forge, first)
    pipeline.agent_run(first, fails=True)
    forge.clear_faults()
    return first, marks


@pytest.mark.slow
def test_a_retry_publishes_the_work_that_a_rule_refused_without_a_second_run_of_the_agent(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    use(pipeline, COUNTED.format(marks=marks), FAST)
    first = pipeline.attempt()
    refuse_pushes(pipeline, forge, first)
    pipeline.agent_run(first, fails=True)
    refused = pipeline.read_attempt(first.id)
    assert (refused.cause, refused.evidence.facts["reason"] if refused.evidence else "") == (
        Cause.PUBLISH_REFUSED,
        "ruleset",
    )
    second = retried(pipeline, first)
    pipeline.agent_run(second, fails=True)
    forge.clear_faults()
    third = retried(pipeline, second)
    pipeline.agent_run(third)
    row = pipeline.read_attempt(third.id)
    assert (row.cause, row.agent_started_at) == (Cause.COMPLETED, None)
    assert marks.read_text().splitlines() == ["run"]
    (pull,) = our_pulls(forge)
    assert (pull["number"], pull["head_sha"]) == (row.pr_number, refused.head_sha)
    assert f"the work of attempt {first.id} is kept and is published; no agent runs again" in history(pipeline, first)


@pytest.mark.slow
def test_kept_work_is_published_also_when_the_base_has_moved_and_when_github_was_away(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    use(pipeline, COUNTED.format(marks=marks), FAST)
    first = pipeline.attempt()
    forge.add_fault("git-receive-pack", status=502, times=1000)
    pipeline.agent_run(first, fails=True)
    assert pipeline.read_attempt(first.id).cause == Cause.GITHUB_UNAVAILABLE
    forge.clear_faults()
    (repository,) = pipeline.home.parent.rglob(f"{LEDGERLIB}.git")
    tree = git(repository, "rev-parse", "main^{tree}")
    git(repository, "update-ref", "refs/heads/main", git(repository, "commit-tree", "-p", "main", "-m", "On", tree))
    second = pipeline.next_attempt(first)
    pipeline.agent_run(second)
    assert pipeline.read_attempt(second.id).cause == Cause.COMPLETED
    assert marks.read_text().splitlines() == ["run"]
    assert len(our_pulls(forge)) == 1


@pytest.mark.slow
def test_where_the_kept_work_is_gone_the_agent_runs_again_and_the_history_says_so(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path
) -> None:
    first, marks = refused_once(pipeline, forge, tmp_path)
    shutil.rmtree(pipeline.settings.home.attempts / first.id)
    second = retried(pipeline, first)
    pipeline.agent_run(second)
    assert pipeline.read_attempt(second.id).cause == Cause.COMPLETED
    assert marks.read_text().splitlines() == ["run", "run"]
    reason = f"the agent runs again: the work of attempt {first.id} is gone (such files are kept for 7 days)"
    assert reason in history(pipeline, first)
    assert len(our_pulls(forge)) == 1


def add_branch(pipeline: Pipeline, name: str) -> Path:
    (repository,) = pipeline.home.parent.rglob(f"{LEDGERLIB}.git")
    git(repository, "update-ref", f"refs/heads/{name}", "main")
    return repository


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squire", "squire/{task}/y"])
def test_a_branch_in_the_way_is_named_before_an_agent_runs_and_another_prefix_helps(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path, name: str
) -> None:
    marks = tmp_path / "marks"
    use(pipeline, COUNTED.format(marks=marks), FAST)
    first = pipeline.attempt()
    task = pipeline.read_task(first.task_id)
    obstacle = name.format(task=task.branch.removeprefix("squire/"))
    add_branch(pipeline, obstacle)
    pipeline.agent_run(first, fails=True)
    row = pipeline.read_attempt(first.id)
    assert (row.cause, row.agent_started_at) == (Cause.PUBLISH_REFUSED, None)
    assert row.evidence is not None
    assert (row.evidence.facts["reason"], row.evidence.facts["in_the_way"]) == ("branch_in_the_way", obstacle)
    assert f"has the branch {obstacle}," in (row.message or "")
    use(pipeline, COUNTED.format(marks=marks), FAST.replace("tries", 'branch_prefix = "bots/"\ntries'))
    second = retried(pipeline, first)
    pipeline.agent_run(second)
    assert pipeline.read_attempt(second.id).cause == Cause.COMPLETED
    assert marks.read_text().splitlines() == ["run"]
    (hosted,) = [hosted for hosted in forge.state()["repositories"] if hosted["name"] == LEDGERLIB]
    assert f"bots/{task.branch.removeprefix('squire/')}" in [pull["head"] for pull in hosted["pull_requests"]]


@pytest.mark.slow
def test_kept_work_gets_another_branch_where_one_came_in_the_way_meanwhile(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path
) -> None:
    first, marks = refused_once(pipeline, forge, tmp_path)
    add_branch(pipeline, "squire")
    use(pipeline, COUNTED.format(marks=marks), FAST.replace("tries", 'branch_prefix = "bots/"\ntries'))
    second = retried(pipeline, first)
    pipeline.agent_run(second)
    row = pipeline.read_attempt(second.id)
    assert (row.cause, row.agent_started_at) == (Cause.COMPLETED, None)
    assert marks.read_text().splitlines() == ["run"]
    assert pipeline.read_task(first.task_id).branch.startswith("bots/")


STOPPED_AT_LIMIT = "[agent.limits]\nwall_clock_s = 4\ngrace_s = 2\n"


@pytest.mark.slow
def test_what_an_agent_had_made_at_its_time_limit_becomes_a_draft_that_says_so(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    use(pipeline, "echo one >> NOTES.md; sleep 100", STOPPED_AT_LIMIT)
    attempt = pipeline.attempt()
    pipeline.agent_run(attempt)
    row = pipeline.read_attempt(attempt.id)
    (pull,) = our_pulls(forge)
    assert (row.cause, row.pr_number, pull["draft"]) == (Cause.COMPLETED, pull["number"], True)
    assert "stopped at its time limit: the work may be unfinished" in pull["body"]
    assert "time limit" in (row.message or "")


@pytest.mark.slow
def test_kept_work_that_may_be_unfinished_is_a_draft_all_the_same(pipeline: Pipeline, forge: ForgeProcess) -> None:
    use(pipeline, "echo one >> NOTES.md; sleep 100", STOPPED_AT_LIMIT + FAST)
    first = pipeline.attempt()
    refuse_pushes(pipeline, forge, first)
    pipeline.agent_run(first, fails=True)
    assert pipeline.read_attempt(first.id).cause == Cause.PUBLISH_REFUSED
    forge.clear_faults()
    second = retried(pipeline, first)
    pipeline.agent_run(second)
    (pull,) = our_pulls(forge)
    assert pull["draft"]
    assert "stopped at its time limit: the work may be unfinished" in pull["body"]
    assert "time limit" in (pipeline.read_attempt(second.id).message or "")


@pytest.mark.slow
def test_the_settings_may_drop_what_an_agent_had_made_at_its_time_limit(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    use(pipeline, "echo one >> NOTES.md; sleep 100", f"{STOPPED_AT_LIMIT}[publishing]\nkeep_timed_out = false\n")
    attempt = pipeline.attempt()
    pipeline.agent_run(attempt, fails=True)
    assert pipeline.read_attempt(attempt.id).cause == Cause.TIMEOUT
    assert our_pulls(forge) == []


@pytest.mark.slow
def test_the_canary_of_the_attempt_that_did_the_work_is_looked_for_in_it(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    use(pipeline, "echo one >> NOTES.md", FAST)
    first = pipeline.attempt()
    refuse_pushes(pipeline, forge, first)
    pipeline.agent_run(first, fails=True)
    forge.clear_faults()
    second = retried(pipeline, first)
    pipeline.agent_run(second)
    (pull,) = our_pulls(forge)
    assert f"`{first.id}`" in pull["body"]
    assert second.id not in pull["body"]


@pytest.mark.slow
def test_a_follow_up_adds_to_its_own_branch_and_pull_request(pipeline: Pipeline, forge: ForgeProcess) -> None:
    use(pipeline, "echo one >> NOTES.md")
    first = pipeline.attempt(signals=())
    pipeline.agent_run(first)
    branch = pipeline.read_task(first.task_id).branch
    use(pipeline, "echo two >> NOTES.md")
    second = pipeline.attempt(base=branch, title="More", prompt="More.", signals=())
    pipeline.agent_run(second)
    (pull,) = our_pulls(forge)
    row = pipeline.read_attempt(second.id)
    assert (row.cause, row.pr_number) == (Cause.COMPLETED, pull["number"])
    assert (pull["head"], pull["head_sha"]) == (branch, row.head_sha)
    assert "## Follow-up: More" in pull["body"]
    assert pipeline.read_task(second.task_id).status is TaskStatus.SUCCEEDED
    with pipeline.ledger.read() as tx:
        outcome = outcomes.get(tx, first.task_id)
        assert outcomes.get(tx, second.task_id) is None
    assert outcome is not None
    assert (outcome.head_sha, outcome.review_state) == (row.head_sha, ReviewState.NONE)


@pytest.mark.slow
def test_a_task_that_was_only_proposed_becomes_a_draft(pipeline: Pipeline, forge: ForgeProcess) -> None:
    use(pipeline, "echo one >> NOTES.md")
    task_id = add_task(pipeline.ledger, repository=LEDGERLIB, approval=BY_HAND)
    with pipeline.ledger.write() as tx:
        decide(tx, task_id, bulk.approve())
    dispatch(pipeline.ledger)
    pipeline.agent_run(pipeline.read_attempt(f"{task_id}-1"))
    (pull,) = our_pulls(forge)
    assert (pull["draft"], pull["labels"]) == (True, [])


@pytest.mark.slow
def test_what_tools_left_behind_is_told_in_the_pull_request(pipeline: Pipeline, forge: ForgeProcess) -> None:
    use(pipeline, "echo x > notes.md; mkdir node_modules; echo x > node_modules/a.js; git init --quiet inner")
    pipeline.agent_run(pipeline.attempt())
    (pull,) = our_pulls(forge)
    assert "### Notes\n\n- Left out of the change, as tools leave it behind: `inner/`, `node_modules/`." in pull["body"]
