"""Repositories as GitHub knows them, beside the names by which the settings call them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict

from sqlalchemy import bindparam, delete, func, insert, select, update

from squire_pipelines.domain.looks import KnownRepository, RepositoryLook, RepositoryState
from squire_pipelines.domain.signals import CollectionStatus, Source
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import collaborators, collections, repositories

_FIELDS = tuple(KnownRepository.__slots__)


def known(tx: Transaction, names: Collection[str]) -> Mapping[str, KnownRepository]:
    """Return what is remembered of repositories, by the settings' names."""
    rows = tx.execute(select(repositories).where(repositories.c.repository.in_(names)))
    return {row.repository: _known(row) for row in rows}


def record(tx: Transaction, seen: Sequence[KnownRepository]) -> None:
    """Store what is known now."""
    before = known(tx, [repository.repository for repository in seen])
    for repository in seen:
        values = {**asdict(repository), "updated_at": tx.now}
        if repository.repository in before:
            tx.execute(update(repositories).where(repositories.c.repository == repository.repository).values(**values))
        else:
            tx.execute(insert(repositories).values(**values))


def mark_read(tx: Transaction, looks: Mapping[str, RepositoryLook | None]) -> None:
    """Record that all sources were read after these looks; None when one could not be, so that they are read again."""
    if not looks:
        return
    row = update(repositories).where(repositories.c.repository == bindparam("of_repository"))
    whole = [
        {"of_repository": name, "digest": look.digest, "read_at": tx.now, "updated_at": tx.now}
        for name, look in looks.items()
        if look is not None
    ]
    partly = [
        {"of_repository": name, "digest": None, "updated_at": tx.now} for name, look in looks.items() if look is None
    ]
    for values in (whole, partly):
        if values:
            tx.execute(row, values)


def mean_cost(tx: Transaction, *, rows: int = 400, default: float = 3.0) -> float:
    """Return the points that reading one repository cost on average of late; a guess before any was read.

    A reading has a row for each source, and what two sources share is in one of their rows alone: the rows that one run
    made of a repository are added up.

    Args:
        tx: Of the ledger.
        rows: How many of the newest are looked at.
        default: The guess.
    """
    row = collections.c
    newest = (
        select(row.repository, row.trace_id, row.quota_cost)
        .where(row.quota_cost > 0)
        .order_by(row.id.desc())
        .limit(rows)
        .subquery()
    )
    readings = (
        select(func.sum(newest.c.quota_cost).label("cost")).group_by(newest.c.repository, newest.c.trace_id).subquery()
    )
    mean = tx.execute(select(func.avg(readings.c.cost))).scalar_one()
    return float(mean) if mean is not None else default


def name_of_id(tx: Transaction, github_id: int) -> str | None:
    """Return the settings' name of the repository with this id that was looked at last; None for an unknown one."""
    query = select(repositories.c.repository).where(repositories.c.github_id == github_id)
    return tx.execute(query.order_by(repositories.c.looked_at.desc()).limit(1)).scalar_one_or_none()


def not_as_named(tx: Transaction, names: Collection[str]) -> tuple[KnownRepository, ...]:
    """Return those of the settings' names under which the newest look found something else than what they say."""
    states = known(tx, names)
    return tuple(states[name] for name in sorted(states) if states[name].state is not RepositoryState.PRESENT)


def replaced(tx: Transaction) -> dict[str, str]:
    """Return the repositories whose name another one has now, with the sentence on it: no work is started in them."""
    rows = tx.execute(
        select(repositories.c.repository, repositories.c.message).where(
            repositories.c.state == RepositoryState.REPLACED
        )
    )
    return {row.repository: row.message or "another repository has its name" for row in rows}


def accept_replaced(tx: Transaction, names: Collection[str], *, actor: str, trace_id: str) -> tuple[str, ...]:
    """Take those of `names` that another repository has now for the ones that are meant, and return them.

    It is audited. Nothing is carried over from the former one: neither its id nor what its people might do.
    """
    accepted = sorted(name for name, state in known(tx, names).items() if state.state is RepositoryState.REPLACED)
    for name in accepted:
        tx.execute(
            update(repositories)
            .where(repositories.c.repository == name)
            .values(**asdict(KnownRepository(name)), updated_at=tx.now)
        )
        tx.execute(delete(collaborators).where(collaborators.c.repository == name.casefold()))
        record_audit(tx, actor=actor, action="repository.accepted", subject=name, trace_id=trace_id)
    return tuple(accepted)


def record_unchanged(
    tx: Transaction,
    names: Sequence[str],
    sources: Sequence[Source],
    *,
    trace_id: str,
    run_id: str | None,
    plan_again: bool = False,
) -> tuple[str, ...]:
    """Record that a look found repositories as their last reading left them; return those of which it cannot be said.

    A source whose newest row says `unchanged` by a look has that row's time moved on, so that quiet repositories do not
    fill the ledger. A source that was never read, or could not be, is no unchanged one. `plan_again` is for a person's
    request: what is known is planned from once more, with what the person has added.
    """
    newest_ids = (
        select(func.max(collections.c.id))
        .where(collections.c.repository.in_(names), collections.c.source.in_(sources))
        .group_by(collections.c.repository, collections.c.source)
    )
    columns = ("id", "repository", "source", "status", "signals", "truncated", "looks")
    rows = tx.execute(select(*(collections.c[name] for name in columns)).where(collections.c.id.in_(newest_ids))).all()
    answered = {(row.repository, row.source) for row in rows if CollectionStatus(row.status).source_answered}
    unread = tuple(name for name in names if not all((name, source) in answered for source in sources))
    kept = [row for row in rows if row.repository not in set(unread)]
    if not kept:
        return unread
    values = {"started_at": tx.now, "ended_at": tx.now, "trace_id": trace_id, "run_id": run_id, "updated_at": tx.now}
    repeated = [row.id for row in kept if row.looks is not None]
    if repeated:
        moved = update(collections).where(collections.c.id.in_(repeated))
        unplanned = {"planned_at": None} if plan_again else {}
        tx.execute(moved.values(**values, **unplanned, looks=collections.c.looks + 1))
    added = [
        {
            **values,
            "repository": row.repository,
            "source": row.source,
            "status": CollectionStatus.UNCHANGED,
            "signals": row.signals,
            "changed": 0,
            "truncated": row.truncated,
            "requests": 0,
            "looks": 1,
            "planned_at": None if plan_again else tx.now,
        }
        for row in kept
        if row.looks is None
    ]
    if added:
        tx.execute(insert(collections), added)
    return unread


def _known(row: object) -> KnownRepository:
    values = {name: getattr(row, name) for name in _FIELDS}
    return KnownRepository(**values | {"state": RepositoryState(values["state"])})
