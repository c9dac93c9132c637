"""One attempt from its claim to its end, with a real agent process and real git, against a forge."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from sqlalchemy import delete, null, select, update

from squire_forge.process import ForgeProcess
from squire_pipelines.assets.plans import PULL_REQUESTS
from squire_pipelines.domain.change import Decision, VerdictRecord
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.tasks import AttemptStatus, TaskKind, TaskStatus
from squire_pipelines.execution.step_executor import IN_STEP
from squire_pipelines.ledger import attempts, outcomes, tasks
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import attempts as attempt_table
from squire_pipelines.ledger.tables import outcomes as outcome_table
from squire_pipelines.ledger.tables import tasks as task_table
from tests.support.git_repository import git
from tests.support.ledgers import PostgresServer, claim, dispatch
from tests.support.pipeline import BOARD, LEDGERLIB, QUIET, Pipeline

PATIENCE_S = 60.0
LONG = ("sh", "-c", "echo the agent works; exec sleep 100")
CHANGE = ("sh", "-c", "echo more >> NOTES.md")


@contextmanager
def when(happened: Callable[[], bool], then: Callable[[], None]) -> Iterator[None]:
    """While the block runs, wait in a thread until something has happened, and do something about it."""
    over = threading.Event()
    done = threading.Event()

    def watch() -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not over.wait(0.05) and time.monotonic() < deadline:
            if happened():
                then()
                done.set()
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(PATIENCE_S)
        assert done.is_set(), "it never happened"


def agent_works(pipeline: Pipeline, attempt: Attempt) -> Callable[[], bool]:
    log = pipeline.settings.home.attempts / attempt.id / "agent.log"
    return lambda: log.exists() and "the agent works" in log.read_text(encoding="utf-8")


def our_pulls(forge: ForgeProcess, repository: str = LEDGERLIB) -> list[dict[str, Any]]:
    (hosted,) = [hosted for hosted in forge.state()["repositories"] if hosted["name"] == repository]
    return [pull for pull in hosted["pull_requests"] if pull["head"].startswith("squire/")]


def our_branches(forge: ForgeProcess, repository: str = LEDGERLIB) -> list[str]:
    (hosted,) = [hosted for hosted in forge.state()["repositories"] if hosted["name"] == repository]
    return [name for name in hosted["branches"] if name.startswith("squire/")]


def use(pipeline: Pipeline, command: tuple[str, ...], more: str = "") -> None:
    pipeline.commands = {LEDGERLIB: command}
    pipeline.configure(more)


def causes(pipeline: Pipeline, attempt: Attempt) -> tuple[AttemptStatus, str | None]:
    row = pipeline.read_attempt(attempt.id)
    return row.status, row.cause


@pytest.mark.slow
def test_an_agents_change_becomes_a_pull_request(pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path) -> None:
    attempt = pipeline.attempt(LEDGERLIB)
    done = pipeline.agent_run(attempt)
    row, task = pipeline.read_attempt(attempt.id), pipeline.read_task(attempt.task_id)
    assert (row.status, row.cause, task.status) == (AttemptStatus.ENDED, "completed", TaskStatus.SUCCEEDED)
    (pull,) = our_pulls(forge)
    assert (row.pr_number, pull["head"]) == (pull["number"], task.branch)
    url = forge.git_url(LEDGERLIB).replace("://", f"://x-access-token:{forge.token}@")
    git(tmp_path, "clone", "--quiet", "--branch", task.branch, url, "published")
    author = git(tmp_path / "published", "log", "-1", "--format=%an <%ae>")
    assert re.fullmatch(r"(\S+) <[0-9]+\+\1@users\.noreply\.127\.0\.0\.1>", author), author
    assert task.trace_id in pull["body"]
    assert (row.runner, row.sandboxed) == ("local", False)
    assert row.agent == "command:python3"
    assert row.agent_started_at is not None
    assert row.verdict == VerdictRecord(decision=Decision.ALLOW)
    with pipeline.ledger.read() as tx:
        outcome = outcomes.get(tx, task.id)
    assert outcome is not None
    assert (outcome.pr_number, outcome.state, outcome.head_sha) == (pull["number"], PullRequestState.OPEN, row.head_sha)
    (event,) = [event for event in done.all_events if event.is_step_materialization]
    assert (event.asset_key, event.partition) == (PULL_REQUESTS, LEDGERLIB)
    metadata = event.step_materialization_data.materialization.metadata
    assert metadata["trace_id"].value == task.trace_id
    assert metadata["pull_request"].value == row.pr_url
    assert str(metadata["board"].value).endswith(f"/tasks/{task.id}")
    assert metadata["github"].value == f"{pipeline.settings.github.web_url}/{LEDGERLIB}"
    with pipeline.ledger.read() as tx:
        trail = audit_page(tx, subject=attempt.id)
    assert [(entry.action, entry.trace_id) for entry in reversed(trail)] == [
        (action, task.trace_id) for action in ("container.started", "container.stopped", "policy.judged")
    ]


def test_an_attempt_goes_the_same_way_with_its_ledger_in_postgres(
    pipeline: Pipeline,
    forge: ForgeProcess,
    postgres: PostgresServer,
    open_at: Callable[[str], Ledger],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = postgres.empty_ledger()
    monkeypatch.setenv("SQUIRE_LEDGER_URL", url)
    pipeline.ledger = open_at(url)
    attempt = pipeline.attempt(LEDGERLIB)
    pipeline.agent_run(attempt)
    assert causes(pipeline, attempt) == (AttemptStatus.ENDED, Cause.COMPLETED)
    (pull,) = our_pulls(forge)
    assert pipeline.read_attempt(attempt.id).pr_number == pull["number"]


@pytest.mark.slow
def test_a_default_branch_that_was_renamed_after_the_plan_is_followed(pipeline: Pipeline, forge: ForgeProcess) -> None:
    attempt = pipeline.attempt(LEDGERLIB, base="former-default", kind=TaskKind.RESOLVE_ISSUE)
    pipeline.agent_run(attempt)
    row, task = pipeline.read_attempt(attempt.id), pipeline.read_task(attempt.task_id)
    assert (row.cause, task.status) == ("completed", TaskStatus.SUCCEEDED)
    assert (task.base_branch, task.spec.base_branch) == ("main", "main")
    assert our_pulls(forge)[0]["base"] == "main"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["#123-fix", "%41", "$(id)", "a\u3000b"])
def test_a_base_branch_may_have_every_name_that_git_takes(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path, name: str
) -> None:
    url = forge.git_url(LEDGERLIB).replace("://", f"://x-access-token:{forge.token}@")
    git(tmp_path, "clone", "--quiet", url, "clone")
    git(tmp_path / "clone", "push", "--quiet", "origin", f"HEAD:refs/heads/{name}")
    attempt = pipeline.attempt(LEDGERLIB, base=name)
    pipeline.agent_run(attempt)
    assert causes(pipeline, attempt) == (AttemptStatus.ENDED, Cause.COMPLETED)
    assert our_pulls(forge)[0]["base"] == name


@pytest.mark.slow
def test_a_branch_that_a_person_named_and_that_is_not_there_ends_the_task(pipeline: Pipeline) -> None:
    attempt = pipeline.attempt(LEDGERLIB, base="no-such", kind=TaskKind.MANUAL)
    pipeline.agent_run(attempt, fails=True)
    assert "has no branch 'no-such'" in (pipeline.read_attempt(attempt.id).message or "")


@pytest.mark.slow
def test_an_agent_that_changes_nothing_is_an_answer(pipeline: Pipeline, forge: ForgeProcess) -> None:
    use(pipeline, ("true",))
    attempt = pipeline.attempt()
    pipeline.agent_run(attempt)
    assert causes(pipeline, attempt) == (AttemptStatus.ENDED, Cause.NO_CHANGES)
    assert pipeline.read_task(attempt.task_id).status is TaskStatus.SUCCEEDED
    assert our_branches(forge) == []


@pytest.mark.slow
def test_an_agent_that_fails_makes_the_run_red_with_its_last_lines(pipeline: Pipeline, forge: ForgeProcess) -> None:
    use(pipeline, ("sh", "-c", "echo all is lost; exit 3"))
    attempt = pipeline.attempt()
    done = pipeline.agent_run(attempt, fails=True)
    assert causes(pipeline, attempt) == (AttemptStatus.ENDED, Cause.AGENT_ERROR)
    assert pipeline.read_task(attempt.task_id).status is TaskStatus.FAILED
    assert our_branches(forge) == []
    (failed,) = [event for event in done.all_events if event.is_step_failure]
    assert failed.step_key == "settle"
    failure = failed.step_failure_data.user_failure_data
    assert failure is not None
    assert failure.metadata["cause"].value == "agent_error"
    assert "all is lost" in str(failure.metadata["last_lines"].value)
    assert str(failure.metadata["github"].value).endswith(f"/{attempt.repository}")
    assert failure.metadata["board"].value == f"{BOARD}/tasks/{attempt.task_id}"


def test_in_a_steps_container_no_agent_is_a_process_of_the_step(
    pipeline: Pipeline, forge: ForgeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(pipeline, CHANGE)
    attempt = pipeline.attempt(LEDGERLIB)
    monkeypatch.setenv(IN_STEP, "1")
    pipeline.agent_run(attempt, fails=True)
    assert "in a step's container" in (pipeline.read_attempt(attempt.id).message or "")
    assert not (pipeline.settings.home.attempts / attempt.id / "agent.log").exists()
    assert our_branches(forge) == []


@pytest.mark.slow
def test_a_change_that_the_policy_refuses_is_not_pushed(pipeline: Pipeline, forge: ForgeProcess) -> None:
    use(pipeline, ("sh", "-c", "mkdir -p .github/workflows && echo 'on: push' > .github/workflows/x.yml"))
    attempt = pipeline.attempt()
    pipeline.agent_run(attempt, fails=True)
    row = pipeline.read_attempt(attempt.id)
    assert row.cause == Cause.POLICY_REJECTED
    assert ".github/workflows/x.yml" in str(row.message)
    assert row.verdict is not None
    assert row.verdict.decision is Decision.REJECT
    with pipeline.ledger.read() as tx:
        (judged,) = audit_page(tx, action="policy.judged")
    assert (judged.detail["decision"], judged.detail["head_sha"]) == ("reject", row.head_sha)
    assert len(judged.detail["rules"]) == 1
    assert pipeline.read_task(attempt.task_id).status is TaskStatus.FAILED
    assert our_branches(forge) == []


@pytest.mark.slow
def test_a_pull_request_whose_answers_are_all_lost_is_looked_up_in_the_same_attempt(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    use(pipeline, CHANGE, "[publishing]\nretry_base_s = 0.001\n")
    attempt = pipeline.attempt()
    forge.add_fault("POST .*/pulls$", status=502, times=1000, after=True)
    pipeline.agent_run(attempt)
    assert causes(pipeline, attempt) == (AttemptStatus.ENDED, Cause.COMPLETED)
    (pull,) = our_pulls(forge)
    assert pull["number"] == pipeline.read_attempt(attempt.id).pr_number


@pytest.mark.slow
@pytest.mark.parametrize("match", ["POST .*/pulls$", "git-receive-pack"], ids=["no pull request", "no push"])
def test_github_that_fails_while_publishing_is_tried_again_and_ends_in_one_pull_request(
    pipeline: Pipeline, forge: ForgeProcess, match: str
) -> None:
    bounds = "retry_base_s = 0.001\nretry_cap_s = 0.001\n"
    use(pipeline, CHANGE, f"[dispatch]\n{bounds}[publishing]\n{bounds}")
    attempt = pipeline.attempt()
    forge.add_fault(match, status=502, times=1000)
    pipeline.agent_run(attempt, fails=True)
    assert causes(pipeline, attempt) == (AttemptStatus.ENDED, Cause.GITHUB_UNAVAILABLE)
    task = pipeline.read_task(attempt.task_id)
    assert task.status is TaskStatus.READY
    assert task.not_before is not None
    forge.clear_faults()
    second = pipeline.next_attempt(attempt)
    pipeline.agent_run(second)
    assert causes(pipeline, second) == (AttemptStatus.ENDED, Cause.COMPLETED)
    (pull,) = our_pulls(forge)
    assert pull["head"] == task.branch


def test_github_that_is_down_from_the_start_is_tried_again(quiet_pipeline: Pipeline) -> None:
    use(quiet_pipeline, CHANGE)
    attempt = quiet_pipeline.attempt()
    quiet_pipeline.agent_run(attempt, fails=True)
    assert causes(quiet_pipeline, attempt) == (AttemptStatus.ENDED, Cause.GITHUB_UNAVAILABLE)
    assert quiet_pipeline.read_task(attempt.task_id).status is TaskStatus.READY


@pytest.mark.slow
def test_a_second_run_for_the_same_attempt_has_no_effect(pipeline: Pipeline, forge: ForgeProcess) -> None:
    attempt = pipeline.attempt()
    claim(pipeline.ledger, attempt.id, run_id="another-run")
    done = pipeline.agent_run(attempt, fails=True)
    (failed,) = [event for event in done.all_events if event.is_step_failure]
    assert failed.step_key == "settle"
    assert "does not belong to this run" in str(failed.step_failure_data)
    row = pipeline.read_attempt(attempt.id)
    assert (row.status, row.run_id, row.base_sha) == (AttemptStatus.RUNNING, "another-run", None)
    assert not (pipeline.settings.home.attempts / attempt.id).exists()
    assert our_branches(forge) == []


@pytest.mark.slow
def test_a_run_for_an_attempt_that_has_ended_has_no_effect(pipeline: Pipeline, forge: ForgeProcess) -> None:
    attempt = pipeline.attempt()
    pipeline.agent_run(attempt)
    before = pipeline.read_attempt(attempt.id)
    pipeline.agent_run(attempt, fails=True)
    assert pipeline.read_attempt(attempt.id) == before
    assert len(our_pulls(forge)) == 1


@pytest.mark.slow
@pytest.mark.parametrize("done", [["prepare"], ["prepare", "run_agent"], ["prepare", "run_agent", "verify", "publish"]])
def test_a_run_that_is_entered_again_after_a_crash_goes_on_to_one_pull_request(
    pipeline: Pipeline, forge: ForgeProcess, done: list[str]
) -> None:
    use(pipeline, CHANGE)
    attempt = pipeline.attempt()
    run_id = "5e1f0c1a-0000-4000-8000-000000000001"
    with dg.DagsterInstance.ephemeral() as lost:
        kept, pipeline.instance = pipeline.instance, lost
        pipeline.agent_run(attempt, run_id=run_id, op_selection=done)
        pipeline.instance = kept
    assert pipeline.read_attempt(attempt.id).status is not AttemptStatus.ENDED
    pipeline.agent_run(attempt, run_id=run_id)
    assert causes(pipeline, attempt) == (AttemptStatus.ENDED, Cause.COMPLETED)
    assert len(our_pulls(forge)) == 1


@pytest.mark.slow
def test_a_pull_request_that_was_opened_and_not_recorded_is_taken_over_even_when_it_is_merged(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    # A repository without checks, whose pull requests the forge merges at once.
    pipeline.commands = {QUIET: CHANGE}
    pipeline.configure()
    attempt = pipeline.attempt(QUIET)
    pipeline.agent_run(attempt, op_selection=["prepare", "run_agent", "verify", "publish"])
    (opened,) = our_pulls(forge, QUIET)
    forget_that_it_was_opened(pipeline, attempt)
    forge.settle()
    assert [pull["state"] for pull in our_pulls(forge, QUIET)] == ["merged"]
    again = pipeline.next_attempt(attempt)
    pipeline.agent_run(again)
    ended = pipeline.read_attempt(again.id)
    assert (ended.cause, ended.pr_number, ended.agent_started_at) == (Cause.COMPLETED, opened["number"], None)
    assert [pull["number"] for pull in our_pulls(forge, QUIET)] == [opened["number"]]
    with pipeline.ledger.read() as tx:
        outcome = outcomes.get(tx, attempt.task_id)
    assert outcome is not None
    assert (outcome.pr_number, outcome.head_sha) == (opened["number"], opened["head_sha"])


def forget_that_it_was_opened(pipeline: Pipeline, attempt: Attempt) -> None:
    """As a kill between the opening and its record would leave it; then the reaper finds the attempt."""
    past = datetime.now(UTC) - timedelta(hours=1)
    with pipeline.ledger.write() as tx:
        tx.execute(delete(outcome_table).where(outcome_table.c.task_id == attempt.task_id))
        unknown = {"pr_number": None, "pr_url": None, "staged_ending": null(), "lease_until": past}
        tx.execute(update(attempt_table).where(attempt_table.c.id == attempt.id).values(**unknown))
    with pipeline.ledger.write() as tx:
        attempts.reap(tx, attempt.id, retry=attempts.RetryRule(0.001, 0.001), message="its run was killed")
    with pipeline.ledger.write() as tx:
        tx.execute(update(task_table).where(task_table.c.id == attempt.task_id).values(not_before=None))


def test_a_run_that_nobody_dispatched_fails_and_says_what_to_do(quiet_pipeline: Pipeline) -> None:
    done = quiet_pipeline.run("agent_run", fails=True)
    (failed,) = [event for event in done.all_events if event.is_step_failure]
    assert "this run is for no attempt" in str(failed.step_failure_data)


@pytest.mark.slow
def test_a_lease_that_is_lost_while_the_agent_runs_ends_it_without_a_word(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    use(pipeline, LONG, "[dispatch]\nlease_s = 1.5\n")
    attempt = pipeline.attempt()
    with when(agent_works(pipeline, attempt), lambda: pipeline.give_lease_to_another(attempt)):
        done = pipeline.agent_run(attempt, fails=True)
    assert [event.step_key for event in done.all_events if event.is_step_failure] == ["run_agent"]
    row = pipeline.read_attempt(attempt.id)
    assert (row.status, row.lease_token) == (AttemptStatus.RUNNING, "another's")
    assert our_branches(forge) == []


@pytest.mark.slow
def test_a_task_that_is_cancelled_while_its_agent_runs_ends_cancelled(pipeline: Pipeline) -> None:
    use(pipeline, LONG, "[dispatch]\nlease_s = 1.5\n")
    attempt = pipeline.attempt()

    def cancel() -> None:
        with pipeline.ledger.write() as tx:
            tasks.cancel(tx, attempt.task_id, actor="ann")

    with when(agent_works(pipeline, attempt), cancel):
        pipeline.agent_run(attempt, fails=True)
    assert causes(pipeline, attempt) == (AttemptStatus.ENDED, Cause.CANCELLED)
    assert pipeline.read_task(attempt.task_id).status is TaskStatus.CANCELLED


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "cause"), [(False, Cause.CANCELLED), (True, Cause.CANCELLED)])
def test_a_run_that_is_interrupted_settles_its_attempt(pipeline: Pipeline, *, asked: bool, cause: Cause) -> None:
    use(pipeline, LONG)
    attempt = pipeline.attempt()
    run_id = "5e1f0c1a-0000-4000-8000-000000000002"

    def interrupt() -> None:
        if asked:
            run = pipeline.instance.get_run_by_id(run_id)
            assert run is not None
            pipeline.instance.report_run_canceling(run)
        os.kill(os.getpid(), signal.SIGINT)

    with when(agent_works(pipeline, attempt), interrupt):
        pipeline.agent_run(attempt, fails=True, run_id=run_id)
    assert causes(pipeline, attempt) == (AttemptStatus.ENDED, cause)
    expected = TaskStatus.CANCELLED if asked else TaskStatus.READY
    assert pipeline.read_task(attempt.task_id).status is expected


@pytest.mark.slow
def test_the_agent_finds_the_log_of_the_failed_check_in_its_prompt_and_as_a_file(pipeline: Pipeline) -> None:
    use(pipeline, ("sh", "-c", 'cat "$SQUIRE_EVIDENCE"/1-failed_ci.txt; cat "$SQUIRE_PROMPT_FILE"; exit 3'))
    pipeline.collect(LEDGERLIB)
    pipeline.plan(LEDGERLIB)
    dispatch(pipeline.ledger)
    with pipeline.ledger.read() as tx:
        (attempt_id,) = tx.execute(select(attempt_table.c.id)).scalars()
    pipeline.agent_run(pipeline.read_attempt(attempt_id), fails=True)
    log = (pipeline.settings.home.attempts / attempt_id / "agent.log").read_text(encoding="utf-8")
    in_file, _, in_prompt = log.partition("You are working in a git clone")
    for place in (in_file, in_prompt):
        excerpt = place.partition("log of the job tests, step Run tests:\n")[2]
        assert "dinner: 9999 debited, 10000 credited\n##[error]Process completed with exit code 1." in excerpt
    assert "- 1-failed_ci.txt: of signal 1 in the list above" in log
