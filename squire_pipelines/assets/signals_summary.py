"""The asset `signals/summary`: what the newest readings of all repositories say together."""

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from squire_pipelines.assets.page_urls import asset_page
from squire_pipelines.assets.signal_sources import HOOKS, OWNERS, SOURCES, signal_key
from squire_pipelines.assets.tables import preview
from squire_pipelines.domain.signals import AnySource
from squire_pipelines.partitions import REPOSITORIES
from squire_pipelines.settings.model import Settings

if TYPE_CHECKING:
    from squire_pipelines.ledger.collections import RecordedCollection
    from squire_pipelines.ledger.store import Ledger

SUMMARY = dg.AssetKey(["signals", "summary"])
signals_summary = dg.AssetSpec(
    SUMMARY,
    description="What the newest readings of all repositories say together. Reported by each cycle, changed or not.",
    group_name="signals",
    kinds={"sql"},
    owners=OWNERS,
    deps=[signal_key(source) for source in SOURCES],
)


def report_summary(context: dg.AssetExecutionContext, settings: Settings, ledger: "Ledger") -> None:
    """Report a row per repository: how many signals of each source, and which sources do not answer."""
    from squire_pipelines.ledger import collections, github_limits

    names = sorted({*settings.repositories, *context.instance.get_dynamic_partitions(REPOSITORIES)})
    with ledger.read() as tx:
        readings = collections.latest(tx, names)
        quota_left = github_limits.lowest(tx)
    by_repository: dict[str, dict[AnySource, RecordedCollection]] = defaultdict(dict)
    for reading in readings:
        by_repository[reading.repository][reading.source] = reading
    silent = [reading for reading in readings if not reading.status.source_answered]
    context.log_event(
        dg.AssetMaterialization(
            SUMMARY,
            metadata={
                "repositories": len(by_repository),
                "signals": sum(reading.signals for reading in readings),
                "sources_not_answering": len(silent),
                **{f"quota_left_{kind}": left for kind, left in quota_left.items()},
                **asset_page(settings, SUMMARY),
                "preview": preview(
                    ("repository", *(source.value for source in SOURCES)), _rows(by_repository), limit=100
                ),
                "not_answering": preview(
                    ("repository", "source", "error"), ((r.repository, r.source.value, r.error) for r in silent)
                ),
            },
        )
    )


def _rows(by_repository: dict[str, dict[AnySource, "RecordedCollection"]]) -> Iterator[tuple[object, ...]]:
    for repository, readings in sorted(by_repository.items()):
        yield (repository, *(_cell(source, readings.get(source)) for source in SOURCES))


def _cell(source: AnySource, reading: "RecordedCollection | None") -> str:
    if reading is None:
        return "nothing came" if source == HOOKS else "never read"
    return str(reading.signals) if reading.status.source_answered else f"{reading.signals} ({reading.status})"
