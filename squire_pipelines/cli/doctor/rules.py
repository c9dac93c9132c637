"""The check of each repository's rulesets and protections: which would refuse the branches and commits of Squire's."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.domain.identity import branch_name
from squire_pipelines.errors import GitHubNotFoundError, GitHubPermissionError, SquireError
from squire_pipelines.github.branch_protection import branch_protections
from squire_pipelines.github.branch_rules import (
    BranchRule,
    CommitSigner,
    Obstacle,
    PushFacts,
    merge_obstacles,
    obstacles,
    rules_of_branch,
    without_bypassed,
)
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.health.github_credentials import known_access

_TIMEOUT_S = 10
_ASKED_REPOSITORIES = 20
_AT_ONCE = 4
_SAMPLE_TASK = "t0000000000000"
_SAMPLE_TITLE = "Fix failing checks on main"


def check_rules(context: CliContext) -> Iterator[Diagnosis]:
    """Ask for the rules of a branch as Squire makes them, in the first repositories of the settings."""
    access = known_access(context.settings)
    if access is None or not context.settings.repositories:
        return
    github = context.settings.github
    quick = github.model_copy(update={"timeout_s": min(github.timeout_s, _TIMEOUT_S)})
    publishing = context.settings.publishing
    branch = branch_name(_SAMPLE_TASK, _SAMPLE_TITLE, publishing.branch_prefix)
    signature = CommitSigner.NOBODY
    if publishing.commits == "api":
        signature = CommitSigner.GITHUB if github.app_id else CommitSigner.NOBODY_FOR_TOKENS

    def push_to(repository: str) -> PushFacts:
        limit = context.settings.policy_for(repository).max_file_bytes
        return PushFacts(branch, _SAMPLE_TITLE, github.bot_email, limit, signature)

    async def ask_all() -> list[Diagnosis]:
        turns = asyncio.Semaphore(_AT_ONCE)
        async with GitHubClient(quick, access, attempts=1) as client:

            async def ask(repository: str) -> Diagnosis | None:
                async with turns:
                    return await _ask(client, repository, push_to(repository))

            asked = context.settings.repositories[:_ASKED_REPOSITORIES]
            return [row for row in await asyncio.gather(*map(ask, asked)) if row is not None]

    yield from asyncio.run(ask_all())


async def _ask(client: GitHubClient, repository: str, push: PushFacts) -> Diagnosis | None:
    """Return the line about one repository; None where nothing can be asked, which the check of GitHub has told."""
    name = f"rules {repository}"
    try:
        protections = await branch_protections(client, repository)
        rules = (*await rules_of_branch(client, repository, push.branch), *protections.of(push.branch))
        left, names = await without_bypassed(client, repository, obstacles(rules, push))
        base = protections.default_branch
        merging: tuple[Obstacle, ...] = ()
        if base is not None:
            of_base = (*await rules_of_branch(client, repository, base), *protections.of(base))
            merging, more = await without_bypassed(client, repository, merge_obstacles(of_base, push))
            names = {**names, **more}
    except (GitHubNotFoundError, GitHubPermissionError):
        return Diagnosis(name, "ok", "not asked: the server shows no rulesets to the token")
    except SquireError:
        return None
    return judge_rules(name, left, names, merging=merging, base=base, branch=push.branch)


def judge_rules(
    name: str,
    refusing: tuple[Obstacle, ...],
    rulesets: Mapping[int, str],
    *,
    merging: tuple[Obstacle, ...] = (),
    base: str | None = None,
    branch: str = "squire/t0",
) -> Diagnosis:
    """Return the line about one repository's rules.

    Args:
        name: Of the line.
        refusing: The rules that would refuse a push.
        rulesets: The names of the rulesets that have them, by their ids, as far as they are known.
        merging: The rules of the base branch that may refuse a merge.
        base: The base branch.
        branch: A branch as Squire makes them.
    """

    def describe(rules: Sequence[Obstacle]) -> str:
        return "; ".join(dict.fromkeys(f"{_origin(one.rule, rulesets)} {one.reason}" for one in rules))

    sure = [one for one in refusing if one.is_sure]
    texts = [describe(sure)] if sure else [f"may refuse some pushes: {describe(refusing)}"] if refusing else []
    texts += [f"may refuse merges into {base}: {describe(merging)}"] if merging else []
    if not texts:
        return Diagnosis(name, "ok", "no ruleset or branch protection refuses Squire's branches")
    if not refusing:
        step = "merge by squashing, which GitHub signs and whose message you write; or change the rule"
    else:
        ours = f"{branch.partition('/')[0]}/**"
        step = f"in the settings of the repository: exclude `{ours}` from it, or let Squire's account bypass it"
        if any(one.rule.kind == "required_signatures" for one in sure):
            step += '; or have a GitHub App make signed commits (publishing.commits = "api")'
    return Diagnosis(name, "fail" if sure else "warn", "; ".join(texts), step)


def _origin(rule: BranchRule, rulesets: Mapping[int, str]) -> str:
    if rule.protection is not None:
        return f"the branch protection of {rule.protection}"
    if ruleset := rulesets.get(rule.ruleset or 0):
        return f"the ruleset {ruleset}"
    return "a ruleset" + ("" if rule.is_repositorys else " of the owner's")
