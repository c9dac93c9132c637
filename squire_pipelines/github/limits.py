"""What a client remembers of GitHub's limits: which requests count for which, and the store that it asks first.

The store in memory serves one client; `ledger.github_limits` has one that all processes share.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Protocol

from squire_pipelines.domain.rate_limits import LimitKind, LimitState, LimitUse
from squire_pipelines.errors import GitHubRateLimitError

_CONTENT_WORDS = ("content creation", "creating content", "submitted too quickly")


class LimitStore(Protocol):
    """Keeps the states of limits, by credential."""

    def states(self, credential: str) -> tuple[Mapping[LimitKind, LimitState], datetime]:
        """Return what is known of a credential's limits, and the time by the store's clock."""
        ...

    def block(self, credential: str, kinds: Collection[LimitKind], wait_s: float | None) -> None:
        """Remember a refusal at once. `wait_s` is None when it named no time."""
        ...

    def use(self, credential: str, use: LimitUse) -> None:
        """Remember what an answer said, at the latest when the client closes."""
        ...

    def close(self) -> None:
        """Write what was not written yet."""
        ...


class MemoryLimits:
    """Keeps the states for one process."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._states: dict[str, dict[LimitKind, LimitState]] = {}

    def states(self, credential: str) -> tuple[Mapping[LimitKind, LimitState], datetime]:
        """See `LimitStore`."""
        return self._states.get(credential, {}), self._now()

    def block(self, credential: str, kinds: Collection[LimitKind], wait_s: float | None) -> None:
        """See `LimitStore`."""
        known = self._states.setdefault(credential, {})
        for kind in kinds:
            known[kind] = known.get(kind, LimitState()).blocked(now=self._now(), wait_s=wait_s)

    def use(self, credential: str, use: LimitUse) -> None:
        """See `LimitStore`."""
        known = self._states.setdefault(credential, {})
        known[use.kind] = known.get(use.kind, LimitState()).used(use, now=self._now())

    def close(self) -> None:
        """See `LimitStore`: there is nothing to write."""


def kind_of_rest(path: str) -> LimitKind:
    """Return the limit that a REST request counts for."""
    return LimitKind.SEARCH if path.startswith("/search/") else LimitKind.CORE


def blocked_kinds(error: GitHubRateLimitError, kind: LimitKind, *, is_write: bool) -> frozenset[LimitKind]:
    """Return what a refusal forbids: a primary limit its own kind, a secondary one everything.

    Of the secondary ones, that of creating content forbids writes alone.
    """
    if not error.is_secondary:
        return frozenset({kind})
    if is_write and any(words in error.message.lower() for words in _CONTENT_WORDS):
        return frozenset({LimitKind.CONTENT})
    return frozenset(LimitKind)


def read_use(headers: Mapping[str, str], kind: LimitKind) -> LimitUse | None:
    """Return what an answer's headers say of its limit; None when they say nothing that can be read."""
    named = headers.get("x-ratelimit-resource", kind)
    try:
        quota, remaining = int(headers["x-ratelimit-limit"]), int(headers["x-ratelimit-remaining"])
        reset_at = datetime.fromtimestamp(int(headers["x-ratelimit-reset"]), UTC)
    except (KeyError, ValueError, OverflowError, OSError):
        return None
    if named not in set(LimitKind) or not 0 <= remaining <= quota < 2**31:
        return None
    return LimitUse(LimitKind(named), quota, remaining, reset_at)
