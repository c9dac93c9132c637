"""The assets `history/*`: the ledger's tables as people query them, published together into one DuckDB file."""

from collections.abc import Iterator

import dagster as dg

from squire_pipelines.assets.plans import PULL_REQUESTS, TASK_PLAN, TASKS
from squire_pipelines.assets.signals import OWNERS, signal_key
from squire_pipelines.domain.signals import Source
from squire_pipelines.resources.stores import LedgerResource, SettingsResource
from squire_pipelines.warehouse.publish import publish

_SIGNALS = [signal_key(source) for source in Source]
TABLES: dict[str, tuple[str, list[dg.AssetKey]]] = {
    "tasks": ("Every task with its state, cause and times.", [TASKS]),
    "attempts": ("Every attempt with its cause, evidence, timings and limits.", [TASKS, PULL_REQUESTS]),
    "task_events": ("Every change of state: who, when and why.", [TASKS]),
    "outcomes": ("What became of each pull request.", [PULL_REQUESTS]),
    "signals": ("Every signal, when it was first and last seen, and when it was gone.", _SIGNALS),
    "collections": ("Every reading of every source.", _SIGNALS),
    "plans": ("Every plan with what its checks found.", [TASK_PLAN]),
    "model_calls": ("Every call to a model with tokens, cost and latency.", [TASK_PLAN, PULL_REQUESTS]),
    "deliveries": ("Every delivery as it arrived, without its body.", _SIGNALS),
    "audit": ("Who did what that matters for security.", [TASKS]),
}


@dg.multi_asset(
    name="build_history",
    specs=[
        dg.AssetSpec(
            dg.AssetKey(["history", table]),
            description=text,
            group_name="history",
            kinds={"duckdb", "table"},
            owners=OWNERS,
            deps=deps,
        )
        for table, (text, deps) in TABLES.items()
    ],
)
def history_tables(settings: SettingsResource, ledger: LedgerResource) -> Iterator[dg.MaterializeResult[None]]:
    """Build the file beside the live one from one consistent reading of the ledger, then rename it into place."""
    chosen = settings.load()
    publication = publish(ledger.open(), chosen.home.warehouse, memory_limit=chosen.warehouse.memory_limit)
    for table in TABLES:
        yield dg.MaterializeResult(
            asset_key=dg.AssetKey(["history", table]),
            metadata={
                "dagster/row_count": publication.rows[table],
                "dagster/uri": str(chosen.home.warehouse),
                "seconds": publication.seconds,
                "bytes": publication.bytes,
                "watermark": publication.watermark,
                "query": dg.MetadataValue.md(f"`squire history sql 'FROM {table} LIMIT 10'`"),
            },
        )
