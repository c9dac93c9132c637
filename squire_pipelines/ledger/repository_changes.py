"""Records at once what deliveries say of repositories themselves; the next look at GitHub says the same, or better."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.domain.looks import KnownRepository, RepositoryState
from squire_pipelines.domain.repository_changes import (
    InstallationChange,
    NamedRepository,
    RepositoryChange,
    after_change,
)
from squire_pipelines.ledger import collaborators, deliveries, repositories
from squire_pipelines.ledger.store import Transaction


def record_change(tx: Transaction, repository: str, change: RepositoryChange) -> str | None:
    """Record what happened to a repository of the settings; return how it stands now, None where that is no news."""
    known = _known(tx, repository)
    changed = after_change(known, change)
    if changed == known:
        return None
    repositories.record(tx, [changed])
    # Its people are others with another owner, and nobody's words count for a repository that is gone.
    collaborators.forget(tx, [repository])
    return changed.message or f"{repository} is what its name says"


def record_installation(
    tx: Transaction, change: InstallationChange, names: Collection[str], *, trace_id: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Record which repositories of the settings the GitHub App lost, and have those read that it is shown again.

    Args:
        tx: A transaction that writes.
        change: What happened to the installation.
        names: The repositories of the settings.
        trace_id: Of the delivery.

    Returns:
        Those that are lost, and those that are read.
    """
    of_owner = [name for name in names if name.partition("/")[0].casefold() == change.account.casefold()]
    lost = of_owner if change.ends_all else _named(tx, change.removed, names)
    lost = [name for name in lost if _known(tx, name).state is not RepositoryState.REPLACED]
    for name in lost:
        state = replace(_known(tx, name), state=RepositoryState.FORBIDDEN, message=change.why_lost(name), digest=None)
        repositories.record(tx, [state])
    shown = of_owner if change.begins_all else _named(tx, change.added, names)
    forgotten = {RepositoryState.FORBIDDEN, RepositoryState.MISSING}
    for name in shown:
        known = _known(tx, name)
        if known.state in forgotten:
            known = replace(known, state=RepositoryState.PRESENT, message=None)
        repositories.record(tx, [replace(known, digest=None)])
    collaborators.forget(tx, [*lost, *shown])
    if shown:
        deliveries.request_collection(tx, shown, source=DeliverySource.INSTALLATION, trace_id=trace_id)
    return tuple(lost), tuple(shown)


def _known(tx: Transaction, repository: str) -> KnownRepository:
    return repositories.known(tx, [repository]).get(repository) or KnownRepository(repository)


def _named(tx: Transaction, listed: Sequence[NamedRepository], names: Collection[str]) -> list[str]:
    """Return the settings' names of repositories of GitHub's list: by their ids, or by their names in any case."""
    by_name = {name.casefold(): name for name in names}
    by_id = (None if one.github_id is None else repositories.name_of_id(tx, one.github_id) for one in listed)
    spelled = (name or one.name for name, one in zip(by_id, listed, strict=True))
    return sorted({by_name[name.casefold()] for name in spelled if name.casefold() in by_name})
