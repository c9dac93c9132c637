"""The requests of the REST interface are ones that GitHub publishes: their paths, parameters and bodies."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from squire_pipelines.domain.own_reports import HeadReport
from squire_pipelines.domain.pull_comment import CommentPart
from squire_pipelines.github import git_data
from squire_pipelines.github.branch_rules import rules_of_branch
from squire_pipelines.github.branch_updates import update_branch
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.dashboards import write_dashboard
from squire_pipelines.github.git_data import TreeEntry
from squire_pipelines.github.head_reports import put_check_run, put_status
from squire_pipelines.github.hook_deliveries import ping_hook, repository_hook
from squire_pipelines.github.issues import (
    Reaction,
    create_issue,
    find_issue,
    milestones_of,
    react,
    set_milestone,
    update_issue,
)
from squire_pipelines.github.own_comments import put_part
from squire_pipelines.github.pulls import remove_label
from squire_pipelines.github.webhook_state import our_webhooks
from tests.support.github_json import FakeGitHub, answer
from tests.support.github_schemas import request_problems

pytestmark = pytest.mark.anyio
ClientOf = Callable[..., GitHubClient]
ISSUE = {"number": 3, "body": "text <!-- squire opening x -->", "user": {"login": "Squire-Bot"}}
PERSON = {"name": "Bot", "email": "bot@example.org", "date": "2026-01-02T03:04:05Z"}
COMMIT = {"sha": "1" * 40, "message": "m", "tree": {"sha": "1" * 40}, "author": PERSON, "committer": PERSON}
REPORT = HeadReport("Waits for checks", "**Waits**", "https://github.test/o/r/pull/7", settled=False)
ANSWERS: dict[str, Any] = {
    "GET /repos/o/r/issues": httpx.Response(200, json=[ISSUE]),
    "POST /repos/o/r/issues": httpx.Response(201, json=ISSUE),
    "PATCH /repos/o/r/issues/3": httpx.Response(200, json=ISSUE),
    "GET /repos/o/r/issues/3": httpx.Response(200, json={**ISSUE, "milestone": {"number": 4, "state": "open"}}),
    "PUT /repos/o/r/pulls/3/update-branch": httpx.Response(202, json={}),
    "POST /repos/o/r/issues/comments/7/reactions": httpx.Response(201, json={}),
    "DELETE /repos/o/r/issues/3/labels/squire": httpx.Response(200, json=[]),
    "POST /repos/o/r/git/blobs": httpx.Response(201, json={"sha": "1" * 40}),
    "POST /repos/o/r/git/trees": httpx.Response(201, json={"sha": "1" * 40}),
    "POST /repos/o/r/git/commits": httpx.Response(201, json=COMMIT),
    f"GET /repos/o/r/git/commits/{'1' * 40}": httpx.Response(200, json=COMMIT),
    "GET /repos/o/r/rules/branches/squire/x": httpx.Response(200, json=[]),
    "GET /repos/o/r/hooks": httpx.Response(200, json=[]),
    "POST /repos/o/r/hooks/1/pings": httpx.Response(204),
    f"GET /repos/o/r/commits/{'1' * 40}/check-runs": httpx.Response(200, json={"check_runs": []}),
    "POST /repos/o/r/check-runs": httpx.Response(201, json={"id": 5}),
    "PATCH /repos/o/r/check-runs/5": httpx.Response(200, json={"id": 5}),
    f"GET /repos/o/r/commits/{'1' * 40}/status": httpx.Response(200, json={"statuses": []}),
    f"POST /repos/o/r/statuses/{'1' * 40}": httpx.Response(201, json={}),
}


async def test_every_request_about_issues_rules_and_webhooks_is_githubs(client_of: ClientOf) -> None:
    fake = FakeGitHub(rest=ANSWERS)
    client = client_of(fake)
    assert await find_issue(client, "o/r", "squire opening x", author="squire-bot") == 3
    assert await find_issue(client, "o/r", "squire opening y", author="squire-bot", state="all", pages=2) is None
    assert await write_dashboard(client, "o/r", 3, "b") == ISSUE["body"]
    await create_issue(client, "o/r", title="t", body="b")
    await update_issue(client, "o/r", 3, state="open", title="t", body="b")
    await update_issue(client, "o/r", 3, state="closed")
    await set_milestone(client, "o/r", 3, 4)
    assert await milestones_of(client, "o/r", [3]) == {4}
    await git_data.create_blob(client, "o/r", b"b")
    entries = [TreeEntry("a", "100755", content="x"), TreeEntry("b", "120000", blob="1" * 40), TreeEntry("c", "100644")]
    await git_data.create_tree(client, "o/r", "1" * 40, entries)
    await git_data.create_commit(client, "o/r", message="m", tree="1" * 40, parents=["1" * 40])
    await git_data.read_commit(client, "o/r", "1" * 40)
    for reaction in Reaction:
        await react(client, "o/r", 7, reaction)
    await remove_label(client, "o/r", 3, "squire")
    await update_branch(client, "o/r", 3, head_sha="1" * 40)
    await rules_of_branch(client, "o/r", "squire/x")
    await our_webhooks(client, "o/r")
    await ping_hook(client, repository_hook("o/r", 1))
    for known in (None, 5):
        assert await put_check_run(client, "o/r", "1" * 40, "squire:t1", REPORT, known=known) == 5
    await put_status(client, "o/r", "1" * 40, REPORT)
    assert {f"{request.method} {request.url.path.removeprefix('/api/v3')}" for request in fake.requests} == {*ANSWERS}
    assert [problem for request in fake.requests for problem in request_problems(request)] == []


async def test_an_issue_with_our_mark_by_somebody_else_is_not_ours(client_of: ClientOf) -> None:
    mark = "<!-- squire opening x -->"
    listed = [
        {"number": 9, "body": mark, "user": {"login": "squire-bot"}},
        {"number": 8, "body": "another", "user": {"login": "squire-bot"}},
        {"number": 3, "body": mark, "user": {"login": "squire-bott"}},
        {"number": 2, "body": mark, "user": None},
        {"number": 1, "body": mark, "user": {"login": "squire-bot"}, "pull_request": {}},
    ]
    client = client_of(FakeGitHub(rest={"GET /repos/o/r/issues": httpx.Response(200, json=listed)}))
    assert await find_issue(client, "o/r", mark, author="squire-bot") == 9


def test_an_apps_code_is_exchanged_where_github_takes_it() -> None:
    path = "https://github.test/api/v3/app-manifests/abc/conversions"
    assert request_problems(httpx.Request("POST", path)) == []


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (httpx.Request("PUT", "https://github.test/api/v3/repos/o/r/issues/3"), "none of GitHub's"),
        (httpx.Request("GET", "https://github.test/api/v3/repos/o/r/issues?stat=open"), "no parameter"),
        (httpx.Request("POST", "https://github.test/api/v3/repos/o/r/issues", json={"titel": "t"}), "titel"),
    ],
)
def test_what_is_not_githubs_is_found(request_: httpx.Request, problem: str) -> None:
    assert any(problem in line for line in request_problems(request_))


async def test_milestones_that_are_closed_or_not_set_do_not_count(client_of: ClientOf) -> None:
    answers: list[dict[str, Any] | None] = [None, {"number": 4, "state": "closed"}, {"number": 5, "state": "open"}]
    rest = {
        f"GET /repos/o/r/issues/{number}": httpx.Response(200, json={**ISSUE, "milestone": milestone})
        for number, milestone in enumerate(answers)
    }
    assert await milestones_of(client_of(FakeGitHub(rest=rest)), "o/r", [0, 1, 2]) == {5}


async def test_an_old_issue_of_ours_is_found_on_a_further_page(client_of: ClientOf) -> None:
    others = [{"number": number, "body": "", "user": None} for number in range(100)]

    def page(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[ISSUE] if request.url.params.get("page") == "2" else others)

    fake = FakeGitHub(rest={"GET /repos/o/r/issues": page})
    number = await find_issue(client_of(fake), "o/r", "squire opening x", author="squire-bot", state="all", pages=5)
    assert (number, len(fake.requests)) == (3, 2)
    assert [problem for request in fake.requests for problem in request_problems(request)] == []


async def test_what_is_said_on_a_pull_request_is_one_comment_however_many_came_after_it(client_of: ClientOf) -> None:
    written: list[str] = []

    def comments(variables: dict[str, Any]) -> httpx.Response:
        ours = {"databaseId": 9, "body": written[-1] if written else "", "viewerDidAuthor": True}
        quote = {"databaseId": 11, "body": f"> {ours['body']}\n\nNot so.", "viewerDidAuthor": True}
        nodes = [quote] if variables["before"] is None else [{**ours, "viewerDidAuthor": False}, ours]
        page = {"hasNextPage": False, "hasPreviousPage": variables["before"] is None, "startCursor": "c"}
        return answer({"repository": {"pullRequest": {"comments": {"pageInfo": page, "nodes": nodes}}}})

    def write(request: httpx.Request) -> httpx.Response:
        written.append(json.loads(request.content)["body"])
        return httpx.Response(200, json={"id": 9})

    rest = {"POST /repos/o/r/issues/3/comments": write, "PATCH /repos/o/r/issues/comments/9": write}
    fake = FakeGitHub(graphql={"OwnComments": comments}, rest=rest)
    client = client_of(fake)
    for part in (CommentPart.FOLLOW, CommentPart.APPROVAL, CommentPart.APPROVAL):
        assert await put_part(client, "o/r", 3, part, f"about {part}") == 9
    assert len(written) == 2, "the same words are not written again"
    assert "about follow" in written[-1]
    assert "about approval" in written[-1]
    asked = [request for request in fake.requests if not request.url.path.endswith("/graphql")]
    assert [problem for request in asked for problem in request_problems(request)] == []
