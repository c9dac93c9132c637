"""The check of merging, where the settings switch it on: whether the token may, how, and whether a person has a say."""

import asyncio
from collections.abc import Iterator

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.domain.merging import MergeMethod
from squire_pipelines.errors import SquireError
from squire_pipelines.github.branch_protection import branch_protections
from squire_pipelines.github.branch_rules import rules_of_branch
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.merging import MergeRights, read_merge_rights
from squire_pipelines.health.github_credentials import known_access
from squire_pipelines.sections.merging import MergeSettings

_TIMEOUT_S = 10
_ASKED_REPOSITORIES = 20


def check_merging(context: CliContext) -> Iterator[Diagnosis]:
    """Ask about the first repositories of the settings in which Squire merges."""
    settings = context.settings
    merges = {name: settings.follow_for(name).merge for name in settings.repositories}
    asked = [name for name, merge in merges.items() if merge.enabled][:_ASKED_REPOSITORIES]
    access = known_access(settings)
    if access is None or not asked:
        return
    quick = settings.github.model_copy(update={"timeout_s": min(settings.github.timeout_s, _TIMEOUT_S)})

    async def ask_all() -> list[Diagnosis]:
        async with GitHubClient(quick, access, attempts=1) as client:
            return [await _ask(client, name, merges[name]) for name in asked]

    yield from asyncio.run(ask_all())


async def _ask(client: GitHubClient, repository: str, merge: MergeSettings) -> Diagnosis:
    name = f"merging {repository}"
    try:
        rights = await read_merge_rights(client, repository)
        protections = await branch_protections(client, repository)
        base = protections.default_branch
        rules = () if base is None else (*await rules_of_branch(client, repository, base), *protections.of(base))
    except SquireError as error:
        return Diagnosis.of_error(name, error)
    return judge_merging(name, rights, merge, asks_for_reviews=any(rule.kind == "pull_request" for rule in rules))


def judge_merging(name: str, rights: MergeRights, merge: MergeSettings, *, asks_for_reviews: bool) -> Diagnosis:
    """Return the line about merging in one repository.

    Args:
        name: Of the line.
        rights: What the repository and the token allow.
        merge: What the settings want.
        asks_for_reviews: Whether the default branch's protection asks for reviews.
    """
    if rights.may_write is False:
        step = "give its account write access, or set follow.merge.enabled = false"
        return Diagnosis(name, "fail", f"the token may not merge here: it has {rights.viewer_permission}", step)
    allowed = [method for method in MergeMethod if method in rights.methods]
    if not allowed or (merge.method is not None and merge.method not in allowed):
        message = f"the repository does not allow {merge.method or 'any merge method'}: it allows {_listed(allowed)}"
        return Diagnosis(name, "fail", message, "set follow.merge.method to one that it allows")
    by = f"merges by {merge.method or allowed[0]}" + (", or by auto-merge" if rights.auto_merge_allowed else "")
    if merge.approvals == 0 and not asks_for_reviews:
        step = "set follow.merge.approvals = 1, or have the branch's protection ask for a review"
        return Diagnosis(name, "warn", f"{by}, and nothing asks that a person has looked", step)
    if rights.may_write is None:
        return Diagnosis(name, "ok", f"{by}; of an App, the line about GitHub has what it may")
    is_admin = rights.viewer_permission == "ADMIN"
    passes = "; its account could pass by protections, which Squire never does" if is_admin else ""
    return Diagnosis(name, "ok", f"{by}; the token may merge{passes}")


def _listed(methods: list[MergeMethod]) -> str:
    return ", ".join(methods) or "none"
