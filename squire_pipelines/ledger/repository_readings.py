"""What was read of whole repositories, recorded for many of them in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from squire_pipelines.domain.authority import TrustRules
from squire_pipelines.domain.looks import RepositoryLook
from squire_pipelines.domain.signals import Collection
from squire_pipelines.domain.verdicts import awaits_permission
from squire_pipelines.ledger import collections, decisions, repositories
from squire_pipelines.ledger.collections import RecordedCollection
from squire_pipelines.ledger.store import Transaction


@dataclass(frozen=True, slots=True)
class RepositoryReading:
    """The readings of one repository's sources, and the look that they followed; None where there was none."""

    repository: str
    readings: tuple[Collection, ...]
    look: RepositoryLook | None = None


@dataclass(frozen=True, slots=True)
class RecordedReading:
    """A reading with what people decided about its signals, and its row."""

    reading: Collection
    row: RecordedCollection


def record_readings(
    tx: Transaction,
    batch: Sequence[RepositoryReading],
    *,
    rules: Callable[[str], TrustRules],
    trace_id: str,
    run_id: str | None,
) -> dict[str, tuple[RecordedReading, ...]]:
    """Store readings of different repositories, and return them by repository. `rules` are those of a repository."""
    readings = [reading for repository in batch for reading in repository.readings]
    judged = decisions.with_decisions(tx, readings, rules)
    rows = collections.record_all(tx, judged, trace_id=trace_id, run_id=run_id)
    recorded: dict[str, tuple[RecordedReading, ...]] = {repository.repository: () for repository in batch}
    for reading, row in zip(judged, rows, strict=True):
        recorded[reading.repository] += (RecordedReading(reading, row),)
    return recorded


def mark_read(
    tx: Transaction,
    batch: Sequence[RepositoryReading],
    recorded: Mapping[str, Sequence[RecordedReading]],
    *,
    rules: Callable[[str], TrustRules],
    of_all_sources: bool,
) -> None:
    """Record which repositories need not be read before they change: those all of whose sources were read.

    One with a source that did not answer, or with a person whose permission is not known, is read again in any case.
    """
    looks: dict[str, RepositoryLook | None] = {}
    for repository in batch:
        if not all(_is_whole(entry, rules) for entry in recorded[repository.repository]):
            looks[repository.repository] = None
        elif of_all_sources:
            looks[repository.repository] = repository.look
    repositories.mark_read(tx, looks)


def _is_whole(entry: RecordedReading, rules: Callable[[str], TrustRules]) -> bool:
    if not entry.row.status.source_answered:
        return False
    trust = rules(entry.reading.repository)
    return not any(awaits_permission(signal, trust) for signal in entry.reading.signals)
