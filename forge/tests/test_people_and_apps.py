"""Other people's acts, drafts and labels, and GitHub Apps with scoped tokens."""

import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from squire_forge.client import ForgeClient
from squire_forge.errors import RefusedError

WEBSHOP = "demo/webshop"
PULL = """
  query($number: Int!) { repository(owner: "demo", name: "webshop") { pullRequest(number: $number) {
    id isDraft reviewDecision
    timelineItems(first: 10, itemTypes: [LABELED_EVENT, UNLABELED_EVENT]) {
      nodes {
        ... on LabeledEvent { label { name } actor { login } }
        ... on UnlabeledEvent { label { name } actor { login } }
      }
    }
  } } }"""
DRAFT = "mutation($id: ID!) { convertPullRequestToDraft(input: {pullRequestId: $id}) { pullRequest { isDraft } } }"
READY = "mutation($id: ID!) { markPullRequestReadyForReview(input: {pullRequestId: $id}) { pullRequest { isDraft } } }"


def _pull(api: Any) -> dict[str, Any]:
    pull: dict[str, Any] = api.graphql(PULL, number=1)["data"]["repository"]["pullRequest"]
    return pull


def test_another_person_reviews(api: Any, local_forge: ForgeClient) -> None:
    assert _pull(api)["reviewDecision"] is None
    local_forge.act_as(WEBSHOP, "mira", number=1, review="CHANGES_REQUESTED")
    assert _pull(api)["reviewDecision"] == "CHANGES_REQUESTED"
    local_forge.act_as(WEBSHOP, "mira", number=1, review="APPROVED")
    assert _pull(api)["reviewDecision"] == "APPROVED"


def test_the_history_of_labels_names_who_changed_them(api: Any, local_forge: ForgeClient) -> None:
    assert api.rest("POST", f"/repos/{WEBSHOP}/issues/1/labels", {"labels": ["wip", "later"]}).status_code == 200
    local_forge.act_as(WEBSHOP, "mira", number=1, remove_label="wip")
    response = api.rest("DELETE", f"/repos/{WEBSHOP}/issues/1/labels/later")
    assert (response.status_code, response.json()) == (200, [])
    history = [(event["label"]["name"], event["actor"]["login"]) for event in _pull(api)["timelineItems"]["nodes"]]
    assert history == [("wip", "squire-demo"), ("later", "squire-demo"), ("wip", "mira"), ("later", "squire-demo")]
    assert api.rest("DELETE", f"/repos/{WEBSHOP}/issues/1/labels/later").status_code == 404
    with pytest.raises(RefusedError, match="Label does not exist"):
        local_forge.act_as(WEBSHOP, "mira", number=1, remove_label="wip")


@pytest.mark.parametrize(
    ("repository", "number", "message"),
    [("demo/none", 1, "there is no repository"), ("demo/quiet", 7, "does not exist")],
)
def test_an_act_on_nothing_is_refused(local_forge: ForgeClient, repository: str, number: int, message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        local_forge.act_as(repository, "mira", number=number, review="APPROVED")


def test_permissions_are_those_that_were_set(api: Any, local_forge: ForgeClient) -> None:
    def permission(login: str) -> str:
        return str(api.rest("GET", f"/repos/{WEBSHOP}/collaborators/{login}/permission").json()["permission"])

    assert (permission("squire-demo"), permission("demo"), permission("noor")) == ("write", "admin", "write")
    local_forge.act_as(WEBSHOP, "noor", permission="admin")
    assert permission("noor") == "admin"
    assert api.rest("GET", f"/repos/{WEBSHOP}/collaborators/nobody/permission").status_code == 404


def test_a_pull_request_becomes_a_draft_and_ready_again(api: Any) -> None:
    node = _pull(api)["id"]
    converted = api.graphql(DRAFT, id=node)["data"]["convertPullRequestToDraft"]
    assert converted == {"pullRequest": {"isDraft": True}}
    assert _pull(api)["isDraft"] is True
    assert api.graphql(READY, id=node)["data"]["markPullRequestReadyForReview"] == {"pullRequest": {"isDraft": False}}
    (error,) = api.graphql(READY, id="bm90aGluZw==")["errors"]
    assert error["type"] == "NOT_FOUND"


def test_a_closed_pull_request_becomes_no_draft(api: Any) -> None:
    node = _pull(api)["id"]
    assert api.rest("PATCH", f"/repos/{WEBSHOP}/pulls/1", {"state": "closed"}).status_code == 200
    assert "closed" in api.graphql(DRAFT, id=node)["errors"][0]["message"]


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class GitHubApp:
    """A GitHub App as its own client: it signs JWTs and asks for installation tokens."""

    def __init__(self, forge: ForgeClient, key: rsa.RSAPrivateKey) -> None:
        self._forge, self._key = forge, key
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        forge.register_app("77", public.decode())

    def request(self, method: str, path: str, *, token: str | None = None, body: object = None) -> httpx.Response:
        now = int(time.time())
        bearer = token or jwt.encode({"iss": "77", "iat": now - 60, "exp": now + 300}, self._key, algorithm="RS256")
        headers = {"authorization": f"Bearer {bearer}"}
        return httpx.request(method, f"{self._forge.api_url}{path}", headers=headers, json=body, trust_env=False)

    def token(self, **request: object) -> str:
        response = self.request("POST", "/app/installations/1/access_tokens", body=request)
        assert response.status_code == 201, response.text
        return str(response.json()["token"])


@pytest.fixture
def app(local_forge: ForgeClient, key: rsa.RSAPrivateKey) -> GitHubApp:
    return GitHubApp(local_forge, key)


def test_an_app_finds_itself_and_its_installation(app: GitHubApp) -> None:
    assert app.request("GET", "/app").json()["slug"] == "app-77"
    assert app.request("GET", f"/repos/{WEBSHOP}/installation").json()["id"] == 1
    assert app.request("GET", "/app", token="not a JWT").status_code == 401


def test_a_token_covers_its_repositories_and_permissions(app: GitHubApp) -> None:
    token = app.token(repositories=["webshop"], permissions={"contents": "read", "metadata": "read"})
    assert app.request("GET", f"/repos/{WEBSHOP}", token=token).status_code == 200
    assert app.request("GET", "/repos/demo/quiet", token=token).status_code == 403
    comments = f"/repos/{WEBSHOP}/issues/1/comments"
    assert app.request("POST", comments, token=token, body={"body": "?"}).status_code == 403
    assert app.request("POST", comments, token=app.token(), body={"body": "?"}).status_code == 201


def test_permissions_that_the_app_does_not_have_are_refused(app: GitHubApp) -> None:
    body = {"permissions": {"administration": "write"}}
    response = app.request("POST", "/app/installations/1/access_tokens", body=body)
    assert response.status_code == 422
    assert "not granted" in response.json()["message"]


def test_a_token_clones_and_pushes_what_it_covers(app: GitHubApp, local_forge: ForgeClient, clone_of: Any) -> None:
    clone = clone_of(local_forge, WEBSHOP)
    clone.commit("topic", {"a.txt": "a"})
    refused = clone.push("topic", token=app.token(permissions={"contents": "read"}), check=False)
    assert refused.returncode != 0
    assert clone.push("topic", token=app.token(repositories=["webshop"])).returncode == 0
