"""Which repositories of a cycle are read: those in which a cheap look, a delivery or a person saw something new.

A repository that GitHub does not show, and one for which no quota is left, is refused with its reason. They are read by
`collecting`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from squire_pipelines.domain.looks import (
    KnownRepository,
    ReadReason,
    RepositoryLook,
    RepositoryState,
    identify,
    is_recent,
    reason_to_read,
)
from squire_pipelines.domain.rate_limits import affordable
from squire_pipelines.domain.signals import Collection, CollectionStatus, Source
from squire_pipelines.errors import (
    GitHubError,
    GitHubNotFoundError,
    GitHubPermissionError,
    GitHubRateLimitError,
    GitHubUnavailableError,
    GitHubValidationError,
    SquireError,
)
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.looking import Looks, explain_missing, look_at, replaced_error
from squire_pipelines.ledger import repositories
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.signals import CollectionSettings

_MAX_EXPLAINED = 20
"""Repositories that are not shown, of which a cycle asks why; the others' reason is GraphQL's own."""


@dataclass(slots=True)
class Cycle:
    """What is done with each repository of a cycle: it is read, unchanged, or refused."""

    to_read: dict[str, ReadReason] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)
    refused: dict[str, GitHubError] = field(default_factory=dict)
    looks: dict[str, RepositoryLook] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


async def begin_cycle(
    client: GitHubClient,
    ledger: Ledger,
    names: Sequence[str],
    settings: CollectionSettings,
    *,
    forced: Mapping[str, ReadReason],
    trusts_recent: bool,
    rules_of: Callable[[str], str] = lambda _: "",
) -> Cycle:
    """Look at repositories and decide which of them are read.

    Args:
        client: Asks GitHub.
        ledger: Remembers what earlier looks showed, and learns what these do.
        names: As the settings spell them.
        settings: Of collections: `ttl_s`, `full_every_s`.
        forced: Those that are read whatever a look shows, with the reason.
        trusts_recent: Whether a look within `ttl_s` stands for a new one.
        rules_of: Tells by which rules a repository is read. When they change it is read again, as if it had changed.
    """
    cycle = Cycle()
    with ledger.read() as tx:
        known, now = dict(repositories.known(tx, names)), tx.now
    for name in names:
        if trusts_recent and name not in forced and is_recent(known.get(name), now=now, ttl_s=settings.ttl_s):
            cycle.unchanged.append(name)
    recent = set(cycle.unchanged)
    looks = await look_at(client, [name for name in names if name not in recent])
    seen = [
        await _judge(client, cycle, name, looks, known=known.get(name) or KnownRepository(name), now=now)
        for name in looks.results
    ]
    _refuse_duplicates(cycle, seen)
    cycle.looks = {name: look.read_under(rules_of(name)) for name, look in cycle.looks.items()}
    for name, look in cycle.looks.items():
        if name in cycle.refused:
            continue
        reason = forced.get(name) or reason_to_read(known.get(name), look, now=now, full_every_s=settings.full_every_s)
        if reason is None:
            cycle.unchanged.append(name)
        else:
            cycle.to_read[name] = reason
    await _keep_to_quota(client, ledger, cycle, known, looks.credentials)
    with ledger.write() as tx:
        repositories.record(tx, seen)
    return cycle


async def _judge(
    client: GitHubClient, cycle: Cycle, name: str, looks: Looks, *, known: KnownRepository, now: datetime
) -> KnownRepository:
    """File a look under what is done with its repository, and return what is known of that now."""
    result = looks.results[name]
    if isinstance(result, RepositoryLook):
        if (other := replaced_error(known, result, name)) is not None:
            # Whoever takes a name that became free may do everything there. What is known stays that of the other one.
            cycle.refused[name] = other
            return replace(known, state=RepositoryState.REPLACED, message=str(other), digest=None)
        cycle.looks[name] = result
        state, message = identify(known, result, name)
        if message is not None:
            cycle.notes[name] = message
        return replace(known, github_id=result.github_id, name=result.name, state=state, message=message, looked_at=now)
    error, has_access = result, name in looks.credentials
    if has_access and isinstance(error, GitHubNotFoundError) and len(cycle.refused) < _MAX_EXPLAINED:
        error = await explain_missing(client, name, known)
    is_of_look = isinstance(error, GitHubUnavailableError | GitHubValidationError) and "reason" not in error.context
    if has_access and is_of_look:  # GitHub answers, but has trouble with the look
        cycle.to_read[name] = ReadReason.NO_LOOK
        return known
    cycle.refused[name] = error
    if isinstance(error, GitHubPermissionError) or (not has_access and isinstance(error, GitHubNotFoundError)):
        return replace(known, state=RepositoryState.FORBIDDEN, message=str(error), digest=None)
    if isinstance(error, GitHubNotFoundError):
        return replace(known, state=RepositoryState.MISSING, message=str(error), digest=None)
    return known


def _refuse_duplicates(cycle: Cycle, seen: list[KnownRepository]) -> None:
    """Let one of several names of one repository stand for it, or its work would be done twice: the present name."""
    by_id: dict[int, list[int]] = defaultdict(list)
    for place, repository in enumerate(seen):
        if repository.github_id is not None and repository.repository in cycle.looks:
            by_id[repository.github_id].append(place)
    for places in by_id.values():
        first, *others = sorted(places, key=lambda place: seen[place].state is not RepositoryState.PRESENT)
        for place in others:
            name = seen[place].repository
            error = GitHubNotFoundError(
                f"{name} is the same repository as {seen[first].repository}, which stands for both",
                hint=f"take {name} out of `repositories`",
                context={"github_id": seen[place].github_id},
            )
            cycle.refused[name] = error
            seen[place] = replace(seen[place], state=RepositoryState.DUPLICATE, message=str(error), digest=None)


async def _keep_to_quota(
    client: GitHubClient,
    ledger: Ledger,
    cycle: Cycle,
    known: Mapping[str, KnownRepository],
    credentials: Mapping[str, str],
) -> None:
    """Leave to a later cycle what the points of this window will not pay for, by what readings cost of late.

    What a delivery or a person asked for comes first, then what was not read for the longest time.
    """
    if not cycle.to_read:
        return
    with ledger.read() as tx:
        cost_each = repositories.mean_cost(tx)
    by_credential: dict[str, list[str]] = defaultdict(list)
    for name in cycle.to_read:
        by_credential[credentials[name]].append(name)
    for credential, names in by_credential.items():
        state, now = client.graphql_limit(credential)
        most = affordable(state, cost_each=cost_each, now=now)
        if most is None or most >= len(names) or state.reset_at is None:
            continue

        def turn(name: str) -> tuple[bool, float]:
            earlier = known.get(name)
            read_at = earlier.read_at if earlier else None
            is_asked = cycle.to_read[name] in {ReadReason.FRESH, ReadReason.DELIVERY}
            return not is_asked, read_at.timestamp() if read_at else 0.0

        for name in sorted(names, key=turn)[most:]:
            del cycle.to_read[name]
            cycle.refused[name] = GitHubRateLimitError(
                f"{name} is read later: {state.remaining} points are left until {state.reset_at:%H:%M} UTC, and "
                f"{len(names)} readings would need about {cost_each * len(names):.0f}",
                retry_after_s=max(0.0, (state.reset_at - now).total_seconds()),
                hint="read less often (`collection.schedule`, `collection.full_every_s`), or use a GitHub App",
                context={"remaining": state.remaining, "cost_each": cost_each},
            )


def unread_sources(
    repository: str, sources: Iterable[Source], error: SquireError, *, now: datetime
) -> tuple[Collection, ...]:
    """Return the readings of sources that were not asked, since it was known that they would not answer."""
    return tuple(
        Collection(
            repository=repository,
            source=source,
            status=CollectionStatus.FAILED,
            started_at=now,
            ended_at=now,
            error_code=error.code,
            error=str(error),
            requests=0,
        )
        for source in sources
    )
