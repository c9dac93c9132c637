"""What a cheap look at a repository shows, and whether it has to be read for it. Pure.

A look sees what was pushed, updated, opened and closed, and the states of checks; it does not see that a thread was
resolved. So each repository is read anew after a time, whatever its looks showed.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum


class RepositoryState(StrEnum):
    """What a repository is to us. It is read while it is present, renamed or archived."""

    PRESENT = "present"
    RENAMED = "renamed"
    REPLACED = "replaced"
    ARCHIVED = "archived"
    DUPLICATE = "duplicate"
    MISSING = "missing"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class RepositoryLook:
    """What GitHub shows of a repository at a glance: its id, its present name, and a digest of what may change.

    `settings_blob` names the content of its own file of settings, None where it has none.
    """

    github_id: int | None
    name: str
    digest: str
    archived: bool = False
    settings_blob: str | None = None

    def read_under(self, rules: str) -> "RepositoryLook":
        """Return the look whose digest changes with the rules of its reading, too: what they are, `rules` tells."""
        mixed = hashlib.sha256(f"{self.digest}\x00{rules}".encode()).hexdigest()
        return replace(self, digest=mixed)


@dataclass(frozen=True, slots=True)
class KnownRepository:
    """What is remembered of a repository under the name by which the settings call it.

    `digest` is that of the look before the newest reading of all sources that were asked; None when one of them failed.
    """

    repository: str
    github_id: int | None = None
    name: str | None = None
    state: RepositoryState = RepositoryState.PRESENT
    message: str | None = None
    digest: str | None = None
    looked_at: datetime | None = None
    read_at: datetime | None = None


class ReadReason(StrEnum):
    """Why a repository is read."""

    FRESH = "fresh"
    DELIVERY = "delivery"
    SECOND_RUN = "second_run"
    UNREAD = "unread"
    FULL = "full"
    CHANGED = "changed"
    NO_LOOK = "no_look"


def is_recent(known: KnownRepository | None, *, now: datetime, ttl_s: float) -> bool:
    """Return whether a repository was seen unchanged so short a time ago that it is not even looked at."""
    if known is None or known.digest is None or known.looked_at is None:
        return False
    return timedelta(0) <= now - known.looked_at < timedelta(seconds=ttl_s)


def reason_to_read(
    known: KnownRepository | None, look: RepositoryLook, *, now: datetime, full_every_s: float
) -> ReadReason | None:
    """Return why a look makes a reading necessary; None when all is as it was at the last one."""
    if known is None or known.digest is None or known.read_at is None:
        return ReadReason.UNREAD
    if known.digest != look.digest:
        return ReadReason.CHANGED
    # A clock that was set back makes a reading too many rather than none for a long time.
    is_young = timedelta(0) <= now - known.read_at < timedelta(seconds=full_every_s)
    return None if is_young else ReadReason.FULL


def identify(
    known: KnownRepository | None, look: RepositoryLook, repository: str
) -> tuple[RepositoryState, str | None]:
    """Return what became of a repository that GitHub shows under `repository`, and a sentence on what to do about it.

    Names are compared as GitHub compares them, which knows no case.
    """
    former = known.github_id if known else None
    if former is not None and look.github_id is not None and former != look.github_id:
        return RepositoryState.REPLACED, (
            f"{repository} is another repository than before: GitHub's id is {look.github_id}, and was {former}. It is "
            "not read, and no task is started in it, until somebody who knows it says that it is the one that is meant"
        )
    if look.name.casefold() != repository.casefold():
        return RepositoryState.RENAMED, (
            f"{repository} was renamed or transferred and is now {look.name}. GitHub leads there from the "
            f"old name until somebody else takes it, so write {look.name} in `repositories`"
        )
    if look.archived:
        return RepositoryState.ARCHIVED, (
            f"{repository} is archived and read-only, so that nothing in it can be acted on. Take it out of "
            "`repositories`, or unarchive it"
        )
    return RepositoryState.PRESENT, None
