"""What deliveries need no run for is done by the endpoint's process."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines.domain.outcomes import PullRequestState, ReviewState
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger import deliveries, outcomes
from squire_pipelines.ledger.delivery_effects import effects_of
from squire_pipelines.runtime.delivery_watch import DeliveryWatch
from squire_pipelines.sensors.outcomes import outcomes as outcome_sensor
from tests.integration.execution.test_comment_commands import MAY, comment
from tests.support.deliveries import record_delivery
from tests.support.ledgers import NONE_APPROVED, add_task, start_attempt
from tests.support.pipeline import LEDGERLIB, QUIET, Pipeline


def watch(pipeline: Pipeline) -> DeliveryWatch:
    return DeliveryWatch(lambda: pipeline.settings)


def store(pipeline: Pipeline, event: str, body: dict[str, Any] | bytes, *, repository: str) -> int:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return record_delivery(
        pipeline.ledger,
        source="github",
        delivery_id=f"{event} {len(content)}",
        event=event,
        action=json.loads(content)["action"],
        repository=repository,
        body=content,
    ).id


def merge_of(repository: str, number: int, *, action: str = "closed", **head: str) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat()
    pull = {
        "number": number,
        "html_url": f"https://github.test/{repository}/pull/{number}",
        "state": "closed" if action == "closed" else "open",
        "updated_at": at,
        "merged_at": at if action == "closed" else None,
        "head": {"ref": "squire/x", "sha": "a" * 40, **head},
    }
    return {"action": action, "repository": {"full_name": repository}, "pull_request": pull}


def effects(pipeline: Pipeline, row: int) -> list[str]:
    with pipeline.ledger.read() as tx:
        return [one.effect for one in effects_of(tx, [row])]


def test_a_merge_is_the_outcome_without_a_run(quiet_pipeline: Pipeline) -> None:
    looks = watch(quiet_pipeline)
    assert looks.look().count == 0
    task_id = start_attempt(quiet_pipeline.ledger, repository=QUIET).task_id
    with quiet_pipeline.ledger.write() as tx:
        outcomes.record_opened(
            tx, task_id=task_id, repository=QUIET, pr_number=7, pr_url="https://x", head_sha="a" * 40
        )
    row = store(quiet_pipeline, "pull_request", merge_of(QUIET, 7), repository=QUIET)
    assert looks.look().count == 1
    with quiet_pipeline.ledger.read() as tx:
        outcome = outcomes.get(tx, task_id)
    assert outcome is not None
    assert outcome.state is PullRequestState.MERGED
    assert effects(quiet_pipeline, row) == ["outcome"]


def test_what_github_cannot_be_asked_for_is_left_to_the_runs(quiet_pipeline: Pipeline) -> None:
    task_id = start_attempt(quiet_pipeline.ledger, repository=QUIET).task_id
    with quiet_pipeline.ledger.write() as tx:
        review = ReviewState.NEEDS_APPROVAL
        outcomes.record_opened(
            tx, task_id=task_id, repository=QUIET, pr_number=7, pr_url="https://x", head_sha="a" * 40, review=review
        )
    store(quiet_pipeline, "pull_request", merge_of(QUIET, 7, action="unlabeled"), repository=QUIET)
    word = store(quiet_pipeline, "issue_comment", comment("/squire approve", repository=QUIET), repository=QUIET)
    assert len(watch(quiet_pipeline).look().left) == 1
    with quiet_pipeline.ledger.read() as tx:
        assert deliveries.still_open(tx, [word]) == (word,)
        assert deliveries.has_unapplied(tx)
    (request,) = quiet_pipeline.sensor(outcome_sensor).run_requests
    assert request.job_name == "follow"


def test_a_home_without_a_ledger_is_left_alone(quiet_pipeline: Pipeline) -> None:
    quiet_pipeline.ledger.close()
    (quiet_pipeline.home / "ledger.sqlite").unlink()
    assert watch(quiet_pipeline).look().count == 0
    assert not (quiet_pipeline.home / "ledger.sqlite").exists()


@pytest.mark.slow
def test_a_word_of_somebody_who_may_is_obeyed_and_shown_without_a_run_and_once(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    forge.act_as(LEDGERLIB, MAY, permission="write")
    task_id = add_task(pipeline.ledger, repository=LEDGERLIB, approval=NONE_APPROVED)
    later = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    body = comment(f"/squire approve {task_id}", repository=LEDGERLIB, created_at=later)
    row = store(pipeline, "issue_comment", body, repository=LEDGERLIB)
    looks = watch(pipeline)
    looks.look()
    assert pipeline.read_task(task_id).status is TaskStatus.READY
    assert effects(pipeline, row)[0] == "command"
    before = effects(pipeline, row)
    pipeline.collect(LEDGERLIB, deliveries=[row])
    assert effects(pipeline, row) == [*before, "collected"]


@pytest.mark.slow
def test_an_order_waits_for_the_reading_and_what_comes_after_it_waits_too(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    forge.act_as(LEDGERLIB, MAY, permission="write")
    order = store(pipeline, "issue_comment", comment("/squire do Say it", repository=LEDGERLIB), repository=LEDGERLIB)
    body = comment("/squire stop", repository=LEDGERLIB, comment_id=78)
    stop = store(pipeline, "issue_comment", body, repository=LEDGERLIB)
    watch(pipeline).look()
    assert effects(pipeline, order) == effects(pipeline, stop) == []


@pytest.mark.slow
def test_an_approval_is_settled_without_a_run(pipeline: Pipeline, forge: ForgeProcess) -> None:
    pipeline.configure('[policy]\nprotected_paths = ["**"]\nprotected = "approve"\n')
    attempt = pipeline.attempt(LEDGERLIB)
    pipeline.agent_run(attempt)
    (hosted,) = [hosted for hosted in forge.state()["repositories"] if hosted["name"] == LEDGERLIB]
    (pull,) = [pull for pull in hosted["pull_requests"] if pull["head"].startswith("squire/")]
    forge.act_as(LEDGERLIB, MAY, permission="write", number=pull["number"], remove_label="squire:needs-approval")
    body = merge_of(LEDGERLIB, pull["number"], action="unlabeled", ref=pull["head"], sha=pull["head_sha"])
    row = store(pipeline, "pull_request", body, repository=LEDGERLIB)
    watch(pipeline).look()
    with pipeline.ledger.read() as tx:
        outcome = outcomes.get(tx, attempt.task_id)
        assert not deliveries.has_unapplied(tx)
    assert outcome is not None
    assert outcome.review_state is ReviewState.APPROVED
    assert effects(pipeline, row) == ["review"]
