"""Looks at base branches after a merge of ours: runs again what failed, says what a merge broke, proposes its revert.

What follows from what GitHub says is `domain.base_checks`. A revert is opened for people: Squire never merges one.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from squire_pipelines.domain.base_checks import (
    BaseVerdict,
    CommitCheck,
    MergedCommit,
    SecondRun,
    judge_base,
    takes_back,
)
from squire_pipelines.domain.failures import FailureClass
from squire_pipelines.domain.outcomes import ChecksState
from squire_pipelines.domain.pull_comment import CommentPart
from squire_pipelines.domain.reruns import Rerun
from squire_pipelines.errors import SquireError
from squire_pipelines.execution.follow_telling import published_text
from squire_pipelines.execution.following import SettingsOf
from squire_pipelines.github import merged_commits as github
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.evidence import reruns as requests
from squire_pipelines.github.merged_commits import MergedPull, RevertPull
from squire_pipelines.github.merging import read_change
from squire_pipelines.github.own_comments import put_part
from squire_pipelines.ledger import base_watches, reruns
from squire_pipelines.ledger.base_watches import RevertTry, WatchedBase
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.observability.run_log import RunLog
from squire_pipelines.publishing.merge_words import base_failed, revert_body
from squire_pipelines.sections.base_watch import AfterMergeSettings
from squire_pipelines.settings.model import Settings

_REQUEST_S = 30.0
_MAX_PER_LOOK = 20


def has_to_watch(ledger: Ledger, settings_of: SettingsOf) -> bool:
    """Return whether a base branch is to be looked at, or something to be said of one. Changes nothing."""
    with ledger.read() as tx:
        return bool(_due(tx, settings_of) or base_watches.to_revert(tx) or _to_tell(tx, settings_of))


async def watch_bases(ledger: Ledger, client: GitHubClient, settings_of: SettingsOf, log: RunLog) -> int:
    """Look at the base branches after merges; return how many verdicts are new. One that fails holds up no other."""
    with ledger.read() as tx:
        due, begun = _due(tx, settings_of), base_watches.to_revert(tx)
    verdicts = 0
    for watched in due:
        try:
            verdicts += await _look_at(ledger, client, settings_of(watched.repository), watched)
        except SquireError as error:
            log.warning("%s#%d: its base could not be looked at: %s", watched.repository, watched.number, error)
            with ledger.write() as tx:
                base_watches.postpone(tx, watched, f"its base could not be looked at: {error}"[:500])
    for watched in begun:
        try:
            pull = await github.read_merged(client, watched.repository, watched.number)
            with ledger.write() as tx:
                revert_try = base_watches.begin_revert(tx, watched)
            await _revert(ledger, client, settings_of(watched.repository), watched, pull, revert_try=revert_try)
        except SquireError as error:
            log.warning("%s#%d: its revert is not known: %s", watched.repository, watched.number, error)
    await _tell(ledger, client, settings_of, log)
    return verdicts


def _due(tx: Transaction, settings_of: SettingsOf) -> list[WatchedBase]:
    return [one for one in base_watches.due(tx) if _after_merge(settings_of, one).watch][:_MAX_PER_LOOK]


def _after_merge(settings_of: SettingsOf, watched: WatchedBase) -> AfterMergeSettings:
    return settings_of(watched.repository).follow_for(watched.repository).after_merge


async def _look_at(ledger: Ledger, client: GitHubClient, settings: Settings, watched: WatchedBase) -> bool:
    """Look at one merge's commit; return whether a verdict is known now."""
    repository = watched.repository
    pull = await github.read_merged(client, repository, watched.number)
    merge_sha = pull.merge_commit.oid if pull.merge_commit else None
    rules = settings.follow_for(repository).after_merge.rules(rerun=settings.ci_for(repository).rerun)
    commit = await _commit(ledger, client, watched, pull)
    with ledger.read() as tx:
        now = tx.now
    step = judge_base(commit, rules, merged_at=watched.merged_at, now=now)
    if step.rerun and merge_sha is not None:
        now_failed = _failed_by_run(commit.checks, step.rerun)
        wait_s = settings.ci_for(repository).rerun_wait_s
        await _run_again(ledger, client, watched, merge_sha, now_failed, wait_s=wait_s)
    with ledger.write() as tx:
        revert_try = base_watches.record_step(tx, watched, step, merge_sha=merge_sha)
    await _revert(ledger, client, settings, replace(watched, reason=step.reason), pull, revert_try=revert_try)
    return step.verdict is not BaseVerdict.WAITING


async def _commit(ledger: Ledger, client: GitHubClient, watched: WatchedBase, pull: MergedPull) -> MergedCommit:
    if pull.merge_commit is None:
        return MergedCommit(())
    merged, parent = pull.merge_commit, pull.parent
    failed = tuple(check for check in merged.checks if check.state is ChecksState.FAILED)
    touched = None
    if failed and parent is not None:
        touched = (await read_change(client, watched.repository, parent.oid, merged.oid)).paths
    with ledger.read() as tx:
        known = reruns.known(tx, watched.repository, {merged.oid})
    seconds = {
        rerun.workflow_run: SecondRun(rerun.state, rerun.check_runs, rerun.until, rerun.note)
        for rerun in known.values()
        if rerun.head_sha == merged.oid
    }
    return MergedCommit(
        checks=merged.checks,
        before=parent.checks if parent is not None else (),
        second_runs=seconds,
        failing_paths=await github.failing_paths(client, watched.repository, failed),
        touched=touched,
        is_revert=takes_back(pull.title, pull.body),
    )


def _failed_by_run(checks: Sequence[CommitCheck], runs: Sequence[int]) -> Mapping[int, tuple[CommitCheck, ...]]:
    failed = [check for check in checks if check.state is ChecksState.FAILED]
    return {run: tuple(check for check in failed if check.workflow_run == run) for run in runs}


async def _run_again(
    ledger: Ledger,
    client: GitHubClient,
    watched: WatchedBase,
    merge_sha: str,
    failed: Mapping[int, tuple[CommitCheck, ...]],
    *,
    wait_s: float,
) -> None:
    """Have failed jobs run again, each workflow's run once: readings of failed checks may ask for the same."""
    ends_at = asyncio.get_running_loop().time() + _REQUEST_S
    for workflow_run, checks in failed.items():
        with ledger.write() as tx:
            rerun = Rerun(
                repository=watched.repository,
                head_sha=merge_sha,
                workflow_run=workflow_run,
                check_runs=tuple(sorted(one.check_run for one in checks if one.check_run is not None)),
                checks=", ".join(one.name for one in checks)[:500],
                failure=FailureClass.FLAKY,
                reason=f"it fails on the merge of pull request #{watched.number}",
                requested_at=tx.now,
                until=tx.now + timedelta(seconds=wait_s),
            )
            is_claimed = reruns.claim(tx, rerun, trace_id=watched.trace_id)
        if is_claimed:
            requested = await requests.request(client, rerun, ends_at)
            with ledger.write() as tx:
                reruns.record(tx, requested)


async def _revert(
    ledger: Ledger,
    client: GitHubClient,
    settings: Settings,
    watched: WatchedBase,
    pull: MergedPull,
    *,
    revert_try: RevertTry | None,
) -> None:
    """Propose a merge's revert once; a try whose end is not known is looked for before there is another."""
    if revert_try is None:
        return
    revert = await github.find_revert(client, watched.repository, watched.number, pull)
    if revert is None and revert_try is RevertTry.LOOK:
        revert = RevertPull(error=f"none of {base_watches.MAX_REVERT_TRIES} tries had an answer")
    elif revert is None:
        place = f"{watched.repository}#{watched.number}"
        body = published_text(settings, revert_body(place, pull.base_ref_name, watched.reason))
        revert = await github.open_revert(client, watched.repository, pull, body)
    with ledger.write() as tx:
        if revert.error is not None:
            base_watches.record_revert_error(tx, watched, revert.error)
        else:
            base_watches.record_revert(tx, watched, number=revert.number, url=revert.url, by_us=revert.by_us)


def _to_tell(tx: Transaction, settings_of: SettingsOf) -> list[WatchedBase]:
    return [one for one in base_watches.to_tell(tx) if settings_of(one.repository).follow_for(one.repository).comment]


async def _tell(ledger: Ledger, client: GitHubClient, settings_of: SettingsOf, log: RunLog) -> None:
    """Say on merged pull requests what failed after them, once, in our one comment."""
    with ledger.read() as tx:
        broken = _to_tell(tx, settings_of)
    for watched in broken:
        with ledger.write() as tx:
            if not base_watches.begin_telling(tx, watched):
                continue
        text = base_failed(watched.reason, watched.merge_sha, watched.revert_number, watched.revert_error)
        error = None
        try:
            body = published_text(settings_of(watched.repository), text)
            await put_part(client, watched.repository, watched.number, CommentPart.BASE, body)
        except SquireError as failure:
            error = str(failure)
            log.warning("%s#%d: not said there: %s", watched.repository, watched.number, error)
        with ledger.write() as tx:
            base_watches.record_telling(tx, watched, error)
