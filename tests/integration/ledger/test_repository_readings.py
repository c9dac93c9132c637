"""Readings of many repositories in one transaction say what they would say one after the other."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from squire_pipelines.domain.authority import ActorKind, Author, StartVerdict, TrustRules
from squire_pipelines.domain.looks import KnownRepository, RepositoryLook, RepositoryState
from squire_pipelines.domain.signals import Collection, CollectionStatus, Signal, Source
from squire_pipelines.ledger import collections, repositories
from squire_pipelines.ledger.repository_readings import RepositoryReading, mark_read, record_readings
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import collections as collection_table
from squire_pipelines.ledger.tables import signal_episodes, signal_events, signals
from tests.support.ledgers import REPOSITORY, TRACE, Clock, folder_in_memory, issue, reading, sqlite_ledger_file

OTHER = "acme/other"
RULES = TrustRules()
_SIGNALS = st.lists(
    st.builds(lambda number, version: (number, version), st.integers(1, 3), st.sampled_from(("v1", "v2"))), max_size=4
)
_READING = st.tuples(
    _SIGNALS,
    st.sampled_from((CollectionStatus.FRESH, CollectionStatus.FRESH, CollectionStatus.FAILED)),
    st.booleans(),
)
_Round = dict[tuple[str, Source], tuple[list[tuple[int, str]], CollectionStatus, bool]]
_ROUND = st.dictionaries(
    st.tuples(st.sampled_from((REPOSITORY, OTHER)), st.sampled_from((Source.OPEN_ISSUES, Source.OPEN_PRS))),
    _READING,
    min_size=1,
)


def readings_of(
    drawn: dict[tuple[str, Source], tuple[list[tuple[int, str]], CollectionStatus, bool]],
) -> list[Collection]:
    return [
        reading(
            *(issue(number, version=version, repository=name) for number, version in seen)
            if status.source_answered and source is Source.OPEN_ISSUES
            else (),
            status=status,
            repository=name,
            source=source,
            truncated=truncated,
        )
        for (name, source), (seen, status, truncated) in drawn.items()
    ]


def everything(ledger: Ledger) -> list[set[tuple[object, ...]]]:
    """The ledger's rows about signals, without what numbers and texts add."""
    episode = signal_episodes.c
    columns = (
        collection_table.c["repository", "source", "status", "signals", "changed", "ended_at"],
        signals.c["repository", "kind", "key", "version", "gone_at"],
        episode["repository", "key", "number", "version", "opened_at", "closed_at"],
    )
    events = select(episode.repository, episode.key, episode.number, signal_events.c["change"], signal_events.c["at"])
    with ledger.read() as tx:
        tables = [{tuple(row) for row in tx.execute(select(*names))} for names in columns]
        joined = events.join(signal_events, signal_events.c.episode_id == episode.id)
        return [*tables, {tuple(row) for row in tx.execute(joined)}]


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.lists(_ROUND, min_size=1, max_size=5))
def test_many_readings_at_once_are_recorded_as_each_by_itself(
    rounds: list[_Round],
) -> None:
    with folder_in_memory() as folder:
        clock = Clock()
        together, alone = [
            Ledger(f"sqlite:///{sqlite_ledger_file(Path(folder) / f'{name}.sqlite')}", clock=clock)
            for name in ("together", "alone")
        ]
        for drawn in rounds:
            seen = readings_of(drawn)
            with together.write() as tx:
                at_once = collections.record_all(tx, seen, trace_id=TRACE, run_id=None)
            one_by_one = []
            for entry in seen:
                with alone.write() as tx:
                    one_by_one.append(collections.record(tx, entry, trace_id=TRACE, run_id=None))
            assert [(row.status, row.signals, row.changed) for row in at_once] == [
                (row.status, row.signals, row.changed) for row in one_by_one
            ]
            for row in at_once:
                with together.read() as tx:
                    assert row.signals == len(active_of(tx, row.repository, row.source.kind))
            clock.forward(1)
        assert everything(together) == everything(alone)
        together.close()
        alone.close()


def active_of(tx: Transaction, repository: str, kind: str) -> Sequence[Signal]:
    return [signal for signal in collections.active_signals(tx, repository) if signal.kind == kind]


def test_no_readings_are_no_rows(ledger: Ledger) -> None:
    with ledger.write() as tx:
        assert record_readings(tx, [], rules=lambda _: RULES, trace_id=TRACE, run_id=None) == {}
        mark_read(tx, [], {}, rules=lambda _: RULES, of_all_sources=True)


def record_and_mark(ledger: Ledger, *batch: RepositoryReading, of_all_sources: bool = True) -> dict[str, str | None]:
    """Record readings of repositories that have been looked at; return the look that each is known by now."""
    with ledger.write() as tx:
        known = [
            KnownRepository(entry.repository, name=entry.repository, state=RepositoryState.PRESENT, digest="before")
            for entry in batch
        ]
        repositories.record(tx, known)
        recorded = record_readings(tx, batch, rules=lambda _: RULES, trace_id=TRACE, run_id=None)
        mark_read(tx, batch, recorded, rules=lambda _: RULES, of_all_sources=of_all_sources)
        names = [entry.repository for entry in batch]
        return {name: row.digest for name, row in repositories.known(tx, names).items()}


def look(name: str) -> RepositoryLook:
    return RepositoryLook(1, name, "now")


def test_repository_is_read_again_unless_all_its_sources_answered_and_all_people_are_known(ledger: Ledger) -> None:
    unknown = issue(1, repository="acme/unsure").model_copy(
        update={
            "author": Author(login="sly", kind=ActorKind.PERSON),
            "verdict": StartVerdict(may_start=False, reason="GitHub did not say"),
        }
    )
    readings = {
        REPOSITORY: reading(issue(1)),
        OTHER: reading(repository=OTHER, status=CollectionStatus.FAILED),
        "acme/unsure": reading(unknown, repository="acme/unsure"),
    }
    batch = [RepositoryReading(name, (entry,), look(name)) for name, entry in readings.items()]
    assert record_and_mark(ledger, *batch) == {REPOSITORY: "now", OTHER: None, "acme/unsure": None}
    read_in_part = record_and_mark(ledger, *batch, of_all_sources=False)
    assert read_in_part == {REPOSITORY: "before", OTHER: None, "acme/unsure": None}
