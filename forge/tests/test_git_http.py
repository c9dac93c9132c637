"""Git over HTTP with the real git as client."""

import gzip
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from squire_forge.client import ForgeClient

LS_REFS = b"0014command=ls-refs\n0001000fref-prefix 0000"


def _state(forge: ForgeClient, name: str) -> dict[str, Any]:
    state: dict[str, Any] = next(
        repository for repository in forge.state()["repositories"] if repository["name"] == name
    )
    return state


def test_a_public_repository_is_cloned_by_anyone(local_forge: ForgeClient, clone_of: Callable[..., Any]) -> None:
    clone = clone_of(local_forge, "demo/handbook")
    assert (clone.path / "docs/oncall.md").is_file()
    assert clone.run("symbolic-ref", "--short", "HEAD").stdout.strip() == "trunk"


def test_a_push_is_known_when_git_returns(local_forge: ForgeClient, clone_of: Callable[..., Any]) -> None:
    clone = clone_of(local_forge, "demo/quiet")
    made = clone.commit("topic", {"a.txt": "a"})
    clone.push("topic")
    assert _state(local_forge, "demo/quiet")["branches"]["topic"] == made
    clone.push(":topic")
    assert "topic" not in _state(local_forge, "demo/quiet")["branches"]


def test_a_push_in_chunks_of_an_unknown_length_arrives(local_forge: ForgeClient, clone_of: Callable[..., Any]) -> None:
    clone = clone_of(local_forge, "demo/quiet")
    clone.run("config", "http.postBuffer", "65536")
    noise = "\n".join(f"{number * 2654435761 % 2**32:x}" for number in range(60_000))
    made = clone.commit("large", {"noise.txt": noise})
    clone.push("large")
    assert _state(local_forge, "demo/quiet")["branches"]["large"] == made


@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_push_without_the_token_is_refused(
    local_forge: ForgeClient, clone_of: Callable[..., Any], token: str
) -> None:
    clone = clone_of(local_forge, "demo/quiet")
    clone.commit("topic", {"a.txt": "a"})
    done = clone.push("topic", token=token, check=False)
    assert done.returncode != 0
    assert "topic" not in _state(local_forge, "demo/quiet")["branches"]


def test_hidden_refs_cannot_be_pushed(local_forge: ForgeClient, clone_of: Callable[..., Any]) -> None:
    clone = clone_of(local_forge, "demo/handbook")
    done = clone.push("HEAD:refs/pull/3/head", check=False)
    assert done.returncode != 0
    assert "hidden ref" in done.stderr


def test_the_head_of_a_pull_request_is_fetched_by_its_number(
    local_forge: ForgeClient, clone_of: Callable[..., Any]
) -> None:
    clone = clone_of(local_forge, "demo/handbook")
    clone.run("fetch", "--quiet", "origin", "refs/pull/3/head")
    fetched = clone.run("rev-parse", "FETCH_HEAD").stdout.strip()
    assert fetched == _state(local_forge, "demo/handbook")["branches"]["tomas/holidays"]


def test_a_private_repository_asks_for_the_token(local_forge: ForgeClient, samples: Any) -> None:
    quiet = next(sample for sample in samples if sample.name == "quiet")
    local_forge.host_repository({**quiet.hosting(), "name": "secret", "private": True})
    url = f"{local_forge.git_url('demo/secret')}/info/refs?service=git-upload-pack"
    response = httpx.get(url)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Basic")
    assert httpx.get(url, auth=("anyone", local_forge.token)).status_code == 200
    # What is not there looks the same to a stranger.
    absent = url.replace("secret", "absent")
    assert httpx.get(absent).status_code == 401
    assert httpx.get(absent, auth=("anyone", local_forge.token)).status_code == 404


@pytest.mark.parametrize("header", ["Basic !!!", "Basic /w==", "Digest x"])
def test_credentials_that_cannot_be_read_are_refused(local_forge: ForgeClient, header: str) -> None:
    url = f"{local_forge.git_url('demo/quiet')}/info/refs?service=git-upload-pack"
    assert httpx.get(url, headers={"authorization": header}).status_code == 401


def test_a_gzipped_request_is_understood(local_forge: ForgeClient) -> None:
    headers = {
        "content-type": "application/x-git-upload-pack-request",
        "git-protocol": "version=2",
        "content-encoding": "gzip",
    }
    url = f"{local_forge.git_url('demo/quiet')}/git-upload-pack"
    request = b"0014command=ls-refs\n0001" + b"001bref-prefix refs/heads/\n" + b"0000"
    response = httpx.post(url, content=gzip.compress(request), headers=headers)
    assert response.status_code == 200
    assert b"refs/heads/main" in response.content


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/info/refs", 403),
        ("GET", "/info/refs?service=git-archive", 403),
        ("POST", "/info/refs?service=git-upload-pack", 405),
        ("GET", "/git-upload-pack", 405),
        ("GET", "/objects/info/packs", 404),
        ("GET", "/HEAD", 404),
    ],
)
def test_only_the_smart_protocol_is_served(local_forge: ForgeClient, method: str, path: str, status: int) -> None:
    assert httpx.request(method, local_forge.git_url("demo/quiet") + path).status_code == status


@pytest.mark.slow
def test_a_request_beyond_the_limit_is_refused(
    serve_forge: Callable[..., ForgeClient], samples: Any, clone_of: Callable[..., Any]
) -> None:
    forge = serve_forge(max_body_bytes=20_000)
    forge.host_repository(next(sample for sample in samples if sample.name == "quiet"))
    clone = clone_of(forge, "demo/quiet")
    noise = "\n".join(f"{number * 2654435761 % 2**32:x}" for number in range(20_000))
    clone.commit("large", {"noise.txt": noise})
    assert "413" in clone.push("large", check=False).stderr
    url = f"{forge.git_url('demo/quiet')}/git-receive-pack"
    chunks = (b"x" * 5_000 for _ in range(10))
    assert httpx.post(url, content=chunks, auth=("x", forge.token)).status_code == 413
    assert "large" not in _state(forge, "demo/quiet")["branches"]


def test_nonsense_is_answered_by_git_itself(local_forge: ForgeClient) -> None:
    url = f"{local_forge.git_url('demo/quiet')}/git-receive-pack"
    response = httpx.post(url, content=b"nonsense", auth=("x", local_forge.token))
    assert response.status_code in {200, 400, 415, 500}
    assert _state(local_forge, "demo/quiet")["branches"].keys() == {"main"}


def test_an_archived_repository_takes_no_push(local_forge: ForgeClient, samples: Any, clone_of: Any) -> None:
    quiet = next(sample for sample in samples if sample.name == "quiet")
    local_forge.host_repository({**quiet.hosting(), "name": "attic", "archived": True})
    clone = clone_of(local_forge, "demo/attic")
    clone.commit("topic", {"a.txt": "a"})
    assert "403" in clone.push("topic", check=False).stderr
