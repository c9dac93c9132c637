"""One look at all that concerns merges of our pull requests: before, at their end without a merge, and after."""

from dataclasses import dataclass

from squire_pipelines.execution.base_watch import watch_bases
from squire_pipelines.execution.following import SettingsOf
from squire_pipelines.execution.merge_telling import tell_merges
from squire_pipelines.execution.merging import merge_pulls
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.run_log import RunLog


@dataclass(frozen=True, slots=True)
class MergeLook:
    """How many were merged or given to GitHub to merge, of how many it was said why not, how many bases were judged."""

    merged: int
    ends_told: int
    bases: int


async def look_at_merges(ledger: Ledger, client: GitHubClient, settings_of: SettingsOf, log: RunLog) -> MergeLook:
    """Merge what may be merged, say what is not, and look at the base branches after merges."""
    merged = await merge_pulls(ledger, client, settings_of, log)
    ends_told = await tell_merges(ledger, client, settings_of, log)
    return MergeLook(merged, ends_told, await watch_bases(ledger, client, settings_of, log))
