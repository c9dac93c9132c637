"""A repository's own file, from a push to what it makes of the work there."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from squire_forge.process import ForgeProcess
from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.domain.presets import PresetPlace
from squire_pipelines.execution.repository_settings import repository_settings, settings_in
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.repository_file import read_file
from squire_pipelines.ledger import collections, deliveries, repository_files, tasks
from squire_pipelines.ledger.tables import tasks as task_table
from squire_pipelines.ledger.waiting import Wait, WaitKind
from squire_pipelines.sensors.dispatch import dispatch
from squire_pipelines.sensors.planning import plan_follows_signals
from tests.support.cli import Squire
from tests.support.ledgers import add_task
from tests.support.pipeline import HANDBOOK, LEDGERLIB, QUIET, TRACE, Pipeline
from tests.support.pusher import FilePusher

FILE = ".github/squire.toml"


def look(pipeline: Pipeline, *names: str) -> None:
    """Collect as a person asks for it: what has changed is read."""
    with pipeline.ledger.write() as tx:
        asked = deliveries.request_collection(tx, names, source=DeliverySource.COMMAND, trace_id=TRACE)
    pipeline.collect(*names, fresh=False, deliveries=asked)


def issues_of(forge: ForgeProcess, repository: str) -> dict[int, dict[str, Any]]:
    url = f"{forge.url}/api/v3/repos/{repository}/issues?state=all&per_page=100"
    answer = httpx.get(url, headers={"authorization": f"Bearer {forge.token}"})
    return {issue["number"]: issue for issue in answer.json() if issue["title"].startswith("Squire waits")}


@pytest.mark.slow
def test_the_default_branchs_file_decides_what_is_read_planned_and_started(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path
) -> None:
    pipeline.configure("[dispatch]\nmax_per_repository = 3\n")
    pusher = FilePusher(forge, LEDGERLIB, tmp_path / "clone")
    pipeline.collect(LEDGERLIB)
    with pipeline.ledger.read() as tx:
        kinds = {signal.kind.value for signal in collections.active_signals(tx, LEDGERLIB)}
    assert "failed_ci" in kinds
    pusher.push(FILE, '[ci]\nignore = ["*"]\n[dispatch]\nmax_per_repository = 1\n')
    pusher.push(FILE, "[policy]\nmax_files = 1\n", branch="topic")
    look(pipeline, LEDGERLIB)
    with pipeline.ledger.read() as tx:
        kinds = {signal.kind.value for signal in collections.active_signals(tx, LEDGERLIB)}
        stored = repository_files.get(tx, LEDGERLIB)
    assert "failed_ci" not in kinds
    assert stored is not None
    assert stored.commit_sha is not None
    assert stored.blob_sha is not None
    assert settings_in(pipeline.ledger, pipeline.settings, LEDGERLIB).policy_for(LEDGERLIB).max_files == 100
    for _ in range(3):
        add_task(pipeline.ledger, repository=LEDGERLIB)
    assert len(pipeline.sensor(dispatch).run_requests) == 1


@pytest.mark.slow
def test_a_repository_can_have_each_task_wait_for_a_person(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path
) -> None:
    FilePusher(forge, HANDBOOK, tmp_path / "clone").push(FILE, '[planner]\napprove = "manual"\n')
    look(pipeline, HANDBOOK)
    pipeline.plan(HANDBOOK)
    with pipeline.ledger.read() as tx:
        statuses = tx.execute(select(task_table.c.status).where(task_table.c.repository == HANDBOOK)).scalars().all()
    assert set(statuses) == {"proposed"}


@pytest.mark.slow
def test_a_wrong_file_stops_that_repository_until_it_is_right_and_one_issue_says_so(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path
) -> None:
    pusher = FilePusher(forge, QUIET, tmp_path / "clone")
    pusher.push(FILE, "\n[policy]\nmax_flies = 1\n")
    waiting = add_task(pipeline.ledger, repository=QUIET)
    look(pipeline, QUIET)
    problem = f"{FILE}, line 3: unknown key policy.max_flies, which may stand for policy.max_files"
    (number,) = issues = issues_of(forge, QUIET)
    assert "line 3: unknown key policy.max_flies" in issues[number]["body"]
    assert issues[number]["state"] == "open"
    assert problem in (pipeline.sensor(dispatch).skip_message or "")
    assert problem in (pipeline.sensor(plan_follows_signals).skip_message or "")
    with pipeline.ledger.read() as tx:
        reason = tasks.waiting_reason(tx, tasks.get(tx, waiting))
    people = f"its repository's people to correct .github/squire.toml: {problem}"
    assert reason == Wait(WaitKind.REPOSITORY, people)
    pusher.push(FILE, "agent = 1\n")
    look(pipeline, QUIET)
    look(pipeline, QUIET)
    issues = issues_of(forge, QUIET)
    assert list(issues) == [number]
    assert "line 1: agent is for the operator's settings alone" in issues[number]["body"]
    pusher.push(FILE, "[policy]\nmax_files = 1\n")
    look(pipeline, QUIET)
    assert issues_of(forge, QUIET)[number]["state"] == "closed"
    assert repository_settings(pipeline.ledger, pipeline.settings).stopped == {}
    assert len(pipeline.sensor(dispatch).run_requests) == 1
    pusher.push(FILE, "agent = 1\n")
    look(pipeline, QUIET)
    assert [(key, issue["state"]) for key, issue in issues_of(forge, QUIET).items()] == [(number, "open")]
    pusher.push(FILE, None)
    look(pipeline, QUIET)
    assert issues_of(forge, QUIET)[number]["state"] == "closed"
    assert settings_in(pipeline.ledger, pipeline.settings, QUIET).policy_for(QUIET).max_files == 100


@pytest.mark.slow
def test_an_issue_whose_opening_could_not_be_recorded_is_found_again(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path
) -> None:
    pusher = FilePusher(forge, QUIET, tmp_path / "clone")
    pusher.push(FILE, "x = 1\n")
    look(pipeline, QUIET)
    (number,) = issues_of(forge, QUIET)
    mark = issues_of(forge, QUIET)[number]["body"].rpartition("<!-- squire ")[2].removesuffix(" -->")
    with pipeline.ledger.write() as tx:
        repository_files.note_issue(tx, QUIET, None, mark)
    pipeline.collect(QUIET)
    assert list(issues_of(forge, QUIET)) == [number]
    with pipeline.ledger.read() as tx:
        stored = repository_files.get(tx, QUIET)
    assert stored is not None
    assert stored.issue_number == number


@pytest.mark.slow
def test_a_file_extends_those_of_known_repositories_alone(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path
) -> None:
    FilePusher(forge, HANDBOOK, tmp_path / "preset").push(
        "squire/base.toml", "[policy]\nmax_files = 7\nmax_bytes = 100\n"
    )
    pusher = FilePusher(forge, QUIET, tmp_path / "clone")
    pusher.push(FILE, f'extends = "{HANDBOOK}//squire/base.toml"\n[policy]\nmax_files = 9\n')
    look(pipeline, QUIET)
    policy = settings_in(pipeline.ledger, pipeline.settings, QUIET).policy_for(QUIET)
    assert (policy.max_files, policy.max_bytes) == (9, 100)
    with pipeline.ledger.read() as tx:
        stored = repository_files.get(tx, QUIET)
    assert stored is not None
    assert stored.origins == {
        "policy.max_files": f"{QUIET}//{FILE}",
        "policy.max_bytes": f"{HANDBOOK}//squire/base.toml",
        "extends": f"{QUIET}//{FILE}",
    }
    pusher.push(FILE, 'extends = "other/secrets//squire.toml"\n')
    look(pipeline, QUIET)
    stopped = repository_settings(pipeline.ledger, pipeline.settings).stopped[QUIET]
    assert "line 1: extends: files of other/secrets may not be extended; ask the operator" in stopped


@pytest.mark.slow
def test_github_is_asked_for_a_file_only_when_it_has_changed(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path
) -> None:
    FilePusher(forge, QUIET, tmp_path / "clone").push(FILE, "[policy]\nmax_files = 1\n")
    pipeline.collect(QUIET)
    forge.add_fault("SettingsFile", status=502, times=1000)
    pipeline.collect(QUIET)
    pipeline.collect(HANDBOOK)  # it has none
    assert repository_settings(pipeline.ledger, pipeline.settings).stopped == {}


@pytest.mark.slow
def test_a_file_that_could_not_be_read_yet_stops_the_repository(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path
) -> None:
    FilePusher(forge, QUIET, tmp_path / "clone").push(FILE, "[policy]\nmax_files = 1\n")
    forge.add_fault("SettingsFile", status=502, times=1000)
    look(pipeline, QUIET)
    assert "could not be read yet" in repository_settings(pipeline.ledger, pipeline.settings).stopped[QUIET]
    assert issues_of(forge, QUIET) == {}
    forge.clear_faults()
    look(pipeline, QUIET)
    assert repository_settings(pipeline.ledger, pipeline.settings).stopped == {}


def test_a_file_of_five_megabytes_is_told_by_its_size(pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path) -> None:
    FilePusher(forge, QUIET, tmp_path / "clone").push(FILE, "#" * (5 * 2**20))
    look(pipeline, QUIET)
    stopped = repository_settings(pipeline.ledger, pipeline.settings).stopped[QUIET]
    assert "bytes, and may have 65536" in stopped


def test_a_file_is_read_from_the_default_branch_alone(pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path) -> None:
    FilePusher(forge, QUIET, tmp_path / "clone").push(FILE, "[policy]\n", branch="topic")

    async def read() -> Any:
        async with GitHubClient(pipeline.settings.github, forge.token) as client:
            return await read_file(client, PresetPlace(QUIET, FILE))

    assert asyncio.run(read()).blob_sha is None


@pytest.mark.slow
def test_the_command_explains_what_holds_in_a_repository_and_checks_its_file(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path
) -> None:
    pipeline.configure("[policy]\nmax_files = 50\n")
    squire = Squire(pipeline.home)
    pusher = FilePusher(forge, QUIET, tmp_path / "clone")
    assert "has no .github/squire.toml" in squire.ok("config", "validate", "--repository", QUIET)
    pusher.push(FILE, '[policy]\n\nmax_files = 3\n[ci]\nignore = ["x"]\n')
    look(pipeline, QUIET)
    rows = {row["key"]: row for row in squire.json("config", "show", "--repository", QUIET, "--origin")}
    assert rows["policy.max_files"] == {"key": "policy.max_files", "value": 3, "from": f"{QUIET}//{FILE}", "line": 3}
    assert (rows["policy.max_bytes"]["from"], rows["ci.ignore"]["value"][-1]) == ("default", "x")
    others = {row["key"]: row for row in squire.json("config", "show", "--repository", HANDBOOK, "--origin")}
    assert (others["policy.max_files"]["value"], others["policy.max_files"]["from"]) == (50, "file")
    assert f"ok: {QUIET}, {FILE} at the commit" in squire.ok("config", "validate", "--repository", QUIET)
    pusher.push(FILE, "[policy]\nmax_files = -3\n")
    error = squire.fails(3, "config", "validate", "--repository", QUIET)
    assert f"{QUIET}: {FILE}, line 2: policy.max_files = -3" in error
