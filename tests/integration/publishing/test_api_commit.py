"""A commit that GitHub signed, byte by byte as git has it; and what GitHub makes that was not asked for."""

import asyncio
from typing import Any

import httpx
import pytest

from squire_pipelines.errors import PublishRefusedError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.publishing.api_commit import ApiCommits
from squire_pipelines.publishing.commit import commit_change, commit_message
from squire_pipelines.sections.services import GitHubSettings
from tests.support.git_repository import git
from tests.support.github_json import API_URL, FakeGitHub
from tests.support.workshop import Workshop

SIGNATURE = "-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n"


def signed(workshop: Workshop, *, ending: str = "\n", **changes: Any) -> str:
    """Has a GitHub that signs make the commit of the agent's work; return what git says of it."""
    workshop.agent.write("src/app.py", "y = 1\n")
    workshop.agent.commit("Mend add")
    change, request = workshop.verify(), workshop.request()
    own = commit_change(change, request)
    tree = git(change.git_dir, "rev-parse", f"{own}^{{tree}}")
    person = "Bot <bot@example.org> 1767323045 +0000"
    head = f"tree {tree}\nparent {change.base_sha}\nauthor {person}\ncommitter {person}"
    message = commit_message(request)
    signature = (SIGNATURE.rstrip("\n") + ending).replace("\n", "\n ")
    raw = f"{head}\ngpgsig {signature}\n\n{message}".encode()
    sha = git(workshop.upstream, "hash-object", "-t", "commit", "--stdin", stdin=raw)
    who = {"name": "Bot", "email": "bot@example.org", "date": "2026-01-02T03:04:05Z"}
    commit = {
        "sha": sha,
        "message": message,
        "tree": {"sha": tree},
        "parents": [{"sha": change.base_sha}],
        "author": who,
        "committer": who,
        "verification": {"verified": True, "signature": SIGNATURE, "payload": f"{head}\n\n{message}"},
        **changes,
    }
    rest = {
        "POST /repos/acme/app/git/trees": httpx.Response(201, json={"sha": changes.get("made_tree", tree)}),
        "POST /repos/acme/app/git/commits": httpx.Response(201, json=commit),
    }
    fake = FakeGitHub(rest=rest)

    async def make() -> str:
        settings = GitHubSettings(api_url=API_URL, min_write_interval_s=0)
        async with GitHubClient(settings, "token", attempts=1, http=httpx.AsyncClient(transport=fake)) as client:
            return await ApiCommits(client, "acme/app").make(change, request, own, earlier_heads=())

    made = asyncio.run(make())
    return git(change.git_dir, "cat-file", "commit", made)


@pytest.mark.parametrize("ending", ["\n", ""])
def test_a_signed_commit_is_taken_with_its_signature(workshop: Workshop, ending: str) -> None:
    assert "gpgsig -----BEGIN PGP SIGNATURE-----" in signed(workshop, ending=ending)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"made_tree": "1" * 40}, "the tree 1111"),
        ({"tree": {"sha": "1" * 40}}, "another tree, parent or message"),
        ({"parents": []}, "another tree, parent or message"),
        ({"message": "Another"}, "another tree, parent or message"),
        ({"sha": "1" * 40}, "cannot be read as a commit of git's"),
    ],
)
def test_what_was_not_asked_for_is_refused(workshop: Workshop, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(PublishRefusedError, match=reason) as refused:
        signed(workshop, **changes)
    assert refused.value.reason == "api_commit"
