"""Following our pull requests: what GitHub says of them, by deliveries and by asking, is recorded in the ledger.

Pull requests that the policy holds are looked at when a delivery names them and whenever GitHub is asked: a person may
have approved them. Every step may be repeated, and what GitHub says late or twice changes nothing.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy.exc import DBAPIError, StatementError

from squire_pipelines.domain.branches import is_own_branch
from squire_pipelines.domain.outcomes import ChecksState, ReviewState
from squire_pipelines.domain.requests import github_actor
from squire_pipelines.domain.reverts import commits_reverted_in
from squire_pipelines.errors import SquireError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.connection import GitHub
from squire_pipelines.github.events import ParsedDelivery, PushReport, parse_delivery
from squire_pipelines.github.pull_request_reports import REPORTS_PER_QUERY, pull_request_reports
from squire_pipelines.ledger import dashboards, deliveries, ended_pulls, outcomes, pull_reverts, vanished_pulls
from squire_pipelines.ledger.deliveries import PendingDelivery
from squire_pipelines.ledger.outcomes import Outcome
from squire_pipelines.ledger.own_pulls import is_own_report
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.observability.run_log import RunLog
from squire_pipelines.publishing.approval import settle_approval
from squire_pipelines.settings.model import Settings

# A delivery can overtake our own record of the pull request that it is about.
_PATIENCE = timedelta(minutes=10)
# Deliveries that are about none of our pull requests are ticked off together.
_MAX_UNREAD = 100
_MAX_UNREAD_AGE = timedelta(minutes=5)
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
    prefix = settings.publishing.branch_prefix
    with ledger.read() as tx:
        polls = outcomes.to_poll(tx, not_since_s=settings.pipeline.outcome_poll_s)
        if polls:
            return f"{len(polls)} pull requests are to be asked about"
        waiting = [
            (delivery, parsed)
            for delivery, parsed in _parsed(deliveries.unapplied(tx))
            if not (isinstance(parsed, ParsedDelivery) and _may_come(tx, parsed, delivery, prefix))
        ]
        ours = sum(isinstance(parsed, ParsedDelivery) and _is_ours(tx, parsed) for _, parsed in waiting)
        if ours:
            return f"{ours} deliveries are about our pull requests"
        if len(waiting) >= _MAX_UNREAD or any(tx.now - item.received_at > _MAX_UNREAD_AGE for item, _ in waiting):
            return f"{len(waiting)} deliveries were not looked at"
    return None


async def follow(ledger: Ledger, settings: Settings, github: GitHub, log: RunLog) -> FollowSummary:
    """Apply deliveries, ask GitHub about pull requests of which none was told, and settle approvals."""
    summary = FollowSummary()
    touched = _apply_deliveries(ledger, summary, log, settings.publishing.branch_prefix)
    with ledger.read() as tx:
        polls = _to_poll(tx, settings.pipeline.outcome_poll_s, [*touched.checked, *touched.moved])
        asked_at = tx.now
    if not polls and not touched.task_ids:
        return summary
    answered: set[str] = set()
    try:
        async with asyncio.timeout(_TIMEOUT_S), github.client() as client:
            answered = await _poll(ledger, client, polls.values(), summary, log)
            with ledger.read() as tx:
                waiting = outcomes.awaiting_approval(tx, {*touched.task_ids, *polls})
            summary.waiting = len(waiting)
            await _settle_approvals(ledger, client, waiting, summary, settings=settings, log=log)
    except TimeoutError:
        log.warning("GitHub was too slow: asked about %d pull requests in %g s", summary.asked, _TIMEOUT_S)
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


@dataclass(slots=True)
class _Touched:
    """The tasks that deliveries are about, and the open pull requests whose checks have changed, or whose base has."""

    task_ids: set[str] = field(default_factory=set)
    checked: list[Outcome] = field(default_factory=list)
    moved: list[Outcome] = field(default_factory=list)


def _parsed(pending: Iterable[PendingDelivery]) -> list[tuple[PendingDelivery, ParsedDelivery | SquireError]]:
    parsed: list[tuple[PendingDelivery, ParsedDelivery | SquireError]] = []
    for delivery in pending:
        try:
            parsed.append((delivery, parse_delivery(delivery.event, delivery.body, known_as=delivery.repository)))
        except SquireError as error:
            parsed.append((delivery, error))
    return parsed


def _is_ours(tx: Transaction, parsed: ParsedDelivery) -> bool:
    if parsed.dashboard:
        return True
    if parsed.checks is not None and outcomes.of_head(tx, parsed.checks.repository, parsed.checks.head_sha):
        return True
    if parsed.push is not None:
        place = parsed.push.repository, parsed.push.branch
        return bool(outcomes.of_base(tx, *place)) or (
            _takes_back(parsed.push) and ended_pulls.has_merged_into(tx, *place)
        )
    if parsed.report is None:
        return False
    reverted = parsed.reverts.numbers if parsed.reverts else ()
    return outcomes.is_ours(tx, parsed.report.repository, {parsed.report.number, *reverted}) or bool(
        reverted and pull_reverts.has_reverted(tx, parsed.report.repository, reverted)
    )


def _takes_back(push: PushReport) -> bool:
    return any(commits_reverted_in(message) for _, message in push.messages)


def _may_come(tx: Transaction, parsed: ParsedDelivery, delivery: PendingDelivery, prefix: str) -> bool:
    """Return whether the delivery is about a pull request of ours whose record is still to come."""
    report = parsed.report
    if report is None or not is_own_branch(report.head_ref, prefix):
        return False
    return tx.now - delivery.received_at < _PATIENCE and not outcomes.is_ours(tx, report.repository, {report.number})


def _apply_deliveries(ledger: Ledger, summary: FollowSummary, log: RunLog, prefix: str) -> _Touched:
    touched = _Touched()
    with ledger.read() as tx:
        pending = deliveries.unapplied(tx)
    for delivery, parsed in _parsed(pending):
        with ledger.write() as tx:
            if isinstance(parsed, SquireError):
                log.warning("delivery %s cannot be read: %s", delivery.id, parsed)
                deliveries.mark_applied(tx, [delivery.id], error=str(parsed))
                continue
            if _may_come(tx, parsed, delivery, prefix):
                continue
            error = None
            try:
                with tx.connection.begin_nested():  # applied whole or not at all
                    _apply(tx, parsed, delivery, touched)
            except (ValueError, TypeError, OverflowError, StatementError) as failure:
                # What was stored cannot be used: it must not hold up the deliveries behind it for ever.
                if isinstance(failure, DBAPIError) and failure.connection_invalidated:
                    raise
                error = f"cannot be applied: {failure}"[:500]
                log.warning("delivery %s %s", delivery.id, error)
            deliveries.mark_applied(tx, [delivery.id], error=error)
        summary.deliveries += 1
    return touched


def _apply(tx: Transaction, parsed: ParsedDelivery, delivery: PendingDelivery, touched: _Touched) -> None:
    actor = f"delivery:{delivery.id}"
    if parsed.dashboard and parsed.repository is not None:
        dashboards.wake(tx, parsed.repository)
    is_own = parsed.report is not None and is_own_report(tx, parsed.report)
    task_ids = [outcomes.apply_report(tx, parsed.report, actor=actor)] if parsed.report and is_own else []
    if parsed.report is not None and parsed.reverts is not None:
        task_ids += pull_reverts.record_revert_pull(
            tx,
            parsed.report.repository,
            parsed.reverts.numbers,
            base_branch=parsed.reverts.base_branch,
            at=parsed.report.updated_at,
            by=parsed.report.number,
            actor=actor,
        )
    if parsed.push is not None:
        place = parsed.push.repository, parsed.push.branch
        # They may be behind now, or conflict.
        touched.moved += outcomes.of_base(tx, *place)
        if _takes_back(parsed.push):
            # Whether it takes all of a merge back, git knows, which is asked in this look.
            ended_pulls.wake_reverts(tx, *place)
    touched.task_ids |= {task_id for task_id in task_ids if task_id}
    if parsed.checks is not None:
        checks = parsed.checks
        if checks.state is ChecksState.FAILED:
            outcomes.record_failed_checks(tx, checks.repository, checks.head_sha, at=delivery.received_at, actor=actor)
        # A check that passed says nothing of the others: GitHub is asked about the commit as a whole.
        touched.checked += outcomes.of_head(tx, checks.repository, checks.head_sha)


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


async def _settle_approvals(
    ledger: Ledger,
    client: GitHubClient,
    waiting: Sequence[Outcome],
    summary: FollowSummary,
    *,
    settings: Settings,
    log: RunLog,
) -> None:
    """Record which waiting pull requests a permitted person approved; one that fails waits for the next poll."""
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
        for login in approval.refused:
            log.warning("%s: %r may not approve it", where, login)
        if approval.by is None:
            continue
        with ledger.write() as tx:
            summary.approved += outcomes.record_review(
                tx,
                outcome.task_id,
                ReviewState.APPROVED,
                actor=github_actor(approval.by),
                reason=f"{approval.how} of pull request #{outcome.pr_number}",
            )
