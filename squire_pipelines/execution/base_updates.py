"""Keeps our pull requests up to date with their bases without an agent, and finds out whose a head is that is not ours.

What is to be done, `domain.base_updates` decides; a conflict that git cannot merge becomes a task, by `following`. Each
try is recorded before it begins, and what came of it afterwards: a process that is killed leaves it to be repeated.
"""

import asyncio
from dataclasses import dataclass, field
from functools import partial

from squire_pipelines.domain.base_updates import BaseAct, ForeignHead, MergeState
from squire_pipelines.domain.outcomes import Mergeability, ReviewState
from squire_pipelines.errors import GitHubPermissionError, PublishRefusedError, SquireError
from squire_pipelines.execution.following import ACTOR, DueAct, SettingsOf, due_acts
from squire_pipelines.github.branch_updates import UpdateAnswer, update_branch
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.connection import GitHub
from squire_pipelines.github.lookup import RepositoryInfo, repository_info
from squire_pipelines.github.pulls import remove_label
from squire_pipelines.ledger import base_merges, followed_pulls, outcomes
from squire_pipelines.ledger.base_merges import HeadPair
from squire_pipelines.ledger.followed_pulls import Followed
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.run_log import RunLog
from squire_pipelines.publishing.api_commit import ApiCommits
from squire_pipelines.publishing.author import commit_author
from squire_pipelines.publishing.base_merge import BranchMerge, publish_merge, try_merge
from squire_pipelines.publishing.git_merges import MergeOfBase, updates_of_branch
from squire_pipelines.publishing.mirror import Mirror, fetch_mirror
from squire_pipelines.publishing.remote import Remote

_PER_LOOK = 20
_TIMEOUT_S = 200.0
_MOVED = "branch_moved"
_MERGES = frozenset({Mergeability.MERGEABLE, Mergeability.BEHIND})


@dataclass(frozen=True, slots=True)
class _Fetched:
    """A repository as it was fetched in this look."""

    info: RepositoryInfo
    mirror: Mirror
    remote: Remote


@dataclass(slots=True)
class BaseKeeper:
    """One look at the bases of our pull requests; each repository is fetched once in it."""

    ledger: Ledger
    github: GitHub
    client: GitHubClient
    settings_of: SettingsOf
    log: RunLog
    _fetched: dict[str, _Fetched] = field(default_factory=dict, init=False)

    async def keep(self) -> int:
        """Do what is due, and return on how many pull requests something was. What fails is tried again, a few times.

        What does not fit into the time of a look is left to the next one.
        """
        acts = due_acts(self.ledger, self.settings_of)[:_PER_LOOK]
        done = 0
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await self._remove_labels()
                for due in acts:
                    done += await self._do(due)
        except TimeoutError:
            self.log.warning("the bases of %d pull requests took over %g s", len(acts) - done, _TIMEOUT_S)
        return done

    async def _remove_labels(self) -> None:
        """Take the label of a conflict off those that have none any more, whoever resolved it."""
        with self.ledger.read() as tx:
            labelled = [
                one for one in followed_pulls.read_followed(tx) if any(merge.labelled for merge in one.base_merges)
            ]
        for followed in labelled:
            outcome = followed.outcome
            if outcome.mergeability not in _MERGES:
                continue
            label = self.settings_of(outcome.repository).follow_for(outcome.repository).conflict_label
            try:
                if label:  # without a name GitHub may take all labels off
                    await remove_label(self.client, outcome.repository, outcome.pr_number, label)
            except SquireError as error:
                self.log.warning("%s#%d: its label: %s", outcome.repository, outcome.pr_number, error)
                continue
            with self.ledger.write() as tx:
                base_merges.set_labelled(tx, outcome.task_id, labelled=False)

    async def _do(self, due: DueAct) -> bool:
        outcome = due.followed.outcome
        base_sha = None if due.step.looks_at_head else outcome.base_sha
        pair = HeadPair(outcome.task_id, outcome.head_sha, base_sha)
        with self.ledger.write() as tx:
            if not base_merges.begin(tx, pair):
                return False
        try:
            if due.step.looks_at_head:
                await self._look_at_head(due.followed, pair)
            elif due.step.act is BaseAct.UPDATE:
                await self._update(due.followed, pair)
            else:
                await self._merge(due.followed, pair)
        except SquireError as error:
            self._record_error(due.followed, pair, error)
        return True

    def _record_error(self, followed: Followed, pair: HeadPair, error: SquireError) -> None:
        has_moved = isinstance(error, PublishRefusedError) and error.reason == _MOVED
        # A rule, or a right that the token has not: asking again changes nothing.
        is_final = isinstance(error, PublishRefusedError | GitHubPermissionError) and not has_moved
        with self.ledger.write() as tx:
            base_merges.record_error(tx, pair, error.message, is_final=is_final)
            if has_moved:
                followed_pulls.ask_again(tx, pair.task_id)
        outcome = followed.outcome
        self.log.warning("%s#%d: its base: %s", outcome.repository, outcome.pr_number, error)

    async def _fetch(self, repository: str) -> _Fetched:
        if repository not in self._fetched:
            info = await repository_info(self.client, repository)
            token = await self.github.git_token(info.name)
            home = self.settings_of(repository).home
            mirror = await asyncio.to_thread(fetch_mirror, home, repository, info.clone_url, token)
            self._fetched[repository] = _Fetched(info, mirror, Remote.parse(info.clone_url, token))
        return self._fetched[repository]

    async def _look_at_head(self, followed: Followed, pair: HeadPair) -> None:
        """Find out whether somebody merely brought the branch up to date: then the head is taken as one of ours."""
        outcome = followed.outcome
        fetched = await self._fetch(outcome.repository)
        base_head = fetched.mirror.resolve(self._base_of(followed))
        look = partial(updates_of_branch, own_heads=followed.own_heads, base_head=base_head)
        merges = await asyncio.to_thread(look, fetched.mirror.path, outcome.head_sha)
        with self.ledger.write() as tx:
            if not merges:
                base_merges.record(tx, pair, ForeignHead.SOMEBODYS)
                return
            base_merges.forget_pair(tx, pair)
            for merge in merges:
                taken = HeadPair(pair.task_id, merge.branch_head, merge.base_head)
                base_merges.record(tx, taken, MergeState.TAKEN, result_sha=merge.head)
            followed_pulls.record_note(tx, followed, _taken(merges), actor=ACTOR)

    async def _update(self, followed: Followed, pair: HeadPair) -> None:
        """Have GitHub merge the base into the branch."""
        outcome = followed.outcome
        answer = await update_branch(self.client, outcome.repository, outcome.pr_number, head_sha=outcome.head_sha)
        with self.ledger.write() as tx:
            if answer is UpdateAnswer.REQUESTED:
                base_merges.record(tx, pair, MergeState.REQUESTED)
                followed_pulls.record_note(tx, followed, "GitHub is to bring its branch up to date", actor=ACTOR)
            elif answer is UpdateAnswer.CURRENT:
                base_merges.record(tx, pair, MergeState.CURRENT)
            else:
                base_merges.record_error(tx, pair, "its head is another one by now; GitHub is asked again")
            followed_pulls.ask_again(tx, pair.task_id)

    async def _merge(self, followed: Followed, pair: HeadPair) -> None:
        """Have git merge the base into the branch, and push the merge; or record which files conflict."""
        outcome, settings = followed.outcome, self.settings_of(followed.outcome.repository)
        fetched = await self._fetch(outcome.repository)
        base = self._base_of(followed)
        merge = BranchMerge(
            branch=followed.branch,
            branch_head=fetched.mirror.resolve(followed.branch),
            base=base,
            base_head=fetched.mirror.resolve(base),
            task_id=outcome.task_id,
            author=commit_author(settings.github, fetched.info.viewer),
        )
        if merge.branch_head != outcome.head_sha:
            raise PublishRefusedError("its head is another one by now; GitHub is asked again", reason=_MOVED)
        pair = self._at_base(pair, merge)
        automatic = await asyncio.to_thread(try_merge, fetched.mirror, merge)
        if automatic is None:
            self._record(pair, MergeState.CURRENT)
        elif automatic.conflicts:
            with self.ledger.write() as tx:
                base_merges.record(tx, pair, MergeState.CONFLICT, conflicts=automatic.conflicts)
        else:
            api_commits = ApiCommits(self.client, fetched.info.name) if settings.publishing.commits == "api" else None
            head_sha = await publish_merge(
                fetched.mirror,
                fetched.remote,
                merge,
                automatic,
                settings=settings.publishing,
                api_commits=api_commits,
                on_commit=partial(self._record_result, pair),
            )
            self._record_merged(followed, pair, head_sha)

    def _base_of(self, followed: Followed) -> str:
        """Return the base branch: as GitHub said last, else as the task had it."""
        return followed.outcome.base_ref or followed.base_branch

    def _at_base(self, pair: HeadPair, merge: BranchMerge) -> HeadPair:
        """Return the pair with the base's head as it was fetched, which may be newer than what GitHub said last."""
        if merge.base_head == pair.base_sha:
            return pair
        fresh = HeadPair(pair.task_id, pair.head_sha, merge.base_head)
        with self.ledger.write() as tx:
            base_merges.forget_pair(tx, pair)
            base_merges.begin(tx, fresh)
            followed_pulls.record_base(tx, pair.task_id, base_ref=merge.base, base_sha=merge.base_head)
        return fresh

    def _record(self, pair: HeadPair, state: MergeState) -> None:
        with self.ledger.write() as tx:
            base_merges.record(tx, pair, state)
            followed_pulls.ask_again(tx, pair.task_id)

    def _record_result(self, pair: HeadPair, head_sha: str) -> None:
        with self.ledger.write() as tx:
            base_merges.record_result(tx, pair, head_sha)

    def _record_merged(self, followed: Followed, pair: HeadPair, head_sha: str) -> None:
        with self.ledger.write() as tx:
            base_merges.record(tx, pair, MergeState.MERGED, result_sha=head_sha)
            outcomes.renew_head(tx, task_id=pair.task_id, head_sha=head_sha, review=ReviewState.NONE)
            followed_pulls.record_note(tx, followed, f"git merged its base: {head_sha[:12]}", actor=ACTOR)
            followed_pulls.ask_again(tx, pair.task_id)


def _taken(merges: tuple[MergeOfBase, ...]) -> str:
    last = merges[-1]
    return (
        f"{last.head[:12]} brings {last.branch_head[:12]} up to {last.base_head[:12]} of its base as git does, "
        "and nothing else: it is taken as ours"
    )
