"""The outcomes sensor: what deliveries say of our pull requests, and asking GitHub about those it says nothing of.

Pull requests that the policy holds are looked at when a delivery names them and whenever we ask: a person may have let
them pass.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import dagster as dg

from squire_pipelines.domain.outcomes import PullRequestReport, ReviewState
from squire_pipelines.errors import SquireError
from squire_pipelines.github.events import parse_delivery
from squire_pipelines.github.lookup import pull_request_reports
from squire_pipelines.ledger import deliveries, outcomes
from squire_pipelines.ledger.deliveries import PendingDelivery
from squire_pipelines.ledger.outcomes import Outcome
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.publishing.approval import settle_approval
from squire_pipelines.resources.github import GitHubResource
from squire_pipelines.resources.stores import LedgerResource, SettingsResource
from squire_pipelines.sensors import intervals

_OUR_BRANCHES = "squire/"
# A delivery can overtake our own record of the pull request that it is about.
_PATIENCE = timedelta(minutes=10)
_POLL_TIMEOUT_S = 40.0


@dg.sensor(
    name="outcomes",
    minimum_interval_seconds=intervals.EVERY_OTHER_LOOK,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Records what became of pull requests, from deliveries and, where none comes, by asking GitHub.",
    tags={"squire/part": "outcomes"},
    target=None,
)
def outcome_sensor(
    context: dg.SensorEvaluationContext, settings: SettingsResource, ledger: LedgerResource, github: GitHubResource
) -> dg.SkipReason:
    """Runs no job: applying a report is one small transaction, and repeating it changes nothing."""
    books = ledger.open()
    chosen = settings.load()
    applied, touched = _apply_deliveries(context, books)
    with books.write() as tx:
        due = outcomes.to_poll(tx, not_since_s=chosen.pipeline.outcome_poll_s)
        outcomes.mark_polled(tx, tuple(outcome.task_id for outcome in due))
    asked = asyncio.run(_poll(context, books, github, due)) if due else 0
    with books.read() as tx:
        held = outcomes.held(tx, {*touched, *(outcome.task_id for outcome in due)})
    approved = asyncio.run(_settle_approvals(context, books, github, held, chosen.publishing.label)) if held else 0
    said = f"applied {applied} deliveries, asked about {asked} pull requests"
    return dg.SkipReason(said + (f", {approved} of {len(held)} held ones approved" if held else ""))


def _apply_deliveries(context: dg.SensorEvaluationContext, books: Ledger) -> tuple[int, set[str]]:
    """How many deliveries were applied, and the tasks that they are about."""
    with books.read() as tx:
        waiting = deliveries.unapplied(tx)
    applied, touched = 0, set[str]()
    for delivery in waiting:
        try:
            report = parse_delivery(delivery.event, delivery.body).report
        except SquireError as error:
            context.log.warning(f"delivery {delivery.id} cannot be read: {error}")
            with books.write() as tx:
                deliveries.mark_applied(tx, [delivery.id], error=str(error))
            continue
        with books.write() as tx:
            task_id = outcomes.apply_report(tx, report, actor=f"delivery:{delivery.id}") if report else None
            if task_id is None and report is not None and _may_come(report, delivery):
                continue
            deliveries.mark_applied(tx, [delivery.id])
        applied += 1
        touched |= {task_id} if task_id else set()
    return applied, touched


def _may_come(report: PullRequestReport, delivery: PendingDelivery) -> bool:
    ours = report.head_ref.startswith(_OUR_BRANCHES)
    return ours and datetime.now(UTC) - delivery.received_at < _PATIENCE


async def _poll(
    context: dg.SensorEvaluationContext, books: Ledger, github: GitHubResource, due: tuple[Outcome, ...]
) -> int:
    by_repository: dict[str, list[int]] = {}
    for outcome in due:
        by_repository.setdefault(outcome.repository, []).append(outcome.pr_number)
    asked = 0
    try:
        async with asyncio.timeout(_POLL_TIMEOUT_S), github.client() as client:
            for repository, numbers in by_repository.items():
                try:
                    reports = await pull_request_reports(client, repository, numbers)
                except SquireError as error:
                    context.log.warning(f"{repository}: pull requests could not be asked about: {error}")
                    continue
                with books.write() as tx:
                    for report in reports.values():
                        outcomes.apply_report(tx, report, actor="poll")
                asked += len(numbers)
    except TimeoutError:
        context.log.warning(f"GitHub was too slow: asked about {asked} pull requests in {_POLL_TIMEOUT_S:g} s")
    return asked


async def _settle_approvals(
    context: dg.SensorEvaluationContext, books: Ledger, github: GitHubResource, held: tuple[Outcome, ...], label: str
) -> int:
    """See which held pull requests a permitted person let pass; those that cannot be asked about wait for the poll."""
    approved = 0
    try:
        async with asyncio.timeout(_POLL_TIMEOUT_S), github.client() as client:
            for outcome in held:
                where = f"{outcome.repository}#{outcome.pr_number}"
                try:
                    found = await settle_approval(client, outcome.repository, outcome.pr_number, label)
                except SquireError as error:
                    context.log.warning(f"{where}: its approval could not be settled: {error}")
                    continue
                for login in found.refused:
                    context.log.warning(f"{where}: {login!r} may not let it pass")
                if found.by is None:
                    continue
                with books.write() as tx:
                    approved += outcomes.record_review(
                        tx,
                        outcome.task_id,
                        ReviewState.APPROVED,
                        actor=f"github:{found.by}",
                        reason=f"{found.how} of pull request #{outcome.pr_number}",
                    )
    except TimeoutError:
        context.log.warning(f"GitHub was too slow: {approved} of {len(held)} approvals settled")
    return approved
