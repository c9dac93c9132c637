"""Reads a repository's default branch and its branch protections, the older way beside rulesets, as rules of a branch.

https://docs.github.com/repositories/configuring-branches-and-merges-in-your-repository/managing-protected-branches
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import Field

from squire_pipelines.domain.globs import matches
from squire_pipelines.errors import GitHubNotFoundError
from squire_pipelines.github.branch_rules import BranchRule
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import GraphQLModel, Nodes, parse


class _Protection(GraphQLModel):
    pattern: str
    blocks_creations: bool = False
    lock_branch: bool = False
    requires_approving_reviews: bool = False
    requires_commit_signatures: bool = False
    requires_status_checks: bool = False
    restricts_pushes: bool = False

    def rules(self) -> Iterator[BranchRule]:
        """Yield what it asks for by the names that rulesets have for it."""
        asks = {
            "creation": self.blocks_creations,
            "update": self.lock_branch,
            "pull_request": self.requires_approving_reviews,
            "required_signatures": self.requires_commit_signatures,
            "required_status_checks": self.requires_status_checks,
            "restricted_pushes": self.restricts_pushes,
        }
        yield from (BranchRule(kind, protection=self.pattern) for kind, is_asked in asks.items() if is_asked)


class _DefaultBranch(GraphQLModel):
    name: str


class _ProtectedRepository(GraphQLModel):
    default_branch_ref: _DefaultBranch | None = None
    protections: Nodes[_Protection] | None = Field(default=None, alias="branchProtectionRules")


@dataclass(frozen=True, slots=True)
class BranchProtections:
    """A repository's default branch, None in an empty one, and its protections by the pattern of their branches.

    GitHub shows a token without the permission no protection, as if there were none.
    """

    default_branch: str | None
    by_pattern: tuple[tuple[str, tuple[BranchRule, ...]], ...] = ()

    def of(self, branch: str) -> tuple[BranchRule, ...]:
        """Return the rules of a branch, which need not exist. Patterns are those of paths: `*` holds no `/`."""
        return tuple(
            rule
            for pattern, rules in self.by_pattern
            if matches(branch, (pattern,), beneath=False) is not None
            for rule in rules
        )


async def branch_protections(client: GitHubClient, repository: str) -> BranchProtections:
    """Return the first hundred branch protections of a repository. Raises GitHubError."""
    owner, _, name = repository.partition("/")
    request = "the query branch_protection"
    answer = (await client.graphql("branch_protection", {"owner": owner, "name": name})).get("repository")
    if answer is None:
        raise GitHubNotFoundError(
            f"there is no repository {repository}, or the token may not see it",
            hint="check the name and the token's access",
            context={"request": request},
        )
    content = parse(_ProtectedRepository, answer, request=request)
    nodes = content.protections.nodes if content.protections else ()
    branch = content.default_branch_ref
    return BranchProtections(branch.name if branch else None, tuple((one.pattern, tuple(one.rules())) for one in nodes))
