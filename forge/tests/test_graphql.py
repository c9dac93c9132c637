from collections.abc import Callable
from typing import Any

import httpx
import pytest

from squire_forge.client import ForgeClient
from squire_forge.git import run_git

WHOLE = """
query Whole($owner: String!, $name: String!, $states: [PullRequestState!], $labels: [String!]) {
  rateLimit { limit cost remaining resetAt }
  viewer { login url }
  repository(owner: $owner, name: $name) {
    id databaseId nameWithOwner url isArchived isEmpty isPrivate isDisabled viewerPermission
    defaultBranchRef { id name target { id oid ... on Commit { committedDate ...Checks } } }
    pullRequests(first: 10, states: $states, orderBy: {field: UPDATED_AT, direction: DESC}) {
      totalCount pageInfo { hasNextPage endCursor }
      nodes {
        id number title body url state isDraft merged mergedAt closedAt createdAt updatedAt
        author { __typename login url } authorAssociation headRefName headRefOid baseRefName baseRefOid mergeable
        reviewDecision isCrossRepository mergeCommit { oid } additions deletions changedFiles
        labels(first: 5) { nodes { id name } }
        commits(last: 1) { totalCount nodes { id commit { oid ...Checks } } }
        reviewThreads(first: 10) { totalCount nodes { id isResolved isOutdated path line
          comments(first: 5) { nodes {
            id databaseId body url createdAt updatedAt author { login __typename } commit { oid } } } } }
        comments(last: 5) { nodes { id databaseId body url createdAt updatedAt author { login __typename } } }
        reviews(last: 5) { nodes { id state body author { login __typename } commit { oid } submittedAt } }
      }
    }
    issues(first: 10, states: [OPEN], labels: $labels, orderBy: {field: COMMENTS, direction: DESC}) {
      totalCount pageInfo { hasNextPage endCursor }
      nodes { id number title body url state createdAt updatedAt author { login __typename } authorAssociation
        labels(first: 5) { nodes { name } } comments(first: 5) { totalCount nodes { id body url author { login } } } }
    }
  }
}
fragment Checks on Commit {
  statusCheckRollup { id state contexts(first: 10) { totalCount
    checkRunCountsByState { state count } statusContextCountsByState { state count } nodes { __typename
    ... on CheckRun { id databaseId name status conclusion detailsUrl title summary text startedAt completedAt
      checkSuite { id databaseId conclusion branch { name } workflowRun { id databaseId url workflow { id name } } } }
    ... on StatusContext { id context state description targetUrl createdAt } } } }
}
"""


def _repository(api: Any, name: str, **variables: Any) -> dict[str, Any]:
    body = api.graphql(WHOLE, owner="demo", name=name, **variables)
    assert "errors" not in body, body["errors"]
    repository: dict[str, Any] = body["data"]["repository"]
    return repository


def test_failed_checks_of_the_default_branch_are_told_with_their_text(api: Any) -> None:
    target = _repository(api, "ledgerlib")["defaultBranchRef"]["target"]
    rollup = target["statusCheckRollup"]
    assert rollup["state"] == "FAILURE"
    tests, package = rollup["contexts"]["nodes"]
    assert rollup["contexts"]["checkRunCountsByState"] == [
        {"state": "FAILURE", "count": 1},
        {"state": "SUCCESS", "count": 1},
    ]
    assert rollup["contexts"]["statusContextCountsByState"] == []
    assert (tests["name"], tests["conclusion"], tests["status"]) == ("tests", "FAILURE", "COMPLETED")
    assert "AssertionError" in tests["text"]
    assert package["conclusion"] == "SUCCESS"
    assert tests["checkSuite"]["branch"]["name"] == "main"
    assert tests["checkSuite"]["workflowRun"]["workflow"]["name"] == "CI"


def test_review_threads_are_told_with_their_lines(api: Any) -> None:
    (pull,) = _repository(api, "webshop")["pullRequests"]["nodes"]
    threads = pull["reviewThreads"]["nodes"]
    assert [(thread["path"], thread["line"], thread["isResolved"]) for thread in threads] == [
        ("data/discounts.json", 2, False),
        ("src/discounts.mjs", 4, False),
        ("src/discounts.mjs", 3, False),
    ]
    (comment,) = threads[0]["comments"]["nodes"]
    assert comment["author"] == {"login": "greptile-apps", "__typename": "Bot"}
    assert comment["commit"]["oid"] == pull["headRefOid"]
    assert pull["headRefOid"] in pull["comments"]["nodes"][0]["body"]
    assert pull["mergeable"] == "MERGEABLE"
    assert pull["commits"]["nodes"][0]["commit"]["statusCheckRollup"]["state"] == "SUCCESS"


def test_issues_are_filtered_by_label(api: Any) -> None:
    handbook = _repository(api, "handbook", labels=["Squire"])
    (issue,) = handbook["issues"]["nodes"]
    assert issue["title"].startswith("Broken links")
    assert issue["authorAssociation"] == "MEMBER"
    assert issue["comments"]["totalCount"] == 1
    assert handbook["defaultBranchRef"]["name"] == "trunk"
    assert [issue["number"] for issue in _repository(api, "handbook")["issues"]["nodes"]] == [1, 2]


def test_pull_requests_are_filtered_by_state(api: Any) -> None:
    assert _repository(api, "handbook", states=["MERGED"])["pullRequests"]["totalCount"] == 0
    assert _repository(api, "handbook", states=["OPEN"])["pullRequests"]["totalCount"] == 1


def test_one_pull_request_by_number(api: Any) -> None:
    query = '{ repository(owner: "demo", name: "handbook") { pullRequest(number: %d) { title } } }'
    assert api.graphql(query % 3)["data"]["repository"]["pullRequest"]["title"] == "A page on holidays"
    body = api.graphql(query % 1)
    assert body["data"]["repository"]["pullRequest"] is None
    assert body["errors"][0]["type"] == "NOT_FOUND"
    assert body["errors"][0]["path"] == ["repository", "pullRequest"]


def test_an_unknown_repository_is_not_found_in_githubs_form(api: Any) -> None:
    body = api.graphql('{ repository(owner: "demo", name: "nope") { id } }')
    assert body["data"] == {"repository": None}
    (error,) = body["errors"]
    assert error["type"] == "NOT_FOUND"
    assert error["path"] == ["repository"]
    assert error["message"] == "Could not resolve to a Repository with the name 'demo/nope'."


@pytest.mark.parametrize(
    "query", ["{ repository", "{ nope }", "query A { viewer { login } } query B { viewer { login } }"]
)
def test_a_wrong_query_is_answered_200_with_errors(api: Any, query: str) -> None:
    body = api.graphql(query)
    assert body["errors"][0]["message"]
    assert "data" not in body


def test_a_connection_without_bounds_is_refused(api: Any) -> None:
    body = api.graphql('{ repository(owner: "demo", name: "quiet") { issues { totalCount } } }')
    assert body["errors"][0]["type"] == "MISSING_PAGINATION_BOUNDARIES"


def test_a_bad_token_is_401(local_forge: ForgeClient) -> None:
    response = httpx.post(
        local_forge.graphql_url, json={"query": "{ viewer { login } }"}, headers={"authorization": "bearer nope"}
    )
    assert response.status_code == 401
    assert response.json()["message"] == "Bad credentials"
    assert "documentation_url" in response.json()


@pytest.mark.slow
def test_points_are_spent_and_their_end_is_told_as_github_does(
    serve_forge: Callable[..., ForgeClient], api_of: Any
) -> None:
    forge = serve_forge()
    api = api_of(forge)
    first = api.graphql("{ rateLimit { cost remaining resetAt } }")["data"]["rateLimit"]
    assert (first["cost"], first["remaining"]) == (1, 4999)
    response = api.http.post(forge.graphql_url, json={"query": "{ rateLimit { remaining } }"})
    assert response.headers["x-ratelimit-remaining"] == "4998"
    assert response.headers["x-ratelimit-resource"] == "graphql"
    costly = """{ repository(owner: "a", name: "b") { pullRequests(first: 100) { nodes { reviewThreads(first: 100)
        { nodes { comments(first: 100) { nodes { id } } } } } } } }"""
    for _ in range(50):
        body = api.graphql(costly)
        if body["errors"][0]["type"] == "RATE_LIMITED":
            break
    assert body["errors"][0]["message"].startswith("API rate limit exceeded")
    assert "data" not in body


def test_reviews_and_statuses_are_told(serve_forge: Callable[..., ForgeClient], api_of: Any, samples: Any) -> None:
    forge = serve_forge()
    webshop = next(sample for sample in samples if sample.name == "webshop").hosting()
    (pull,) = webshop["pull_requests"]
    reviews = [
        {"author": "ada", "body": "No", "state": "CHANGES_REQUESTED"},
        {"author": "ivo", "body": "Yes", "state": "APPROVED"},
    ]
    statuses = [
        {"branch": "noor/discount-codes", "context": "cla", "state": "pending", "description": "not signed"},
    ]
    forge.host_repository({**webshop, "pull_requests": [{**pull, "reviews": reviews}], "statuses": statuses})
    (pull,) = _repository(api_of(forge), "webshop")["pullRequests"]["nodes"]
    assert pull["reviewDecision"] == "CHANGES_REQUESTED"
    assert [review["state"] for review in pull["reviews"]["nodes"]] == ["CHANGES_REQUESTED", "APPROVED"]
    rollup = pull["commits"]["nodes"][0]["commit"]["statusCheckRollup"]
    assert rollup["state"] == "PENDING"
    assert rollup["contexts"]["nodes"][-1]["context"] == "cla"


@pytest.mark.slow
def test_an_empty_repository_has_no_default_branch(
    serve_forge: Callable[..., ForgeClient], api_of: Any, tmp_path: Any, clone_of: Callable[..., Any]
) -> None:
    (tmp_path / "empty").mkdir()
    run_git(["git", "init", "--quiet", "."], cwd=tmp_path / "empty")
    forge = serve_forge()
    forge.host_repository({"owner": "demo", "name": "empty", "path": str(tmp_path / "empty")})
    repository = _repository(api_of(forge), "empty")
    assert repository["isEmpty"] is True
    assert repository["defaultBranchRef"] is None
    clone = clone_of(forge, "demo/empty")
    clone.run("symbolic-ref", "HEAD", "refs/heads/main")
    clone.commit("main", {"a.txt": "a"})
    clone.push("main")
    assert _repository(api_of(forge), "empty")["isEmpty"] is False
