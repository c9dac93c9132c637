"""The repositories' own files of settings as they were read last: what they say, and what is wrong in them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import repository_files

_FIELDS = ("commit_sha", "blob_sha", "content", "settings", "origins", "presets", "problem", "hint", "place")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A repository's own file.

    Args:
        repository: Whose, as the settings spell it.
        commit_sha: The default branch's head at which it was read.
        blob_sha: Names its content; None where there is none.
        content: Its text.
        settings: What it says with all that it extends, as nested tables. Of a wrong file, what it said last.
        origins: Which file says each key, by the key's name.
        presets: The files that it extends: `place` and `blob_sha` of each.
        problem: What is wrong in it; None of a right one.
        hint: What to do about that.
        place: The line at fault, or what else is wrong.
        read_at: When it was read last.
        changed_at: When what follows from it was another for the last time.
        issue_number: Of the issue that says what is wrong.
        issue_digest: Of what that issue says.
    """

    repository: str
    commit_sha: str | None = None
    blob_sha: str | None = None
    content: str | None = None
    settings: Mapping[str, Any] | None = None
    origins: Mapping[str, str] = field(default_factory=dict)
    presets: tuple[Mapping[str, str], ...] = ()
    problem: str | None = None
    hint: str | None = None
    place: str | None = None
    read_at: datetime | None = None
    changed_at: datetime | None = None
    issue_number: int | None = None
    issue_digest: str | None = None


def get(tx: Transaction, repository: str) -> StoredFile | None:
    """Return what was read of a repository's file; None where nothing was yet."""
    row = tx.execute(select(repository_files).where(repository_files.c.repository == repository)).one_or_none()
    return None if row is None else _stored(row)


def among(tx: Transaction, names: Collection[str]) -> dict[str, StoredFile]:
    """Return what was read of the files of these repositories, by name."""
    rows = tx.execute(select(repository_files).where(repository_files.c.repository.in_(names)))
    return {row.repository: _stored(row) for row in rows}


def record(tx: Transaction, file: StoredFile, *, trace_id: str | None) -> None:
    """Store what was read, and record in the audit trail when something else follows from it than before."""
    tx.exclusive("repository files")
    before = get(tx, file.repository)
    values = {name: getattr(file, name) for name in _FIELDS}
    values |= {"settings": dict(file.settings or {}), "origins": dict(file.origins), "presets": list(file.presets)}
    has_changed = before is None or (before.settings, before.problem) != (values["settings"], file.problem)
    values |= {"read_at": tx.now, "updated_at": tx.now}
    if before is None:
        tx.execute(insert(repository_files).values(repository=file.repository, changed_at=tx.now, **values))
    else:
        changed_at = tx.now if has_changed else before.changed_at
        row = update(repository_files).where(repository_files.c.repository == file.repository)
        tx.execute(row.values(**values, changed_at=changed_at))
    if has_changed and (before is not None or file.blob_sha is not None):
        record_audit(
            tx,
            actor="collect",
            action="repository.settings",
            subject=file.repository,
            trace_id=trace_id,
            detail={"commit": file.commit_sha, "blob": file.blob_sha, "valid": file.problem is None},
        )


def note_issue(tx: Transaction, repository: str, number: int | None, digest: str | None) -> None:
    """Remember the issue that says what is wrong in a repository's file, and what it says; None when there is none."""
    row = update(repository_files).where(repository_files.c.repository == repository)
    tx.execute(row.values(issue_number=number, issue_digest=digest, updated_at=tx.now))


def _stored(row: Row[*tuple[Any, ...]]) -> StoredFile:
    values = {name: getattr(row, name) for name in StoredFile.__slots__}
    return StoredFile(**values | {"origins": row.origins or {}, "presets": tuple(row.presets or ())})
