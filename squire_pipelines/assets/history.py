"""The assets `history/*`: the ledger's tables as people query them, published together into one DuckDB file."""

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import dagster as dg

from squire_pipelines.assets.page_urls import asset_page
from squire_pipelines.assets.plans import BUDGETS, PULL_REQUESTS, TASK_PLAN
from squire_pipelines.assets.signal_sources import DELIVERIES, HOOK_DELIVERIES, OWNERS, SOURCES, signal_key
from squire_pipelines.assets.tables import preview
from squire_pipelines.assets.task_reports import TASKS
from squire_pipelines.resources.parameters import LedgerParam, SettingsParam
from squire_pipelines.run_config import RunConfig
from squire_pipelines.traces import run_trace

if TYPE_CHECKING:
    from squire_pipelines.warehouse.publish import Publication

_SIGNALS = [signal_key(source) for source in SOURCES]
_DELIVERIES = [DELIVERIES, HOOK_DELIVERIES]
TABLES: dict[str, tuple[str, list[dg.AssetKey]]] = {
    "tasks": ("Every task with its state, cause and times.", [TASKS]),
    "attempts": ("Every attempt with its cause, evidence, timings and limits.", [TASKS, PULL_REQUESTS]),
    "task_events": ("Every change of state: who, when and why.", [TASKS]),
    "outcomes": ("What became of each pull request.", [PULL_REQUESTS]),
    "merges": ("How far Squire's own merge of each pull request has come.", [PULL_REQUESTS]),
    "base_watches": ("What the base branch's checks said after each merge.", [PULL_REQUESTS]),
    "signals": ("Every signal, when it was first and last seen, and when it was gone.", _SIGNALS),
    "signal_episodes": ("Each time that a fact was there, from its opening to its end.", _SIGNALS),
    "signal_events": ("What happened to each fact: opened, changed, gone, opened again.", _SIGNALS),
    "check_reruns": ("Failed checks that were run again before an agent was paid for them.", _SIGNALS),
    "collections": ("Every reading of every source, with what it used of the quota.", _SIGNALS),
    "plans": ("Every plan with what its checks found.", [TASK_PLAN]),
    "model_calls": ("Every call to a model with tokens, cost and latency.", [TASK_PLAN, PULL_REQUESTS]),
    "deliveries": ("Every delivery as it arrived, without its body.", _DELIVERIES),
    "delivery_effects": ("What each delivery did.", _DELIVERIES),
    "delivery_refusals": ("How many requests the receiver refused in each minute, and why.", _DELIVERIES),
    "delivery_checks": ("What each comparison with GitHub's lists of deliveries found.", [DELIVERIES]),
    "budgets": ("What was set aside for each attempt and plan, and what it used.", [BUDGETS]),
    "alerts": ("What was wrong, since when, until when, and how often people were notified.", [TASKS]),
    "audit": ("Who did what that matters for security.", [TASKS]),
}

FRESHNESS = dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=30), warn_window=timedelta(minutes=15))
"""A schedule publishes every ten minutes, whatever happens: one that is missed is a warning, two are a failure."""


class PublishConfig(RunConfig):
    """How to publish. `full` reads the whole ledger and the archive, which the job `rebuild_history` asks for."""

    full: bool = False


@dg.multi_asset(
    name="build_history",
    specs=[
        dg.AssetSpec(
            dg.AssetKey(["history", table]),
            description=text,
            group_name="history",
            kinds={"duckdb", "table"},
            owners=OWNERS,
            tags={"squire/part": "history"},
            deps=deps,
            freshness_policy=FRESHNESS,
        )
        for table, (text, deps) in TABLES.items()
    ],
)
def history_tables(
    context: dg.AssetExecutionContext,
    config: PublishConfig,
    settings: SettingsParam,
    ledger: LedgerParam,
) -> Iterator[dg.MaterializeResult[None]]:
    """Add what changed, by one consistent reading of the ledger, to a copy of the live file; rename it into place."""
    from squire_pipelines.execution.repository_settings import repository_settings
    from squire_pipelines.warehouse.schema import column_schema
    from squire_pipelines.warehouse.sharing import publish_shared

    with run_trace(context):
        limits_of = repository_settings(ledger, settings).of_all.budgets_for
        publication = publish_shared(ledger, settings, limits_of=limits_of, full=config.full)
    context.log.info(_summary(publication))
    for table in TABLES:
        key = dg.AssetKey(["history", table])
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                **asset_page(settings, key),
                "dagster/row_count": publication.rows[table],
                "dagster/uri": str(settings.home.warehouse),
                "dagster/column_schema": dg.TableSchema([dg.TableColumn(*column) for column in column_schema(table)]),
                "rows_changed": publication.changed[table],
                "mode": publication.mode,
                "seconds": publication.seconds,
                "bytes": publication.bytes,
                "watermark": publication.watermark,
                "published_at": dg.MetadataValue.timestamp(publication.published_at),
                "tables": preview(
                    ("table", "rows", "changed"),
                    ((name, rows, publication.changed[name]) for name, rows in publication.rows.items()),
                ),
                "query": dg.MetadataValue.md(f"`squire history sql 'FROM {table} LIMIT 10'`"),
            },
        )


def _summary(publication: "Publication") -> str:
    written = f"{sum(publication.changed.values())} of {sum(publication.rows.values())} rows written"
    why = f", since {publication.reason}" if publication.reason else ""
    return f"{publication.mode}{why}: {written}, {publication.bytes} bytes, {publication.seconds:.2f} s"
