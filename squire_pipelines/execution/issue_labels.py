"""Obeys the labels by which people approve or reject, on an issue, the tasks that are proposed for it.

Who set a label, and when, is GitHub's own record, read with the issue. A label is about what its author could see: a
task that was proposed later stays as it is. Once a task is decided about, a label has nothing more to say of it, so
that this may be repeated at each collection, and is: a question that GitHub did not answer is asked at the next.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from pydantic import JsonValue
from sqlalchemy import select

from squire_pipelines.domain.authority import Approval, Author, is_permitted_person
from squire_pipelines.domain.deliveries import Effect
from squire_pipelines.domain.requests import github_actor
from squire_pipelines.domain.signals import SignalKind
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import GitHubError
from squire_pipelines.execution.comment_commands import obey_comments
from squire_pipelines.execution.people import judged_author
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.events import parse_delivery
from squire_pipelines.ledger import bulk, collections, deliveries
from squire_pipelines.ledger.audit import record_audit, was_recorded
from squire_pipelines.ledger.deliveries import PendingDelivery
from squire_pipelines.ledger.delivery_effects import record_effect
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import task_signals, tasks
from squire_pipelines.observability.logging import Component, bound_context, get_logger
from squire_pipelines.settings.model import Settings
from squire_pipelines.webhooks.applying import cause_of, is_data

_PER_REPOSITORY = 100
_MAX_LOGGED = 500

_log = get_logger(Component.PIPELINE)


@dataclass(frozen=True, slots=True)
class _Decision:
    """A label on an issue that decides about a proposed task."""

    task_id: str
    number: str
    approval: Approval
    approves: bool


async def obey_people(
    client: GitHubClient,
    ledger: Ledger,
    settings_of: Callable[[str], Settings],
    delivery_ids: Sequence[int],
    repositories: Iterable[str],
    *,
    trace_id: str,
) -> frozenset[int]:
    """Do what people say in comments and by labels; return the deliveries of comments that are to be read again.

    See `obey_comments` and `obey_labels`.
    """
    again = await obey_comments(client, ledger, settings_of, delivery_ids)
    await obey_labels(client, ledger, settings_of, repositories, trace_id=trace_id, delivery_ids=delivery_ids)
    return again


async def obey_labels(
    client: GitHubClient,
    ledger: Ledger,
    settings_of: Callable[[str], Settings],
    repositories: Iterable[str],
    *,
    trace_id: str,
    delivery_ids: Sequence[int] = (),
) -> None:
    """Approve and reject the proposed tasks of issues as the labels on these say, which were read before.

    Args:
        client: Asks GitHub what who set a label may do.
        ledger: Has the issues and the tasks.
        settings_of: Gives the settings that hold in a repository.
        repositories: Those of the collection.
        trace_id: Of the collection.
        delivery_ids: The inbox rows that asked for it. A label that one of them told of is its effect.
    """
    told_by = _label_deliveries(ledger, delivery_ids)
    for repository in repositories:
        settings = settings_of(repository)
        with ledger.read() as tx:
            decisions = _decisions(tx, settings, repository)
        for decision in decisions:
            try:
                with bound_context(task_id=decision.task_id, repository=repository):
                    named_by = told_by.get((repository, int(decision.number), decision.approval.label.casefold()))
                    await _obey(client, ledger, settings, repository, decision, trace_id=trace_id, delivery=named_by)
            except GitHubError as error:
                _log.warning("label.not_judged", repository=repository, task=decision.task_id, cause=str(error))
            except Exception as error:  # of whatever kind: this label's, unless it is the machine's or ours
                if not is_data(error):
                    raise
                cause = cause_of(error)[:_MAX_LOGGED]
                _log.exception("label.not_obeyed", repository=repository, task=decision.task_id, cause=cause)


async def _obey(
    client: GitHubClient,
    ledger: Ledger,
    settings: Settings,
    repository: str,
    decision: _Decision,
    *,
    trace_id: str,
    delivery: PendingDelivery | None,
) -> None:
    approval = decision.approval
    author = await judged_author(client, ledger, settings, repository, approval.by) if approval.by else None
    if author is None or not is_permitted_person(author, settings.trust_rules_for(repository)):
        _refuse(ledger, repository, decision, author, trace_id=trace_id)
        return
    where = f"the label {approval.label} on #{decision.number}"
    change = bulk.approve() if decision.approves else bulk.reject(f"rejected by {where}")
    if decision.approves:
        change = replace(change, reason=f"{change.reason} by {where}")
    with ledger.write() as tx:
        # One that somebody decided about meanwhile is not proposed any more, and stays as it is.
        trace = delivery.trace_id if delivery is not None else trace_id
        report = bulk.bulk_update(tx, (decision.task_id,), change, actor=github_actor(author.login), trace_id=trace)
        if delivery is not None and not report.unmatched:
            verb = "approves" if decision.approves else "rejects"
            detail = f"{approval.label} by @{author.login} {verb} {decision.task_id}"
            subject = f"{repository}#{decision.number}"
            record_effect(tx, delivery.id, Effect.LABEL, subject, trace_id=delivery.trace_id, detail=detail)


def _label_deliveries(ledger: Ledger, ids: Sequence[int]) -> dict[tuple[str, int, str], PendingDelivery]:
    """Return the deliveries that tell of a label on an issue: by repository, issue and label, the newest of each."""
    labels: dict[tuple[str, int, str], PendingDelivery] = {}
    for delivery in deliveries.among(ledger, ids, event="issues", action="labeled"):
        try:
            parsed = parse_delivery(delivery.event, delivery.body, known_as=delivery.repository)
        except Exception as error:  # no label is taken of what cannot be read; whoever applies it records why
            if not is_data(error):
                raise
            continue
        if parsed.label is not None and delivery.repository is not None:
            key = delivery.repository, parsed.label.number, parsed.label.name.casefold()
            labels[key] = delivery.without_body()
    return labels


def _refuse(ledger: Ledger, repository: str, decision: _Decision, author: Author | None, *, trace_id: str) -> None:
    """Record that a label was not obeyed, once for each time that it was set."""
    approval = decision.approval
    login = author.login if author is not None else None
    detail: dict[str, JsonValue] = {
        "task": decision.task_id,
        "label": approval.label,
        "set_at": approval.at.isoformat(),
    }
    subject = f"{repository}#{decision.number}"
    with ledger.write() as tx:
        if was_recorded(tx, action="label.refused", subject=subject, detail=detail):
            return
        actor = github_actor(login) if login is not None else "github"
        detail |= {"reason": "it was set by somebody who may not write, or by nobody known"}
        record_audit(tx, actor=actor, action="label.refused", subject=subject, detail=detail, trace_id=trace_id)
    _log.warning("label.refused", repository=repository, number=decision.number, label=approval.label, by=login)


def _decisions(tx: Transaction, settings: Settings, repository: str) -> list[_Decision]:
    """Return what labels on open issues say of the tasks that are proposed for them."""
    proposed = tx.execute(
        select(tasks.c.id, tasks.c.created_at, task_signals.c.key)
        .join(task_signals, task_signals.c.task_id == tasks.c.id)
        .where(
            tasks.c.repository == repository,
            tasks.c.status == TaskStatus.PROPOSED,
            task_signals.c.kind == SignalKind.OPEN_ISSUE,
        )
        .order_by(tasks.c.id)
        .limit(_PER_REPOSITORY)
    ).all()
    if not proposed:
        return []
    trust = settings.trust_for(repository)
    meanings = {trust.approve_label.casefold(): True, trust.reject_label.casefold(): False}
    issues = {
        signal.key: signal.provenance.approvals
        for signal in collections.active_signals(tx, repository)
        if signal.kind is SignalKind.OPEN_ISSUE and signal.provenance is not None
    }
    decisions = []
    for row in proposed:
        newest = _newest(issues.get(row.key, ()), meanings)
        if newest is not None and newest.at > row.created_at:
            decisions.append(_Decision(row.id, row.key, newest, meanings[newest.label.casefold()]))
    return sorted(decisions, key=lambda decision: decision.approves)  # of two about one task, the no counts


def _newest(approvals: Sequence[Approval], meanings: dict[str, bool]) -> Approval | None:
    """Return the label that was set last among those that decide; of two at once, the one that rejects."""
    deciding = [approval for approval in approvals if approval.label.casefold() in meanings]
    return max(deciding, key=lambda approval: (approval.at, not meanings[approval.label.casefold()]), default=None)
