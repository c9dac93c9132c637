"""The hash chain of the audit trail: rows have digests, batches of rows name them, each batch names the one before.

Pure: the ledger seals rows into batches and reads them, an export has both; the rules here check either.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from squire_pipelines.domain.moments import moment_text

FORMAT = 1
"""Part of every digest; grows when rows or batches are written in another way."""

START = "0" * 64
"""What the first batch names as the digest of the batch before."""


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row of the audit trail; `batch` is the number of the batch that it is sealed in."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any]
    trace_id: str | None
    batch: int | None = None

    def digest(self) -> str:
        """Return the SHA-256 of all that the row says, as 64 hexadecimal digits. Its batch is no part of it."""
        moment = moment_text(self.at)
        return _digest([FORMAT, self.id, moment, self.actor, self.action, self.subject, self.detail, self.trace_id])


@dataclass(frozen=True, slots=True)
class AuditBatch:
    """Rows that were sealed together: `members` has the id and the digest of each, in the order of ids.

    `archived_at` is when its rows began to move to the archive; it is no part of the digest.
    """

    id: int
    first_id: int
    last_id: int
    rows: int
    members: Sequence[Sequence[Any]]
    previous: str
    digest: str
    sealed_at: datetime
    archived_at: datetime | None = None

    def computed_digest(self) -> str:
        """Return the SHA-256 of the batch as it stands, which is `digest` unless it was altered."""
        moment = moment_text(self.sealed_at)
        members = [list(member) for member in self.members]
        return _digest([FORMAT, self.id, self.previous, self.first_id, self.last_id, self.rows, moment, members])


def make_batch(rows: Sequence[AuditRow], previous: AuditBatch | None, sealed_at: datetime) -> AuditBatch:
    """Return the batch that follows `previous` and has these rows, which are at least one and in the order of ids."""
    batch = AuditBatch(
        id=previous.id + 1 if previous else 1,
        first_id=rows[0].id,
        last_id=rows[-1].id,
        rows=len(rows),
        members=[[row.id, row.digest()] for row in rows],
        previous=previous.digest if previous else START,
        digest="",
        sealed_at=sealed_at,
    )
    values = {name: getattr(batch, name) for name in AuditBatch.__slots__}
    return AuditBatch(**values | {"digest": batch.computed_digest()})


@dataclass(frozen=True, slots=True)
class ChainProblem:
    """What is wrong with the trail, at which batch and which row; None where it is of no single one."""

    batch: int | None
    row: int | None
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(slots=True)
class ChainCheck:
    """Checks batches one after another, as they are given, and counts what it has seen.

    Args:
        ids_in_order: Whether ids grow with the order of sealing, as on SQLite. On Postgres a transaction that began
            earlier may end later, so that its row with a lower id is sealed in a later batch.
    """

    ids_in_order: bool
    batches: int = 0
    rows: int = 0
    unchecked_rows: int = 0
    head: str = START
    _last: int = 0
    _last_row: int = 0

    def add(
        self, batch: AuditBatch, rows: Mapping[int, AuditRow], *, may_lack_rows: bool = False
    ) -> Iterator[ChainProblem]:
        """Yield what is wrong with the next batch and its rows.

        Args:
            batch: In the order in which they are kept.
            rows: All rows that are said to be in it, by id.
            may_lack_rows: Its rows are in an archive of which a part is not there.
        """
        if batch.id != self._last + 1:
            yield ChainProblem(batch.id, None, _gap(self._last, batch.id))
        if batch.previous != self.head:
            message = f"batch {batch.id} does not follow the batch before it: one was removed, replaced or moved"
            yield ChainProblem(batch.id, None, message)
        if batch.computed_digest() != batch.digest:
            yield ChainProblem(batch.id, None, f"batch {batch.id} was altered: its digest is not that of its content")
        yield from self._row_problems(batch, rows, may_lack_rows=may_lack_rows)
        self._last, self.head = batch.id, batch.digest
        self.batches += 1

    def _row_problems(
        self, batch: AuditBatch, rows: Mapping[int, AuditRow], *, may_lack_rows: bool
    ) -> Iterator[ChainProblem]:
        members = {int(row_id): digest for row_id, digest in batch.members}
        if self.ids_in_order and batch.first_id <= self._last_row:
            message = f"row {batch.first_id} was added among rows that were sealed before it, in batch {batch.id}"
            yield ChainProblem(batch.id, batch.first_id, message)
        self._last_row = max(self._last_row, batch.last_id)
        for row_id, digest in members.items():
            row = rows.get(row_id)
            if row is not None:
                self.rows += 1
                if row.digest() != digest:
                    yield ChainProblem(batch.id, row_id, f"row {row_id} of batch {batch.id} was altered")
            elif may_lack_rows:
                self.unchecked_rows += 1
            else:
                yield ChainProblem(batch.id, row_id, f"row {row_id} of batch {batch.id} was removed")
        for row_id in sorted(rows.keys() - members.keys()):
            message = f"row {row_id} was put into batch {batch.id} after that was sealed"
            yield ChainProblem(batch.id, row_id, message)


def _gap(last: int, number: int) -> str:
    if number <= last:
        return f"batch {number} stands after batch {last}"
    missing = f"batch {last + 1} was" if number == last + 2 else f"the batches {last + 1} to {number - 1} were"
    return f"{missing} removed"
