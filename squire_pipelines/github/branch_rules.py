"""The rules of a repository's branches that would refuse what Squire pushes: asking rulesets for them, judging them.

https://docs.github.com/rest/repos/rules#get-rules-for-a-branch and
https://docs.github.com/repositories/configuring-branches-and-merges-in-your-repository/managing-rulesets/available-rules-for-rulesets
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from squire_pipelines.errors import GitHubError
from squire_pipelines.github.client import GitHubClient

_PER_PAGE = 100
_MAX_RULESETS = 20
_MAX_PATTERN_CHARS = 500
_MAX_LISTED = 5
_BYPASSES = frozenset({"always", "exempt"})
_REFUSING: Mapping[str, str] = MappingProxyType(
    {
        "creation": "forbids to create such branches",
        "update": "forbids to push to such branches",
        "pull_request": "asks for a pull request before each push to such branches",
        "required_deployments": "asks for a deployment before each push to such branches",
        "merge_queue": "lets nothing but a merge queue change such branches",
    }
)
# These refuse a push of a commit that has none of it yet; a rule may let the first push of a branch pass.
_BEFORE_A_PUSH: Mapping[str, str] = MappingProxyType(
    {
        "required_status_checks": "asks for passed checks before each push to such branches",
        "workflows": "asks for passed workflows before each push to such branches",
        "code_scanning": "asks for results of code scanning before each push to such branches",
    }
)
_PATTERNS: Mapping[str, str] = MappingProxyType(
    {
        "branch_name_pattern": "the branch's name",
        "commit_message_pattern": "the commit's message",
        "commit_author_email_pattern": "the author's address",
        "committer_email_pattern": "the committer's address",
    }
)


@dataclass(frozen=True, slots=True)
class BranchRule:
    """One active rule of a branch: `kind` is GitHub's type of it, `ruleset` the id of the ruleset that has it.

    `protection` is the pattern of the branch protection that has it, where it is none of a ruleset's.
    """

    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    ruleset: int | None = None
    is_repositorys: bool = True
    protection: str | None = None


class CommitSigner(StrEnum):
    """Who signs Squire's commits, as they are made: `publishing.commits` and the kind of access decide.

    GitHub signs what its API makes for an App, and not what it makes for a person's token.
    """

    GITHUB = "github"
    NOBODY = "nobody"
    NOBODY_FOR_TOKENS = "nobody_for_tokens"


_UNSIGNED: Mapping[CommitSigner, str] = MappingProxyType(
    {
        CommitSigner.NOBODY: "asks for signed commits, and Squire's are not signed",
        CommitSigner.NOBODY_FOR_TOKENS: "asks for signed commits, and GitHub signs an App's alone, not a token's",
    }
)


@dataclass(frozen=True, slots=True)
class PushFacts:
    """What Squire would push, as far as rules look at it; None for what is not known before a task is.

    `max_file_bytes` is the largest file that the policy lets pass. `signature` says who signs the commits.
    """

    branch: str
    message: str
    email: str | None
    max_file_bytes: int | None = None
    signature: CommitSigner = CommitSigner.NOBODY


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A rule that would refuse a push, and why; `is_sure` is False where it depends on what is pushed."""

    rule: BranchRule
    reason: str
    is_sure: bool = True


async def rules_of_branch(client: GitHubClient, repository: str, branch: str) -> tuple[BranchRule, ...]:
    """Return the active rules of a branch, which need not exist. Raises GitHubError."""
    path = f"/repos/{repository}/rules/branches/{quote(branch, safe='')}"
    answer = await client.get(path, {"per_page": _PER_PAGE})
    return tuple(read_rules(answer))


def read_rules(answer: Any) -> Iterator[BranchRule]:
    """Yield the rules of GitHub's answer; what is none is passed over."""
    for entry in answer if isinstance(answer, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("type"), str):
            parameters, ruleset = entry.get("parameters"), entry.get("ruleset_id")
            yield BranchRule(
                entry["type"],
                parameters if isinstance(parameters, dict) else {},
                ruleset if isinstance(ruleset, int) else None,
                entry.get("ruleset_source_type", "Repository") == "Repository",
            )


async def without_bypassed(
    client: GitHubClient, repository: str, obstacles: Sequence[Obstacle]
) -> tuple[tuple[Obstacle, ...], Mapping[int, str]]:
    """Return the obstacles of rulesets that the token's account does not bypass, and the names of their rulesets.

    A ruleset that GitHub does not show to the token counts as one that is not bypassed.
    """
    numbers = dict.fromkeys(one.rule.ruleset for one in obstacles if one.rule.ruleset is not None)
    names: dict[int, str] = {}
    bypassed: set[int] = set()
    for number in list(numbers)[:_MAX_RULESETS]:
        try:
            answer = await client.get(f"/repos/{repository}/rulesets/{number}")
        except GitHubError:
            continue  # an organisation's, say
        if isinstance(answer, dict):
            names[number] = str(answer.get("name") or number)
            if answer.get("current_user_can_bypass") in _BYPASSES:
                bypassed.add(number)
    return tuple(one for one in obstacles if one.rule.ruleset not in bypassed), names


def obstacles(rules: Sequence[BranchRule], push: PushFacts) -> tuple[Obstacle, ...]:
    """Return which of a branch's rules would refuse a push to it."""
    return tuple(obstacle for rule in rules if (obstacle := _obstacle(rule, push)) is not None)


def merge_obstacles(rules: Sequence[BranchRule], push: PushFacts) -> tuple[Obstacle, ...]:
    """Return which rules of a base branch may refuse the merge of a pull request of ours: how it is merged decides."""
    of_commits = {"required_signatures", *_PATTERNS} - {"branch_name_pattern"}
    refusing = obstacles([rule for rule in rules if rule.kind in of_commits], push)
    return tuple(replace(obstacle, is_sure=False) for obstacle in refusing)


def _obstacle(rule: BranchRule, push: PushFacts) -> Obstacle | None:
    if rule.kind == "required_signatures":
        unsigned = _UNSIGNED.get(push.signature)
        return Obstacle(rule, unsigned) if unsigned is not None else None
    if (reason := _REFUSING.get(rule.kind)) is not None:
        return Obstacle(rule, reason)
    if (reason := _BEFORE_A_PUSH.get(rule.kind)) is not None:
        lets_first_pass = rule.parameters.get("do_not_enforce_on_create") is True or rule.protection is not None
        return Obstacle(rule, reason, is_sure=not lets_first_pass)
    if (thing := _PATTERNS.get(rule.kind)) is None:
        reason = _restriction(rule, push)
        return Obstacle(rule, reason, is_sure=False) if reason else None
    # A message is made of the task's title, so that one that fits shows little, and one that does not shows much.
    texts = {
        "branch_name_pattern": push.branch,
        "commit_message_pattern": push.message,
        "commit_author_email_pattern": push.email,
        "committer_email_pattern": push.email,
    }
    matches = matches_pattern(rule.parameters, texts[rule.kind])
    operator, pattern = rule.parameters.get("operator"), str(rule.parameters.get("pattern", ""))[:_MAX_PATTERN_CHARS]
    negation = "not " if rule.parameters.get("negate") is True else ""
    reason = f"asks that {thing} {negation}{str(operator).replace('_', ' ')} {pattern!r}"
    if matches is None:
        return Obstacle(rule, reason, is_sure=False)
    return None if matches else Obstacle(rule, reason, is_sure=rule.kind != "commit_message_pattern")


def _restriction(rule: BranchRule, push: PushFacts) -> str | None:
    """Return what a rule refuses only of some changes, or of some accounts."""
    values = rule.parameters
    limit = values.get("max_file_size")  # in megabytes
    if rule.kind == "max_file_size" and (not isinstance(limit, int) or (push.max_file_bytes or 0) <= limit * 10**6):
        return None
    endings = _listed(values.get("restricted_file_extensions"))
    reasons = {
        "non_fast_forward": "forbids to replace what an earlier attempt pushed",
        "restricted_pushes": "lets only the accounts that it names push to such branches",
        "file_path_restriction": f"takes no change of {_listed(values.get('restricted_file_paths'))}",
        "file_extension_restriction": f"takes no file that ends with {endings}",
        "max_file_path_length": f"takes no path of more than {values.get('max_file_path_length')} characters",
        "max_file_size": f"takes no file of more than {limit} MB, and the policy lets larger ones pass",
    }
    return reasons.get(rule.kind)


def _listed(values: object) -> str:
    names = [str(value)[:_MAX_PATTERN_CHARS] for value in values] if isinstance(values, list) else []
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + more


def matches_pattern(parameters: Mapping[str, Any], text: str | None) -> bool | None:
    """Return whether a text is as a pattern's rule asks; None when that cannot be told here.

    A regular expression of GitHub's (RE2) is not run: a stranger wrote it, and Python's engine may take for ever.
    """
    operator, pattern = parameters.get("operator"), parameters.get("pattern")
    if text is None or not isinstance(pattern, str):
        return None
    tests = {"starts_with": text.startswith, "ends_with": text.endswith, "contains": text.__contains__}
    if operator in tests:
        is_match = bool(tests[operator](pattern))
    elif operator == "regex" and (prefix := re.fullmatch(r"\^?((?:[A-Za-z0-9_/-]|\\[./-])+)(?:\.\*)?", pattern)):
        literal = prefix[1].replace("\\", "")  # no more than a literal, which most names' patterns begin with
        is_whole = pattern.startswith("^")
        is_match = text.startswith(literal) if is_whole else literal in text
    else:
        return None
    return is_match is not (parameters.get("negate") is True)
