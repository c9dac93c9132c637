"""Check runs that Apps write and statuses that clients set, compared with GitHub's descriptions."""

from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from github_schemas import conforms
from squire_forge.client import ForgeClient

REPO = "/repos/{owner}/{repo}"
WEBSHOP = "/repos/demo/webshop"
ROLLUP = """query($owner: String!, $name: String!) { repository(owner: $owner, name: $name) {
  pullRequests(first: 1) { nodes { headRefOid statusCheckRollup { state contexts(first: 20) { nodes {
    __typename
    ... on CheckRun { name conclusion detailsUrl checkSuite { app { slug } workflowRun { databaseId } } }
    ... on StatusContext { context state targetUrl } } } } } } } }"""


def _rollup(api: Any) -> dict[str, Any]:
    answer = api.graphql(ROLLUP, owner="demo", name="webshop")
    (pull,) = answer["data"]["repository"]["pullRequests"]["nodes"]
    return dict(pull)


def _app_token(api: Any, forge: ForgeClient, permissions: dict[str, str]) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    forge.register_app("78", public.decode())
    bearer = jwt.encode({"iss": "78", "iat": 1, "exp": 2**31}, key, algorithm="RS256")
    headers = {"authorization": f"Bearer {bearer}"}
    answer = api.rest("POST", "/app/installations/1/access_tokens", {"permissions": permissions}, headers=headers)
    return str(answer.json()["token"])


@pytest.mark.slow
def test_an_app_writes_a_check_run_and_changes_it(api: Any, local_forge: ForgeClient) -> None:
    before = _rollup(api)
    sha = before["headRefOid"]
    token = _app_token(api, local_forge, {"checks": "write", "metadata": "read"})
    headers = {"authorization": f"Bearer {token}"}
    run = {"name": "Squire", "head_sha": sha, "external_id": "x", "status": "completed", "conclusion": "neutral"}
    run["details_url"] = "https://example.org/"
    assert api.rest("POST", f"{WEBSHOP}/check-runs", run).status_code == 403, "a personal token"
    made = api.rest("POST", f"{WEBSHOP}/check-runs", run, headers=headers)
    conforms(made, "POST", f"{REPO}/check-runs")
    path = f"{WEBSHOP}/check-runs/{made.json()['id']}"
    change = {"output": {"title": "Merged", "summary": "It is."}}
    changed = api.rest("PATCH", path, change, headers=headers)
    conforms(changed, "PATCH", f"{REPO}/check-runs/{{check_run_id}}")
    listed = api.rest("GET", f"{WEBSHOP}/commits/{sha}/check-runs?check_name=Squire")
    ((one),) = listed.json()["check_runs"]
    assert (one["external_id"], one["output"]["title"]) == ("x", "Merged")
    after = _rollup(api)["statusCheckRollup"]
    assert after["state"] == before["statusCheckRollup"]["state"], "it counts for nothing"
    (shown,) = [check for check in after["contexts"]["nodes"] if check.get("name") == "Squire"]
    assert (shown["conclusion"], shown["detailsUrl"]) == ("NEUTRAL", "https://example.org/")
    assert shown["checkSuite"] == {"app": {"slug": "app-78"}, "workflowRun": None}
    missing = api.rest("POST", f"{WEBSHOP}/check-runs", run | {"head_sha": "1" * 40}, headers=headers)
    assert missing.status_code == 422


@pytest.mark.slow
def test_a_status_is_set_and_the_later_one_counts(api: Any) -> None:
    sha = _rollup(api)["headRefOid"]
    for description in ("Waits", "Merged"):
        status = {"state": "success", "context": "squire", "description": description, "target_url": "https://e.org/"}
        made = api.rest("POST", f"{WEBSHOP}/statuses/{sha}", status)
        conforms(made, "POST", f"{REPO}/statuses/{{sha}}")
    statuses = api.rest("GET", f"{WEBSHOP}/commits/{sha}/status").json()["statuses"]
    assert [one["description"] for one in statuses if one["context"] == "squire"] == ["Merged"]
