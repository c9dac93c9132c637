"""Seals rows of the audit trail into a chain of batches, and reads the chain. The rules are `domain.audit_chain`'s.

Rows are taken by their column `batch`, which sealing sets, and not by ranges of ids: on Postgres a transaction that
took a lower id may end after others were sealed, and its row goes into a later batch.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

from sqlalchemy import and_, func, insert, select, update

from squire_pipelines.domain.audit_chain import START, AuditBatch, ChainProblem, make_batch
from squire_pipelines.errors import LedgerError
from squire_pipelines.ledger.audit import COLUMNS, read_rows
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import audit, audit_batches

ROWS_PER_BATCH = 500
"""The most rows of a batch: of one transaction of the sealer, for which other writers wait on SQLite."""

BATCHES_AT_ONCE = 1_000
"""The most batches that one call seals; the next one goes on."""

_READ_AT_ONCE = 20
_BATCH_COLUMNS = tuple(audit_batches.c[field.name] for field in fields(AuditBatch))


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The newest batch: whoever keeps its digest elsewhere can tell whether the chain up to it was rewritten."""

    batch: int
    digest: str
    unsealed: int
    """Rows that are in no batch yet."""


def seal(ledger: Ledger, *, batches: int = BATCHES_AT_ONCE, wait: timedelta | None = None) -> int:
    """Seal the rows that are in no batch yet, in batches of `ROWS_PER_BATCH`; return how many rows were sealed.

    Many processes may do it at once: one seals at a time. Killed at any moment, it leaves whole batches behind.

    Args:
        ledger: Whose rows.
        batches: How many batches are made at most.
        wait: How long rows may wait for others to be sealed with, unless there are enough for a batch: batches stay
            for ever. Without it nothing waits.

    Raises:
        LedgerError: The ledger does not answer, or cannot be written.
    """
    sealed = 0
    with ledger.read() as tx:  # most calls find nothing, and take no lock
        unsealed = select(audit.c.at).where(audit.c.batch.is_(None)).order_by(audit.c.id)
        oldest = tx.execute(unsealed.limit(1)).scalar_one_or_none()
        if oldest is None:
            return 0
        is_young = wait is not None and oldest > tx.now - wait
        if is_young and len(tx.execute(unsealed.limit(ROWS_PER_BATCH)).all()) < ROWS_PER_BATCH:
            return 0
    for _ in range(batches):
        with ledger.write() as tx:
            count = _seal_batch(tx)
        sealed += count
        if count < ROWS_PER_BATCH:
            break
    return sealed


def _seal_batch(tx: Transaction) -> int:
    tx.exclusive("audit chain")  # what another sealer committed is visible to the statements after this one
    unsealed = select(*COLUMNS).where(audit.c.batch.is_(None)).order_by(audit.c.id).limit(ROWS_PER_BATCH)
    rows = read_rows(tx, unsealed)
    if not rows:
        return 0
    batch = make_batch(rows, _newest(tx), tx.now)
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    tx.execute(insert(audit_batches).values(**values))
    ids = [row.id for row in rows]
    changed = tx.execute(update(audit).where(audit.c.id.in_(ids), audit.c.batch.is_(None)).values(batch=batch.id))
    if changed.rowcount != len(rows):
        raise LedgerError(
            f"{len(rows) - changed.rowcount} rows of the audit trail changed while they were sealed",
            hint="nothing was sealed; try again, and look who else writes to the ledger's tables",
        )
    return len(rows)


def _newest(tx: Transaction) -> AuditBatch | None:
    row = tx.execute(select(*_BATCH_COLUMNS).order_by(audit_batches.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else AuditBatch(*row)


def chain_head(tx: Transaction) -> ChainHead:
    """Return the chain's head; before anything was sealed it has the number 0."""
    newest = _newest(tx)
    unsealed = tx.execute(select(func.count()).where(audit.c.batch.is_(None))).scalar_one()
    if newest is None:
        return ChainHead(0, START, unsealed)
    return ChainHead(newest.id, newest.digest, unsealed)


def read_batches(tx: Transaction) -> Iterator[AuditBatch]:
    """Yield all batches in the order of their numbers, a few at a time in memory."""
    last = None
    while True:
        query = select(*_BATCH_COLUMNS).order_by(audit_batches.c.id).limit(_READ_AT_ONCE)
        if last is not None:
            query = query.where(audit_batches.c.id > last)
        batches = [AuditBatch(*row) for row in tx.execute(query)]
        yield from batches
        if len(batches) < _READ_AT_ONCE:
            return
        last = batches[-1].id


def strays(tx: Transaction, *, limit: int = 20) -> tuple[ChainProblem, ...]:
    """Return rows that are said to be in a batch that is not there: that batch was removed."""
    joined = audit.outerjoin(audit_batches, audit_batches.c.id == audit.c.batch)
    lost = and_(audit.c.batch.is_not(None), audit_batches.c.id.is_(None))
    query = select(audit.c.batch, func.min(audit.c.id)).select_from(joined).where(lost)
    rows: Sequence[Any] = tx.execute(query.group_by(audit.c.batch).order_by(audit.c.batch).limit(limit)).all()
    return tuple(
        ChainProblem(number, row_id, f"batch {number} was removed; row {row_id} is said to be in it")
        for number, row_id in rows
    )


def mark_archived(tx: Transaction, ids: Collection[int]) -> None:
    """Record that the batches of these rows are in the archive, so that the database lets the rows be deleted."""
    numbers = select(audit.c.batch).where(audit.c.id.in_(ids))
    is_new = and_(audit_batches.c.id.in_(numbers), audit_batches.c.archived_at.is_(None))
    tx.execute(update(audit_batches).where(is_new).values(archived_at=tx.now))
