"""Branch protections as GitHub shows them, by the branches that their patterns have."""

from collections.abc import Callable
from typing import Any

import pytest

from squire_pipelines.errors import GitHubNotFoundError
from squire_pipelines.github.branch_protection import branch_protections
from squire_pipelines.github.client import GitHubClient
from tests.support.github_json import FakeGitHub, answer

pytestmark = pytest.mark.anyio
ClientOf = Callable[..., GitHubClient]
NOTHING = dict.fromkeys(
    (
        *("blocksCreations", "lockBranch", "requiresApprovingReviews", "requiresCommitSignatures"),
        *("requiresStatusChecks", "restrictsPushes"),
    ),
    False,
)


def protected(*rules: dict[str, Any]) -> FakeGitHub:
    nodes = [None, *({**NOTHING, **rule} for rule in rules)]
    repository = {"defaultBranchRef": {"name": "main"}, "branchProtectionRules": {"nodes": nodes}}
    return FakeGitHub({"BranchProtection": answer({"repository": repository})})


async def test_a_branch_has_the_rules_of_each_pattern_that_is_its_own(client_of: ClientOf) -> None:
    fake = protected(
        {"pattern": "main", "requiresCommitSignatures": True, "requiresStatusChecks": True},
        {"pattern": "squire/*", "blocksCreations": True, "requiresApprovingReviews": True},
        {"pattern": "*", "lockBranch": True},
        {"pattern": "**/*", "restrictsPushes": True},
    )
    protections = await branch_protections(client_of(fake), "o/r")
    assert protections.default_branch == "main"
    assert [(rule.kind, rule.protection) for rule in protections.of("squire/t1-x")] == [
        ("creation", "squire/*"),
        ("pull_request", "squire/*"),
        ("restricted_pushes", "**/*"),
    ]
    assert [rule.kind for rule in protections.of("main")] == [
        "required_signatures", "required_status_checks", "update", "restricted_pushes",
    ]  # fmt: skip


async def test_an_empty_repository_has_no_default_branch_and_no_protection(client_of: ClientOf) -> None:
    repository = {"defaultBranchRef": None, "branchProtectionRules": None}
    protections = await branch_protections(
        client_of(FakeGitHub({"BranchProtection": answer({"repository": repository})})), "o/r"
    )
    assert (protections.default_branch, protections.of("main")) == (None, ())


async def test_a_repository_that_is_not_there_is_told(client_of: ClientOf) -> None:
    fake = FakeGitHub({"BranchProtection": answer({"repository": None})})
    with pytest.raises(GitHubNotFoundError):
        await branch_protections(client_of(fake), "o/r")
