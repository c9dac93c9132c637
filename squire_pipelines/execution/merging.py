"""Merges our own pull requests where the settings want that and every condition holds; takes back what no longer may.

What to do, `domain.merging` decides. GitHub is asked of a pull request when the ledger knows something new of it, and
otherwise now and then: quiet hours end, and some approvals make no news.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from squire_pipelines.domain.authority import TrustRules, is_permitted_person
from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.merging import (
    MergeDecision,
    MergeFacts,
    MergeProgress,
    MergeRules,
    MergeWay,
    OwnMerge,
    armed_reason,
    decide_merge,
    next_look,
)
from squire_pipelines.errors import SquireError
from squire_pipelines.execution.following import SettingsOf
from squire_pipelines.execution.present_pull import record_present_pull
from squire_pipelines.github import merging as github
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.judging import author_with_permission
from squire_pipelines.github.merging import MergeReading, MergeRefused
from squire_pipelines.ledger import followed_pulls, merges
from squire_pipelines.ledger.followed_pulls import Followed
from squire_pipelines.ledger.merges import RecordedMerge
from squire_pipelines.ledger.outcomes import Outcome
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.observability.run_log import RunLog

_LOOK_AGAIN = timedelta(minutes=30)
_SOON = timedelta(minutes=5)
_MAX_PER_LOOK = 50
_PENDING = frozenset({MergeProgress.REQUESTED, MergeProgress.ARMED})


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A pull request that is looked at for its merge, with the conditions of its repository."""

    followed: Followed
    rules: MergeRules
    trust: TrustRules
    known: RecordedMerge | None

    @property
    def own(self) -> OwnMerge:
        """What Squire did about its merge."""
        return self.known.own if self.known is not None else OwnMerge()


def has_to_merge(ledger: Ledger, settings_of: SettingsOf) -> bool:
    """Return whether GitHub is to be asked about a merge. Changes nothing."""
    with ledger.read() as tx:
        return bool(_candidates(tx, settings_of, limit=1))


async def merge_pulls(ledger: Ledger, client: GitHubClient, settings_of: SettingsOf, log: RunLog) -> int:
    """Look at the pull requests that may be merged, and merge those that may; one that fails holds up no other.

    Returns:
        How many were merged, or given to GitHub to merge.
    """
    with ledger.write() as tx:
        merges.settle_ended(tx)
    with ledger.read() as tx:
        candidates = _candidates(tx, settings_of, limit=_MAX_PER_LOOK)
    asked = 0
    for candidate in candidates:
        outcome = candidate.followed.outcome
        try:
            asked += await _look_at(ledger, client, candidate)
        except SquireError as error:
            with ledger.write() as tx:
                merges.postpone(tx, outcome, judged_facts=_judged_by(outcome), look_at=tx.now + _SOON)
            log.warning("%s#%d: its merge could not be looked at: %s", outcome.repository, outcome.pr_number, error)
    return asked


def _candidates(tx: Transaction, settings_of: SettingsOf, *, limit: int) -> list[_Candidate]:
    """Return the pull requests of which something is new, or which were not looked at for a while."""
    due: list[_Candidate] = []
    followed_ones = followed_pulls.read_followed(tx)
    known = merges.recorded(tx, [one.outcome.task_id for one in followed_ones])
    for followed in followed_ones:
        outcome, record = followed.outcome, known.get(followed.outcome.task_id)
        is_pending = record is not None and record.own.progress in _PENDING
        if not is_pending and outcome.follow_state != FollowState.WAITING_FOR_MERGE:
            continue
        settings = settings_of(outcome.repository)
        merge = settings.follow_for(outcome.repository).merge
        if not (merge.enabled or is_pending) or not _is_due(record, outcome, tx.now):
            continue
        rules = merge.rules(settings.policy_for(outcome.repository).protected_paths)
        due.append(_Candidate(followed, rules, settings.trust_rules_for(outcome.repository), record))
        if len(due) >= limit:
            break
    return due


def _is_due(record: RecordedMerge | None, outcome: Outcome, now: datetime) -> bool:
    if record is None or record.judged_facts != _judged_by(outcome):
        return True
    return record.look_at is not None and record.look_at <= now


def _judged_by(outcome: Outcome) -> str:
    """Return a text that changes with what the ledger knows of a pull request that matters for its merge."""
    facts = (outcome.head_sha, outcome.follow_state, outcome.checks, outcome.review_state, outcome.mergeability)
    return "\n".join(map(str, (*facts, outcome.review_decision, outcome.draft, outcome.forge_updated_at)))


async def _look_at(ledger: Ledger, client: GitHubClient, candidate: _Candidate) -> bool:
    """Do what is to be done about one merge; return whether GitHub merged it, or has it now to merge."""
    outcome = candidate.followed.outcome
    reading = await github.read_before_merge(client, outcome.repository, outcome.pr_number)
    pull = reading.pull_request
    if not pull.is_open:
        await _record_end(ledger, client, outcome)
        return False
    with ledger.read() as tx:
        now = tx.now
    facts = await _facts(client, candidate, reading)
    decision = decide_merge(facts, candidate.rules, candidate.own, now)
    if decision.takes_back and decision.way is not None:
        with ledger.write() as tx:
            merges.begin_taking_back(tx, outcome)
        await github.take_back(client, outcome.repository, pull.id, decision.way)
    if decision.progress is MergeProgress.REQUESTED and decision.method is not None and decision.way is not None:
        return await _ask(ledger, client, candidate, reading, decision)
    with ledger.write() as tx:
        look_at = next_look(candidate.rules, tx.now, _SOON if facts.head_sha != facts.known_head else _LOOK_AGAIN)
        merges.record_decision(tx, outcome, decision, judged_facts=_judged_by(outcome), look_at=look_at)
        _show(tx, candidate.followed, decision.reason)
    return False


async def _facts(client: GitHubClient, candidate: _Candidate, reading: MergeReading) -> MergeFacts:
    """Put together what is known of a pull request; its files are read of the head that is judged."""
    outcome, pull = candidate.followed.outcome, reading.pull_request
    change = await github.read_change(client, outcome.repository, pull.base_ref_name, pull.head_ref_oid)
    approvals = 0
    for author in pull.approvers if candidate.rules.approvals else ():
        known = await author_with_permission(client, outcome.repository, author)
        approvals += is_permitted_person(known, candidate.trust)
    return MergeFacts(
        stands=FollowState(outcome.follow_state or FollowState.WAITING_FOR_CI),
        head_sha=pull.head_ref_oid,
        known_head=outcome.head_sha,
        draft=pull.is_draft,
        checks=pull.checks,
        status=pull.status,
        review=pull.review,
        approvals=approvals,
        objectors=pull.objectors,
        open_threads=pull.open_threads,
        judgements=pull.judgements(candidate.trust.bots, candidate.followed.pushed_at(pull.head_ref_oid)),
        paths=change.paths,
        files=change.files,
        lines=change.lines,
        methods=reading.methods,
        has_queue=pull.is_merge_queue_enabled,
        may_auto_merge=reading.may_auto_merge,
        may_write=reading.may_write,
        is_armed=pull.is_armed,
        unarmed_by=pull.unarmed_by,
    )


async def _ask(
    ledger: Ledger, client: GitHubClient, candidate: _Candidate, reading: MergeReading, decision: MergeDecision
) -> bool:
    """Ask GitHub for a merge, and record what came of it; return whether it is merged, or GitHub's to merge now."""
    outcome, pull = candidate.followed.outcome, reading.pull_request
    way, method, head_sha = decision.way, decision.method, pull.head_ref_oid
    if way is None or method is None:
        return False
    with ledger.write() as tx:
        if not merges.begin_request(tx, outcome, decision, head_sha):
            return False
    place = (client, outcome.repository)
    if way is MergeWay.DIRECT:
        answer = await github.merge_at(*place, outcome.pr_number, head_sha=head_sha, method=method)
        if isinstance(answer, str):
            with ledger.write() as tx:
                merges.record_merged(tx, outcome, merge_sha=answer)
            await _record_end(ledger, client, outcome)
            return True
        refused = answer
    else:
        refusal = await github.ask_to_merge(*place, pull.id, way, head_sha=head_sha, method=method)
        # A request whose answer was lost was sent again, and refused since the first had been heard.
        if refusal is None or await _has_it(client, outcome, head_sha):
            armed = armed_reason(way)
            with ledger.write() as tx:
                look_at = next_look(candidate.rules, tx.now, _LOOK_AGAIN)
                merges.record_armed(tx, outcome, armed, judged_facts=_judged_by(outcome), look_at=look_at)
                _show(tx, candidate.followed, armed)
            return True
        refused = refusal
    _record_refusal(ledger, candidate.followed, refused)
    return False


async def _has_it(client: GitHubClient, outcome: Outcome, head_sha: str) -> bool:
    pull = (await github.read_before_merge(client, outcome.repository, outcome.pr_number)).pull_request
    return pull.is_armed and pull.head_ref_oid == head_sha


def _record_refusal(ledger: Ledger, followed: Followed, refused: MergeRefused) -> None:
    outcome = followed.outcome
    with ledger.write() as tx:
        if refused.has_moved:
            moved = MergeDecision(MergeProgress.WAITING, "waits for what GitHub says of its new head")
            merges.record_decision(tx, outcome, moved, judged_facts=_judged_by(outcome), look_at=tx.now + _SOON)
            _show(tx, followed, moved.reason)
        else:
            merges.record_refusal(
                tx, outcome, refused.reason, judged_facts=_judged_by(outcome), for_good=refused.for_good
            )
            _show(tx, followed, refused.reason)


async def _record_end(ledger: Ledger, client: GitHubClient, outcome: Outcome) -> None:
    """Record at once that a pull request is merged; a delivery or the next poll says so otherwise."""
    await record_present_pull(client, ledger, outcome.repository, outcome.pr_number, actor=merges.ACTOR)


def _show(tx: Transaction, followed: Followed, reason: str) -> None:
    """Record what a merge waits for where the pull request stands, as the follower would at its next look."""
    if followed.outcome.follow_state == FollowState.WAITING_FOR_MERGE:
        followed_pulls.record_state(tx, followed, FollowState.WAITING_FOR_MERGE, reason)
