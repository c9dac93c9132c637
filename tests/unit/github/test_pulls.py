import json
from collections.abc import Callable
from typing import Any

import httpx
import jsonschema
import pytest

from squire_pipelines.errors import GitHubUnavailableError, GitHubValidationError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.pulls import (
    PullRequestRef,
    add_labels,
    create_pull_request,
    find_pull_request,
    request_reviewers,
    update_pull_request,
)
from squire_pipelines.publishing.pull_requests import PullRequests
from tests.support.github_json import SHA, FakeGitHub
from tests.support.github_schemas import schema_file

pytestmark = pytest.mark.anyio
ClientOf = Callable[..., GitHubClient]
NEW = {"title": "t", "body": "b", "head": "squire/x", "base": "main", "draft": False}
REF = PullRequestRef(7, "https://github.test/o/r/pull/7", "open", SHA, draft=False, base="main")


def pull(number: int = 7, **fields: Any) -> dict[str, Any]:
    return {
        "number": number,
        "html_url": f"https://github.test/o/r/pull/{number}",
        "state": "open",
        "merged_at": None,
        "draft": False,
        "head": {"ref": "squire/x", "sha": SHA, "repo": {"id": 11}},
        "base": {"ref": "main", "sha": SHA, "repo": {"id": 11}},
        **fields,
    }


def refusal(message: str) -> httpx.Response:
    errors = [{"resource": "PullRequest", "code": "custom", "message": message}]
    return httpx.Response(422, json={"message": "Validation Failed", "errors": errors})


def ok(content: object, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=content)


async def test_a_pull_request_from_another_repository_is_never_the_branchs(client_of: ClientOf) -> None:
    fork = {"ref": "squire/x", "sha": SHA, "repo": {"id": 12}}
    gone = {"ref": "squire/x", "sha": SHA, "repo": None}
    fake = FakeGitHub(rest={"GET /repos/o/r/pulls": ok([pull(9, head=gone), pull(8, head=fork), pull(7)])})
    assert await find_pull_request(client_of(fake), "o/r", "squire/x") == REF


async def test_a_branch_that_github_does_not_know_yet_may_be_tried_again(client_of: ClientOf) -> None:
    errors = [{"resource": "PullRequest", "field": "head", "code": "invalid"}]
    answer = httpx.Response(422, json={"message": "Validation Failed", "errors": errors})
    fake = FakeGitHub(rest={"POST /repos/o/r/pulls": answer})
    with pytest.raises(GitHubUnavailableError, match="does not know the branch squire/x of o/r yet"):
        await create_pull_request(client_of(fake), "o/r", **NEW)  # type: ignore[arg-type]


async def test_newest_pull_request_of_the_branch_is_found_in_any_state(client_of: ClientOf) -> None:
    listed = [pull(3, state="closed"), pull(7, state="closed", merged_at="2026-11-01T00:00:00Z"), pull(5)]
    fake = FakeGitHub(rest={"GET /repos/o/r/pulls": ok(listed)})
    ref = await find_pull_request(client_of(fake), "o/r", "squire/x")
    assert ref is not None
    assert (ref.number, ref.state) == (7, "merged")
    params = fake.requests[0].url.params
    assert (params["head"], params["state"]) == ("o:squire/x", "all")


async def test_pull_requests_of_other_branches_are_not_taken_for_ours(client_of: ClientOf) -> None:
    other = pull(head={"ref": "feature", "sha": SHA})
    fake = FakeGitHub(rest={"GET /repos/o/r/pulls": ok([other])})
    assert await find_pull_request(client_of(fake), "o/r", "squire/x") is None


async def test_created_pull_request_is_returned(client_of: ClientOf) -> None:
    fake = FakeGitHub(rest={"POST /repos/o/r/pulls": ok(pull(), 201)})
    assert await create_pull_request(client_of(fake), "o/r", **NEW) == REF  # type: ignore[arg-type]
    assert json.loads(fake.requests[0].content) == NEW


async def test_pull_request_that_exists_already_is_found_and_returned(client_of: ClientOf) -> None:
    fake = FakeGitHub(
        rest={
            "POST /repos/o/r/pulls": refusal("A pull request already exists for o:squire/x."),
            "GET /repos/o/r/pulls": ok([pull()]),
        }
    )
    assert await create_pull_request(client_of(fake), "o/r", **NEW) == REF  # type: ignore[arg-type]


@pytest.mark.parametrize("listed", [[], [pull(state="closed")]])
async def test_existing_pull_request_that_cannot_be_found_open_is_an_error(
    client_of: ClientOf, listed: list[object]
) -> None:
    fake = FakeGitHub(
        rest={
            "POST /repos/o/r/pulls": refusal("A pull request already exists for o:squire/x."),
            "GET /repos/o/r/pulls": ok(listed),
        }
    )
    with pytest.raises(GitHubValidationError, match="already exists"):
        await create_pull_request(client_of(fake), "o/r", **NEW)  # type: ignore[arg-type]


async def test_pull_request_that_was_merged_meanwhile_is_found_and_returned(client_of: ClientOf) -> None:
    merged = pull(state="closed", merged_at="2026-11-01T00:00:00Z")
    fake = FakeGitHub(
        rest={
            "POST /repos/o/r/pulls": refusal("No commits between main and squire/x"),
            "GET /repos/o/r/pulls": ok([merged]),
        }
    )
    ref = await create_pull_request(client_of(fake), "o/r", **NEW)  # type: ignore[arg-type]
    assert (ref.number, ref.state) == (7, "merged")


async def test_any_other_refusal_is_an_error_with_githubs_words(client_of: ClientOf) -> None:
    fake = FakeGitHub(rest={"POST /repos/o/r/pulls": refusal("base is invalid")})
    with pytest.raises(GitHubValidationError, match="base is invalid"):
        await create_pull_request(client_of(fake), "o/r", **NEW)  # type: ignore[arg-type]


async def test_branch_without_commits_is_refused_with_githubs_words(client_of: ClientOf) -> None:
    fake = FakeGitHub(
        rest={
            "POST /repos/o/r/pulls": refusal("No commits between main and squire/x"),
            "GET /repos/o/r/pulls": ok([]),
        }
    )
    with pytest.raises(GitHubValidationError, match="No commits between main and squire/x"):
        await create_pull_request(client_of(fake), "o/r", **NEW)  # type: ignore[arg-type]


async def test_overlong_texts_are_cut_to_what_github_takes(client_of: ClientOf) -> None:
    fake = FakeGitHub(
        rest={"POST /repos/o/r/pulls": ok(pull(), 201), "PATCH /repos/o/r/pulls/7": ok(pull())},
    )
    client = client_of(fake)
    long: dict[str, Any] = {**NEW, "title": "t" * 999, "body": "b" * 99_999}
    await create_pull_request(client, "o/r", **long)
    await update_pull_request(client, "o/r", 7, title=long["title"], body=long["body"])
    for request in fake.requests:
        sent = json.loads(request.content)
        assert (len(sent["title"]), len(sent["body"])) == (256, 65_536)


async def test_update_sends_only_what_is_to_change(client_of: ClientOf) -> None:
    fake = FakeGitHub(rest={"PATCH /repos/o/r/pulls/7": ok(pull(state="closed", draft=True))})
    ref = await update_pull_request(client_of(fake), "o/r", 7, body="")
    assert (ref.state, ref.draft) == ("closed", True)
    assert json.loads(fake.requests[0].content) == {"body": ""}


async def test_labels_are_added_and_none_ask_nothing(client_of: ClientOf) -> None:
    fake = FakeGitHub(rest={"POST /repos/o/r/issues/7/labels": ok([])})
    client = client_of(fake)
    await add_labels(client, "o/r", 7, [])
    assert fake.requests == []
    await add_labels(client, "o/r", 7, ["squire", "bug"])
    assert json.loads(fake.requests[0].content) == {"labels": ["squire", "bug"]}


async def test_people_and_teams_are_asked_for_reviews(client_of: ClientOf) -> None:
    fake = FakeGitHub(rest={"POST /repos/o/r/pulls/7/requested_reviewers": ok(pull(), 201)})
    client = client_of(fake)
    await request_reviewers(client, "o/r", 7, [])
    assert fake.requests == []
    await request_reviewers(client, "o/r", 7, ["octocat", "o/core"])
    assert json.loads(fake.requests[0].content) == {"reviewers": ["octocat"], "team_reviewers": ["core"]}


async def test_answer_of_another_shape_is_unavailable(client_of: ClientOf) -> None:
    fake = FakeGitHub(rest={"GET /repos/o/r/pulls": ok({"not": "a list"})})
    with pytest.raises(GitHubUnavailableError, match="not what GitHub's API sends"):
        await find_pull_request(client_of(fake), "o/r", "squire/x")


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(schema_file("openapi/generated/api.github.com.json").read_bytes())
    return content


def violations(openapi: dict[str, Any], path: str, request: httpx.Request) -> list[str]:
    operation = openapi["paths"][path][request.method.lower()]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema.Draft202012Validator(
        {**schema, "additionalProperties": False} if schema.get("type") == "object" else schema
    )
    return [error.message for error in validator.iter_errors(json.loads(request.content))]


async def test_every_request_body_is_valid_in_githubs_openapi(client_of: ClientOf, openapi: dict[str, Any]) -> None:
    fake = FakeGitHub(
        rest={
            "POST /repos/o/r/pulls": ok(pull(), 201),
            "PATCH /repos/o/r/pulls/7": ok(pull()),
            "POST /repos/o/r/issues/7/labels": ok([]),
            "POST /repos/o/r/pulls/7/requested_reviewers": ok(pull(), 201),
        }
    )
    client = client_of(fake)
    await create_pull_request(client, "o/r", **NEW)  # type: ignore[arg-type]
    await update_pull_request(client, "o/r", 7, title="t", body="b")
    await add_labels(client, "o/r", 7, ["squire"])
    await request_reviewers(client, "o/r", 7, ["octocat", "o/core"])
    templates = [
        "/repos/{owner}/{repo}/pulls",
        "/repos/{owner}/{repo}/pulls/{pull_number}",
        "/repos/{owner}/{repo}/issues/{issue_number}/labels",
        "/repos/{owner}/{repo}/pulls/{pull_number}/requested_reviewers",
    ]
    for template, request in zip(templates, fake.requests, strict=True):
        assert violations(openapi, template, request) == []
    wrong = httpx.Request("POST", "https://github.test", json={"title": "t", "haed": "x"})
    assert violations(openapi, templates[0], wrong)


async def test_query_parameters_of_the_search_are_githubs(client_of: ClientOf, openapi: dict[str, Any]) -> None:
    fake = FakeGitHub(rest={"GET /repos/o/r/pulls": ok([])})
    await find_pull_request(client_of(fake), "o/r", "squire/x")
    listed = openapi["paths"]["/repos/{owner}/{repo}/pulls"]["get"]["parameters"]
    shared = openapi["components"]["parameters"]
    known = {entry["name"] if "name" in entry else shared[entry["$ref"].rsplit("/", 1)[1]]["name"] for entry in listed}
    assert set(fake.requests[0].url.params) <= known


async def test_a_transferred_repository_is_asked_and_written_to_by_its_present_name(client_of: ClientOf) -> None:
    def listed(request: httpx.Request) -> httpx.Response:
        assert request.url.params["head"] == "new-owner:squire/x"
        return httpx.Response(200, json=[])

    fake = FakeGitHub(rest={"GET /repos/new-owner/store/pulls": listed})
    pulls = PullRequests(client_of(fake), present_names={"acme/shop": "new-owner/store"})
    assert await pulls.find("acme/shop", "squire/x") is None
