"""Exports the audit trail as lines of JSON with its chain, and verifies such an export without a ledger."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import islice
from types import MappingProxyType
from typing import Any

from sqlalchemy import select

from squire_pipelines.domain.audit_chain import AuditBatch, AuditRow, ChainProblem
from squire_pipelines.domain.moments import moment_text, parse_moment
from squire_pipelines.errors import ConfigError
from squire_pipelines.ledger.audit import COLUMNS, read_rows
from squire_pipelines.ledger.audit_sealing import chain_head, read_batches
from squire_pipelines.ledger.audit_verification import (
    ArchivedRows,
    AuditVerdict,
    TrailVerification,
    may_lack_rows,
    rows_with_archive,
)
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import audit

EXPORT_FORMAT = 1
"""Grows when a line changes in a way that an older `verify` would not understand."""

MAX_LINE = 16 * 2**20
"""Characters of a line of an export; a longer one is none of ours."""

MAX_ROWS = 10_000
"""Rows of one batch of an export that is verified, which are in memory together."""

_UNSEALED_AT_ONCE = 500


def export_trail(
    tx: Transaction, *, ids_in_order: bool, archive: ArchivedRows | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the whole trail as JSON objects, one a line: a head, each batch before its rows, unsealed rows, an end.

    One batch is in memory at a time. Rows in archive files that are not there are left out, and counted in the end.
    """
    head = chain_head(tx)
    yield {
        "squire_audit": EXPORT_FORMAT,
        "exported_at": moment_text(tx.now),
        "ids_in_order": ids_in_order,
        "head": {"batch": head.batch, "digest": head.digest},
    }
    count = lacking = 0
    for batch in read_batches(tx):
        rows = rows_with_archive(tx, batch, archive)
        lacks = len(batch.members) - len(rows) if may_lack_rows(batch, archive) else 0
        yield {"batch": _plain(asdict(batch)), "lacks_rows": lacks > 0}
        for row_id in sorted(rows):
            yield {"row": _plain(asdict(rows[row_id]))}
        count, lacking = count + len(rows), lacking + max(lacks, 0)
    last = 0
    while True:
        query = select(*COLUMNS).where(audit.c.batch.is_(None), audit.c.id > last).order_by(audit.c.id)
        unsealed = read_rows(tx, query.limit(_UNSEALED_AT_ONCE))
        for row in unsealed:
            yield {"row": _plain(asdict(row))}
        count += len(unsealed)
        if len(unsealed) < _UNSEALED_AT_ONCE:
            break
        last = unsealed[-1].id
    yield {"end": {"batches": head.batch, "rows": count, "lacking_rows": lacking}}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: moment_text(value) if isinstance(value, datetime) else value for name, value in values.items()}


@dataclass(slots=True)
class _Open:
    """The batch whose rows are being read."""

    batch: AuditBatch
    lacks_rows: bool
    rows: dict[int, AuditRow] = field(default_factory=dict)


def verify_export(lines: Iterable[str], *, expected: str | None = None) -> AuditVerdict:
    """Verify an export line by line, one batch in memory at a time.

    Args:
        lines: Of the file. A line that is none of an export is a problem with its number, and ends the reading.
        expected: See `TrailVerification`.

    Raises:
        ConfigError: The first line is not that of an export, or of one that a newer Squire made.
    """
    numbered = enumerate(lines, 1)
    first = next(islice(numbered, 1), (1, ""))
    ids_in_order, head = _read_head(first[1])
    verification = TrailVerification(ids_in_order=ids_in_order, expected=expected)
    state = _Reading(verification)
    number = 1
    try:
        for number, line in numbered:  # noqa: B007 - named in the message below
            state.take(line)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        verification.report([ChainProblem(None, None, f"line {number} is no line of an export: {error}")])
    state.finish_batch()
    verdict = verification.verdict(unsealed=state.unsealed)
    if not state.has_ended:
        verification.report([ChainProblem(None, None, f"the export breaks off after line {number}")])
    elif head != (verdict.batches, verdict.head) or state.end != (verdict.batches, state.rows):
        message = "the numbers of batches and rows, or the newest digest, are not those that the export names"
        verification.report([ChainProblem(None, None, message)])
    return verification.verdict(unsealed=state.unsealed)


class _Reading:
    """What was read of an export so far."""

    def __init__(self, verification: TrailVerification) -> None:
        self._verification = verification
        self._open: _Open | None = None
        self.unsealed = self.rows = 0
        self.end: tuple[int, int] | None = None

    @property
    def has_ended(self) -> bool:
        return self.end is not None

    def take(self, line: str) -> None:
        """Take the next line. Raises ValueError, KeyError, TypeError for one that is none of an export."""
        if self.has_ended:
            raise ValueError("it stands after the end")
        values = _parse(line)
        if "batch" in values:
            self.finish_batch()
            self._open = _Open(_batch(values["batch"]), values["lacks_rows"] is True)
        elif "row" in values:
            self._take_row(_row(values["row"]))
        else:
            self.end = int(values["end"]["batches"]), int(values["end"]["rows"])

    def _take_row(self, row: AuditRow) -> None:
        self.rows += 1
        if row.batch is None:
            self.finish_batch()
            self.unsealed += 1
            return
        if self._open is None or row.batch != self._open.batch.id:
            raise ValueError(f"row {row.id} stands with another batch than its own, {row.batch}")
        if row.id in self._open.rows:
            raise ValueError(f"row {row.id} is there twice")
        if len(self._open.rows) >= MAX_ROWS:
            raise ValueError(f"batch {row.batch} has more than {MAX_ROWS} rows")
        self._open.rows[row.id] = row

    def finish_batch(self) -> None:
        """Verify the batch that is open."""
        if self._open is not None:
            opened, self._open = self._open, None
            self._verification.add(opened.batch, opened.rows, may_lack_rows=opened.lacks_rows)


def _read_head(line: str) -> tuple[bool, tuple[int, str]]:
    try:
        values = _parse(line)
        version, head = values["squire_audit"], values["head"]
        result = values["ids_in_order"] is True, (int(head["batch"]), str(head["digest"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ConfigError(
            "this file is no export of the audit trail", hint="name a file that `squire audit export` made"
        ) from error
    if version != EXPORT_FORMAT:
        raise ConfigError(
            f"this export has the format {version}, and this Squire knows {EXPORT_FORMAT}",
            hint="verify it with the Squire that made it, or a newer one",
        )
    return result


def _parse(line: str) -> dict[str, Any]:
    if len(line) > MAX_LINE:
        raise ValueError(f"it is longer than {MAX_LINE} characters")
    values = json.loads(line)
    if not isinstance(values, dict):
        raise ValueError("it is no object")  # noqa: TRY004 - one kind of error for all that is no line of ours
    return values


def _row(values: Any) -> AuditRow:
    _check(values, _ROW_TYPES, "row")
    return AuditRow(**values | {"at": parse_moment(values["at"])})


def _batch(values: Any) -> AuditBatch:
    _check(values, _BATCH_TYPES, "batch")
    for member in values["members"]:
        if not isinstance(member, list) or [type(part) for part in member] != [int, str]:
            raise ValueError("a member of the batch is no id with a digest")
    archived = values["archived_at"]
    moments = {
        "sealed_at": parse_moment(values["sealed_at"]),
        "archived_at": None if archived is None else parse_moment(archived),
    }
    return AuditBatch(**values | moments)


_NONE = type(None)
_ROW_TYPES: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "id": (int,),
        "at": (str,),
        "actor": (str,),
        "action": (str,),
        "subject": (str,),
        "detail": (dict,),
        "trace_id": (str, _NONE),
        "batch": (int, _NONE),
    }
)
_BATCH_TYPES: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {
        "id": (int,),
        "first_id": (int,),
        "last_id": (int,),
        "rows": (int,),
        "members": (list,),
        "previous": (str,),
        "digest": (str,),
        "sealed_at": (str,),
        "archived_at": (str, _NONE),
    }
)


def _check(values: Any, types: Mapping[str, tuple[type, ...]], name: str) -> None:
    """Raise ValueError for anything but an object with these names and types."""
    if not isinstance(values, dict) or values.keys() != types.keys():
        raise ValueError(f"the names of a {name} are others")
    for key, kinds in types.items():
        if type(values[key]) not in kinds:  # a bool is an int for isinstance
            raise ValueError(f"{key} of a {name} has another type")
