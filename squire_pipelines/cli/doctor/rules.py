"""The check of each repository's rulesets: which rules would refuse the branches and commits that Squire pushes."""

import asyncio
from collections.abc import Iterator, Mapping

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.cli.doctor.access import known_access
from squire_pipelines.domain.identity import branch_name
from squire_pipelines.errors import GitHubNotFoundError, GitHubPermissionError, SquireError
from squire_pipelines.github.branch_rules import (
    Obstacle,
    PushFacts,
    obstacles,
    rules_of_branch,
    without_bypassed,
)
from squire_pipelines.github.client import GitHubClient

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
    push = PushFacts(branch_name(_SAMPLE_TASK, _SAMPLE_TITLE), _SAMPLE_TITLE, github.bot_email)

    async def ask_all() -> list[Diagnosis]:
        turns = asyncio.Semaphore(_AT_ONCE)
        async with GitHubClient(quick, access, attempts=1) as client:

            async def ask(repository: str) -> Diagnosis | None:
                async with turns:
                    return await _ask(client, repository, push)

            asked = context.settings.repositories[:_ASKED_REPOSITORIES]
            return [row for row in await asyncio.gather(*map(ask, asked)) if row is not None]

    yield from asyncio.run(ask_all())


async def _ask(client: GitHubClient, repository: str, push: PushFacts) -> Diagnosis | None:
    """Return the line about one repository; None where nothing can be asked, which the check of GitHub has told."""
    name = f"rules {repository}"
    try:
        refusing = obstacles(await rules_of_branch(client, repository, push.branch), push)
        left, names = await without_bypassed(client, repository, refusing)
    except (GitHubNotFoundError, GitHubPermissionError):
        return Diagnosis(name, "ok", "not asked: the server shows no rulesets to the token")
    except SquireError:
        return None
    return judge_rules(name, left, names)


def judge_rules(name: str, refusing: tuple[Obstacle, ...], rulesets: Mapping[int, str]) -> Diagnosis:
    """Return the line about one repository's rules.

    Args:
        name: Of the line.
        refusing: The rules that would refuse a push.
        rulesets: The names of the rulesets that have them, by their ids, as far as they are known.
    """
    if not refusing:
        return Diagnosis(name, "ok", "no ruleset refuses Squire's branches")

    def shown(one: Obstacle) -> str:
        ruleset = rulesets.get(one.rule.ruleset or 0)
        where = (
            f"the ruleset {ruleset}"
            if ruleset
            else "a ruleset" + ("" if one.rule.is_repositorys else " of the owner's")
        )
        return f"{where} {one.reason}"

    sure = [one for one in refusing if one.is_sure]
    text = "; ".join(dict.fromkeys(map(shown, sure or refusing)))
    step = "in the settings of the repository, Rules: exclude `squire/**` from it, or let Squire's account bypass it"
    return Diagnosis(name, "fail" if sure else "warn", text if sure else f"may refuse some pushes: {text}", step)
