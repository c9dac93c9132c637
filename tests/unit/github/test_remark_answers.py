"""Answers to remarks without a thread, and reactions, against answers of GitHub's API that are made up."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from squire_pipelines.errors import GitHubValidationError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.remark_answers import (
    MAX_BODY_CHARS,
    AnswerMarks,
    PullPlace,
    RemarkAnswer,
    answer_remarks,
    show_heard,
)

ClientOf = Callable[..., GitHubClient]
PLACE = PullPlace("acme/shop", 7)
MARKS = AnswerMarks("<!-- round 2 -->", "<!-- all -->", "What was done:")
TO_REVIEW = RemarkAnswer("R1:digest", "Done.", resolves=False)


class AnsweringGitHub:
    """Answers with one review and the comments that are there, and keeps what is written."""

    def __init__(self, *comments: str, forbidden: bool = False, refused: str = "") -> None:
        self.refused = refused
        self.comments = [
            {"id": f"C{number}", "databaseId": number, "url": "https://x", "body": body, "viewerDidAuthor": True}
            for number, body in enumerate(comments)
        ]
        self.forbidden = forbidden
        self.written: list[tuple[str, str]] = []
        self.older: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.reacted: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        content = json.loads(request.content)
        if "OwnComments" in content.get("query", ""):
            older = {"nodes": self.older, "pageInfo": {"hasNextPage": False, "hasPreviousPage": False}}
            return httpx.Response(200, json={"data": {"repository": {"pullRequest": {"comments": older}}}})
        if not request.url.path.endswith("graphql"):
            if self.refused and self.refused in request.url.path:
                return httpx.Response(422, json={"message": "Replies to replies are not supported"})
            self.written.append((request.method, content["body"]))
            self.paths.append(request.url.path)
            return httpx.Response(200, json={"id": 1})
        if "addReaction" in content["query"]:
            self.reacted.append(content["variables"]["subject"])
            error = [{"type": "FORBIDDEN", "message": "Resource not accessible by integration"}]
            body: dict[str, Any] = {"data": {"addReaction": {"reaction": {"content": "EYES"}}}}
            return httpx.Response(200, json={"data": None, "errors": error} if self.forbidden else body)
        thread_comments = [
            {"id": "TC1", "databaseId": 11, "body": "Say why."},
            {"id": "TC2", "databaseId": 12, "body": "Why?"},
            {"id": "TC3", "databaseId": 13, "body": "Done.", "viewerDidAuthor": True},
        ]
        thread = {"id": "T1", "isResolved": False, "viewerCanResolve": True, "comments": {"nodes": thread_comments}}
        long = {**thread, "id": "T3", "first": {"nodes": [{"databaseId": 9}]}}
        second = {**thread, "id": "T2", "comments": {"nodes": [{"id": "TC4", "databaseId": 14, "body": "Hm."}]}}
        pull = {
            "reviewThreads": {"nodes": [thread, second, long]},
            "reviews": {"nodes": [{"id": "R1", "url": "https://r1", "author": {"login": "mara"}}]},
            "comments": {"nodes": self.comments},
        }
        return httpx.Response(200, json={"data": {"repository": {"pullRequest": pull}}})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("comment", "written"),
    [
        (None, ("POST", "<!-- all -->\nWhat was done:\n\n<!-- round 2 -->\n- [remark by `mara`](https://r1): Done.")),
        ("<!-- all -->\nx", ("PATCH", "<!-- all -->\nx\n<!-- round 2 -->\n- [remark by `mara`](https://r1): Done.")),
        ("<!-- all -->\n<!-- round 2 -->\nx", None),
    ],
)
async def test_what_has_no_thread_is_answered_in_one_comment_that_grows_by_each_round_once(
    client_of: ClientOf, comment: str | None, written: tuple[str, str] | None
) -> None:
    github = AnsweringGitHub(*([comment] if comment else []))
    gone = RemarkAnswer("R9", "Done.", resolves=False)
    await answer_remarks(client_of(httpx.MockTransport(github)), PLACE, MARKS, [TO_REVIEW, gone])
    assert github.written == ([written] if written else [])


@pytest.mark.anyio
async def test_the_one_comment_is_found_below_a_hundred_others(client_of: ClientOf) -> None:
    github = AnsweringGitHub(*(["Hello"] * 100))
    github.older = [{"databaseId": 900, "body": "<!-- all -->\nx", "viewerDidAuthor": True}]
    await answer_remarks(client_of(httpx.MockTransport(github)), PLACE, MARKS, [TO_REVIEW])
    assert [path.endswith("/repos/acme/shop/issues/comments/900") for path in github.paths] == [True]
    assert [method for method, _ in github.written] == ["PATCH"]
    github.older = []
    await answer_remarks(client_of(httpx.MockTransport(github)), PLACE, MARKS, [TO_REVIEW])
    assert github.written[-1][0] == "POST"


@pytest.mark.anyio
async def test_a_comment_that_is_full_begins_anew(client_of: ClientOf) -> None:
    github = AnsweringGitHub("<!-- all -->\n" + "x" * MAX_BODY_CHARS)
    await answer_remarks(client_of(httpx.MockTransport(github)), PLACE, MARKS, [TO_REVIEW])
    ((method, body),) = github.written
    assert method == "PATCH"
    assert "x" * 100 not in body
    assert body.endswith(": Done.")


@pytest.mark.anyio
async def test_a_thread_that_cannot_be_answered_holds_up_no_other_answer(client_of: ClientOf) -> None:
    github = AnsweringGitHub(refused="/comments/11/replies")
    answers = [RemarkAnswer(key, "Done.", resolves=False) for key in ("T1", "T2", "R1")]
    with pytest.raises(GitHubValidationError, match="Replies to replies"):
        await answer_remarks(client_of(httpx.MockTransport(github)), PLACE, MARKS, answers)
    assert [body.partition("\n")[0] for _, body in github.written] == ["<!-- round 2 -->", "<!-- all -->"]


@pytest.mark.anyio
@pytest.mark.parametrize("forbidden", [False, True])
async def test_the_newest_word_of_others_is_reacted_to_and_a_lack_of_rights_is_no_error(
    client_of: ClientOf,
    forbidden: bool,  # noqa: FBT001 - a parameter
) -> None:
    github = AnsweringGitHub(forbidden=forbidden)
    await show_heard(client_of(httpx.MockTransport(github)), PLACE, ["T1", "R1:a", "R1:b", "gone"])
    assert github.reacted == ["TC2", "R1"]


@pytest.mark.anyio
async def test_a_long_thread_is_answered_at_its_first_comment(client_of: ClientOf) -> None:
    github = AnsweringGitHub()
    await answer_remarks(
        client_of(httpx.MockTransport(github)), PLACE, MARKS, [RemarkAnswer("T3", "Done.", resolves=False)]
    )
    assert [path.rpartition("/pulls/")[2] for path in github.paths] == ["7/comments/9/replies"]


@pytest.mark.anyio
async def test_what_is_older_than_what_is_read_is_answered_in_the_one_comment(client_of: ClientOf) -> None:
    older = [RemarkAnswer("T-old", "Done in abc.", resolves=True)]
    github = AnsweringGitHub()
    await answer_remarks(client_of(httpx.MockTransport(github)), PLACE, MARKS, older)
    assert github.written == [], "it has gone: all there is was read"
    github = AnsweringGitHub(*(["Hello"] * 100))
    await answer_remarks(client_of(httpx.MockTransport(github)), PLACE, MARKS, older)
    ((_, body),) = github.written
    assert body.endswith("\n- a remark that is not among the newest: Done in abc.")
