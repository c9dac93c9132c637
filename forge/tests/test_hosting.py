import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from squire_forge.client import ForgeClient
from squire_forge.errors import NotReachableError, RefusedError


@pytest.mark.slow
def test_hosting_twice_changes_nothing(local_forge: ForgeClient, samples: Any) -> None:
    before = local_forge.state()
    answers = [local_forge.host_repository(sample) for sample in samples]
    assert [answer["created"] for answer in answers] == [False] * 4
    assert answers[0]["clone_url"] == local_forge.git_url("demo/ledgerlib")
    assert local_forge.state() == before


def test_the_hosted_copy_does_not_depend_on_its_source(serve_forge: Any, tmp_path: Path, samples: Any) -> None:
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "--quiet", samples[3].path, source], check=True)
    forge = serve_forge()
    forge.host_repository({"owner": "me", "name": "mine", "path": str(source)})
    subprocess.run(["rm", "-rf", source], check=True)
    subprocess.run(["git", "clone", "--quiet", forge.git_url("me/mine"), tmp_path / "again"], check=True)
    assert (tmp_path / "again/README.md").is_file()


def test_a_copy_that_a_killed_forge_left_behind_is_replaced(serve_forge: Any, samples: Any) -> None:
    forge = serve_forge()
    left = forge.home / "repositories/demo/quiet.git"
    left.mkdir(parents=True)
    (left / "half").write_text("half a repository")
    assert forge.host_repository(samples[3])["created"] is True
    assert not (left / "half").exists()


LABELS = """
  query { repository(owner: "demo", name: "quiet") {
    issues(first: 5) { nodes { title createdAt timelineItems(first: 5, itemTypes: [LABELED_EVENT]) {
      nodes { ... on LabeledEvent { createdAt actor { login } } } } } } } }"""


def test_a_label_of_somebody_else_is_younger_than_the_text(serve_forge: Any, api_of: Any, samples: Any) -> None:
    forge = serve_forge(clock=lambda: datetime(2026, 3, 1, 12, tzinfo=UTC))
    stranger = {"author": "sly", "outsider": True, "labels": ["squire"], "labelled_by": "mara"}
    issues = [{"title": "Now", **stranger}, {"title": "Before", "created_at": "2026-02-01T00:00:00Z", **stranger}]
    forge.host_repository({**samples[3].hosting(), "issues": issues})
    made = {}
    for issue in api_of(forge).graphql(LABELS)["data"]["repository"]["issues"]["nodes"]:
        (label,) = issue["timelineItems"]["nodes"]
        assert label == {"createdAt": "2026-03-01T12:00:00Z", "actor": {"login": "mara"}}
        made[issue["title"]] = issue["createdAt"]
    assert made == {"Now": "2026-03-01T11:59:59Z", "Before": "2026-02-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "/nowhere/at/all"}, "is not a git repository"),
        ({"default_branch": None}, "has no branch main"),
        ({"expectations": [{"check": "x", "path": "y", "pattern": "("}]}, "no valid pattern"),
        ({"name": "../up"}, "name"),
        ({"owner": "a/b"}, "owner"),
        ({"unknown": 1}, "unknown"),
        ({"pull_requests": [{"head": "nope", "title": "T", "author": "ada"}]}, "Validation Failed"),
    ],
)
def test_what_cannot_be_hosted_is_refused_with_the_reason(
    serve_forge: Any, samples: Any, changes: dict[str, object], message: str
) -> None:
    forge = serve_forge()
    with pytest.raises(RefusedError, match=message):
        forge.host_repository({**samples[2].hosting(), **changes})
    assert forge.state()["repositories"] == []


@pytest.mark.parametrize("path", ["/_forge/state", "/_forge/repos", "/_forge/faults", "/_forge/settle"])
def test_the_forges_own_routes_need_the_token(local_forge: ForgeClient, path: str) -> None:
    method = "GET" if path.endswith("state") else "POST"
    assert httpx.request(method, local_forge.url + path).status_code == 401


def test_another_host_name_is_refused(local_forge: ForgeClient) -> None:
    assert httpx.get(local_forge.url, headers={"host": "evil.invalid"}).status_code == 400


def test_a_forge_that_is_gone_is_not_reachable(serve_forge: Any, tmp_path: Path) -> None:
    url = serve_forge().url
    serve_forge.stop_all()
    client = ForgeClient(url, home=tmp_path, token="t", webhook_secret="s")
    with pytest.raises(NotReachableError, match="does not answer"):
        client.state()
    client.close()
