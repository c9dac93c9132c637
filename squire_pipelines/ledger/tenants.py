"""Whose each repository is and was: the settings say it and the ledger remembers, so that a move leaves history."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Table, delete, insert, literal_column, select, update

from squire_pipelines.domain.tenants import DEFAULT_TENANT
from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import plans, repository_tenants, schedules, signals, tasks, tenant_credits
from squire_pipelines.ledger.tenant_sql import audit_is_of_tenant, is_of_tenant

BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)
"""Since when a repository is its first tenant's: what was done before there were tenants is that one's."""


def present_tenants(tx: Transaction) -> dict[str, str]:
    """Return whose each repository is now, as far as it was recorded."""
    row = repository_tenants.c
    return {
        one.repository: one.tenant for one in tx.execute(select(row.repository, row.tenant).where(row.until.is_(None)))
    }


@dataclass(frozen=True, slots=True)
class RecordedOwners:
    """Whose each repository was when: its times, each with its beginning, its end and the tenant."""

    times: Mapping[str, tuple[tuple[datetime, datetime | None, str], ...]]

    @classmethod
    def of_rows(cls, rows: Iterable[Sequence[Any]]) -> "RecordedOwners":
        """Make it of rows with a repository, a beginning, an end and a tenant."""
        times: dict[str, list[tuple[datetime, datetime | None, str]]] = {}
        for repository, since, until, tenant in rows:
            times.setdefault(repository, []).append((since, until, tenant))
        return cls({name: tuple(spans) for name, spans in times.items()})

    def tenant_at(self, repository: str, moment: datetime | None) -> str:
        """Return whose a repository was at a moment; None for now. What nobody has been given is the house's."""
        for since, until, tenant in self.times.get(repository, ()):
            if until is None if moment is None else since <= moment and (until is None or moment < until):
                return tenant
        return DEFAULT_TENANT


def read_owners(tx: Transaction) -> RecordedOwners:
    """Read whose each repository was when."""
    row = repository_tenants.c
    return RecordedOwners.of_rows(tx.execute(select(row.repository, row.since, row.until, row.tenant)))


def record_tenants(ledger: Ledger, tenants: Mapping[str, str]) -> tuple[str, ...]:
    """Record whose each repository is from now on; return those that were another's.

    Args:
        ledger: Is written only where something has changed.
        tenants: The tenant of each repository of the settings, and of each group of them.
    """
    if not tenants:
        return ()
    with ledger.read() as tx:
        known = present_tenants(tx)
    if all(known.get(name) == tenant for name, tenant in tenants.items()):
        return ()
    with ledger.write() as tx:
        return record_in(tx, tenants)


def record_in(tx: Transaction, tenants: Mapping[str, str]) -> tuple[str, ...]:
    """Record whose each repository is from now on, in a transaction that writes; return those that were another's."""
    tx.exclusive("tenants")
    known, moved, row = present_tenants(tx), [], repository_tenants.c
    for name, tenant in tenants.items():
        if known.get(name) == tenant:
            continue
        if name in known:
            moved.append(name)
            now = {"until": tx.now, "updated_at": tx.now}
            tx.execute(update(repository_tenants).where(row.repository == name, row.until.is_(None)).values(**now))
        since = tx.now if name in known else BEFORE_ALL
        tx.execute(insert(repository_tenants).values(repository=name, since=since, tenant=tenant, updated_at=tx.now))
    return tuple(moved)


def of_tenant(
    tenant: str | None, repository: ColumnElement[str], moment: ColumnElement[datetime] | None = None
) -> tuple[ColumnElement[bool], ...]:
    """Return the condition that a row is of a tenant; none where every row is wanted. See `is_of_tenant`."""
    if tenant is None:
        return ()
    at = None if moment is None else str(moment)
    return (literal_column(is_of_tenant(tenant, str(repository), at), Boolean),)


class VisibleKind(StrEnum):
    """What has pages of its own: in each table its rows, with the column of their moment."""

    TASK = "task"
    SIGNAL = "signal"
    PLAN = "plan"
    SCHEDULE = "schedule"


_VISIBLE: Mapping[VisibleKind, tuple[Table, str | None]] = {
    VisibleKind.TASK: (tasks, "ended_at"),
    VisibleKind.SIGNAL: (signals, "gone_at"),
    VisibleKind.PLAN: (plans, "created_at"),
    VisibleKind.SCHEDULE: (schedules, None),
}


def check_visible(tx: Transaction, tenant: str | None, kind: VisibleKind, row_id: str | int) -> None:
    """Raise NotFoundError for a row that is not there, or another tenant's: both look the same.

    Args:
        tx: Reads.
        tenant: Who asks; None for an operator, to whom nothing is hidden and whom the row itself answers.
        kind: Of the row.
        row_id: Its id.
    """
    if tenant is None:
        return
    table, moment = _VISIBLE[kind]
    whose = of_tenant(tenant, table.c.repository, table.c[moment] if moment is not None else None)
    if tx.execute(select(table.c.id).where(table.c.id == row_id, *whose)).one_or_none() is None:
        raise NotFoundError(f"there is no {kind} {row_id!r}", hint="the lists show those that are there")


def audit_of(tenant: str | None) -> tuple[ColumnElement[bool], ...]:
    """Return the condition that a row of the audit trail is of a tenant; none where every row is wanted."""
    return () if tenant is None else (literal_column(audit_is_of_tenant(tenant, "audit"), Boolean),)


def read_credits(tx: Transaction) -> dict[str, float]:
    """Return what each tenant that waits is owed of the next slot."""
    return {row.tenant: row.credit for row in tx.execute(select(tenant_credits))}


def store_credits(tx: Transaction, before: Mapping[str, float], after: Mapping[str, float]) -> None:
    """Store what each is owed now, in dispatch's transaction and under its lock."""
    gone = [name for name in before if name not in after]
    if gone:
        tx.execute(delete(tenant_credits).where(tenant_credits.c.tenant.in_(gone)))
    for name, credit in after.items():
        if name not in before:
            tx.execute(insert(tenant_credits).values(tenant=name, credit=credit, updated_at=tx.now))
        elif before[name] != credit:
            values = {"credit": credit, "updated_at": tx.now}
            tx.execute(update(tenant_credits).where(tenant_credits.c.tenant == name).values(**values))
