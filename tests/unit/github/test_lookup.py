from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from squire_pipelines.domain.outcomes import ChecksState, Mergeability, PullRequestState, ReviewDecision
from squire_pipelines.errors import GitHubNotFoundError, GitHubPermissionError, GitHubUnavailableError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.lookup import (
    RepositoryInfo,
    Viewer,
    renamed_branch,
    repository_info,
)
from squire_pipelines.github.pull_request_reports import pull_request_reports
from tests.support.github_json import SHA, FakeGitHub, answer, repository

pytestmark = pytest.mark.anyio
ClientOf = Callable[..., GitHubClient]
NOT_FOUND = {"type": "NOT_FOUND", "path": ["repository"], "message": "Could not resolve to a Repository"}


def described(**fields: Any) -> FakeGitHub:
    described_repository = repository(
        **{
            "nameWithOwner": "o/r",
            "isEmpty": False,
            "isPrivate": True,
            "viewerPermission": "WRITE",
            "defaultBranchRef": {"name": "trunk"},
            **fields,
        }
    )
    return FakeGitHub({"Repository": answer({"repository": described_repository})})


def report(number: int = 5, state: str | None = "SUCCESS", **fields: Any) -> dict[str, Any]:
    rollup = {"state": state} if state else None
    return {
        "number": number,
        "url": f"https://github.test/o/r/pull/{number}",
        "state": "OPEN",
        "headRefName": "squire/t1-x",
        "headRefOid": SHA,
        "updatedAt": "2026-11-01T12:00:00Z",
        "mergedAt": None,
        "closedAt": None,
        "commits": {"nodes": [{"commit": {"oid": SHA, "statusCheckRollup": rollup}}]},
        **fields,
    }


async def test_repository_is_described(client_of: ClientOf) -> None:
    assert await repository_info(client_of(described()), "o/r") == RepositoryInfo(
        name="o/r",
        default_branch="trunk",
        clone_url="https://github.test/o/r.git",
        archived=False,
        private=True,
        can_push=True,
        is_empty=False,
    )


async def test_the_account_of_the_token_comes_with_the_repository(client_of: ClientOf) -> None:
    viewer = {"login": "my-app[bot]", "databaseId": 41898282}
    github = FakeGitHub({"Repository": answer({"repository": {"url": "https://github.test/o/r"}, "viewer": viewer})})
    assert (await repository_info(client_of(github), "o/r")).viewer == Viewer("my-app[bot]", 41898282)
    assert (await repository_info(client_of(described()), "o/r")).viewer is None


async def test_renamed_repository_tells_its_present_name(client_of: ClientOf) -> None:
    assert (await repository_info(client_of(described(nameWithOwner="o/new")), "o/r")).name == "o/new"


@pytest.mark.parametrize(
    ("permission", "can_push"), [("ADMIN", True), ("TRIAGE", False), ("READ", False), (None, None)]
)
async def test_right_to_push_follows_the_permission(
    client_of: ClientOf, permission: str | None, *, can_push: bool | None
) -> None:
    info = await repository_info(client_of(described(viewerPermission=permission)), "o/r")
    assert info.can_push is can_push


async def test_empty_repository_has_no_default_branch(client_of: ClientOf) -> None:
    info = await repository_info(client_of(described(defaultBranchRef=None, isEmpty=True)), "o/r")
    assert (info.default_branch, info.is_empty) == (None, True)


async def test_unknown_repository_names_the_permission_that_would_show_it(client_of: ClientOf) -> None:
    fake = FakeGitHub({"Repository": answer({"repository": None}, errors=[NOT_FOUND])})
    with pytest.raises(GitHubNotFoundError, match="there is no repository o/r") as caught:
        await repository_info(client_of(fake), "o/r")
    assert "Metadata (read)" in caught.value.hint


async def test_repository_that_the_token_may_not_read_names_the_permissions(client_of: ClientOf) -> None:
    entry = {"type": "FORBIDDEN", "path": ["repository"], "message": "Resource not accessible"}
    fake = FakeGitHub({"Repository": answer({"repository": None}, errors=[entry])})
    with pytest.raises(GitHubPermissionError, match="may not read o/r") as caught:
        await repository_info(client_of(fake), "o/r")
    assert "Contents" in caught.value.hint


@pytest.mark.parametrize(
    ("rollup", "checks"),
    [
        ("SUCCESS", ChecksState.PASSED),
        ("FAILURE", ChecksState.FAILED),
        ("ERROR", ChecksState.FAILED),
        ("PENDING", ChecksState.PENDING),
        ("EXPECTED", ChecksState.PENDING),
        (None, ChecksState.NONE),
    ],
)
async def test_report_tells_what_the_checks_say(client_of: ClientOf, rollup: str | None, checks: ChecksState) -> None:
    fake = FakeGitHub({"PullRequestReports": answer({"r0": {"pr5": report(state=rollup)}})})
    assert (await pull_request_reports(client_of(fake), {"o/r": [5]})).reports["o/r", 5].checks is checks


async def test_checks_of_another_commit_than_the_head_are_waited_for(client_of: ClientOf) -> None:
    fake = FakeGitHub({"PullRequestReports": answer({"r0": {"pr5": report(headRefOid="d" * 40)}})})
    answered = await pull_request_reports(client_of(fake), {"o/r": [5]})
    assert answered.reports["o/r", 5].checks is ChecksState.PENDING


@pytest.mark.parametrize(
    ("fields", "mergeability", "review"),
    [
        ({"mergeable": "MERGEABLE", "mergeStateStatus": "CLEAN"}, Mergeability.MERGEABLE, ReviewDecision.NONE),
        (
            {"mergeable": "MERGEABLE", "mergeStateStatus": "BEHIND", "reviewDecision": "REVIEW_REQUIRED"},
            Mergeability.BEHIND,
            ReviewDecision.REVIEW_REQUIRED,
        ),
        (
            {"mergeable": "CONFLICTING", "mergeStateStatus": "DIRTY", "reviewDecision": "APPROVED"},
            Mergeability.CONFLICTING,
            ReviewDecision.APPROVED,
        ),
        ({"mergeable": "NEW_WORD", "reviewDecision": "NEW_WORD"}, Mergeability.UNKNOWN, ReviewDecision.NONE),
    ],
)
async def test_report_tells_whether_it_merges_and_what_reviews_say(
    client_of: ClientOf, fields: dict[str, str], mergeability: Mergeability, review: ReviewDecision
) -> None:
    fake = FakeGitHub({"PullRequestReports": answer({"r0": {"pr5": report(isDraft=True) | fields}})})
    pull = (await pull_request_reports(client_of(fake), {"o/r": [5]})).reports["o/r", 5]
    assert (pull.mergeability, pull.review_decision, pull.draft) == (mergeability, review, True)


async def test_report_of_a_merged_pull_request(client_of: ClientOf) -> None:
    merged = report(mergedAt="2026-11-02T12:00:00Z", closedAt="2026-11-02T12:00:00Z") | {"state": "MERGED"}
    fake = FakeGitHub({"PullRequestReports": answer({"r0": {"pr5": merged}})})
    pull = (await pull_request_reports(client_of(fake), {"o/r": [5]})).reports["o/r", 5]
    assert (pull.state, pull.head_ref, pull.head_sha) == (
        PullRequestState.MERGED,
        "squire/t1-x",
        SHA,
    )
    assert pull.merged_at == datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
    assert fake.operations == [("PullRequestReports", {"owner0": "o", "name0": "r"})]


async def test_report_of_another_shape_is_unavailable(client_of: ClientOf) -> None:
    fake = FakeGitHub({"PullRequestReports": answer({"r0": {"pr5": {"number": 5}}})})
    error = (await pull_request_reports(client_of(fake), {"o/r": [5]})).error_of("o/r", 5)
    assert isinstance(error, GitHubUnavailableError)
    assert "url" in str(error)


async def test_many_reports_take_one_request_for_each_fifty(client_of: ClientOf) -> None:
    asked: list[str] = []

    class Many(FakeGitHub):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            text = request.content.decode()
            asked.append(text)
            numbers = [n for n in range(1, 70) if f"pr{n}:" in text]
            entry = {
                "type": "NOT_FOUND",
                "path": ["r0", "pr3"],
                "message": "Could not resolve to a PullRequest",
            }
            parts: dict[str, Any] = {f"pr{n}": report(n) if n != 3 else None for n in numbers}
            return answer({"r0": parts}, errors=[entry] if 3 in numbers else [])

    reports = (await pull_request_reports(client_of(Many()), {"o/r": [*range(1, 61), 5]})).reports
    assert sorted(reports) == [("o/r", n) for n in range(1, 61) if n != 3]
    assert reports["o/r", 7].number == 7
    assert len(asked) == 2


async def test_a_pull_request_that_github_cannot_read_hides_no_other_one(client_of: ClientOf) -> None:
    path = ["r0", "pr6", "commits", "nodes", 0, "commit", "statusCheckRollup"]
    hidden = {"type": "FORBIDDEN", "message": "Resource not accessible by integration", "path": path}
    content = {"r0": {"pr5": report(), "pr6": report(6), "pr7": {"number": 7}, "pr8": report(8)}}
    fake = FakeGitHub({"PullRequestReports": answer(content, errors=[hidden])})
    answered = await pull_request_reports(client_of(fake), {"o/r": [5, 6, 7, 8]})
    assert sorted(answered.reports) == [("o/r", 5), ("o/r", 8)]
    assert sorted(answered.unread) == [("o/r", 6), ("o/r", 7)]
    assert answered.errors == {}


async def test_no_numbers_ask_nothing(client_of: ClientOf) -> None:
    fake = FakeGitHub()
    assert (await pull_request_reports(client_of(fake), {"o/r": []})).reports == {}
    assert fake.requests == []


async def test_reports_of_many_repositories_take_one_request_and_one_repository_may_be_gone(
    client_of: ClientOf,
) -> None:
    gone = {**NOT_FOUND, "path": ["r1"]}
    content = {"r0": {"pr5": report()}, "r1": None, "r2": {"pr7": report(7)}}
    fake = FakeGitHub({"PullRequestReports": answer(content, errors=[gone])})
    answered = await pull_request_reports(client_of(fake), {"o/r": [5], "o/gone": [1], "p/s": [7]})
    assert sorted(answered.reports) == [("o/r", 5), ("p/s", 7)]
    assert isinstance(answered.errors["o/gone"], GitHubNotFoundError)
    assert len(fake.operations) == 1


async def test_a_query_of_many_repositories_that_github_does_not_answer_is_asked_in_halves(client_of: ClientOf) -> None:
    class Halves(FakeGitHub):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            text = request.content.decode()
            if '"bad"' in text:
                return httpx.Response(502)
            numbers = [n for n in (5, 7) if f"pr{n}:" in text]
            return answer({f"r{place}": {f"pr{n}": report(n)} for place, n in enumerate(numbers)})

    answered = await pull_request_reports(client_of(Halves()), {"o/r": [5], "o/bad": [1], "p/s": [7]})
    assert sorted(answered.reports) == [("o/r", 5), ("p/s", 7)]
    assert isinstance(answered.error_of("o/bad", 1), GitHubUnavailableError)


async def test_one_pull_request_with_which_no_query_is_answered_is_found_by_halving(client_of: ClientOf) -> None:
    asked = []

    class OneIsBad(FakeGitHub):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            numbers = [n for n in range(1, 51) if f"pr{n}:" in request.content.decode()]
            asked.append(numbers)
            return httpx.Response(502) if 37 in numbers else answer({"r0": {f"pr{n}": report(n) for n in numbers}})

    answered = await pull_request_reports(client_of(OneIsBad()), {"o/r": range(1, 51)})
    assert sorted(answered.unread) == [("o/r", 37)]
    assert len(answered.reports) == 49
    assert len(asked) <= 13, asked


@pytest.mark.parametrize(
    "branch", ["@hotfix/x", "#123-fix", "+x", "(wip)", "\U0001f680-release", "%41", "$(id)", "a,b", "a\u3000b"]
)
async def test_a_renamed_branch_is_found_whatever_its_name(client_of: ClientOf, branch: str) -> None:
    def play(request: httpx.Request) -> httpx.Response:
        name = unquote(request.url.raw_path.decode().rpartition("/branches/")[2])
        return httpx.Response(200, json={"name": f"{name}-now"})

    class AnyPath(FakeGitHub):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            assert b"/" not in request.url.raw_path.rpartition(b"/branches/")[2]
            return play(request)

    assert await renamed_branch(client_of(AnyPath()), "o/r", branch) == f"{branch}-now"


async def test_a_branch_that_is_gone_has_no_other_name(client_of: ClientOf) -> None:
    fake = FakeGitHub(rest={"GET /repos/o/r/branches/x": httpx.Response(404, json={"message": "Branch not found"})})
    assert await renamed_branch(client_of(fake), "o/r", "x") is None
