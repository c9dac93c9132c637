"""Verifies the audit trail: in the ledger with its archive, or in an export, which needs no ledger."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from squire_pipelines.domain.audit_chain import START, AuditBatch, AuditRow, ChainCheck, ChainProblem
from squire_pipelines.ledger.audit import rows_of_batch
from squire_pipelines.ledger.audit_sealing import chain_head, read_batches, strays
from squire_pipelines.ledger.store import Transaction

MAX_PROBLEMS = 100
"""A verdict names so many problems; whoever altered more is found by the first."""


class ArchivedRows(Protocol):
    """The rows of the audit trail that left the ledger."""

    @property
    def missing(self) -> Sequence[str]:
        """The names of the archive's files that are not there."""

    def problems(self) -> Iterator[ChainProblem]:
        """Yield what is wrong with the files that are there."""

    def rows_of(self, batch: AuditBatch) -> Mapping[int, AuditRow]:
        """Return the rows of a batch that the files have, by id."""


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """What a verification found; without `problems` the trail is whole.

    `unchecked_rows` are those of archive files that are not there: the chain has their digests. `unsealed` are rows
    that no batch has yet, of which nothing can be told.
    """

    batches: int
    rows: int
    unchecked_rows: int
    unsealed: int
    head: str
    missing_files: tuple[str, ...]
    problems: tuple[ChainProblem, ...]

    @property
    def ok(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.problems


class TrailVerification:
    """Verifies batch by batch, and stops to collect problems at `MAX_PROBLEMS`.

    Args:
        ids_in_order: See `ChainCheck`.
        expected: A digest that was kept elsewhere, which one of the batches has to have.
    """

    def __init__(self, *, ids_in_order: bool, expected: str | None = None) -> None:
        self._check = ChainCheck(ids_in_order)
        self._expected = expected
        self._has_expected = expected is None or expected == START
        self.problems: list[ChainProblem] = []

    def add(self, batch: AuditBatch, rows: Mapping[int, AuditRow], *, may_lack_rows: bool = False) -> None:
        """Verify the next batch."""
        self.report(self._check.add(batch, rows, may_lack_rows=may_lack_rows))
        self._has_expected = self._has_expected or batch.digest == self._expected

    def report(self, problems: Iterable[ChainProblem]) -> None:
        """Add problems that were found otherwise."""
        for problem in problems:
            if len(self.problems) < MAX_PROBLEMS:
                self.problems.append(problem)

    def verdict(self, *, unsealed: int, missing_files: Sequence[str] = ()) -> AuditVerdict:
        """Return the verdict after the last batch."""
        if not self._has_expected:
            message = f"no batch has the expected digest {self._expected}: batches were removed or rewritten since"
            self.report([ChainProblem(None, None, message)])
        check = self._check
        return AuditVerdict(
            check.batches,
            check.rows,
            check.unchecked_rows,
            unsealed,
            check.head,
            tuple(missing_files),
            tuple(self.problems),
        )


def rows_with_archive(tx: Transaction, batch: AuditBatch, archive: ArchivedRows | None) -> dict[int, AuditRow]:
    """Return the rows of a batch, from the ledger and those that left it."""
    rows = {row.id: row for row in rows_of_batch(tx, batch.id)}
    if batch.archived_at is not None and archive is not None and len(rows) < batch.rows:
        rows = {**archive.rows_of(batch), **rows}
    return rows


def may_lack_rows(batch: AuditBatch, archive: ArchivedRows | None) -> bool:
    """Return whether rows of a batch may be in an archive file that is not there."""
    return batch.archived_at is not None and (archive is None or bool(archive.missing))


def verify_ledger(
    tx: Transaction, *, ids_in_order: bool, archive: ArchivedRows | None = None, expected: str | None = None
) -> AuditVerdict:
    """Verify the trail as the transaction sees it, in bounded memory.

    Args:
        tx: Of the ledger.
        ids_in_order: Whether this kind of ledger hands out ids in the order of commits: SQLite does.
        archive: What has the rows that left the ledger; without it they count as unchecked.
        expected: See `TrailVerification`.
    """
    verification = TrailVerification(ids_in_order=ids_in_order, expected=expected)
    if archive is not None:
        verification.report(archive.problems())
    for batch in read_batches(tx):
        rows = rows_with_archive(tx, batch, archive)
        verification.add(batch, rows, may_lack_rows=may_lack_rows(batch, archive))
    verification.report(strays(tx))
    missing = archive.missing if archive is not None else ()
    return verification.verdict(unsealed=chain_head(tx).unsealed, missing_files=missing)
