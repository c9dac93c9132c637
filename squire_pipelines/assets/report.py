"""The asset `history/report`: how things went, as a page with plots, picture files and numbers over time."""

from datetime import UTC, timedelta

import dagster as dg
from pydantic import Field

from squire_pipelines.assets.page_urls import asset_page
from squire_pipelines.assets.signal_sources import OWNERS
from squire_pipelines.assets.tables import escape
from squire_pipelines.errors import WarehouseError
from squire_pipelines.resources.parameters import SettingsParam
from squire_pipelines.run_config import RunConfig
from squire_pipelines.settings.model import Settings
from squire_pipelines.traces import run_trace

REPORT = dg.AssetKey(["history", "report"])
_READ = ("tasks", "attempts", "outcomes", "signals", "model_calls")
_NUMBERS = (
    "created",
    "succeeded",
    "failed",
    "cancelled",
    "unfinished",
    "success_rate",
    "attempts",
    "failed_attempts",
    "pull_requests",
    "merged",
    "merged_unchanged_rate",
    "seconds_to_merge",
    "cost_usd",
    "cost_per_merged_pr",
)


class ReportConfig(RunConfig):
    """How many days before the publication the report begins."""

    days: int = Field(default=30, ge=1, le=3650)


@dg.asset(
    key=REPORT,
    group_name="history",
    kinds={"html", "duckdb"},
    owners=OWNERS,
    tags={"squire/part": "history"},
    deps=[dg.AssetKey(["history", table]) for table in _READ],
)
def report(
    context: dg.AssetExecutionContext, config: ReportConfig, settings: SettingsParam
) -> dg.MaterializeResult[None]:
    """Write throughput, success, causes of failure, cost, stages and red hours as a page, pictures and numbers."""
    from squire_pipelines.warehouse.report import page
    from squire_pipelines.warehouse.report.numbers import read_report
    from squire_pipelines.warehouse.report.sections import headline, sections
    from squire_pipelines.warehouse.sharing import readable_publication, share_publication

    home = settings.home
    cache = home.cache / "matplotlib"
    try:
        with run_trace(context):
            warehouse = readable_publication(settings, "warehouse", home.warehouse)
            numbers = read_report(warehouse, since=timedelta(days=config.days))
            page.write_page(home.report, page.html(numbers, cache=cache))
            share_publication(settings, "report", home.report, numbers.until.replace(tzinfo=UTC))
            _write_tenant_reports(settings, since=timedelta(days=config.days))
            pictures = page.write_pictures(home.report, numbers, cache=cache)
    except WarehouseError as error:
        raise dg.Failure(error.message, metadata={"hint": error.hint}) from error
    filled = [section for section in sections(numbers) if section.rows]
    context.log.info(f"{home.report}: {' '.join(section.text for section in filled)}")
    values = {name: getattr(numbers.totals, name) for name in _NUMBERS}
    return dg.MaterializeResult(
        metadata={
            **asset_page(settings, REPORT),
            # What has no value this time has no point in Dagster's plots.
            **{name: round(value, 4) for name, value in values.items() if value is not None},
            "red_hours": round(numbers.red_hours, 2),
            "since": dg.MetadataValue.timestamp(numbers.since),
            "until": dg.MetadataValue.timestamp(numbers.until),
            "dagster/uri": str(home.report),
            "headline": dg.MetadataValue.md(
                "\n".join(
                    f"- {escape(name)}: **{escape(value)}**, {escape(more)}" for name, value, more in headline(numbers)
                )
            ),
            # Paths, and no pictures: those would stay in Dagster's storage for every day.
            **{f"plot_{key}": dg.MetadataValue.path(path) for key, path in pictures.items()},
            **{f"text_{section.key}": section.text for section in filled},
        }
    )


def _write_tenant_reports(settings: Settings, *, since: timedelta) -> None:
    """Write a report for each tenant that has a warehouse by now, and remove those of tenants that are no more.

    Raises:
        WarehouseError: One cannot be read.
    """
    from squire_pipelines.warehouse.report import page
    from squire_pipelines.warehouse.report.numbers import read_report
    from squire_pipelines.warehouse.sharing import readable_publication, share_publication

    home = settings.home
    tenants = settings.tenant_names if settings.tenants else ()
    for left in set(home.data.glob("report-*.html")) - {home.report_of(tenant) for tenant in tenants}:
        left.unlink(missing_ok=True)
    for tenant in tenants:
        path = home.warehouse_of(tenant)
        warehouse = readable_publication(settings, path.stem, path)
        if warehouse.exists():
            numbers, written = read_report(warehouse, since=since), home.report_of(tenant)
            page.write_page(written, page.html(numbers, cache=home.cache / "matplotlib"))
            share_publication(settings, written.stem, written, numbers.until.replace(tzinfo=UTC))
