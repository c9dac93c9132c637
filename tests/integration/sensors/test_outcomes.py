"""What became of pull requests: from deliveries in any order, and by asking."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from squire_forge.process import ForgeProcess
from squire_pipelines.domain.outcomes import PullRequestState, ReviewState
from squire_pipelines.ledger import deliveries, outcomes
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import deliveries as delivery_table
from squire_pipelines.ledger.tables import task_events
from squire_pipelines.sensors.outcomes import outcome_sensor
from tests.support.ledgers import Clock, start_attempt
from tests.support.pipeline import LEDGERLIB, QUIET, Pipeline

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def pull_request(action: str, *, number: int = 7, at: datetime = NOW, merged: bool = False, **more: Any) -> bytes:
    """A delivery's body, with the fields that we read."""
    pull = {
        "number": number,
        "html_url": f"https://example.org/{QUIET}/pull/{number}",
        "state": "closed" if action == "closed" else "open",
        "updated_at": at.isoformat(),
        "merged_at": at.isoformat() if merged else None,
        "closed_at": at.isoformat() if action == "closed" else None,
        "body": "",
        "head": {"ref": "squire/x", "sha": "a" * 40},
    }
    return json.dumps({"action": action, "repository": {"full_name": QUIET}, "pull_request": pull | more}).encode()


def deliver(pipeline: Pipeline, name: str, body: bytes, *, ledger: Ledger | None = None) -> int:
    return deliveries.record(
        ledger or pipeline.ledger,
        source="github",
        delivery_id=name,
        event="pull_request",
        action="closed",
        repository=QUIET,
        body=body,
    ).id


def opened(pipeline: Pipeline, *, number: int = 7, repository: str = QUIET, ledger: Ledger | None = None) -> str:
    """A task with an open pull request; its id."""
    books = ledger or pipeline.ledger
    task_id = start_attempt(books, repository=repository).task_id
    with books.write() as tx:
        outcomes.record_opened(
            tx, task_id=task_id, repository=repository, pr_number=number, pr_url="https://x", head_sha="a" * 40
        )
    return task_id


def state(pipeline: Pipeline, task_id: str) -> PullRequestState | None:
    with pipeline.ledger.read() as tx:
        found = outcomes.get(tx, task_id)
    return found.state if found else None


def row(pipeline: Pipeline, delivery: int) -> Any:
    with pipeline.ledger.read() as tx:
        return tx.execute(select(delivery_table).where(delivery_table.c.id == delivery)).one()


def recently() -> datetime:
    return datetime.now(UTC) - timedelta(seconds=30)


def test_a_delivery_of_a_merge_is_the_outcome(quiet_pipeline: Pipeline) -> None:
    task_id = opened(quiet_pipeline)
    deliver(quiet_pipeline, "d", pull_request("closed", merged=True, at=recently()))
    tick = quiet_pipeline.sensor(outcome_sensor)
    assert tick.skip_message == "applied 1 deliveries, asked about 0 pull requests"
    assert state(quiet_pipeline, task_id) is PullRequestState.MERGED
    with quiet_pipeline.ledger.read() as tx:
        events = tx.execute(select(task_events).where(task_events.c.subject == "outcome")).all()
    assert [(event.after, event.actor) for event in events] == [("open", "publisher"), ("merged", "delivery:1")]


def test_deliveries_out_of_order_end_in_the_latest_state(quiet_pipeline: Pipeline) -> None:
    task_id = opened(quiet_pipeline)
    later = recently()
    deliver(quiet_pipeline, "2", pull_request("closed", merged=True, at=later))
    deliver(quiet_pipeline, "1", pull_request("opened", at=later - timedelta(seconds=20)))
    quiet_pipeline.sensor(outcome_sensor)
    assert state(quiet_pipeline, task_id) is PullRequestState.MERGED


def test_a_delivery_that_cannot_be_read_is_marked_with_the_reason_once(quiet_pipeline: Pipeline) -> None:
    broken = deliver(quiet_pipeline, "d", b"no JSON")
    task_id = opened(quiet_pipeline)
    deliver(quiet_pipeline, "e", pull_request("closed", merged=True, at=recently()))
    quiet_pipeline.sensor(outcome_sensor)
    assert "is not JSON" in row(quiet_pipeline, broken).error
    assert state(quiet_pipeline, task_id) is PullRequestState.MERGED
    assert "applied 0" in (quiet_pipeline.sensor(outcome_sensor).skip_message or "")


def test_a_delivery_that_overtakes_our_own_record_waits_for_it(quiet_pipeline: Pipeline) -> None:
    delivery = deliver(quiet_pipeline, "d", pull_request("closed", merged=True, at=recently()))
    quiet_pipeline.sensor(outcome_sensor)
    assert row(quiet_pipeline, delivery).applied_at is None
    task_id = opened(quiet_pipeline)
    quiet_pipeline.sensor(outcome_sensor)
    assert state(quiet_pipeline, task_id) is PullRequestState.MERGED
    assert row(quiet_pipeline, delivery).applied_at is not None


def test_the_patience_with_a_delivery_about_an_unknown_pull_request_has_an_end(quiet_pipeline: Pipeline) -> None:
    past = Ledger(str(quiet_pipeline.settings.resolved_ledger_url), clock=Clock(datetime.now(UTC) - timedelta(hours=1)))
    delivery = deliver(quiet_pipeline, "d", pull_request("closed", merged=True), ledger=past)
    past.close()
    quiet_pipeline.sensor(outcome_sensor)
    assert row(quiet_pipeline, delivery).applied_at is not None


def test_somebody_elses_pull_request_is_nobodys_outcome(quiet_pipeline: Pipeline) -> None:
    delivery = deliver(quiet_pipeline, "d", pull_request("closed", head={"ref": "feature", "sha": "b" * 40}))
    quiet_pipeline.sensor(outcome_sensor)
    assert row(quiet_pipeline, delivery).applied_at is not None


def test_a_merge_of_which_no_delivery_came_is_found_by_query_runner(pipeline: Pipeline, forge: ForgeProcess) -> None:
    attempt = pipeline.attempt(LEDGERLIB)
    pipeline.agent_run(attempt)
    forge.settle()
    assert state(pipeline, attempt.task_id) is PullRequestState.OPEN
    assert "asked about 0" in (pipeline.sensor(outcome_sensor).skip_message or "")  # too soon
    pipeline.configure("[pipeline]\noutcome_poll_s = 0.000001\n")
    assert "asked about 1" in (pipeline.sensor(outcome_sensor).skip_message or "")
    assert state(pipeline, attempt.task_id) is PullRequestState.MERGED


def test_github_that_is_down_is_a_warning_and_asked_again(quiet_pipeline: Pipeline) -> None:
    task_id = opened(quiet_pipeline)
    quiet_pipeline.configure("[pipeline]\noutcome_poll_s = 0.000001\n")
    for _ in range(2):
        assert "asked about 0" in (quiet_pipeline.sensor(outcome_sensor).skip_message or "")
    assert state(quiet_pipeline, task_id) is PullRequestState.OPEN


def test_a_repository_that_fails_does_not_keep_the_others_from_being_asked_about(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    opened(pipeline, repository="demo/none", number=1)
    attempt = pipeline.attempt(LEDGERLIB)
    pipeline.agent_run(attempt)
    forge.settle()
    pipeline.configure("[pipeline]\noutcome_poll_s = 0.000001\n")
    pipeline.sensor(outcome_sensor)
    assert state(pipeline, attempt.task_id) is PullRequestState.MERGED


@pytest.mark.parametrize("event", ["push", "check_suite"])
def test_deliveries_that_report_no_pull_request_are_done_with(quiet_pipeline: Pipeline, event: str) -> None:
    body = json.dumps({"action": "completed", "ref": "refs/heads/main", "repository": {"full_name": QUIET}}).encode()
    delivery = deliveries.record(
        quiet_pipeline.ledger, source="github", delivery_id="d", event=event, action=None, repository=QUIET, body=body
    ).id
    quiet_pipeline.sensor(outcome_sensor)
    assert row(quiet_pipeline, delivery).applied_at is not None


def held(pipeline: Pipeline, forge: ForgeProcess) -> str:
    """A task whose pull request waits for a person's approval."""
    pipeline.configure('[policy]\nprotected_paths = ["**"]\nprotected = "approve"\n')
    attempt = pipeline.attempt(LEDGERLIB)
    pipeline.agent_run(attempt)
    (pull,) = pulls_of(forge)
    assert (pull["draft"], pull["labels"]) == (True, ["squire:needs-approval"])
    assert review(pipeline, attempt.task_id) is ReviewState.NEEDS_APPROVAL
    return attempt.task_id


def pulls_of(forge: ForgeProcess) -> list[dict[str, Any]]:
    (found,) = [each for each in forge.state()["repositories"] if each["name"] == LEDGERLIB]
    return [pull for pull in found["pull_requests"] if pull["head"].startswith("squire/")]


def review(pipeline: Pipeline, task_id: str) -> ReviewState | None:
    with pipeline.ledger.read() as tx:
        found = outcomes.get(tx, task_id)
    return found.review_state if found else None


def unlabelled(pipeline: Pipeline, forge: ForgeProcess, login: str, permission: str) -> int:
    (pull,) = pulls_of(forge)
    number = pull["number"]
    forge.act_as(LEDGERLIB, login, permission=permission, number=number, remove_label="squire:needs-approval")
    content = json.loads(pull_request("unlabeled", number=number, at=datetime.now(UTC)))
    content["repository"]["full_name"] = LEDGERLIB
    content["pull_request"]["head"] = {"ref": pull["head"], "sha": pull["head_sha"]}
    return deliver(pipeline, "label", json.dumps(content).encode())


def test_a_held_pull_request_passes_when_a_permitted_person_takes_the_label_off(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    task_id = held(pipeline, forge)
    unlabelled(pipeline, forge, "mara", "write")
    assert "1 of 1 held ones approved" in (pipeline.sensor(outcome_sensor).skip_message or "")
    assert review(pipeline, task_id) is ReviewState.APPROVED
    (pull,) = pulls_of(forge)
    assert (pull["draft"], pull["labels"]) == (False, [])
    with pipeline.ledger.read() as tx:
        events = tx.execute(select(task_events).where(task_events.c.subject == "review")).all()
    assert [(event.before, event.after, event.actor) for event in events] == [
        ("none", "needs_approval", "publisher"),
        ("needs_approval", "approved", "github:mara"),
    ]
    assert "held" not in (pipeline.sensor(outcome_sensor).skip_message or "")


def test_a_label_that_somebody_without_permission_takes_off_is_put_back(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    task_id = held(pipeline, forge)
    unlabelled(pipeline, forge, "stranger", "read")
    assert "0 of 1 held ones approved" in (pipeline.sensor(outcome_sensor).skip_message or "")
    assert review(pipeline, task_id) is ReviewState.NEEDS_APPROVAL
    (pull,) = pulls_of(forge)
    assert (pull["draft"], pull["labels"]) == (True, ["squire:needs-approval"])
    assert len(pull["comments"]) == 1


def test_an_approval_of_which_no_delivery_came_is_found_by_query_runner(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    task_id = held(pipeline, forge)
    (pull,) = pulls_of(forge)
    forge.act_as(LEDGERLIB, "mara", permission="admin", number=pull["number"], review="APPROVED")
    pipeline.configure("[pipeline]\noutcome_poll_s = 0.000001\n")
    pipeline.sensor(outcome_sensor)
    assert review(pipeline, task_id) is ReviewState.APPROVED
    forge.settle()
    pipeline.sensor(outcome_sensor)
    assert state(pipeline, task_id) is PullRequestState.MERGED


def test_who_closes_a_held_pull_request_rejects_it(quiet_pipeline: Pipeline) -> None:
    task_id = opened(quiet_pipeline)
    with quiet_pipeline.ledger.write() as tx:
        outcomes.renew_head(tx, task_id=task_id, head_sha="a" * 40, review=ReviewState.NEEDS_APPROVAL)
    deliver(quiet_pipeline, "d", pull_request("closed", at=recently()))
    quiet_pipeline.sensor(outcome_sensor)
    assert review(quiet_pipeline, task_id) is ReviewState.REJECTED
