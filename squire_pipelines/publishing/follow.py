"""Following our pull requests: what GitHub says of them, by deliveries and by asking, is recorded in the ledger.

Pull requests that the policy holds are looked at when a delivery names them and whenever GitHub is asked: a person may
have approved them. Every step may be repeated, and what GitHub says late or twice changes nothing.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from squire_pipelines.domain.deliveries import Effect
from squire_pipelines.domain.outcomes import ReviewState
from squire_pipelines.domain.requests import github_actor
from squire_pipelines.errors import SquireError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.connection import GitHub
from squire_pipelines.github.pull_request_reports import REPORTS_PER_QUERY, pull_request_reports
from squire_pipelines.ledger import outcomes, vanished_pulls
from squire_pipelines.ledger.deliveries import PendingDelivery
from squire_pipelines.ledger.delivery_effects import record_effect
from squire_pipelines.ledger.outcomes import Outcome
from squire_pipelines.ledger.own_pulls import is_own_report
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.observability.run_log import RunLog
from squire_pipelines.publishing.approval import settle_approval
from squire_pipelines.settings.model import Settings
from squire_pipelines.webhooks.applying import apply_waiting, reason_to_look

_TIMEOUT_S = 120.0
_MERGEABILITY_KNOWN_AFTER_S = 20.0


@dataclass(slots=True)
class FollowSummary:
    """What one look at our pull requests did."""

    deliveries: int = 0
    asked: int = 0
    waiting: int = 0
    approved: int = 0


def due(ledger: Ledger, settings: Settings) -> str | None:
    """Return why our pull requests need a look, None when they need none. Changes nothing."""
    with ledger.read() as tx:
        polls = outcomes.to_poll(tx, not_since_s=settings.pipeline.outcome_poll_s)
        if polls:
            return f"{len(polls)} pull requests are to be asked about"
        return reason_to_look(tx, settings)


async def follow(
    ledger: Ledger, settings: Settings, github: GitHub, log: RunLog, *, timeout_s: float = _TIMEOUT_S
) -> FollowSummary:
    """Apply deliveries, ask GitHub about pull requests of which none was told, and settle approvals.

    `timeout_s` is for all that GitHub is asked; what was not done by then is done in the next look.
    """
    summary = FollowSummary()
    applied = apply_waiting(ledger, settings, log, asks=True)
    touched, summary.deliveries = applied.touched, applied.count
    with ledger.read() as tx:
        polls = _to_poll(tx, settings.pipeline.outcome_poll_s, [*touched.checked, *touched.moved])
        asked_at = tx.now
    if not polls and not touched.reported:
        return summary
    answered: set[str] = set()
    try:
        async with asyncio.timeout(timeout_s), github.client() as client:
            answered = await _poll(ledger, client, polls.values(), summary, log)
            with ledger.read() as tx:
                waiting = outcomes.awaiting_approval(tx, {*touched.reported, *polls})
            settled = await settle_approvals(
                ledger, client, waiting, settings=settings, log=log, told_by=touched.reported
            )
            summary.waiting, summary.approved = len(waiting), settled.approved
    except TimeoutError:
        log.warning("GitHub was too slow: asked about %d pull requests in %g s", summary.asked, timeout_s)
    # Last, also where GitHub refused: a process that is killed before has to ask again, a refusal waits for its turn.
    with ledger.write() as tx:
        outcomes.postpone_failures(tx, polls.keys() - answered)
        outcomes.mark_polled(tx, tuple(polls), at=asked_at)
        # GitHub begins to find out whether they can be merged when it is asked about them, once for each move.
        unknown = outcomes.of_unknown_merge(tx, answered & {outcome.task_id for outcome in touched.moved})
        wait = max(settings.pipeline.outcome_poll_s - _MERGEABILITY_KNOWN_AFTER_S, 0.0)
        outcomes.mark_polled(tx, unknown, at=asked_at - timedelta(seconds=wait))
    return summary


def _to_poll(tx: Transaction, poll_s: float, checked: Sequence[Outcome]) -> dict[str, Outcome]:
    """Return the pull requests to ask about: those whose checks changed, those that wait for long, and a few more.

    A query costs the same with few as with many: what waits for half as long fills it, and asks for none of its own.
    """
    due = {outcome.task_id: outcome for outcome in (*outcomes.to_poll(tx, not_since_s=poll_s), *checked)}
    if not due:
        return due
    most = -(-len(due) // REPORTS_PER_QUERY) * REPORTS_PER_QUERY
    soon = outcomes.to_poll(tx, not_since_s=poll_s / 2, limit=most)
    more = [outcome for outcome in soon if outcome.task_id not in due][: most - len(due)]
    return due | {outcome.task_id: outcome for outcome in more}


async def _poll(
    ledger: Ledger, client: GitHubClient, polls: Iterable[Outcome], summary: FollowSummary, log: RunLog
) -> set[str]:
    """Ask GitHub about pull requests, and return the tasks of those that it answered about."""
    by_repository: dict[str, list[int]] = {}
    task_of: dict[tuple[str, int], str] = {}
    for outcome in polls:
        by_repository.setdefault(outcome.repository, []).append(outcome.pr_number)
        task_of[outcome.repository, outcome.pr_number] = outcome.task_id
    answered = await pull_request_reports(client, by_repository)
    for repository, error in answered.errors.items():
        log.warning("%s: pull requests could not be asked about: %s", repository, error)
    first_unread = {repository: (number, error) for (repository, number), error in reversed(answered.unread.items())}
    for repository, (number, error) in first_unread.items():
        log.warning("%s#%d, and maybe others of it, could not be asked about: %s", repository, number, error)
    with ledger.write() as tx:
        own = {pull: report for pull, report in answered.reports.items() if is_own_report(tx, report)}
        for report in own.values():
            outcomes.apply_report(tx, report, actor="poll")
        asked = {task_id for pull, task_id in task_of.items() if answered.error_of(*pull) is None}
        vanished = vanished_pulls.record_shown(
            tx,
            asked=asked,
            shown={task_of[pull] for pull in own if pull in task_of},
        )
    for (repository, number), task_id in task_of.items():
        if task_id in vanished:
            log.warning("%s#%d is left to people: %s", repository, number, vanished_pulls.VANISHED)
    summary.asked += len(asked)
    return asked


@dataclass(frozen=True, slots=True)
class SettledApprovals:
    """Which tasks' pull requests GitHub was asked about for an approval, and how many were approved."""

    answered: frozenset[str]
    approved: int


async def settle_approvals(
    ledger: Ledger,
    client: GitHubClient,
    waiting: Sequence[Outcome],
    *,
    settings: Settings,
    log: RunLog,
    told_by: Mapping[str, Sequence[PendingDelivery]],
) -> SettledApprovals:
    """Record which waiting pull requests a permitted person approved; one that fails waits for the next poll.

    Args:
        ledger: Has them.
        client: Asks GitHub, and does there what follows.
        waiting: Those that wait for an approval.
        settings: Say who may approve.
        log: Hears of what cannot be settled.
        told_by: The deliveries about tasks' pull requests: an approval is an effect of the newest.
    """
    answered: set[str] = set()
    approved = 0
    for outcome in waiting:
        where = f"{outcome.repository}#{outcome.pr_number}"
        try:
            rules = settings.trust_rules_for(outcome.repository)
            approval = await settle_approval(
                client, outcome.repository, outcome.pr_number, settings.publishing.label, rules=rules
            )
        except SquireError as error:
            log.warning("%s: its approval could not be settled: %s", where, error)
            continue
        answered.add(outcome.task_id)
        for login in approval.refused:
            log.warning("%s: %r may not approve it", where, login)
        if approval.by is None:
            continue
        with ledger.write() as tx:
            is_news = outcomes.record_review(
                tx,
                outcome.task_id,
                ReviewState.APPROVED,
                actor=github_actor(approval.by),
                reason=f"{approval.how} of pull request #{outcome.pr_number}",
            )
            approved += is_news
            for delivery in told_by.get(outcome.task_id, ())[-1:] if is_news else ():
                detail = f"approved by @{approval.by}: {approval.how}"
                record_effect(tx, delivery.id, Effect.REVIEW, where, trace_id=delivery.trace_id, detail=detail)
    return SettledApprovals(frozenset(answered), approved)
