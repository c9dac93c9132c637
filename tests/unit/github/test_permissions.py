import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.github import permissions
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.events import RELEVANT_ACTIONS, WITHOUT_ACTION
from squire_pipelines.github.permission_probe import probe_permissions
from squire_pipelines.settings.model import Settings
from tests.support.branches import UNUSUAL
from tests.support.github_schemas import schema_file

ClientOf = Callable[..., GitHubClient]
LEVELS = ("none", "read", "write", "admin")


def answering(status_of: Callable[[str, str], int]) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        status = status_of(request.method, request.url.path.removeprefix("/api/v3/repos/acme/shop"))
        return httpx.Response(status, json=[] if status == 200 else {"message": "so it is"})

    return httpx.MockTransport(answer)


def full_rights(method: str, _path: str) -> int:
    return 200 if method == "GET" else 422


@pytest.mark.anyio
async def test_a_token_with_all_permissions_is_found_to_have_them(client_of: ClientOf) -> None:
    probes = await probe_permissions(client_of(answering(full_rights)), "acme/shop", "main")
    assert {probe.state for probe in probes} == {"granted"}
    assert {(probe.permission, probe.level) for probe in probes} >= {("contents", "write"), ("pull_requests", "write")}


@pytest.mark.anyio
@pytest.mark.parametrize("branch", UNUSUAL)
async def test_the_branch_stays_one_part_of_the_address_whatever_its_name(client_of: ClientOf, branch: str) -> None:
    addresses: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        addresses.append(request.url.raw_path.decode())
        return httpx.Response(200, json=[])

    await probe_permissions(client_of(httpx.MockTransport(answer)), "acme/shop", branch)
    (address,) = [address for address in addresses if "/check-runs" in address]
    parts = address.partition("?")[0].split("/")
    assert unquote(parts[parts.index("commits") + 1]) == branch
    assert parts[parts.index("commits") + 2 :] == ["check-runs"]


@pytest.mark.anyio
@pytest.mark.parametrize(("refusal", "state"), [(403, "missing"), (404, "not_found")])
async def test_each_lacking_permission_is_named_and_a_404_told_apart(
    client_of: ClientOf, refusal: int, state: str
) -> None:
    def status(method: str, path: str) -> int:
        lacking = path.endswith("check-runs") or (method == "POST" and path == "/git/refs")
        return refusal if lacking else full_rights(method, path)

    probes = await probe_permissions(client_of(answering(status)), "acme/shop", "main")
    refused = {(probe.permission, probe.level) for probe in probes if probe.state == state}
    assert refused == {("checks", "read"), ("contents", "write")}


@pytest.mark.anyio
async def test_what_cannot_be_read_is_not_asked_to_be_written(client_of: ClientOf) -> None:
    asked: list[str] = []

    def status(method: str, path: str) -> int:
        asked.append(f"{method} {path}")
        return 403 if path == "/pulls" else full_rights(method, path)

    await probe_permissions(client_of(answering(status)), "acme/shop", "main")
    assert "POST /pulls" not in asked


@pytest.mark.anyio
async def test_a_repository_without_commits_is_readable(client_of: ClientOf) -> None:
    def status(method: str, path: str) -> int:
        return 409 if path == "/commits" else full_rights(method, path)

    probes = await probe_permissions(client_of(answering(status)), "acme/shop", "main")
    assert {probe.state for probe in probes} == {"granted"}


@pytest.mark.anyio
@pytest.mark.parametrize("odd", [201, 503])
async def test_an_odd_answer_is_no_verdict(client_of: ClientOf, odd: int) -> None:
    def status(method: str, path: str) -> int:
        return odd if method == "POST" else full_rights(method, path)

    probes = await probe_permissions(client_of(answering(status)), "acme/shop", "main")
    assert {probe.state for probe in probes if probe.level == "write"} == {"unknown"}


def settings(**values: object) -> Settings:
    return Settings.model_validate({"repositories": ["acme/shop", "acme/api"], **values})


GRANTS = st.dictionaries(
    st.sampled_from([*permissions.REQUIRED, "actions", "workflows", "administration"]), st.sampled_from(LEVELS)
)
SWITCHES = st.fixed_dictionaries(
    {
        "rerun": st.booleans(),
        "workflows": st.sampled_from(["reject", "approve"]),
        "files": st.booleans(),
        "of_one": st.booleans(),
    }
)


def switched(switches: Mapping[str, Any]) -> Settings:
    sections = {
        "ci": {"rerun": switches["rerun"]},
        "policy": {"workflows": switches["workflows"]},
        "trust": {"repository_files": switches["files"]},
    }
    if not switches["of_one"]:
        return settings(**sections)
    return settings(repository={"acme/api": sections}, ci={"rerun": False}, trust={"repository_files": False})


@given(GRANTS, SWITCHES)
def test_no_more_is_asked_for_than_is_needed(granted: dict[str, str], switches: dict[str, Any]) -> None:
    needs = permissions.needs_in(switched(switches), "acme/api")
    requested = permissions.to_request(granted, needs, write=True)
    assert set(permissions.REQUIRED) <= set(requested) <= set(needs.all)
    assert not permissions.missing(needs.all, requested)
    assert set(permissions.to_request(granted, needs, write=False).values()) == {"read"}
    if not permissions.missing(granted):
        assert not permissions.missing(granted, requested)


@given(
    SWITCHES,
    st.sampled_from([{"rerun": False}, {"workflows": "reject"}, {"files": False}, {"rerun": False, "files": False}]),
)
def test_more_features_never_need_less(switches: dict[str, Any], off: dict[str, Any]) -> None:
    fewer = {**switches, **off}
    needs, more = (permissions.needs_of_app(switched(values)) for values in (fewer, switches))
    assert not permissions.missing(more.all, needs.all)
    assert set(needs.events) <= set(more.events)
    for repository in ("acme/shop", "acme/api"):
        assert not permissions.missing(more.all, permissions.needs_in(switched(switches), repository, of_app=True).all)
    assert not permissions.surplus(needs.all, more.all)


def test_an_app_may_write_workflows_only_where_somebody_may_approve_of_it() -> None:
    approving = settings(repository={"acme/api": {"policy": {"workflows": "approve"}}})
    granted = {**permissions.REQUIRED, "workflows": "write", "actions": "read"}
    for repository, requested in (("acme/shop", None), ("acme/api", "write")):
        needs = permissions.needs_in(approving, repository)
        assert permissions.to_request(granted, needs, write=True).get("workflows") == requested
        assert "workflows" not in permissions.to_request(granted, needs, write=False)  # GitHub has no such level


def test_an_app_may_open_the_issue_about_a_wrong_file_unless_such_files_are_switched_off() -> None:
    closed = settings(repository={"acme/api": {"trust": {"repository_files": False}}}, publishing={"reactions": False})
    granted = {**permissions.REQUIRED, "issues": "write"}
    for repository, level in (("acme/shop", "write"), ("acme/api", "read")):
        needs = permissions.needs_in(closed, repository)
        assert needs.all["issues"] == level
        assert permissions.to_request(granted, needs, write=True)["issues"] == level
    assert (
        permissions.to_request(permissions.REQUIRED, permissions.needs_in(closed, "acme/shop"), write=True)["issues"]
        == "read"
    )


@pytest.mark.parametrize(("announce", "reactions"), [(False, False), (True, False), (False, True)])
def test_issues_are_written_where_something_is_said_on_them(*, announce: bool, reactions: bool) -> None:
    trust, planner = {"repository_files": False}, {"announce": announce}
    speaking = settings(trust=trust, planner=planner, publishing={"reactions": reactions})
    level = permissions.needs_in(speaking, "acme/shop").all["issues"]
    assert level == ("write" if announce or reactions else "read")


def test_what_is_missing_and_what_is_too_much_are_named() -> None:
    needs = permissions.needs_of_app(settings(ci={"rerun": False}))
    granted = {**needs.all, "contents": "read", "actions": "write", "members": "read", "secrets": "unheard-of"}
    assert permissions.in_words(permissions.missing(granted, needs.all)) == "contents: write"
    assert permissions.surplus(granted, needs.all) == {"actions": "write", "members": "read", "secrets": "unheard-of"}
    assert permissions.missing_events([*needs.events, "star"], needs) == ()
    assert permissions.missing_events(["push"], needs)[0] == "check_run"


def test_each_event_that_is_read_has_the_permission_that_github_asks_for() -> None:
    assert set(permissions.EVENT_PERMISSIONS) == {*RELEVANT_ACTIONS, *WITHOUT_ACTION}
    assert set(permissions.EVENT_PERMISSIONS.values()) <= {*permissions.REQUIRED, "actions"}
    described = json.loads(schema_file("openapi/generated/api.github.com.json").read_text())
    levels = described["components"]["schemas"]["app-permissions"]["properties"]
    needs = permissions.needs_of_app(settings(policy={"workflows": "approve"}))
    assert {name for name, level in needs.all.items() if level not in levels[name]["enum"]} == set()
