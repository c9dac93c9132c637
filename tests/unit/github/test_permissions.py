from collections.abc import Callable
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.github import permissions
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.permission_probe import probe_permissions
from tests.support.branches import UNUSUAL

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


@given(st.dictionaries(st.sampled_from([*permissions.REQUIRED, "actions", "administration"]), st.sampled_from(LEVELS)))
def test_no_more_is_asked_for_than_is_needed(granted: dict[str, str]) -> None:
    needed = permissions.to_request(granted, write=True)
    of_use = {"write": "write", "admin": "write", "read": "read"}
    assert needed.get("actions") == of_use.get(granted.get("actions", ""))
    assert set(permissions.REQUIRED) <= set(needed) <= {*permissions.REQUIRED, *permissions.OPTIONAL}
    assert set(permissions.to_request(granted, write=False).values()) == {"read"}
    if not permissions.missing(granted):
        assert all(LEVELS.index(granted[name]) >= LEVELS.index(level) for name, level in needed.items())
