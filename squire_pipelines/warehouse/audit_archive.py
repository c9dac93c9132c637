"""Reads the rows of the audit trail that left the ledger from the archive's files, for verifying and exporting it."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
from sqlalchemy import select

from squire_pipelines.domain.audit_chain import AuditBatch, AuditRow, ChainProblem
from squire_pipelines.errors import WarehouseError
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import archives
from squire_pipelines.warehouse import engine

_MEMORY = 256 * 2**20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class AuditArchive:
    """The archive's files with rows of the audit trail. Made by `open_audit_archive`."""

    missing: Sequence[str]
    _altered: Sequence[str]
    _connection: duckdb.DuckDBPyConnection
    _spans: list[tuple[Path, int, int]] = field(default_factory=list)

    def problems(self) -> Iterator[ChainProblem]:
        """Yield what is wrong with the files that are there."""
        for name in self._altered:
            message = f"the archive file {name} is not as it was written; its rows are compared one by one"
            yield ChainProblem(None, None, message)

    def rows_of(self, batch: AuditBatch) -> Mapping[int, AuditRow]:
        """Return the rows of a batch that the files have, by id. Raises WarehouseError."""
        files = [path for path, first, last in self._spans if first <= batch.last_id and last >= batch.first_id]
        if not files:
            return {}
        sources = ", ".join(engine.literal(path) for path in files)
        query = (
            "SELECT id, epoch_us(occurred_at), actor, action, subject, detail::VARCHAR, trace_id "  # noqa: S608 - names of our own
            f"FROM read_parquet([{sources}]) WHERE id BETWEEN ? AND ?"
        )
        members = {int(row_id) for row_id, _ in batch.members}
        rows = {}
        with _explained(files[0].parent):
            for row in self._connection.execute(query, [batch.first_id, batch.last_id]).fetchall():
                row_id, microseconds, actor, action, subject, detail, trace_id = row
                if row_id in members:
                    moment = _EPOCH + timedelta(microseconds=microseconds)
                    content = json.loads(detail)
                    rows[row_id] = AuditRow(row_id, moment, actor, action, subject, content, trace_id, batch.id)
        return rows


@contextmanager
def open_audit_archive(tx: Transaction, archive: Path) -> Iterator[AuditArchive]:
    """Open the files of `archive` that the ledger says rows of the audit trail went to.

    Args:
        tx: Of the ledger; it knows each file's name and digest.
        archive: The archive's folder. It need not exist.
    """
    query = select(archives.c.name, archives.c.sha256).where(archives.c.table_name == "audit").order_by(archives.c.name)
    missing, altered, present = [], [], []
    for name, digest in tx.execute(query):
        path = archive / name
        if not path.is_file():
            missing.append(name)
            continue
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                altered.append(name)
        present.append(path)
    with engine.connect(memory_limit=_MEMORY, threads=1) as connection:
        spans = []
        for path in present:
            span = f"SELECT min(id), max(id) FROM read_parquet({engine.literal(path)})"  # noqa: S608 - names of our own
            try:
                first, last = connection.execute(span).fetchall()[0]
            except duckdb.Error:  # an altered file that is none any more: `problems` names it
                missing.append(str(path.relative_to(archive)))
                continue
            spans.append((path, first, last))
        yield AuditArchive(tuple(missing), tuple(altered), connection, spans)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, ValueError, TypeError) as error:
        raise WarehouseError(
            f"the audit trail in {folder} cannot be read: {engine.reason(error)}",
            hint="restore the folder from a backup, or move the file away to verify without its rows",
        ) from error
