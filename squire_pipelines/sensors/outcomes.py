"""The outcomes sensor: what deliveries say of our pull requests, and asking GitHub about those it says nothing of."""

import asyncio
from datetime import UTC, datetime, timedelta

import dagster as dg

from squire_pipelines.domain.outcomes import PullRequestReport
from squire_pipelines.errors import SquireError
from squire_pipelines.github.events import parse_delivery
from squire_pipelines.github.lookup import pull_request_reports
from squire_pipelines.ledger import deliveries, outcomes
from squire_pipelines.ledger.deliveries import PendingDelivery
from squire_pipelines.ledger.outcomes import Outcome
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.resources.github import GitHubResource
from squire_pipelines.resources.stores import LedgerResource, SettingsResource

_OUR_BRANCHES = "squire/"
# A delivery can overtake our own record of the pull request that it is about.
_PATIENCE = timedelta(minutes=10)
_POLL_TIMEOUT_S = 40.0


@dg.sensor(
    name="outcomes",
    minimum_interval_seconds=5,
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
    applied = _apply_deliveries(context, books)
    with books.write() as tx:
        due = outcomes.to_poll(tx, not_since_s=settings.load().pipeline.outcome_poll_s)
        outcomes.mark_polled(tx, tuple(outcome.task_id for outcome in due))
    asked = asyncio.run(_poll(context, books, github, due)) if due else 0
    return dg.SkipReason(f"applied {applied} deliveries, asked about {asked} pull requests")


def _apply_deliveries(context: dg.SensorEvaluationContext, books: Ledger) -> int:
    with books.read() as tx:
        waiting = deliveries.unapplied(tx)
    applied = 0
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
    return applied


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
