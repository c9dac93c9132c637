"""Who closed or merged a pull request, and with what, as the forge says it over GitHub's API."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from squire_forge.process import ForgeProcess
from squire_forge.samples import SampleRepository
from squire_pipelines.domain.pull_endings import PullEnding, judge_close
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.pull_closings import EndingFacts, read_ending
from squire_pipelines.sections.services import GitHubSettings
from tests.support.forked import ForkedForge
from tests.support.git_repository import git

QUIET = "demo/quiet"


@pytest.fixture
def patient_forge(forge_home: Path, samples: tuple[SampleRepository, ...]) -> Iterator[ForgeProcess]:
    """A forge that merges nothing by itself."""
    with ForkedForge.start(forge_home, merge_prefix=None) as running:
        running.host_repository(next(sample for sample in samples if sample.name == "quiet"))
        yield running


def read(forge: ForgeProcess, number: int) -> EndingFacts:
    async def ask() -> EndingFacts:
        async with GitHubClient(GitHubSettings(api_url=forge.api_url), forge.token) as client:
            return await read_ending(client, QUIET, number)

    return asyncio.run(ask())


def call(forge: ForgeProcess, method: str, path: str, **content: object) -> dict[str, Any]:
    url = f"{forge.api_url}/repos/{QUIET}{path}"
    answer = httpx.request(
        method, url, json=content, headers={"Authorization": f"Bearer {forge.token}"}, timeout=30, trust_env=False
    )
    return dict(answer.raise_for_status().json())


def open_pulls(forge: ForgeProcess, work: Path, body: str, *branches: str) -> list[int]:
    address = forge.git_url(QUIET).replace("http://", f"http://x:{forge.token}@")
    git(work.parent, "clone", "--quiet", address, str(work))
    for branch in branches:
        git(work, "checkout", "--quiet", "-b", branch, "origin/main")
        (work / f"{branch}.md").write_text("text\n")
        git(work, "add", "--all")
        git(work, "commit", "--quiet", "-m", branch)
    git(work, "push", "--quiet", "origin", *branches)
    return [
        int(call(forge, "POST", "/pulls", title=branch, body=body, head=branch, base="main")["number"])
        for branch in branches
    ]


def test_github_tells_by_whom_and_by_what_a_pull_request_ended(patient_forge: ForgeProcess, tmp_path: Path) -> None:
    forge, work = patient_forge, tmp_path / "work"
    issue = int(call(forge, "POST", "/issues", title="Broken", body="It is.")["number"])
    one, two = open_pulls(forge, work, f"Closes #{issue}", "one", "two")
    forge.act_as(QUIET, "mara", number=one, comment="Superseded by #99.")
    forge.act_as(QUIET, "mara", number=one, close=True)
    by_person = read(forge, one).close
    assert by_person.by is not None
    assert (by_person.by.login, by_person.by.is_bot, by_person.words) == ("mara", False, ("Superseded by #99.",))
    assert judge_close(by_person, one).other == 99
    call(forge, "PATCH", f"/pulls/{one}", state="open")
    forge.act_as(QUIET, "sweeper", kind="Bot", number=one, close=True)
    by_bot = read(forge, one).close
    assert judge_close(by_bot, one).ending is PullEnding.CLOSED_BY_BOT
    forge.act_as(QUIET, "mara", number=issue, closed_by=two)
    assert read(forge, one).close.issues_closed_by == {issue: two}
    call(forge, "PATCH", f"/pulls/{one}", state="open")
    forge.act_as(QUIET, "mara", number=one, closed_by=two)
    assert read(forge, one).close.closing_pull == two
    call(forge, "PATCH", f"/pulls/{one}", state="open")
    git(work, "push", "--quiet", "origin", "--delete", "one")
    forge.settle()
    with_branch = read(forge, one).close
    assert with_branch.branch_deleted_at is not None
    assert with_branch.author == "squire-demo"
    merge = call(forge, "PUT", f"/pulls/{two}/merge")
    merged = read(forge, two)
    assert (merged.merge_sha, merged.merged_by) == (merge["sha"], "squire-demo")
    assert not merged.merged_by_person, "the account that opened it"
