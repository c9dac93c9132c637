"""Judges each pull request of ours that was closed and not merged: whether its change is in the base all the same."""

import asyncio
from collections.abc import Callable

from squire_pipelines.errors import SquireError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.connection import GitHub
from squire_pipelines.github.lookup import repository_info
from squire_pipelines.ledger import outcomes
from squire_pipelines.ledger.outcomes import ClosedPull
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.run_log import RunLog
from squire_pipelines.publishing.landing import fetch_pull_head, has_landed
from squire_pipelines.publishing.mirror import fetch_mirror
from squire_pipelines.publishing.remote import Remote
from squire_pipelines.settings.model import Settings

_TIMEOUT_S = 120.0


async def judge_closed(
    ledger: Ledger, github: GitHub, client: GitHubClient, settings_of: Callable[[str], Settings], log: RunLog
) -> int:
    """Judge the closed pull requests that nobody has judged, those of a week; return how many have landed.

    One whose repository does not answer is judged at a later look; one whose commits are gone has not landed.
    """
    with ledger.read() as tx:
        closed = outcomes.closed_unjudged(tx)
    landed = 0
    for pull in closed:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                is_landed = await _judge(github, client, settings_of(pull.repository), pull)
        except (SquireError, TimeoutError) as error:
            log.warning(
                "%s#%d: whether its change is in the base is not known: %s", pull.repository, pull.number, error
            )
            continue
        with ledger.write() as tx:
            landed += outcomes.record_landing(tx, pull.task_id, landed=is_landed)
    return landed


async def _judge(github: GitHub, client: GitHubClient, settings: Settings, pull: ClosedPull) -> bool:
    info = await repository_info(client, pull.repository)
    token = await github.git_token(info.name)

    def compare() -> bool:
        mirror = fetch_mirror(settings.home, pull.repository, info.clone_url, token)
        fetch_pull_head(mirror, Remote.parse(info.clone_url, token), pull.number)
        return has_landed(mirror, base_branch=pull.base_branch, base_sha=pull.base_sha, head_sha=pull.head_sha)

    return await asyncio.to_thread(compare)
