"""The assets `signals/*`: what is going on in each repository, read from GitHub in one run for many repositories.

Here: reading, recording and reporting per partition. Not here: how GitHub is asked (`github`), what is kept (`ledger`).
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import dagster as dg

from squire_pipelines.assets.concurrency import Batches, gather_bounded
from squire_pipelines.assets.page_urls import repository_links
from squire_pipelines.assets.signal_sources import (
    DELIVERIES,
    HOOK_DELIVERIES,
    HOOKS,
    OWNERS,
    SOURCES,
    describe_source,
    signal_key,
)
from squire_pipelines.assets.signals_summary import report_summary
from squire_pipelines.assets.tables import preview
from squire_pipelines.domain.looks import ReadReason
from squire_pipelines.domain.signals import FurtherSource, Source
from squire_pipelines.observability.logging import bound_context
from squire_pipelines.partitions import repositories
from squire_pipelines.resources.parameters import GitHubParam, LedgerParam, SettingsParam
from squire_pipelines.run_config import RunConfig
from squire_pipelines.settings.model import Settings
from squire_pipelines.traces import grouped_by_trace, run_trace, traces_by_repository

if TYPE_CHECKING:
    from squire_pipelines.domain.authority import TrustRules
    from squire_pipelines.github.connection import GitHub
    from squire_pipelines.ledger.repository_readings import RecordedReading, RepositoryReading
    from squire_pipelines.ledger.store import Ledger, Transaction

    Recorded = dict[str, tuple[RecordedReading, ...]]

CHECK = "source_answered"


class CollectConfig(RunConfig):
    """What to read: `repositories` narrows the run's partitions, `deliveries` are the inbox rows that asked for it.

    A look decides which of `repositories` have changed, unless `fresh`. A run without both, as the UI starts it, reads
    all of its partitions; one with deliveries alone reads what other senders than GitHub delivered, and nothing else.
    """

    repositories: list[str] = []
    deliveries: list[int] = []
    fresh: bool = False

    @property
    def reads_all(self) -> bool:
        """Whether everything is read and reported. A cycle reports what is new: an event costs more than a reading."""
        return self.fresh or not (self.repositories or self.deliveries)

    def names(self, partitions: Sequence[str]) -> list[str]:
        """Return the repositories that are read: of a run's partitions, where nothing says which."""
        return list(partitions if not (self.repositories or self.deliveries) else self.repositories)


@dg.multi_asset(
    name="collect_signals",
    specs=[
        dg.AssetSpec(
            signal_key(source),
            description=describe_source(source),
            group_name="signals",
            kinds={"github", "graphql"} if isinstance(source, Source) else {"python"},
            owners=OWNERS,
            deps=[HOOK_DELIVERIES if source == HOOKS else DELIVERIES],
            partitions_def=repositories,
            skippable=True,
            tags={"squire/source": source.value},
        )
        for source in SOURCES
    ],
    check_specs=[
        dg.AssetCheckSpec(
            CHECK,
            asset=signal_key(source),
            description="The source was read. A failed reading is never taken for an empty one.",
        )
        for source in SOURCES
    ],
    partitions_def=repositories,
    backfill_policy=dg.BackfillPolicy.single_run(),
    can_subset=True,
)
def collect_signals(
    context: dg.AssetExecutionContext,
    config: CollectConfig,
    settings: SettingsParam,
    ledger: LedgerParam,
    github: GitHubParam,
) -> Iterator[dg.MaterializeResult[None]]:
    """Read all sources of all repositories of the run at once, each reported as soon as it is recorded."""
    with run_trace(context) as trace_id:
        asyncio.run(_collect(context, config, settings, ledger, github, trace_id=trace_id))
    yield from ()  # the events are logged one by one, see `report_reading`


async def _collect(
    context: dg.AssetExecutionContext,
    config: CollectConfig,
    settings: Settings,
    ledger: "Ledger",
    github: "GitHub",
    *,
    trace_id: str,
) -> None:
    from squire_pipelines.ledger import deliveries

    names = config.names(context.partition_keys)
    with ledger.read() as tx:
        own_traces = deliveries.traces(tx, config.deliveries)
    trace_of = traces_by_repository(own_traces, trace_id)
    unread: frozenset[str] = frozenset()
    unheard = _collect_hooks(context, config, settings, ledger, names, trace_of=trace_of)
    if names:
        unread, unobeyed = await _collect_from_github(
            context, config, settings, ledger, github, names=names, trace_of=trace_of, trace_id=trace_id
        )
        unheard |= unobeyed
        await _collect_further(context, settings, ledger, names, reports_all=config.reads_all, trace_of=trace_of)
    with ledger.write() as tx:
        deliveries.mark_collected(tx, config.deliveries, unread=unread, unheard=unheard, traces=own_traces)
    report_summary(context, settings, ledger)


async def _collect_from_github(
    context: dg.AssetExecutionContext,
    config: CollectConfig,
    settings: Settings,
    ledger: "Ledger",
    github: "GitHub",
    *,
    names: list[str],
    trace_of: Callable[[str], str],
    trace_id: str,
) -> tuple[frozenset[str], frozenset[int]]:
    """Read GitHub's sources, and obey people there.

    Returns the repositories of which no source could be read, and the deliveries that are to be heard again.
    """
    from squire_pipelines.execution.issue_labels import obey_people
    from squire_pipelines.execution.repository_file_reading import CollectedSettings
    from squire_pipelines.execution.repository_reading import read_from_github
    from squire_pipelines.execution.second_runs import awaited, decide_reruns
    from squire_pipelines.github.cycle import begin_cycle, unread_sources
    from squire_pipelines.ledger import collections, deliveries
    from squire_pipelines.ledger import repositories as known_repositories
    from squire_pipelines.ledger.repository_readings import RepositoryReading, mark_read
    from squire_pipelines.sources.reading import not_chosen

    sources = [source for source in Source if signal_key(source) in context.selected_asset_keys]
    unread: set[str] = set()
    with ledger.read() as tx:
        left = {source: collections.repositories_with(tx, source) for source in sources}
        asked_for = deliveries.reasons(tx, config.deliveries)
    own = CollectedSettings(ledger, settings, trace_of)
    rules = own.trust_rules
    forced = dict.fromkeys(awaited(ledger, settings, names), ReadReason.SECOND_RUN) | asked_for
    if config.reads_all:
        forced = dict.fromkeys(names, ReadReason.FRESH)

    def record(batch: "Sequence[RepositoryReading]") -> None:
        also = partial(mark_read, rules=rules, of_all_sources=set(sources) == set(Source))
        recorded = _record(
            context, settings, ledger, batch, rules=rules, trace_of=trace_of, reports_all=config.reads_all, also=also
        )
        for repository, entries in recorded.items():
            if entries and not any(entry.row.status.source_answered for entry in entries):
                unread.add(repository)

    async with github.client() as client:
        cycle = await begin_cycle(
            client,
            ledger,
            names,
            settings.collection,
            forced=forced,
            trusts_recent=not config.deliveries,
            rules_of=own.reading_rules,
        )
        for repository, note in cycle.notes.items():
            context.log.warning(f"{repository}: {note}")
        with ledger.write() as tx:
            changed_meanwhile = [
                name
                for selected, unchanged in _by_sources(settings, cycle.unchanged, sources).items()
                for trace, members in grouped_by_trace(unchanged, trace_of)
                for name in known_repositories.record_unchanged(
                    tx,
                    members,
                    selected,
                    trace_id=trace,
                    run_id=context.run.run_id,
                    plan_again=bool(config.deliveries),
                )
            ]
        record(
            [
                RepositoryReading(name, unread_sources(name, sources, error, now=datetime.now(UTC)))
                for name, error in cycle.refused.items()
            ]
        )
        batches = Batches(record)

        async def read(repository: str) -> None:
            trace = trace_of(repository)
            with bound_context(repository=repository, trace_id=trace):
                look = cycle.looks.get(repository)
                holds = await own.refresh(client, repository, look)
                effective = own.of(repository)
                readings = await read_from_github(client, effective, ledger, repository, sources)
                readings = tuple(
                    [
                        await decide_reruns(client, ledger, reading, effective.ci_for(repository), trace_id=trace)
                        for reading in readings
                    ]
                )
            # What is no longer read ends, or it would be planned from for ever.
            remaining = (source for source in sources if repository in left[source])
            ended = not_chosen(settings, repository, remaining, now=datetime.now(UTC))
            await batches.add(RepositoryReading(repository, readings + ended, look if holds else None))

        due = [*cycle.to_read, *changed_meanwhile]
        await gather_bounded(due, read, limit=settings.collection.max_concurrent_repositories)
        # After the readings: an order is about the issue or pull request that was read just now.
        unheard = await obey_people(client, ledger, own.of, config.deliveries, names, trace_id=trace_id)
    return frozenset(unread), unheard


def _by_sources(
    settings: Settings, names: Sequence[str], sources: Sequence[Source]
) -> dict[tuple[Source, ...], list[str]]:
    """Return the repositories by the sources that are read in them."""
    from squire_pipelines.execution.repository_reading import sources_of

    groups: dict[tuple[Source, ...], list[str]] = defaultdict(list)
    for name in names:
        groups[sources_of(settings, name, sources)].append(name)
    return groups


def _collect_hooks(
    context: dg.AssetExecutionContext,
    config: CollectConfig,
    settings: Settings,
    ledger: "Ledger",
    names: list[str],
    *,
    trace_of: Callable[[str], str],
) -> frozenset[int]:
    """Read what other senders delivered; return the deliveries that are to be read again."""
    from squire_pipelines.execution.hook_reading import HookRecorder
    from squire_pipelines.execution.repository_settings import repository_settings

    if signal_key(HOOKS) not in context.selected_asset_keys:
        return frozenset()
    rules = repository_settings(ledger, settings).of_all.trust_rules_for
    report = partial(report_reading, context, settings)
    recorder = HookRecorder(settings, ledger, rules, context.run.run_id, report, reports_all=config.reads_all)
    return recorder.read(config.deliveries, names, trace_of)


async def _collect_further(
    context: dg.AssetExecutionContext,
    settings: Settings,
    ledger: "Ledger",
    names: list[str],
    *,
    reports_all: bool,
    trace_of: Callable[[str], str],
) -> None:
    """Read the sources beside GitHub's, whether or not anything has changed there."""
    from squire_pipelines.execution.repository_settings import repository_settings
    from squire_pipelines.github.collecting import utc_now
    from squire_pipelines.ledger import collections
    from squire_pipelines.ledger.repository_readings import RepositoryReading
    from squire_pipelines.sources.reading import read_sources, sources_to_read

    sources = [source for source in SOURCES if isinstance(source, FurtherSource) and source != HOOKS]
    selected = [source for source in sources if signal_key(source) in context.selected_asset_keys]
    own = repository_settings(ledger, settings).of_all
    with ledger.read() as tx:
        left = {source: collections.repositories_with(tx, source) for source in selected}

    def record(batch: "Sequence[RepositoryReading]") -> None:
        _record(context, settings, ledger, batch, rules=own.trust_rules_for, trace_of=trace_of, reports_all=reports_all)

    batches = Batches(record)

    async def read(repository: str) -> None:
        asked = sources_to_read(settings, repository, {source: repository in left[source] for source in selected})
        readings = await read_sources(settings, repository, asked, clock=utc_now)
        if readings:
            await batches.add(RepositoryReading(repository, readings))

    await gather_bounded(names, read, limit=settings.collection.max_concurrent_repositories)


def _record(
    context: dg.AssetExecutionContext,
    settings: Settings,
    ledger: "Ledger",
    batch: "Sequence[RepositoryReading]",
    *,
    rules: "Callable[[str], TrustRules]",
    trace_of: Callable[[str], str],
    reports_all: bool,
    also: "Callable[[Transaction, Sequence[RepositoryReading], Recorded], None] | None" = None,
) -> "Recorded":
    """Store readings, each by the trace of what asked for it, and report them; `also` is part of the transaction."""
    from squire_pipelines.ledger.repository_readings import record_readings

    recorded: Recorded = {}
    for trace_id, members in grouped_by_trace(batch, lambda reading: trace_of(reading.repository)):
        with ledger.write() as tx:
            of_trace = record_readings(tx, members, rules=rules, trace_id=trace_id, run_id=context.run.run_id)
            if also is not None:
                also(tx, members, of_trace)
        for entry in chain.from_iterable(of_trace.values()):
            if entry.row.is_news or reports_all:
                report_reading(context, settings, entry, trace_id)
        recorded |= of_trace
    return recorded


def report_reading(
    context: dg.AssetExecutionContext, settings: Settings, entry: "RecordedReading", trace_id: str
) -> None:
    """Report one source of one repository: its materialization, where it was read, and its check."""
    # Explicit events: in a run over a range, Dagster would report all partitions at the end or none.
    row, reading = entry.row, entry.reading
    key = signal_key(row.source)
    metadata: dict[str, dg.MetadataValue] = {
        "signals": dg.MetadataValue.int(row.signals),
        "changed": dg.MetadataValue.int(row.changed),
        "status": dg.MetadataValue.text(row.status.value),
        "seconds": dg.MetadataValue.float((reading.ended_at - reading.started_at).total_seconds()),
        "trace_id": dg.MetadataValue.text(trace_id),
        **repository_links(settings, row.repository, "/signals"),
    }
    if row.status.source_answered:
        rows = ((signal.ref, signal.title, signal.url) for signal in reading.signals)
        shown = {**metadata, "preview": preview(("signal", "title", "link"), rows)}
        context.log_event(dg.AssetMaterialization(key, partition=row.repository, metadata=shown))
    else:
        metadata["error"] = dg.MetadataValue.text(row.error or "unknown")
        context.log.warning(f"{row.repository}: {row.source} could not be read ({row.status}): {row.error}")
    context.log_event(
        dg.AssetCheckEvaluation(
            asset_key=key,
            check_name=CHECK,
            passed=row.status.source_answered,
            partition=row.repository,
            description=row.error or f"{row.signals} signals, {row.changed} changed",
            metadata=metadata,
        )
    )
