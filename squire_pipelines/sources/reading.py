"""Reads the sources beside GitHub's for one repository; each is a collection of its own, whatever becomes of it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from squire_pipelines.domain.authority import StartVerdict
from squire_pipelines.domain.signals import (
    MANUAL_SOURCE,
    AnySource,
    Collection,
    CollectionStatus,
    FurtherSource,
    ManualTask,
    PluginFact,
    Signal,
)
from squire_pipelines.errors import SquireError
from squire_pipelines.home import Home, named_config
from squire_pipelines.settings.model import Settings
from squire_pipelines.sources.plugins import read_plugin
from squire_pipelines.sources.protocol import SourceContext, SourceFact
from squire_pipelines.sources.task_files import facts_of, read_folder, task_files, version_of

TASKS_FOLDER = "tasks"


def tasks_folder() -> Path:
    """Return the folder of task files: `tasks` beside the settings' file."""
    return (named_config() or Home.from_environment().config_file).parent / TASKS_FOLDER


def sources_to_read(
    settings: Settings, repository: str, sources: Mapping[FurtherSource, bool]
) -> tuple[FurtherSource, ...]:
    """Return which of these sources are read: those that the settings switch on, and task files where there are any.

    A source that left signals (the mapping says so) is read once more when it is switched off or its files are gone, so
    that they end.
    """
    filters = settings.filters_for(repository)
    return tuple(
        source
        for source, has_left in sources.items()
        if has_left or (filters.reads(source) and _is_there(settings, source))
    )


def _is_there(settings: Settings, source: FurtherSource) -> bool:
    return bool(task_files(tasks_folder())) if source == MANUAL_SOURCE else is_enabled(settings, source)


def not_chosen(
    settings: Settings, repository: str, sources: Iterable[AnySource], *, now: datetime
) -> tuple[Collection, ...]:
    """Return empty readings of those sources that the settings do not have read in this repository."""
    filters = settings.filters_for(repository)
    return tuple(
        Collection(
            repository=repository,
            source=source,
            status=CollectionStatus.FRESH,
            started_at=now,
            ended_at=now,
            requests=0,
        )
        for source in sources
        if not filters.reads(source)
    )


def is_enabled(settings: Settings, source: AnySource) -> bool:
    """Return whether the settings switch a package's source on."""
    return source.value in settings.sources and settings.sources[source.value].enabled


async def read_sources(
    settings: Settings, repository: str, sources: Iterable[FurtherSource], *, clock: Callable[[], datetime]
) -> tuple[Collection, ...]:
    """Read these sources of one repository, one after the other. Each yields exactly one collection."""
    return tuple([await _read(settings, repository, source, clock) for source in sources])


async def _read(
    settings: Settings, repository: str, source: FurtherSource, clock: Callable[[], datetime]
) -> Collection:
    started_at = clock()
    try:
        facts = await asyncio.to_thread(_facts, settings, repository, source, started_at)
    except SquireError as error:
        return Collection(
            repository=repository,
            source=source,
            status=CollectionStatus.FAILED,
            started_at=started_at,
            ended_at=clock(),
            error_code=error.code,
            error=str(error),
        )
    may_start = is_enabled(settings, source) and settings.sources[source].may_start
    return Collection(
        repository=repository,
        source=source,
        status=CollectionStatus.FRESH,
        started_at=started_at,
        ended_at=clock(),
        signals=tuple(signal_of(repository, source, fact, may_start=may_start, seen_at=started_at) for fact in facts),
    )


def _facts(settings: Settings, repository: str, source: FurtherSource, now: datetime) -> tuple[SourceFact, ...]:
    if not settings.filters_for(repository).reads(source):
        return ()
    if source == MANUAL_SOURCE:
        return facts_of(read_folder(tasks_folder()), repository, listed=settings.repositories)
    if not is_enabled(settings, source):
        return ()
    section = settings.sources[source]
    return read_plugin(source, SourceContext(repository, section.options, now), timeout_s=section.timeout_s)


def signal_of(
    repository: str, source: FurtherSource, fact: SourceFact, *, may_start: bool, seen_at: datetime
) -> Signal:
    """Return the signal of a fact. What the version does not say does not change it."""
    details: ManualTask | PluginFact
    if source == MANUAL_SOURCE:
        details = ManualTask(
            author=fact.author, body=fact.body, branch=fact.branch, allow_protected=fact.allow_protected
        )
    else:
        details = PluginFact(source=source, author=fact.author, body=fact.body, branch=fact.branch)
    return Signal(
        repository=repository,
        key=f"{source.key_prefix}{fact.key}",
        version=version_of(fact),
        title=fact.title,
        url=fact.url,
        updated_at=fact.updated_at or seen_at,
        details=details,
        verdict=_verdict(source, may_start=may_start),
    )


def _verdict(source: FurtherSource, *, may_start: bool) -> StartVerdict:
    if source == MANUAL_SOURCE:
        return StartVerdict(may_start=True, reason="it lies beside the settings, where only those write who run Squire")
    if may_start:
        return StartVerdict(may_start=True, reason=f"the settings let work start from the source {source}")
    reason = f"the settings let no work start from the source {source}: set sources.{source}.may_start"
    return StartVerdict(may_start=False, reason=f"{reason}, or release this one by `squire signals release`")
