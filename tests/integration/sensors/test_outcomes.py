"""What became of pull requests: from deliveries in any order, and by asking."""

import asyncio
import json
import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from sqlalchemy import select, update

from squire_forge.process import ForgeProcess
from squire_pipelines.domain.outcomes import PullRequestReport, PullRequestState, ReviewState
from squire_pipelines.github.connection import GitHub
from squire_pipelines.ledger import outcomes
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import deliveries as delivery_table
from squire_pipelines.ledger.tables import outcomes as outcome_table
from squire_pipelines.ledger.tables import task_events
from squire_pipelines.publishing import follow as following
from squire_pipelines.sensors.outcomes import outcomes as outcome_sensor
from tests.support.deliveries import record_delivery
from tests.support.ledgers import Clock, start_attempt
from tests.support.pipeline import LEDGERLIB, QUIET, Pipeline, output_metadata
from tests.support.provider import serve_upstream

_LOG = logging.getLogger("follow")
_COUNTED = ("deliveries", "asked", "waiting_for_approval", "approved")
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
        "base": {"ref": "main"},
    }
    return json.dumps({"action": action, "repository": {"full_name": QUIET}, "pull_request": pull | more}).encode()


def deliver(
    pipeline: Pipeline,
    name: str,
    body: bytes,
    *,
    repository: str = QUIET,
    ledger: Ledger | None = None,
    event: str = "pull_request",
) -> int:
    return record_delivery(
        ledger or pipeline.ledger,
        source="github",
        delivery_id=name,
        event=event,
        action=None if event == "push" else "closed",
        repository=repository,
        body=body,
    ).id


def opened(pipeline: Pipeline, *, number: int = 7, repository: str = QUIET, ledger: Ledger | None = None) -> str:
    """A task with an open pull request; its id."""
    ledger = ledger or pipeline.ledger
    task_id = start_attempt(ledger, repository=repository).task_id
    with ledger.write() as tx:
        outcomes.record_opened(
            tx, task_id=task_id, repository=repository, pr_number=number, pr_url="https://x", head_sha="a" * 40
        )
    return task_id


def state(pipeline: Pipeline, task_id: str) -> PullRequestState | None:
    with pipeline.ledger.read() as tx:
        outcome = outcomes.get(tx, task_id)
    return outcome.state if outcome else None


def row(pipeline: Pipeline, delivery: int) -> Any:
    with pipeline.ledger.read() as tx:
        return tx.execute(select(delivery_table).where(delivery_table.c.id == delivery)).one()


def look(pipeline: Pipeline) -> dict[str, int]:
    """Evaluate the sensor and run what it requests; what the run counted, empty when none was requested."""
    counted = pipeline.tick(outcome_sensor).metadata
    return {name: counted[name] for name in _COUNTED if name in counted}


def follow(pipeline: Pipeline) -> dict[str, int]:
    """Run the job whether or not the sensor would request it."""
    return output_metadata(pipeline.run("follow"))


def recently() -> datetime:
    return datetime.now(UTC) - timedelta(seconds=30)


def test_a_delivery_of_a_merge_is_the_outcome(quiet_pipeline: Pipeline) -> None:
    task_id = opened(quiet_pipeline)
    deliver(quiet_pipeline, "d", pull_request("closed", merged=True, at=recently()))
    assert look(quiet_pipeline) == {"deliveries": 1, "asked": 0, "waiting_for_approval": 0, "approved": 0}
    assert look(quiet_pipeline) == {}
    assert state(quiet_pipeline, task_id) is PullRequestState.MERGED
    with quiet_pipeline.ledger.read() as tx:
        events = tx.execute(select(task_events).where(task_events.c.subject == "outcome")).all()
    assert [(event.after, event.actor) for event in events] == [("open", "publisher"), ("merged", "delivery:1")]


def test_a_github_that_is_too_slow_ends_the_look_in_time_and_is_asked_again_later(quiet_pipeline: Pipeline) -> None:
    task_id = opened(quiet_pipeline)
    with quiet_pipeline.ledger.write() as tx:
        tx.execute(update(outcome_table).values(polled_at=NOW))
    answers = threading.Event()

    def wait(_handler: BaseHTTPRequestHandler) -> None:
        answers.wait(60)

    with serve_upstream() as slow:
        slow.answer = wait
        quiet_pipeline.configure(api_url=slow.url.removesuffix("/v1"))
        settings = quiet_pipeline.settings
        github = GitHub(settings, quiet_pipeline.ledger)
        began = time.monotonic()
        summary = asyncio.run(following.follow(quiet_pipeline.ledger, settings, github, _LOG, timeout_s=0.2))
        took_s = time.monotonic() - began
        answers.set()
    assert (summary.asked, len(slow.seen)) == (0, 1)
    assert took_s < 30
    with quiet_pipeline.ledger.read() as tx:
        polled_at = tx.execute(select(outcome_table.c.polled_at).where(outcome_table.c.task_id == task_id)).scalar_one()
        assert outcomes.to_poll(tx, not_since_s=settings.pipeline.outcome_poll_s) == ()
    assert polled_at > NOW


def test_deliveries_out_of_order_end_in_the_latest_state(quiet_pipeline: Pipeline) -> None:
    task_id = opened(quiet_pipeline)
    later = recently()
    deliver(quiet_pipeline, "2", pull_request("closed", merged=True, at=later))
    deliver(quiet_pipeline, "1", pull_request("opened", at=later - timedelta(seconds=20)))
    look(quiet_pipeline)
    assert state(quiet_pipeline, task_id) is PullRequestState.MERGED


def test_a_delivery_that_cannot_be_read_is_marked_with_the_reason_once(quiet_pipeline: Pipeline) -> None:
    broken = deliver(quiet_pipeline, "d", b"no JSON")
    task_id = opened(quiet_pipeline)
    deliver(quiet_pipeline, "e", pull_request("closed", merged=True, at=recently()))
    look(quiet_pipeline)
    assert "is not JSON" in row(quiet_pipeline, broken).error
    assert state(quiet_pipeline, task_id) is PullRequestState.MERGED
    assert look(quiet_pipeline) == {}


@pytest.mark.slow
def test_a_delivery_that_cannot_be_applied_holds_up_no_other(
    quiet_pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = opened(quiet_pipeline), opened(quiet_pipeline, number=8)
    bad = deliver(quiet_pipeline, "one", pull_request("closed", merged=True, at=recently()))
    deliver(quiet_pipeline, "two", pull_request("closed", number=8, merged=True, at=recently()))
    apply_report = outcomes.apply_report

    def fail(tx: Transaction, report: PullRequestReport, *, actor: str) -> str | None:
        done = apply_report(tx, report, actor=actor)
        if report.number == 7:
            raise OverflowError("too large")
        return done

    monkeypatch.setattr(outcomes, "apply_report", fail)
    follow(quiet_pipeline)
    assert (state(quiet_pipeline, first), state(quiet_pipeline, second)) == (
        PullRequestState.OPEN,
        PullRequestState.MERGED,
    )
    assert row(quiet_pipeline, bad).error == "cannot be applied: OverflowError: too large"
    assert look(quiet_pipeline) == {}


def test_a_delivery_that_overtakes_our_own_record_waits_for_it(quiet_pipeline: Pipeline) -> None:
    delivery = deliver(quiet_pipeline, "d", pull_request("closed", merged=True, at=recently()))
    assert look(quiet_pipeline) == {}
    assert follow(quiet_pipeline)["deliveries"] == 0
    assert row(quiet_pipeline, delivery).applied_at is None
    task_id = opened(quiet_pipeline)
    look(quiet_pipeline)
    assert state(quiet_pipeline, task_id) is PullRequestState.MERGED
    assert row(quiet_pipeline, delivery).applied_at is not None


def test_the_patience_with_a_delivery_about_an_unknown_pull_request_has_an_end(quiet_pipeline: Pipeline) -> None:
    past = Ledger(str(quiet_pipeline.settings.resolved_ledger_url), clock=Clock(datetime.now(UTC) - timedelta(hours=1)))
    delivery = deliver(quiet_pipeline, "d", pull_request("closed", merged=True), ledger=past)
    past.close()
    look(quiet_pipeline)
    assert row(quiet_pipeline, delivery).applied_at is not None


def test_somebody_elses_pull_request_is_nobodys_outcome(quiet_pipeline: Pipeline) -> None:
    delivery = deliver(quiet_pipeline, "d", pull_request("closed", head={"ref": "feature", "sha": "b" * 40}))
    assert look(quiet_pipeline) == {}  # it can wait for the next look
    assert follow(quiet_pipeline)["deliveries"] == 1
    assert row(quiet_pipeline, delivery).applied_at is not None


@pytest.mark.slow
def test_a_merge_of_which_no_delivery_came_is_found_by_asking(pipeline: Pipeline, forge: ForgeProcess) -> None:
    attempt = pipeline.attempt(LEDGERLIB)
    pipeline.agent_run(attempt)
    forge.settle()
    assert state(pipeline, attempt.task_id) is PullRequestState.OPEN
    assert look(pipeline).get("asked", 0) == 0  # too soon
    pipeline.configure("[pipeline]\noutcome_poll_s = 0.000001\n")
    assert look(pipeline)["asked"] == 1
    assert state(pipeline, attempt.task_id) is PullRequestState.MERGED


def test_github_that_is_down_is_a_warning_and_asked_again(quiet_pipeline: Pipeline) -> None:
    task_id = opened(quiet_pipeline)
    quiet_pipeline.configure("[pipeline]\noutcome_poll_s = 0.000001\n")
    for _ in range(2):
        assert look(quiet_pipeline)["asked"] == 0
    assert state(quiet_pipeline, task_id) is PullRequestState.OPEN


@pytest.mark.slow
def test_a_repository_that_fails_does_not_keep_the_others_from_being_asked_about(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    opened(pipeline, repository="demo/none", number=1)
    attempt = pipeline.attempt(LEDGERLIB)
    pipeline.agent_run(attempt)
    forge.settle()
    pipeline.configure("[pipeline]\noutcome_poll_s = 0.000001\n")
    look(pipeline)
    assert state(pipeline, attempt.task_id) is PullRequestState.MERGED


@pytest.mark.parametrize("event", ["push", "check_suite"])
def test_deliveries_that_report_no_pull_request_are_done_with(quiet_pipeline: Pipeline, event: str) -> None:
    body = json.dumps({"action": "completed", "ref": "refs/heads/main", "repository": {"full_name": QUIET}}).encode()
    delivery = record_delivery(
        quiet_pipeline.ledger, source="github", delivery_id="d", event=event, action=None, repository=QUIET, body=body
    ).id
    assert look(quiet_pipeline) == {}
    assert follow(quiet_pipeline)["deliveries"] == 1
    assert row(quiet_pipeline, delivery).applied_at is not None


def waiting_for_approval(pipeline: Pipeline, forge: ForgeProcess) -> str:
    """A task whose pull request waits for a person's approval."""
    pipeline.configure('[policy]\nprotected_paths = ["**"]\nprotected = "approve"\n')
    attempt = pipeline.attempt(LEDGERLIB)
    pipeline.agent_run(attempt)
    (pull,) = pulls_of(forge)
    assert (pull["draft"], pull["labels"]) == (True, ["squire:needs-approval"])
    assert review(pipeline, attempt.task_id) is ReviewState.NEEDS_APPROVAL
    return attempt.task_id


def pulls_of(forge: ForgeProcess) -> list[dict[str, Any]]:
    (hosted,) = [hosted for hosted in forge.state()["repositories"] if hosted["name"] == LEDGERLIB]
    return [pull for pull in hosted["pull_requests"] if pull["head"].startswith("squire/")]


def review(pipeline: Pipeline, task_id: str) -> ReviewState | None:
    with pipeline.ledger.read() as tx:
        outcome = outcomes.get(tx, task_id)
    return outcome.review_state if outcome else None


def unlabelled(pipeline: Pipeline, forge: ForgeProcess, login: str, permission: str) -> int:
    (pull,) = pulls_of(forge)
    number = pull["number"]
    forge.act_as(LEDGERLIB, login, permission=permission, number=number, remove_label="squire:needs-approval")
    content = json.loads(pull_request("unlabeled", number=number, at=datetime.now(UTC)))
    content["repository"]["full_name"] = LEDGERLIB
    content["pull_request"]["head"] = {"ref": pull["head"], "sha": pull["head_sha"]}
    return deliver(pipeline, "label", json.dumps(content).encode(), repository=LEDGERLIB)


@pytest.mark.slow
def test_a_held_pull_request_passes_when_a_permitted_person_takes_the_label_off(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    task_id = waiting_for_approval(pipeline, forge)
    unlabelled(pipeline, forge, "mara", "write")
    done = look(pipeline)
    assert (done["waiting_for_approval"], done["approved"]) == (1, 1)
    assert review(pipeline, task_id) is ReviewState.APPROVED
    (pull,) = pulls_of(forge)
    assert (pull["draft"], pull["labels"]) == (False, [])
    with pipeline.ledger.read() as tx:
        events = tx.execute(select(task_events).where(task_events.c.subject == "review")).all()
    assert [(event.before, event.after, event.actor) for event in events] == [
        ("none", "needs_approval", "publisher"),
        ("needs_approval", "approved", "github:mara"),
    ]
    assert look(pipeline) == {}


@pytest.mark.slow
def test_a_label_that_somebody_without_permission_takes_off_is_put_back(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    task_id = waiting_for_approval(pipeline, forge)
    unlabelled(pipeline, forge, "stranger", "read")
    done = look(pipeline)
    assert (done["waiting_for_approval"], done["approved"]) == (1, 0)
    assert review(pipeline, task_id) is ReviewState.NEEDS_APPROVAL
    (pull,) = pulls_of(forge)
    assert (pull["draft"], pull["labels"]) == (True, ["squire:needs-approval"])
    assert len(pull["comments"]) == 1


@pytest.mark.slow
def test_an_approval_of_which_no_delivery_came_is_found_by_asking(pipeline: Pipeline, forge: ForgeProcess) -> None:
    task_id = waiting_for_approval(pipeline, forge)
    (pull,) = pulls_of(forge)
    forge.act_as(LEDGERLIB, "mara", permission="admin", number=pull["number"], review="APPROVED")
    pipeline.configure("[pipeline]\noutcome_poll_s = 0.000001\n")
    look(pipeline)
    assert review(pipeline, task_id) is ReviewState.APPROVED
    forge.settle()
    look(pipeline)
    assert state(pipeline, task_id) is PullRequestState.MERGED


def test_who_closes_a_held_pull_request_rejects_it(quiet_pipeline: Pipeline) -> None:
    task_id = opened(quiet_pipeline)
    with quiet_pipeline.ledger.write() as tx:
        outcomes.renew_head(tx, task_id=task_id, head_sha="a" * 40, review=ReviewState.NEEDS_APPROVAL)
    deliver(quiet_pipeline, "d", pull_request("closed", at=recently()))
    look(quiet_pipeline)
    assert review(quiet_pipeline, task_id) is ReviewState.REJECTED


@pytest.mark.slow
def test_many_deliveries_about_others_are_ticked_off_together(quiet_pipeline: Pipeline) -> None:
    body = pull_request("closed", head={"ref": "feature", "sha": "b" * 40})
    for number in range(100):
        deliver(quiet_pipeline, f"d{number}", body)
    assert look(quiet_pipeline)["deliveries"] == 100
    assert look(quiet_pipeline) == {}


def test_a_merged_revert_of_ours_is_its_outcome_and_a_late_report_does_not_undo_it(quiet_pipeline: Pipeline) -> None:
    task_id = opened(quiet_pipeline)
    merged_at = recently()
    deliver(quiet_pipeline, "1", pull_request("closed", merged=True, at=merged_at))
    revert = {"head": {"ref": "revert-7", "sha": "c" * 40}, "body": f"Reverts {QUIET}#7"}
    deliver(
        quiet_pipeline,
        "2",
        pull_request("closed", number=8, merged=True, at=merged_at + timedelta(seconds=5), **revert),
    )
    look(quiet_pipeline)
    assert state(quiet_pipeline, task_id) is PullRequestState.REVERTED
    deliver(quiet_pipeline, "3", pull_request("closed", merged=True, at=merged_at + timedelta(seconds=9)))
    look(quiet_pipeline)
    assert state(quiet_pipeline, task_id) is PullRequestState.REVERTED
    with quiet_pipeline.ledger.read() as tx:
        events = tx.execute(select(task_events).where(task_events.c.subject == "outcome")).all()
    assert [event.after for event in events] == ["open", "merged", "reverted"]
    assert events[-1].reason == "reverted by pull request #8"


def test_a_push_with_a_commit_that_takes_something_back_has_git_asked_about_it(quiet_pipeline: Pipeline) -> None:
    opened(quiet_pipeline)
    deliver(quiet_pipeline, "1", pull_request("closed", merged=True, at=recently()))
    look(quiet_pipeline)
    judged_at = recently()
    with quiet_pipeline.ledger.write() as tx:
        tx.execute(outcome_table.update().values(merge_sha="d" * 40, ending="merged_unchanged", judged_at=judged_at))
    commit = {"id": "e" * 40, "message": f'Revert "It"\n\nThis reverts commit {"d" * 40}.'}
    push = {"ref": "refs/heads/main", "commits": [commit], "repository": {"full_name": QUIET}}
    deliver(quiet_pipeline, "2", json.dumps(push).encode(), event="push")
    assert look(quiet_pipeline)["deliveries"] == 1
    with quiet_pipeline.ledger.read() as tx:
        assert tx.execute(select(outcome_table.c.judged_at)).scalar_one() != judged_at, "it was looked at"


def test_an_open_revert_or_one_of_another_repository_reverts_nothing(quiet_pipeline: Pipeline) -> None:
    task_id = opened(quiet_pipeline)
    for number, body, merged in ((8, f"Reverts {QUIET}#7", False), (9, "Reverts demo/other#7", True)):
        content = pull_request(
            "closed", number=number, merged=merged, at=recently(), head={"ref": "r", "sha": "c" * 40}, body=body
        )
        deliver(quiet_pipeline, f"d{number}", content)
    follow(quiet_pipeline)
    assert state(quiet_pipeline, task_id) is PullRequestState.OPEN


def check_run(pipeline: Pipeline, conclusion: str, head_sha: str) -> int:
    body = {
        "action": "completed",
        "repository": {"full_name": QUIET},
        "check_run": {"head_sha": head_sha, "conclusion": conclusion, "pull_requests": []},
    }
    return record_delivery(
        pipeline.ledger,
        source="github",
        delivery_id=f"{conclusion}{head_sha}",
        event="check_run",
        action="completed",
        repository=QUIET,
        body=json.dumps(body).encode(),
    ).id


def checks_of(pipeline: Pipeline, task_id: str) -> str | None:
    with pipeline.ledger.read() as tx:
        outcome = outcomes.get(tx, task_id)
    return outcome.checks if outcome else None


def test_a_check_that_failed_on_our_head_is_recorded_at_once(quiet_pipeline: Pipeline) -> None:
    task_id = opened(quiet_pipeline)
    check_run(quiet_pipeline, "failure", "b" * 40)
    assert look(quiet_pipeline) == {}  # another commit's
    check_run(quiet_pipeline, "failure", "a" * 40)
    assert look(quiet_pipeline)["asked"] == 0  # GitHub does not answer here
    assert checks_of(quiet_pipeline, task_id) == "failed"


def test_a_check_that_passed_has_github_asked_about_the_commit_as_a_whole(quiet_pipeline: Pipeline) -> None:
    task_id = opened(quiet_pipeline)
    check_run(quiet_pipeline, "success", "a" * 40)
    assert len(quiet_pipeline.sensor(outcome_sensor).run_requests) == 1
    look(quiet_pipeline)
    assert checks_of(quiet_pipeline, task_id) is None
