"""Whose each repository is and was: the settings say it and the ledger remembers, so that a move leaves history."""

from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import Boolean, ColumnElement, delete, insert, literal_column, select, update

from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.tables import repository_tenants, tenant_credits
from squire_pipelines.ledger.tenant_sql import is_of_tenant

BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)
"""Since when a repository is its first tenant's: what was done before there were tenants is that one's."""


def present_tenants(tx: Transaction) -> dict[str, str]:
    """Return whose each repository is now, as far as it was recorded."""
    row = repository_tenants.c
    return {
        one.repository: one.tenant for one in tx.execute(select(row.repository, row.tenant).where(row.until.is_(None)))
    }


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
