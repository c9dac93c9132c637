"""Faults that a test injects into the forge."""

import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from squire_forge.client import ForgeClient
from squire_forge.errors import RefusedError

QUERY = "query Signals { viewer { login } }"


@pytest.mark.slow
def test_a_fault_strikes_as_often_as_it_was_asked_to(local_forge: ForgeClient, api: Any) -> None:
    local_forge.add_fault("/user$", status=502, body="bad gateway", headers={"Retry-After": "7"}, times=2)
    answers = [api.rest("GET", "/user") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [502, 502, 200]
    assert answers[0].text == "bad gateway"
    assert answers[0].headers["retry-after"] == "7"


def test_a_fault_may_name_the_method(local_forge: ForgeClient, api: Any) -> None:
    local_forge.add_fault("^POST /api/v3/repos/.*/pulls", status=500)
    assert api.rest("GET", "/repos/demo/quiet/pulls").status_code == 200
    assert api.rest("POST", "/repos/demo/quiet/pulls", {}).status_code == 500


def test_a_fault_for_an_operation_leaves_others_alone(local_forge: ForgeClient, api: Any) -> None:
    local_forge.add_fault("Signals", status=403, body='{"message": "secondary rate limit"}')
    assert api.graphql("query Other { viewer { login } }")["data"]
    response = api.http.post(local_forge.graphql_url, json={"query": QUERY})
    assert (response.status_code, response.json()) == (403, {"message": "secondary rate limit"})
    assert api.graphql(QUERY)["data"]


def test_an_operation_may_be_late_or_answered_wrongly_after_it_ran(local_forge: ForgeClient, api: Any) -> None:
    local_forge.add_fault("Signals", delay_s=0.2)
    began = time.monotonic()
    assert api.graphql(QUERY)["data"]
    assert time.monotonic() - began >= 0.2
    local_forge.add_fault("Signals", status=504, after=True)
    assert api.http.post(local_forge.graphql_url, json={"query": QUERY}).status_code == 504
    local_forge.add_fault("Signals", status=200, body="not json")
    assert api.http.post(local_forge.graphql_url, json={"query": QUERY}).text == "not json"


def test_an_answer_is_lost_after_the_request_was_carried_out(local_forge: ForgeClient, api: Any) -> None:
    local_forge.add_fault("/labels$", status=502, after=True)
    assert api.rest("POST", "/repos/demo/handbook/issues/2/labels", {"labels": ["kept"]}).status_code == 502
    handbook = next(
        repository for repository in local_forge.state()["repositories"] if repository["name"] == "demo/handbook"
    )
    assert handbook["issues"][1]["labels"] == ["kept"]


def test_an_answer_breaks_off(local_forge: ForgeClient, api: Any) -> None:
    local_forge.add_fault("/user$", truncate=True, body='{"login": "squ')
    with pytest.raises(httpx.RemoteProtocolError):
        api.rest("GET", "/user")


def test_a_late_answer_is_the_right_one(local_forge: ForgeClient, api: Any) -> None:
    local_forge.add_fault("/user$", delay_s=0.2)
    began = time.monotonic()
    assert api.rest("GET", "/user").json()["login"] == "squire-demo"
    assert time.monotonic() - began >= 0.2


def test_git_is_struck_too(local_forge: ForgeClient, tmp_path: Path) -> None:
    local_forge.add_fault(r"quiet\.git", status=503)
    command = ["git", "clone", "--quiet", local_forge.git_url("demo/quiet"), str(tmp_path / "clone")]
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_faults_are_listed_and_cleared(local_forge: ForgeClient, api: Any) -> None:
    local_forge.add_fault("/user$", status=500, times=9)
    api.rest("GET", "/user")
    listed = api.http.get(f"{local_forge.url}/_forge/faults").json()
    assert [(fault["match"], fault["times"]) for fault in listed] == [("/user$", 8)]
    local_forge.clear_faults()
    assert api.rest("GET", "/user").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("fault", [{"match": "("}, {"match": "x", "status": 99}, {"match": "x", "colour": "red"}])
def test_a_fault_that_cannot_be_is_refused(local_forge: ForgeClient, fault: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        local_forge.add_fault(**fault)
