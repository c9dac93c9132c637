"""Receivers, boards and stewards, as they say in the ledger that they live. Times are the ledger's."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import and_, delete, insert, or_, select, update

from squire_pipelines.domain.server_processes import (
    GONE_AFTER_S,
    REMEMBERED,
    ServerKind,
    ServerProcess,
    ServerRole,
    is_gone,
)
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import server_processes

MAX_PROBLEM = 500
_MARK_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRecord:
    """What a process says of itself at its start.

    Args:
        id: Of this start.
        kind: What it does.
        machine: Where it runs.
        home: The path of its home there.
        pid: Of its process.
        version: Of Squire.
    """

    id: str
    kind: ServerKind
    machine: str
    home: str
    pid: int
    version: str


@dataclass(frozen=True, slots=True)
class ServerState:
    """What a process says at a beat: whether it does its work, what it could not take, and its secrets' marks."""

    role: ServerRole = ServerRole.SERVING
    problem: str = ""
    secret_marks: Mapping[str, str] = field(default_factory=dict)


def new_salt() -> str:
    """Return a salt for the marks of secrets, for the first process that there is."""
    return secrets.token_hex(16)


def shared_salt(tx: Transaction) -> str | None:
    """Return the salt of the marks of secrets, which all processes that are known share; None where there are none.

    In a transaction that writes it stays so until that ends.
    """
    tx.exclusive("server processes")
    salt: str | None = tx.execute(select(server_processes.c.salt).limit(1)).scalar_one_or_none()
    return salt


def beat(tx: Transaction, record: ServerRecord, state: ServerState, *, salt: str) -> None:
    """Say that a process lives; a row that was forgotten meanwhile is written anew.

    Others are forgotten that vanished longer ago than `REMEMBERED`, or from the same home. A home has one steward at a
    time, so that an earlier one of it is gone, whenever it was seen.
    """
    row = server_processes.c
    values = {
        "role": state.role,
        "problem": state.problem[:MAX_PROBLEM] or None,
        "secret_marks": dict(state.secret_marks),
        "seen_at": tx.now,
    }
    done = tx.execute(update(server_processes).where(row.id == record.id).values(**values))
    if done.rowcount:
        return
    own_home = and_(row.kind == record.kind, row.machine == record.machine, row.home == record.home)
    is_late = row.seen_at < tx.now - timedelta(seconds=GONE_AFTER_S)
    vanished = own_home if record.kind is ServerKind.STEWARD else and_(own_home, is_late)
    tx.execute(delete(server_processes).where(or_(vanished, row.seen_at < tx.now - REMEMBERED)))
    own = {name: getattr(record, name) for name in ServerRecord.__slots__}
    tx.execute(insert(server_processes).values(**own, **values, salt=salt, started_at=tx.now))


def end(tx: Transaction, process_id: str) -> None:
    """Record that a process ends by itself: it is not remembered."""
    tx.execute(delete(server_processes).where(server_processes.c.id == process_id))


def read_all(tx: Transaction) -> tuple[ServerProcess, ...]:
    """Return the processes that are known, by kind, machine and home."""
    columns = server_processes.c
    rows = tx.execute(
        select(server_processes).order_by(columns.kind, columns.machine, columns.home, columns.started_at)
    )
    return tuple(
        ServerProcess(
            id=row.id,
            kind=ServerKind(row.kind),
            machine=row.machine,
            home=row.home,
            pid=row.pid,
            version=row.version,
            role=ServerRole(row.role),
            problem=row.problem,
            secret_marks=row.secret_marks,
            started_at=row.started_at,
            seen_at=row.seen_at,
            is_gone=is_gone(row.seen_at, tx.now),
        )
        for row in rows
    )


def mark_of_secret(name: str, value: bytes, salt: str) -> str:
    """Return by what two machines are known to have the same secret.

    It takes as long as a guess at a password may, and has 32 bits, so that a guess that fits may still be wrong.
    """
    digest = hashlib.scrypt(value, salt=f"{salt} {name.removesuffix('-old')}".encode(), n=2**14, r=8, p=1)
    return digest[:_MARK_BYTES].hex()
