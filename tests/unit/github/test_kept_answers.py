"""REST with ETags: an answer that GitHub says is as it was is the kept one, and never anybody else's."""

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from squire_pipelines.errors import GitHubNotFoundError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.kept_answers import MAX_BODY_BYTES, KeptAnswer, KeptAnswers
from squire_pipelines.sections.services import GitHubSettings
from tests.support.github_json import API_URL

PATH = "/repos/o/r/check-runs/7/annotations"
TOKEN, OTHER = "ghp_" + "k" * 36, "ghp_" + "o" * 36


class Tagged(httpx.AsyncBaseTransport):
    """A GitHub whose one answer has a tag; `tags` are what it was asked with."""

    def __init__(self) -> None:
        self.content: object = [{"path": "a.py"}]
        self.etag = 'W/"1"'
        self.status = 200
        self.tags: list[str | None] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.tags.append(request.headers.get("if-none-match"))
        if self.status == 200 and self.tags[-1] == self.etag:
            return httpx.Response(304, headers={"etag": self.etag})
        return httpx.Response(self.status, json=self.content, headers={"etag": self.etag})


def get(github: Tagged, folder: Path, *, token: str = TOKEN, params: dict[str, int] | None = None) -> object:
    """Ask in a client of its own, as another process would."""

    async def run() -> object:
        answers, http = KeptAnswers(folder, max_answers=100), httpx.AsyncClient(transport=github)
        async with GitHubClient(
            GitHubSettings(api_url=API_URL), token, attempts=1, answers=answers, http=http
        ) as client:
            return await client.get(PATH, params)

    return asyncio.run(run())


def test_what_has_not_changed_is_the_kept_answer_and_what_has_is_kept_anew(tmp_path: Path) -> None:
    github = Tagged()
    assert [get(github, tmp_path), get(github, tmp_path)] == [[{"path": "a.py"}]] * 2
    github.content, github.etag = [], 'W/"2"'
    assert [get(github, tmp_path), get(github, tmp_path)] == [[], []]
    assert github.tags == [None, 'W/"1"', 'W/"1"', 'W/"2"']


def test_another_credential_and_another_page_never_get_a_kept_answer(tmp_path: Path) -> None:
    github = Tagged()
    for token, params in ((TOKEN, None), (OTHER, None), (TOKEN, {"page": 2})):
        get(github, tmp_path, token=token, params=params)
    assert github.tags == [None] * 3


def test_an_error_is_told_and_is_not_kept(tmp_path: Path) -> None:
    github = Tagged()
    get(github, tmp_path)
    github.status = 404
    for _ in range(2):
        with pytest.raises(GitHubNotFoundError):
            get(github, tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("damage", [b"", b"no head", b'["W/1", "00"]\n[]', b"7\n[]", b'{"a": 1}\n[]'])
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, damage: bytes) -> None:
    github = Tagged()
    get(github, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(damage)
    assert get(github, tmp_path) == [{"path": "a.py"}]
    assert github.tags == [None, None]


def test_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    github = Tagged()
    github.content = "x" * MAX_BODY_BYTES
    get(github, tmp_path / "answers")
    assert not (tmp_path / "answers").exists()


def test_files_are_the_owners_alone_and_their_number_is_bounded(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    answers = KeptAnswers(folder, max_answers=100)
    for number in range(230):
        answers.keep(f"{number:03}", KeptAnswer(f'"{number}"', b"{}"))
        os.utime(folder / f"{number:03}", (number, number))
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) <= 100
    assert names[-1] == "229"
    assert (folder / "229").stat().st_mode & 0o077 == 0
    assert folder.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_written_costs_nobody_the_answer(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    assert get(Tagged(), tmp_path / "file") == [{"path": "a.py"}]
