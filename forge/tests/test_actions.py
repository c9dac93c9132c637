"""Jobs, logs, annotations and second runs, compared with GitHub's OpenAPI description where it is installed."""

from typing import Any

import httpx
import pytest

from github_schemas import conforms
from squire_forge.client import ForgeClient

REPO = "/repos/{owner}/{repo}"
LEDGERLIB = "/repos/demo/ledgerlib"
FAILED = """query($owner: String!, $name: String!) {
  repository(owner: $owner, name: $name) { defaultBranchRef { target {
  ... on Commit { statusCheckRollup { state contexts(first: 10) { nodes { ... on CheckRun {
    databaseId name conclusion checkSuite { app { slug name id } workflowRun { databaseId } } } } } } } } } } }"""


def _checks(api: Any, name: str) -> tuple[str, dict[str, Any]]:
    answer = api.graphql(FAILED, owner="demo", name=name)
    rollup = answer["data"]["repository"]["defaultBranchRef"]["target"]["statusCheckRollup"]
    return rollup["state"], {check["name"]: check for check in rollup["contexts"]["nodes"]}


@pytest.mark.slow
def test_job_is_a_check_with_steps(api: Any) -> None:
    _, checks = _checks(api, "ledgerlib")
    check = checks["tests"]
    assert check["checkSuite"]["app"]["slug"] == "github-actions"
    response = api.rest("GET", f"{LEDGERLIB}/actions/jobs/{check['databaseId']}")
    body = response.json()
    assert (body["run_id"], body["name"]) == (check["checkSuite"]["workflowRun"]["databaseId"], "tests")
    assert [step["conclusion"] for step in body["steps"]] == ["success", "success", "failure"]
    conforms(response, "GET", f"{REPO}/actions/jobs/{{job_id}}")
    assert api.rest("GET", f"{LEDGERLIB}/actions/jobs/999").status_code == 404


@pytest.mark.slow
def test_log_lies_on_another_host_that_takes_no_token(api: Any, local_forge: ForgeClient) -> None:
    _, checks = _checks(api, "ledgerlib")
    response = api.rest("GET", f"{LEDGERLIB}/actions/jobs/{checks['tests']['databaseId']}/logs")
    assert response.status_code == 302
    location = response.headers["location"]
    assert httpx.URL(location).host != httpx.URL(local_forge.api_url).host
    log = httpx.get(location)
    assert log.text.startswith("\ufeff20")
    assert "\x1b[31mFAIL: test_no_cent_is_lost" in log.text
    assert "##[error]Process completed with exit code 1." in log.text
    assert httpx.get(location, headers={"authorization": "Bearer x"}).status_code == 400
    assert httpx.get(location.replace("sig=", "sig=0")).status_code == 403


@pytest.mark.slow
def test_annotations_name_the_lines_of_the_checks_text(api: Any) -> None:
    _, checks = _checks(api, "ledgerlib")
    response = api.rest("GET", f"{LEDGERLIB}/check-runs/{checks['tests']['databaseId']}/annotations")
    assert [note["path"] for note in response.json()] == ["ledgerlib/money.py"]
    conforms(response, "GET", f"{REPO}/check-runs/{{check_run_id}}/annotations")


@pytest.mark.slow
def test_failed_jobs_run_again_and_what_is_flaky_passes_then(api: Any, local_forge: ForgeClient, samples: Any) -> None:
    expectation = {"check": "tests", "path": "README.md", "pattern": "never", "message": "by chance", "flaky": True}
    firm = {"check": "lint", "path": "README.md", "pattern": "never either"}
    sample = {**samples[3].hosting(), "name": "chance", "expectations": [expectation, firm]}
    local_forge.host_repository(sample)
    state, before = _checks(api, "chance")
    assert (state, before["tests"]["conclusion"]) == ("FAILURE", "FAILURE")
    run = before["tests"]["checkSuite"]["workflowRun"]["databaseId"]
    response = api.rest("POST", f"/repos/demo/chance/actions/runs/{run}/rerun-failed-jobs", {})
    assert response.status_code == 201
    conforms(response, "POST", f"{REPO}/actions/runs/{{run_id}}/rerun-failed-jobs")
    state, after = _checks(api, "chance")
    assert {name: check["conclusion"] for name, check in after.items()} == {"tests": "SUCCESS", "lint": "FAILURE"}
    assert state == "FAILURE"
    assert after["lint"]["databaseId"] > before["lint"]["databaseId"]
    assert api.rest("POST", "/repos/demo/chance/actions/runs/999/rerun-failed-jobs", {}).status_code == 404
