"""A cluster is lost and restored: a backup in the store of files, an empty database on Postgres, a new home.

What was done after the backup is found again, on GitHub and in the store: no agent runs for it again, and no pull
request is made twice.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines import tags
from squire_pipelines.domain.change import Decision
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.launching import LaunchStage, LaunchState
from squire_pipelines.domain.outcomes import PullRequestState, ReviewState
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus
from squire_pipelines.execution import recovery
from squire_pipelines.file_store import layout
from squire_pipelines.ledger import outcomes
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.integrity import history_problems
from squire_pipelines.ledger.store import Ledger, open_ledger
from squire_pipelines.observability.logging import library_logger
from squire_pipelines.resources import stores
from tests.support.cli import Squire
from tests.support.ledgers import PostgresServer
from tests.support.pipeline import LEDGERLIB, Pipeline

pytestmark = pytest.mark.slow
FAST = "[publishing]\ntries = 2\nretry_base_s = 0.001\n[dispatch]\nretry_base_s = 0.001\nretry_cap_s = 0.001\n"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "mounted"
    folder.mkdir()
    return folder


@pytest.fixture
def marks(pipeline: Pipeline, postgres: PostgresServer, store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file in which each run of the agent counts; the pipeline's ledger is on Postgres."""
    marks = store.with_name("marks")
    monkeypatch.setenv("SQUIRE_LEDGER_URL", postgres.new_database())
    # The third run changes more files than the policy lets through by itself.
    third = f"[ $(wc -l < {marks}) != 3 ] || cp answer.txt more.txt"
    pipeline.commands = {LEDGERLIB: ("sh", "-c", f"echo run >> {marks}; date +%s%N > answer.txt; {third}")}
    pipeline.configure(f'{FAST}[policy]\nmax_files = 1\n[files]\nurl = "file://{store}"\ntries = 1\npatience_s = 0\n')
    pipeline.ledger = open_ledger(pipeline.settings.resolved_ledger_url)
    yield marks
    pipeline.ledger.close()


@pytest.fixture
def lose_all_and_restore(
    pipeline: Pipeline, postgres: PostgresServer, store: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """Go on with an empty database and a new home; nothing is left but the store."""

    def lose_and_restore() -> None:
        lost = pipeline.home
        shutil.rmtree(lost)
        pipeline.ledger.close()
        stores.opened_ledger(os.environ["SQUIRE_LEDGER_URL"]).close()
        home = lost.with_name("restored")
        monkeypatch.setenv("SQUIRE_HOME", str(home))
        monkeypatch.setenv("SQUIRE_LEDGER_URL", postgres.new_database())
        monkeypatch.setenv("SQUIRE_FILES__URL", f"file://{store}")
        squire = Squire(home)
        (kept,) = squire.json("backup", "list", "--store")
        squire.ok("backup", "fetch", str(lost.parent))
        squire.ok("restore", str(lost.parent / kept["file"]), "--home", str(home))
        monkeypatch.delenv("SQUIRE_FILES__URL")
        pipeline.home = home
        pipeline.ledger = Ledger(pipeline.settings.resolved_ledger_url)

    return lose_and_restore


def heads(forge: ForgeProcess) -> list[str]:
    hosted = (one for one in forge.state()["repositories"] if one["name"] == LEDGERLIB)
    return sorted(pull["head"] for one in hosted for pull in one["pull_requests"] if pull["head"].startswith("squire/"))


def go_on(pipeline: Pipeline, attempt_id: str) -> Attempt:
    """Do what the reaper and dispatch do with an attempt whose run is nowhere, until its task has ended."""
    attempt = pipeline.read_attempt(attempt_id)
    if attempt.status is not AttemptStatus.ENDED:
        pipeline.expire_lease(attempt)
        abandoned = recovery.find_abandoned(
            pipeline.ledger, pipeline.settings, {}, lambda _attempt: LaunchState(LaunchStage.OVER)
        )
        (one,) = [one for one in abandoned if one.attempt.id == attempt_id]
        if one.can_be_adopted:
            mark = {tags.ATTEMPT: attempt.id, tags.TASK: attempt.task_id, tags.TRACE: attempt.trace_id}
            pipeline.run("agent_run", tags={**mark, tags.ADOPTED_FROM: attempt.run_id or ""})
            return pipeline.read_attempt(attempt_id)
        recovery.settle_lost(pipeline.ledger, pipeline.settings, one, [], library_logger("squire.test", "info"))
    attempt = pipeline.next_attempt(attempt)
    pipeline.agent_run(attempt)
    return pipeline.read_attempt(attempt.id)


def test_what_was_done_after_the_backup_is_found_again_and_done_once(
    pipeline: Pipeline, forge: ForgeProcess, marks: Path, lose_all_and_restore: Callable[[], None]
) -> None:
    before, under_way, waiting = (pipeline.attempt(title=f"Answer {number}") for number in range(3))
    pipeline.agent_run(before)
    mark = {tags.ATTEMPT: under_way.id, tags.TASK: under_way.task_id, tags.TRACE: under_way.trace_id}
    pipeline.run("agent_run", tags=mark, op_selection=["prepare"])
    Squire(pipeline.home).ok("backup")
    # What comes now, the backup does not know: two pull requests of its tasks, and a task of its own with one.
    pipeline.expire_lease(under_way)
    first_run = pipeline.read_attempt(under_way.id).run_id or ""
    pipeline.run("agent_run", tags={**mark, tags.ADOPTED_FROM: first_run})
    pipeline.agent_run(waiting)
    later = pipeline.attempt(title="Answer later")
    pipeline.agent_run(later)
    published = heads(forge)
    assert len(published) == 4
    assert marks.read_text().splitlines() == ["run"] * 4

    lose_all_and_restore()
    assert "1 task of after the backup taken over" in Squire(pipeline.home).ok("backup", "catch-up")
    assert Squire(pipeline.home).json("backup", "catch-up")["tasks"] == 0
    assert pipeline.read_attempt(under_way.id).status is AttemptStatus.RUNNING
    for attempt in (under_way, waiting, later):
        assert go_on(pipeline, attempt.id).cause == Cause.COMPLETED
    for attempt in (before, under_way, waiting, later):
        task = pipeline.read_task(attempt.task_id)
        assert task.status is TaskStatus.SUCCEEDED
        with pipeline.ledger.read() as tx:
            outcome = outcomes.get(tx, task.id)
        assert outcome is not None
        assert outcome.state is PullRequestState.OPEN
        assert (outcome.review_state is ReviewState.NEEDS_APPROVAL) is (attempt is waiting)
    assert heads(forge) == published
    assert marks.read_text().splitlines() == ["run"] * 4, "no agent has run again"
    with pipeline.ledger.read() as tx:
        assert list(history_problems(tx)) == []


def test_an_attempt_begins_although_the_store_has_files_of_one_of_its_name(
    pipeline: Pipeline, forge: ForgeProcess, marks: Path, store: Path
) -> None:
    attempt = pipeline.attempt()
    folder = store / layout.of_attempt(attempt.id)
    (folder / layout.KEEP).mkdir(parents=True)
    (folder / layout.KEEP / "bundle").write_bytes(b"work that was never published")
    (folder / layout.LOG).write_bytes(b"its log\n")
    pipeline.agent_run(attempt)
    assert pipeline.read_attempt(attempt.id).cause == Cause.COMPLETED
    assert len(heads(forge)) == 1
    assert marks.read_text().splitlines() == ["run"]
    (kept,) = (folder / layout.EARLIER).iterdir()
    assert (kept / layout.LOG).read_bytes() == b"its log\n"
    assert (kept / layout.KEEP / "bundle").read_bytes() == b"work that was never published"
    assert (folder / layout.LOG).read_bytes() != b"its log\n"
    (pushed,) = (folder / layout.PUSHED).iterdir()
    assert layout.pushed_of(str(pushed)) == (pipeline.read_attempt(attempt.id).head_sha, Decision.ALLOW)
