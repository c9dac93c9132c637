"""Finds out how each pull request of ours ended, and whether one that was merged has been taken back since.

What follows from what GitHub and git say is `domain.pull_endings`; what is recorded is `ledger.ended_pulls`.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.pull_endings import (
    BranchCommit,
    CloseFacts,
    JudgedEnding,
    PullEnding,
    judge_close,
    judge_merge,
)
from squire_pipelines.domain.reverts import is_restored, reverting_commit
from squire_pipelines.errors import GitError, GitHubError, GitHubNotFoundError, SquireError
from squire_pipelines.execution.present_pull import record_present_pull
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.connection import GitHub
from squire_pipelines.github.lookup import repository_info
from squire_pipelines.github.pull_closings import EndingFacts, read_ending
from squire_pipelines.github.pull_request_reports import pull_request_reports
from squire_pipelines.ledger import base_watches, ended_pulls, merges, pull_reverts
from squire_pipelines.ledger.ended_pulls import EndedPull
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.run_log import RunLog
from squire_pipelines.publishing.landing import fetch_pull_head, has_landed
from squire_pipelines.publishing.merged_changes import (
    MergedBranch,
    read_commits_of_others,
    read_reverts,
    ways_to_revert,
)
from squire_pipelines.publishing.mirror import Mirror, fetch_mirror
from squire_pipelines.publishing.remote import Remote
from squire_pipelines.settings.model import Settings

_TIMEOUT_S = 120.0
_NOTHING = EndingFacts(CloseFacts())


@dataclass(slots=True)
class JudgedPulls:
    """How many pull requests were judged, and how many of them have landed elsewhere or were taken back."""

    judged: int = 0
    landed: int = 0
    reverted: int = 0


def has_to_judge(ledger: Ledger) -> bool:
    """Return whether the end of a pull request is to be judged, or a base to be looked through. Changes nothing."""
    with ledger.read() as tx:
        return bool(ended_pulls.unjudged(tx, limit=1) or ended_pulls.to_look_for_reverts(tx, limit=1))


async def judge_endings(
    ledger: Ledger, github: GitHub, client: GitHubClient, settings_of: Callable[[str], Settings], log: RunLog
) -> JudgedPulls:
    """Judge those of a week that nobody has judged, and look for reverts of those of a month.

    One whose repository does not answer is judged at a later look.
    """
    counts = JudgedPulls()
    with ledger.read() as tx:
        unjudged = ended_pulls.unjudged(tx)
    for pull in unjudged:
        # Before it is tried: what kills this process is not tried again at once.
        with ledger.write() as tx:
            ended_pulls.record_look(tx, [pull.task_id])
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                ending, facts = await _Judgement(ledger, github, client, settings_of(pull.repository), pull).judge()
        except (SquireError, TimeoutError) as error:
            log.warning("%s#%d: how it ended is not known: %s", pull.repository, pull.number, error)
            continue
        if ending is None:
            continue
        with ledger.write() as tx:
            is_recorded = ended_pulls.record_ending(
                tx,
                pull,
                ending,
                merge_sha=facts.merge_sha,
                reviewed_at=facts.reviewed_at,
                reviews=facts.reviews,
            )
            if is_recorded:
                merges.settle_judged(tx, pull.task_id, by_person=facts.merged_by_person)
                counts.judged += 1
                counts.landed += ending.ending is PullEnding.LANDED_ELSEWHERE
    counts.reverted = await _look_for_reverts(ledger, github, client, settings_of, log)
    return counts


@dataclass(frozen=True, slots=True)
class _Judgement:
    """The judgement of one pull request; git is asked only where GitHub's word does not settle it."""

    ledger: Ledger
    github: GitHub
    client: GitHubClient
    settings: Settings
    pull: EndedPull

    async def judge(self) -> tuple[JudgedEnding | None, EndingFacts]:
        """Return how it ended, and what GitHub says of it; None of one that has changed since, which is recorded."""
        try:
            facts = await read_ending(self.client, self.pull.repository, self.pull.number)
        except GitHubNotFoundError:
            facts = _NOTHING  # it is gone: what we know ourselves has to do
        if facts.state not in {None, self.pull.state}:
            # It was opened again, and perhaps merged, without our hearing of it: the next look judges what it is now.
            await record_present_pull(self.client, self.ledger, self.pull.repository, self.pull.number)
            return None, facts
        if self.pull.state is PullRequestState.MERGED:
            return judge_merge(await self._commits_of_others(facts), by=facts.merged_by), facts
        if await self._has_landed():
            reason = f"the change of pull request #{self.pull.number} is in the base"
            by = facts.close.by.login if facts.close.by else None
            return JudgedEnding(PullEnding.LANDED_ELSEWHERE, reason, by), facts
        with self.ledger.read() as tx:
            successor = ended_pulls.own_successor(tx, self.pull)
        expired = self.pull.expired_reason
        return judge_close(facts.close, self.pull.number, expired_by_us=expired, own_successor=successor), facts

    async def _commits_of_others(self, facts: EndingFacts) -> tuple[BranchCommit, ...] | None:
        pull = self.pull
        if pull.head_sha in pull.own_heads and pull.taken_up is None:
            return ()
        if pull.base_sha is None:
            return None
        branch = MergedBranch(pull.base_sha, pull.head_sha, pull.own_heads, pull.taken_up, facts.merge_sha)
        mirror = await self._fetch()
        try:
            return await asyncio.to_thread(read_commits_of_others, mirror, branch)
        except GitError:
            return None  # its commits are gone

    async def _has_landed(self) -> bool:
        base_branch, base_sha = self.pull.base_branch, self.pull.base_sha
        if base_sha is None:
            return False
        mirror = await self._fetch()
        return await asyncio.to_thread(
            has_landed, mirror, base_branch=base_branch, base_sha=base_sha, head_sha=self.pull.head_sha
        )

    async def _fetch(self) -> Mirror:
        """Return the mirror, fetched, with the pull request's commits."""
        info = await repository_info(self.client, self.pull.repository)
        token = await self.github.git_token(info.name)

        def fetch() -> Mirror:
            mirror = fetch_mirror(self.settings.home, self.pull.repository, info.clone_url, token)
            fetch_pull_head(mirror, Remote.parse(info.clone_url, token), self.pull.number)
            return mirror

        return await asyncio.to_thread(fetch)


async def _look_for_reverts(
    ledger: Ledger, github: GitHub, client: GitHubClient, settings_of: Callable[[str], Settings], log: RunLog
) -> int:
    """Look through the bases of merged pull requests for commits that take them back; return how many do."""
    with ledger.write() as tx:
        pulls = ended_pulls.to_look_for_reverts(tx)
        begun = ended_pulls.begin_look_for_reverts(tx, [pull.task_id for pull in pulls])
    reverted = 0
    for repository in dict.fromkeys(pull.repository for pull in pulls):
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                info = await repository_info(client, repository)
                token = await github.git_token(info.name)
                home = settings_of(repository).home
                mirror = await asyncio.to_thread(fetch_mirror, home, repository, info.clone_url, token)
                remote = Remote.parse(info.clone_url, token)
                own = [pull for pull in pulls if pull.repository == repository]
                for pull in own:
                    try:
                        reverted += await asyncio.to_thread(_record_reverts, ledger, mirror, remote, pull)
                    except GitError as error:  # such as one whose base is gone: it hides no other one
                        log.warning("%s#%d: whether it was taken back is not known: %s", repository, pull.number, error)
                reverted += await _ask_about_reverts(ledger, client, repository, own)
                with ledger.write() as tx:
                    ended_pulls.end_look_for_reverts(tx, [pull.task_id for pull in own], begun)
        except (SquireError, TimeoutError) as error:
            log.warning("%s: whether a merge was taken back is not known: %s", repository, error)
    return reverted


def _record_reverts(ledger: Ledger, mirror: Mirror, remote: Remote, pull: EndedPull) -> bool:
    """Record whether commits of the base take a merge back, or what took it back; return whether it is reverted now."""
    merge_sha = pull.merge_sha or ""
    reverts = read_reverts(mirror, pull.base_branch, merge_sha)
    if not reverts.effective and not reverts.undone:
        return False
    with suppress(GitHubError, GitError):  # without its commits the merge's own counts
        fetch_pull_head(mirror, remote, pull.number)
    ways = ways_to_revert(mirror, merge_sha, pull.head_sha)
    commit = reverting_commit(ways, reverts)
    with ledger.write() as tx:
        if commit is not None:
            return pull_reverts.record_revert_commit(tx, pull.task_id, commit, actor=ended_pulls.ACTOR)
        if is_restored(ways, reverts):
            pull_reverts.record_restored(tx, pull.task_id, actor=ended_pulls.ACTOR)
    return False


async def _ask_about_reverts(ledger: Ledger, client: GitHubClient, repository: str, pulls: Sequence[EndedPull]) -> int:
    """Ask about the reverts that are proposed: one that was squashed need not say in the base what it takes back."""
    with ledger.read() as tx:
        reverts = base_watches.proposed_reverts(tx, [pull.task_id for pull in pulls])
    if not reverts:
        return 0
    answered = await pull_request_reports(client, {repository: list(reverts)})
    for error in answered.errors.values():
        raise error
    bases = {pull.number: pull.base_branch for pull in pulls}
    reverted = 0
    with ledger.write() as tx:
        for (_, by), report in answered.reports.items():
            if report.state is PullRequestState.MERGED:
                number, at = reverts[by], report.updated_at
                place = {"base_branch": bases[number], "actor": ended_pulls.ACTOR}
                reverted += len(pull_reverts.record_revert_pull(tx, repository, [number], at=at, by=by, **place))
    return reverted
