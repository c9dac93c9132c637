"""Finished work on one machine, and another one that goes on with it: two homes, one ledger, one store of files."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines import tags
from squire_pipelines.agents.attempt_files import BUNDLE_FILE, DIFF_FILE
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.launching import LaunchStage, LaunchState
from squire_pipelines.domain.tasks import AttemptStatus
from squire_pipelines.execution import recovery, stored_work
from squire_pipelines.file_store.attempt_copies import AttemptCopy
from squire_pipelines.file_store.opening import store_of
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.sections.files import FileSettings
from squire_pipelines.settings.model import Settings
from tests.support.cli import Squire
from tests.support.pipeline import LEDGERLIB, Pipeline
from tests.support.refused_pushes import history, refuse_pushes, retried

FAST = "[publishing]\ntries = 2\nretry_base_s = 0.001\n[dispatch]\nretry_base_s = 0.001\nretry_cap_s = 0.001\n"


@pytest.fixture
def store_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mounted"
    folder.mkdir()
    return folder


@pytest.fixture
def marks(pipeline: Pipeline, store_folder: Path, tmp_path: Path) -> Path:
    """The file in which each run of the agent counts; the pipeline works with the store."""
    marks = tmp_path / "marks"
    command = f"echo the agent works; echo run >> {marks}; echo one >> NOTES.md"
    pipeline.commands = {LEDGERLIB: ("sh", "-c", command)}
    pipeline.configure(f'{FAST}[files]\nurl = "file://{store_folder}"\ntries = 1\npatience_s = 0\n')
    return marks


@pytest.fixture
def move_on(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Go on on another machine, which has a home of its own, and the same settings, ledger and store."""

    def move() -> None:
        other = tmp_path / "other"
        other.mkdir()
        shutil.copy(pipeline.home / "config.toml", other)
        monkeypatch.setenv("SQUIRE_LEDGER_URL", pipeline.settings.resolved_ledger_url)
        monkeypatch.setenv("SQUIRE_HOME", str(other))
        pipeline.home = other

    return move


def refused_once(pipeline: Pipeline, forge: ForgeProcess) -> Attempt:
    attempt = pipeline.attempt()
    refuse_pushes(pipeline, forge, attempt)
    pipeline.agent_run(attempt, fails=True)
    forge.clear_faults()
    return attempt


def our_pulls(forge: ForgeProcess) -> list[dict[str, Any]]:
    (hosted,) = [hosted for hosted in forge.state()["repositories"] if hosted["name"] == LEDGERLIB]
    return [pull for pull in hosted["pull_requests"] if pull["head"].startswith("squire/")]


@pytest.mark.slow
def test_finished_work_of_a_machine_that_is_gone_is_published_by_another_one_when_the_store_answers(
    pipeline: Pipeline, forge: ForgeProcess, marks: Path, store_folder: Path, move_on: Callable[[], None]
) -> None:
    first = refused_once(pipeline, forge)
    shutil.rmtree(pipeline.home / "attempts")
    move_on()
    away = store_folder.rename(store_folder.with_name("unmounted"))
    second = retried(pipeline, first)
    pipeline.agent_run(second, fails=True)
    row = pipeline.read_attempt(second.id)
    assert row.cause == Cause.STORE_UNAVAILABLE  # and no agent ran, which would be paid a second time
    assert row.evidence is not None
    assert row.evidence.error_code == "store_missing"
    away.rename(store_folder)
    third = retried(pipeline, second)
    pipeline.agent_run(third)
    row = pipeline.read_attempt(third.id)
    assert (row.cause, row.agent_started_at) == (Cause.COMPLETED, None)
    assert marks.read_text().splitlines() == ["run"]
    (pull,) = our_pulls(forge)
    assert pull["number"] == row.pr_number
    assert f"the work of attempt {first.id} is kept and is published; no agent runs again" in history(pipeline, first)

    # What people look at is there, too.
    assert "the agent works" in Squire(pipeline.home).ok("tasks", "logs", first.task_id, "--attempt", "1")
    change = AttemptCopy(pipeline.settings, first.id).kept(DIFF_FILE)
    assert change is not None
    assert "+one" in change.read_text()
    assert not (pipeline.home / "attempts" / first.id).exists()


@pytest.mark.slow
def test_an_attempt_whose_machine_died_while_it_published_is_adopted_by_another_one(
    pipeline: Pipeline, forge: ForgeProcess, marks: Path, move_on: Callable[[], None]
) -> None:
    attempt = pipeline.attempt()
    mark = {tags.ATTEMPT: attempt.id, tags.TASK: attempt.task_id, tags.TRACE: attempt.trace_id}
    pipeline.run("agent_run", tags=mark, op_selection=["prepare", "run_agent"])
    row = pipeline.read_attempt(attempt.id)
    assert row.status is AttemptStatus.PUBLISHING
    shutil.rmtree(pipeline.home / "attempts")
    pipeline.expire_lease(attempt)
    move_on()
    (abandoned,) = recovery.find_abandoned(
        pipeline.ledger, pipeline.settings, {}, lambda _attempt: LaunchState(LaunchStage.STARTED)
    )
    assert abandoned.can_be_adopted
    pipeline.run("agent_run", tags={**mark, tags.ADOPTED_FROM: row.run_id or ""})
    row = pipeline.read_attempt(attempt.id)
    assert (row.status, row.cause) == (AttemptStatus.ENDED, Cause.COMPLETED)
    assert marks.read_text().splitlines() == ["run"]
    assert len(our_pulls(forge)) == 1


@pytest.mark.slow
def test_work_is_published_from_its_machine_where_the_store_is_away_and_is_stored_later(
    pipeline: Pipeline, forge: ForgeProcess, marks: Path, store_folder: Path
) -> None:
    assert not marks.exists()
    attempt = pipeline.attempt()
    away = store_folder.rename(store_folder.with_name("unmounted"))
    pipeline.agent_run(attempt)
    assert pipeline.read_attempt(attempt.id).cause == Cause.COMPLETED
    assert len(our_pulls(forge)) == 1
    assert any("published from the machine that did it" in reason for reason in history(pipeline, attempt))
    assert stored_work.store_leftovers(pipeline.ledger, pipeline.settings) == 0
    away.rename(store_folder)
    assert stored_work.store_leftovers(pipeline.ledger, pipeline.settings) == 1
    assert stored_work.store_leftovers(pipeline.ledger, pipeline.settings) == 0
    assert (store_folder / "attempts" / attempt.id / "keep" / BUNDLE_FILE).is_file()
    assert (store_folder / "attempts" / attempt.id / "agent.log").is_file()


def test_a_log_can_be_followed_on_another_machine_while_its_agent_runs(store_folder: Path, tmp_path: Path) -> None:
    settings = Settings(files=FileSettings(url=f"file://{store_folder}", tries=1))
    log = tmp_path / "agent.log"
    segments = stored_work.LogSegments(settings, "t1m8p57ew70w2gh-1", log)
    reader = AttemptCopy(settings, "t1m8p57ew70w2gh-1").log()
    assert reader.is_copy
    reader.refresh(at_once=True)
    assert not reader.path.exists()
    for text in ("first line\n", "second ", "line\n"):
        with log.open("a") as file:
            file.write(text)
        assert segments.repeat() == settings.files.log_every_s
        reader.refresh(at_once=True)
        assert reader.path.read_text() == log.read_text()
    # Another run of the attempt goes on where the first one was killed.
    with log.open("a") as file:
        file.write("third line\n")
    again = stored_work.LogSegments(settings, "t1m8p57ew70w2gh-1", log)
    again.repeat()
    store = store_of(settings)
    assert store is not None
    # When the attempt has ended, the whole log takes the place of its pieces.
    store.put("attempts/t1m8p57ew70w2gh-1/agent.log", log)
    store.remove("attempts/t1m8p57ew70w2gh-1/log/")
    reader.refresh(at_once=True)
    assert reader.path.read_text() == log.read_text() == "first line\nsecond line\nthird line\n"
    store_folder.rename(tmp_path / "unmounted")
    with log.open("a") as file:
        file.write("more\n")
    assert again.repeat() == settings.files.log_every_s  # the agent is not disturbed
