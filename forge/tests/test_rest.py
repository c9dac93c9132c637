"""REST answers compared with GitHub's OpenAPI description where it is installed."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from github_schemas import conforms
from squire_forge.client import ForgeClient

LEDGERLIB = "/repos/demo/ledgerlib"
WEBSHOP = "/repos/demo/webshop"
REPO = "/repos/{owner}/{repo}"


@pytest.mark.slow
def test_user_is_the_tokens_owner(api: Any) -> None:
    response = api.rest("GET", "/user")
    assert (response.status_code, response.json()["login"]) == (200, "squire-demo")
    conforms(response, "GET", "/user")


def test_rate_limit_is_free_and_counts_what_was_spent(api: Any) -> None:
    api.rest("GET", LEDGERLIB)
    before = api.rest("GET", "/rate_limit")
    after = api.rest("GET", "/rate_limit").json()["resources"]["core"]
    assert after["limit"] == 5000
    assert after["used"] + after["remaining"] == 5000
    conforms(before, "GET", "/rate_limit")


def test_beyond_the_limit_requests_are_refused_but_the_limit_is_told(serve_forge: Any, api_of: Any) -> None:
    api = api_of(serve_forge(rate_limit=2))
    assert [api.rest("GET", "/user").status_code for _ in range(3)] == [200, 200, 403]
    refused = api.rest("GET", "/user")
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert refused.json()["message"].startswith("API rate limit exceeded")
    assert api.rest("GET", "/rate_limit").json()["rate"]["remaining"] == 0


def test_repository_says_what_the_token_may_do(api: Any, local_forge: ForgeClient) -> None:
    response = api.rest("GET", "/repos/Demo/LedgerLib")
    body = response.json()
    assert body["full_name"] == "demo/ledgerlib"
    assert body["permissions"]["push"] is True
    assert body["clone_url"] == local_forge.git_url("demo/ledgerlib")
    assert body["default_branch"] == "main"
    assert response.headers["x-ratelimit-limit"] == "5000"
    assert response.headers["x-github-request-id"]
    conforms(response, "GET", REPO)


@pytest.mark.slow
def test_pull_requests_are_listed_and_filtered_by_head(api: Any) -> None:
    response = api.rest("GET", f"{WEBSHOP}/pulls?head=demo:noor/discount-codes&state=all")
    assert [pull["number"] for pull in response.json()] == [1]
    conforms(response, "GET", f"{REPO}/pulls")
    assert api.rest("GET", f"{WEBSHOP}/pulls?head=demo:other").json() == []
    assert api.rest("GET", f"{WEBSHOP}/pulls?base=other").json() == []
    assert api.rest("GET", f"{WEBSHOP}/pulls?state=closed").json() == []


@pytest.mark.slow
def test_one_pull_request_has_its_size(api: Any) -> None:
    response = api.rest("GET", f"{WEBSHOP}/pulls/1")
    body = response.json()
    assert (body["commits"], body["changed_files"], body["mergeable"]) == (2, 3, True)
    assert body["user"]["login"] == "noor"
    conforms(response, "GET", f"{REPO}/pulls/{{pull_number}}")


def test_ref_is_the_branchs_tip(api: Any) -> None:
    response = api.rest("GET", f"{WEBSHOP}/git/ref/heads/noor/discount-codes")
    assert response.json()["object"]["sha"] == api.rest("GET", f"{WEBSHOP}/pulls/1").json()["head"]["sha"]
    conforms(response, "GET", f"{REPO}/git/ref/{{ref}}")
    assert api.rest("GET", f"{WEBSHOP}/git/ref/heads/nope").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/repos/demo/nope"),
        ("GET", f"{WEBSHOP}/pulls/99"),
        ("GET", f"{WEBSHOP}/hooks/1/deliveries/1"),
        ("POST", f"{WEBSHOP}/issues/99/labels"),
        ("GET", "/somewhere/else"),
    ],
)
def test_what_is_not_there_is_404_in_githubs_words(api: Any, method: str, path: str) -> None:
    response = api.rest(method, path, {"labels": ["x"]} if method == "POST" else None)
    assert response.status_code == 404
    assert response.json()["message"] == "Not Found"


@pytest.mark.parametrize(
    ("header", "message"),
    [(None, "Requires authentication"), ("Bearer nope", "Bad credentials"), ("token x", "Bad credentials")],
)
def test_a_bad_token_is_401(local_forge: ForgeClient, header: str | None, message: str) -> None:
    headers = {} if header is None else {"authorization": header}
    response = httpx.get(f"{local_forge.api_url}/user", headers=headers)
    assert response.status_code == 401
    assert response.json()["message"] == message


def test_a_known_etag_is_answered_304_at_no_cost(api: Any) -> None:
    first = api.rest("GET", LEDGERLIB)
    again = api.rest("GET", LEDGERLIB, headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["x-ratelimit-remaining"] == first.headers["x-ratelimit-remaining"]


@pytest.mark.slow
def test_pull_requests_come_in_pages_with_links(
    local_forge: ForgeClient, api: Any, clone_of: Callable[..., Any]
) -> None:
    clone = clone_of(local_forge, "demo/quiet")
    for number in range(3):
        clone.commit(f"topic/{number}", {f"{number}.txt": "x"}, start="origin/main")
    clone.push("--all")
    for number in range(3):
        made = api.rest("POST", "/repos/demo/quiet/pulls", {"title": "T", "head": f"topic/{number}", "base": "main"})
        assert made.status_code == 201
    first = api.rest("GET", "/repos/demo/quiet/pulls?per_page=2")
    assert [pull["head"]["ref"] for pull in first.json()] == ["topic/2", "topic/1"]
    assert set(first.links) == {"next", "last"}
    second = api.http.get(first.links["next"]["url"])
    assert [pull["head"]["ref"] for pull in second.json()] == ["topic/0"]
    assert set(second.links) == {"prev", "first"}


@pytest.fixture
def pushed(local_forge: ForgeClient, clone_of: Callable[..., Any]) -> Any:
    """A clone of `demo/quiet` with the branch `topic` pushed."""
    clone = clone_of(local_forge, "demo/quiet")
    clone.commit("topic", {"new.txt": "text\n"})
    clone.push("topic")
    return clone


@pytest.mark.slow
@pytest.mark.usefixtures("pushed")
def test_a_pull_request_is_opened_once(api: Any) -> None:
    new_pull = {"title": "New", "head": "topic", "base": "main", "body": "Why", "draft": True}
    response = api.rest("POST", "/repos/demo/quiet/pulls", new_pull)
    assert response.status_code == 201
    body = response.json()
    assert (body["number"], body["state"], body["draft"], body["additions"]) == (1, "open", True, 1)
    assert body["author_association"] == "COLLABORATOR"
    conforms(response, "POST", f"{REPO}/pulls")
    again = api.rest("POST", "/repos/demo/quiet/pulls", {**new_pull, "head": "demo:topic"})
    assert again.status_code == 422
    assert again.json()["message"] == "Validation Failed"
    assert again.json()["errors"][0]["message"] == "A pull request already exists for demo:topic."
    conforms(again, "POST", f"{REPO}/pulls")


@pytest.mark.slow
@pytest.mark.usefixtures("pushed")
@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"head": "nope"}, "head", None),
        ({"head": "elsewhere:topic"}, "head", None),
        ({"base": "nope"}, "base", None),
        ({"head": "main"}, None, "No commits between main and main"),
        ({"title": None}, "title", None),
    ],
)
def test_an_impossible_pull_request_is_422(
    api: Any, changes: dict[str, object], field: str | None, message: str | None
) -> None:
    response = api.rest("POST", "/repos/demo/quiet/pulls", {"title": "T", "head": "topic", "base": "main"} | changes)
    assert response.status_code == 422
    error = response.json()["errors"][0]
    assert error.get("field") == field
    assert message is None or error["message"] == message


@pytest.mark.slow
@pytest.mark.usefixtures("pushed")
def test_a_pull_request_is_edited_closed_and_reopened(api: Any) -> None:
    api.rest("POST", "/repos/demo/quiet/pulls", {"title": "New", "head": "topic", "base": "main"})
    path = "/repos/demo/quiet/pulls/1"
    edited = api.rest("PATCH", path, {"title": "Newer", "body": "Because", "state": "closed"})
    assert edited.status_code == 200
    assert (edited.json()["title"], edited.json()["body"], edited.json()["state"]) == ("Newer", "Because", "closed")
    assert edited.json()["closed_at"] is not None
    assert edited.json()["mergeable"] is None
    conforms(edited, "PATCH", f"{REPO}/pulls/{{pull_number}}")
    assert api.rest("PATCH", path, {"state": "open"}).json()["state"] == "open"
    assert api.rest("PATCH", path, {"state": "ajar"}).status_code == 422


@pytest.mark.slow
def test_a_pull_request_whose_branch_is_gone_closes_and_stays_closed(api: Any, pushed: Any) -> None:
    api.rest("POST", "/repos/demo/quiet/pulls", {"title": "New", "head": "topic", "base": "main"})
    pushed.push(":topic")
    assert api.rest("GET", "/repos/demo/quiet/pulls/1").json()["state"] == "closed"
    assert api.rest("PATCH", "/repos/demo/quiet/pulls/1", {"state": "open"}).status_code == 422


@pytest.mark.slow
@pytest.mark.usefixtures("pushed")
@pytest.mark.parametrize("method", ["merge", "squash"])
def test_a_pull_request_is_merged_on_demand_once(api: Any, method: str) -> None:
    made = api.rest("POST", "/repos/demo/quiet/pulls", {"title": "New", "head": "topic", "base": "main"}).json()
    path = "/repos/demo/quiet/pulls/1/merge"
    stale = api.rest("PUT", path, {"sha": "0" * 40})
    assert (stale.status_code, stale.json()["message"][:11]) == (409, "Head branch")
    merged = api.rest("PUT", path, {"sha": made["head"]["sha"], "merge_method": method})
    assert merged.status_code == 200
    assert merged.json()["merged"] is True
    conforms(merged, "PUT", f"{REPO}/pulls/{{pull_number}}/merge")
    tip = api.rest("GET", "/repos/demo/quiet/git/ref/heads/main").json()["object"]["sha"]
    assert tip == merged.json()["sha"]
    pull = api.rest("GET", "/repos/demo/quiet/pulls/1")
    assert (pull.json()["merged"], pull.json()["merged_by"]["login"]) == (True, "squire-demo")
    assert pull.json()["additions"] == 1
    conforms(pull, "GET", f"{REPO}/pulls/{{pull_number}}")
    assert api.rest("PUT", path).status_code == 405


@pytest.mark.slow
@pytest.mark.usefixtures("pushed")
def test_rebase_merging_is_not_offered(api: Any) -> None:
    api.rest("POST", "/repos/demo/quiet/pulls", {"title": "New", "head": "topic", "base": "main"})
    assert api.rest("PUT", "/repos/demo/quiet/pulls/1/merge", {"merge_method": "rebase"}).status_code == 405
    assert api.rest("PUT", "/repos/demo/ledgerlib/pulls/1/merge").status_code == 404


def test_labels_are_added_once(api: Any) -> None:
    path = "/repos/demo/handbook/issues/2/labels"
    api.rest("POST", path, {"labels": ["squire", "idea"]})
    response = api.rest("POST", path, {"labels": ["Squire", "late"]})
    assert response.status_code == 200
    assert [label["name"] for label in response.json()] == ["squire", "idea", "late"]
    conforms(response, "POST", f"{REPO}/issues/{{issue_number}}/labels")
    assert api.rest("POST", path, ["listed"]).status_code == 200
    assert api.rest("POST", path, {"labels": []}).status_code == 422


def test_one_issue_is_shown_and_has_no_milestone(api: Any) -> None:
    number = api.rest("POST", f"{LEDGERLIB}/issues", {"title": "T", "body": "B"}).json()["number"]
    response = api.rest("GET", f"{LEDGERLIB}/issues/{number}")
    assert (response.status_code, response.json()["milestone"]) == (200, None)
    conforms(response, "GET", f"{REPO}/issues/{{issue_number}}")
    assert api.rest("PATCH", f"{LEDGERLIB}/issues/{number}", {"milestone": 1}).status_code == 422
    assert api.rest("GET", f"{LEDGERLIB}/issues/{number + 1}").status_code == 404


def test_a_comment_is_added(api: Any, local_forge: ForgeClient) -> None:
    response = api.rest("POST", f"{WEBSHOP}/issues/1/comments", {"body": "Hello <b>"})
    assert response.status_code == 201
    conforms(response, "POST", f"{REPO}/issues/{{issue_number}}/comments")
    (pull,) = next(
        repository for repository in local_forge.state()["repositories"] if repository["name"] == "demo/webshop"
    )["pull_requests"]
    assert pull["comments"][-1] == "Hello <b>"


def test_a_reaction_is_added_once(api: Any) -> None:
    comment = api.rest("POST", f"{WEBSHOP}/issues/1/comments", {"body": "Hello"}).json()
    path = f"{WEBSHOP}/issues/comments/{comment['id']}/reactions"
    first, again = (api.rest("POST", path, {"content": "eyes"}) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    conforms(first, "POST", f"{REPO}/issues/comments/{{comment_id}}/reactions")
    listed = api.rest("GET", path)
    conforms(listed, "GET", f"{REPO}/issues/comments/{{comment_id}}/reactions")
    assert [reaction["content"] for reaction in listed.json()] == ["eyes"]
    assert api.rest("POST", path, {"content": "wink"}).status_code == 422
    assert (
        api.rest("POST", f"{LEDGERLIB}/issues/comments/{comment['id']}/reactions", {"content": "eyes"}).status_code
        == 404
    )


def test_a_body_that_is_no_json_is_400_and_one_that_is_too_large_413(api: Any) -> None:
    path = f"{api.forge.api_url}{WEBSHOP}/issues/1/comments"
    assert api.http.post(path, content=b"{").json()["message"] == "Problems parsing JSON"
    assert api.http.post(path, content=b"x" * 1_000_001).status_code == 413


def test_an_archived_repository_takes_no_pull_request(local_forge: ForgeClient, api: Any, samples: Any) -> None:
    quiet = next(sample for sample in samples if sample.name == "quiet")
    local_forge.host_repository({**quiet.hosting(), "name": "attic", "archived": True})
    body = api.rest("GET", "/repos/demo/attic")
    assert body.json()["archived"] is True
    response = api.rest("POST", "/repos/demo/attic/pulls", {"title": "T", "head": "x", "base": "main"})
    assert response.status_code == 403


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("commits", "commits"),
        ("commits?sha=main", "commits"),
        ("issues?state=all", "issues"),
        ("commits/main/check-runs", "commits/{ref}/check-runs"),
        ("commits/main/status", "commits/{ref}/status"),
        ("hooks", "hooks"),
        ("rules/branches/squire%2Fx", "rules/branches/{branch}"),
    ],
)
def test_what_a_client_asks_about_a_repository_is_answered_as_github_does(api: Any, path: str, template: str) -> None:
    response = api.rest("GET", f"{LEDGERLIB}/{path}")
    assert response.status_code == 200
    conforms(response, "GET", f"{REPO}/{template}")
    assert api.rest("GET", f"/repos/demo/none/{path}").status_code == 404


def test_a_branch_is_created_once_and_a_body_that_lacks_what_is_needed_creates_none(api: Any) -> None:
    sha = api.rest("GET", f"{LEDGERLIB}/commits?per_page=1").json()[0]["sha"]
    assert api.rest("POST", f"{LEDGERLIB}/git/refs", {}).status_code == 422
    made = api.rest("POST", f"{LEDGERLIB}/git/refs", {"ref": "refs/heads/new", "sha": sha})
    assert (made.status_code, made.json()["object"]["sha"]) == (201, sha)
    conforms(made, "POST", f"{REPO}/git/refs")
    for body in ({"ref": "refs/heads/new", "sha": sha}, {"ref": "refs/heads/newer", "sha": "1" * 40}):
        assert api.rest("POST", f"{LEDGERLIB}/git/refs", body).status_code == 422
    assert api.rest("GET", f"{LEDGERLIB}/git/ref/heads/new").json()["object"]["sha"] == sha
