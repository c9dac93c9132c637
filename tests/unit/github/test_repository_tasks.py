"""Task files of a repository's default branch: which are read, how much of them, and what may start from them."""

import asyncio
from typing import Any

import httpx
import pytest

from squire_pipelines.domain.authority import RepositoryPermission, TrustRules
from squire_pipelines.domain.signals import Collection, CollectionStatus, ManualTask, Source
from squire_pipelines.github import repository_tasks
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.collecting import collect_repository
from squire_pipelines.github.judging import Trust
from squire_pipelines.sections.services import GitHubSettings
from tests.support.github_json import API_URL, FakeGitHub, answer, repository

LIST = "- Add --json\n- [ ] Drop Python 3.9\n"


def entry(name: str, *, mode: int = 0o100644, size: int = 10) -> dict[str, object]:
    return {"name": name, "mode": mode, "oid": name.encode().hex().ljust(40, "0")[:40], "size": size}


def folder(*entries: dict[str, object]) -> httpx.Response:
    tree = {"__typename": "Tree", "entries": list(entries)}
    return answer({"repository": repository(taskFolder=tree)})


def texts(*contents: str | None, truncated: bool = False) -> httpx.Response:
    blobs = {
        f"f{number}": {"__typename": "Blob", "text": text, "isTruncated": truncated}
        for number, text in enumerate(contents)
    }
    return answer({"repository": blobs})


def collect(fake: FakeGitHub, rules: TrustRules | None = None) -> Collection:
    async def run() -> Collection:
        settings = GitHubSettings(api_url=API_URL)
        async with GitHubClient(
            settings, "ghp_" + "t" * 36, attempts=1, http=httpx.AsyncClient(transport=fake)
        ) as client:
            (reading,) = await collect_repository(
                client, "o/r", sources=[Source.REPOSITORY_TASKS], trust=Trust(rules=rules or TrustRules())
            )
            return reading

    return asyncio.run(run())


def test_each_task_is_a_signal_of_its_own_that_may_start_work() -> None:
    fake = FakeGitHub({"TaskFolder": folder(entry("tasks.md")), "TaskFiles": texts(LIST)})
    reading = collect(fake)
    assert (reading.status, reading.error) == (CollectionStatus.FRESH, None)
    assert [signal.title for signal in reading.signals] == ["Add --json", "Drop Python 3.9"]
    for signal in reading.signals:
        assert signal.key.startswith("repository_tasks/tasks.md/")
        assert isinstance(signal.details, ManualTask)
        assert signal.details.author == "the task file tasks.md on the default branch"
        assert signal.verdict is not None
        assert signal.verdict.may_start
        assert "default branch" in signal.verdict.reason
    assert collect(fake).signals[0].version == reading.signals[0].version


def test_only_the_default_branch_is_asked_for() -> None:
    fake = FakeGitHub({"TaskFolder": folder(entry("tasks.md")), "TaskFiles": texts(LIST)})
    collect(fake)
    bodies = [request.content.decode() for request in fake.requests]
    assert ["HEAD:.squire/tasks" in body for body in bodies] == [True, False]
    assert fake.operations[1][1]["oid0"] == entry("tasks.md")["oid"]


def test_files_of_another_kind_are_left_alone() -> None:
    names = (
        entry("notes.txt"),
        entry("link.md", mode=0o120000),
        entry("sub.md", mode=0o040000),
        entry("module.md", mode=0o160000),
    )
    fake = FakeGitHub({"TaskFolder": folder(*names)})
    assert collect(fake).signals == ()
    assert [name for name, _ in fake.operations] == ["TaskFolder"]


@pytest.mark.parametrize(
    "nothing",
    [None, {"__typename": "Blob"}, {"__typename": "Tree", "entries": None}, {"__typename": "Tree", "entries": []}],
)
def test_without_a_folder_there_is_nothing(nothing: dict[str, Any] | None) -> None:
    reading = collect(FakeGitHub({"TaskFolder": answer({"repository": repository(taskFolder=nothing)})}))
    assert (reading.status, reading.signals) == (CollectionStatus.FRESH, ())


def test_an_archived_repository_gives_no_tasks() -> None:
    tree = {"__typename": "Tree", "entries": [entry("tasks.md")]}
    archived = answer({"repository": repository(taskFolder=tree, isArchived=True)})
    assert collect(FakeGitHub({"TaskFolder": archived})).signals == ()


@pytest.mark.parametrize(
    ("files", "content", "says"),
    [
        ([entry("big.md", size=repository_tasks.MAX_FILE_BYTES + 1)], texts(), "more than 65536 bytes"),
        ([entry(f"{n}.md") for n in range(repository_tasks.MAX_FILES + 1)], texts(), "more than 50 task files"),
        ([entry("binary.md")], texts(None), "no text"),
        ([entry("gone.md")], answer({"repository": {"f0": None}}), "no text"),
        ([entry("cut.md")], texts("- One", truncated=True), "no text"),
        ([entry("wrong.yaml")], texts("tasks: 3\n"), "wrong.yaml"),
    ],
)
def test_too_much_or_another_form_fails_this_reading_with_the_files_name(
    files: list[dict[str, object]], content: httpx.Response, says: str
) -> None:
    reading = collect(FakeGitHub({"TaskFolder": folder(*files), "TaskFiles": content}))
    assert (reading.status, reading.error_code) == (CollectionStatus.FAILED, "source")
    assert says in (reading.error or "")


def test_a_repositorys_files_give_tasks_for_that_repository_alone() -> None:
    own = FakeGitHub({"TaskFolder": folder(entry("tasks.md")), "TaskFiles": texts("## o/r\n- Ours\n")})
    assert [signal.title for signal in collect(own).signals] == ["Ours"]
    text = "## other/repository\n- Theirs\n## o/r\n- Ours\n"
    of_another = FakeGitHub({"TaskFolder": folder(entry("tasks.md")), "TaskFiles": texts(text)})
    assert "the task 'Theirs' is for other/repository" in (collect(of_another).error or "")


def test_where_more_than_write_is_asked_for_what_lies_on_the_default_branch_is_held() -> None:
    fake = FakeGitHub({"TaskFolder": folder(entry("tasks.md")), "TaskFiles": texts("- One")})
    (signal,) = collect(fake, TrustRules(min_permission=RepositoryPermission.MAINTAIN)).signals
    assert signal.verdict is not None
    assert not signal.verdict.may_start
    assert "maintain" in signal.verdict.reason
    assert "squire signals release" in signal.verdict.reason
