"""Which deliveries GitHub has sent and we lack, from when on to compare, and which to ask for again, and when. Pure.

GitHub keeps deliveries for three days and delivers none again by itself:
https://docs.github.com/webhooks/using-webhooks/handling-failed-webhook-deliveries
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

KEPT_FOR = timedelta(days=3)
"""How long GitHub lists a delivery, and delivers it again when it is asked."""

APP_HOOK_NAME = "app"
"""How an App's webhook is named where those of repositories have the repositories' names."""

OVERLAP = timedelta(minutes=5)
"""Two comparisons overlap so far: a delivery may be listed later than it was sent, and clocks differ."""

UNDER_WAY_FOR = timedelta(seconds=30)
"""What has not ended and is no older than that may still arrive: GitHub waits ten seconds for an answer."""

_NO_ANSWER = frozenset({0, 502, 504})
"""What GitHub lists where nothing answered: no connection, or no answer in time."""

_UNAUTHORIZED, _TOO_LARGE, _FIRST_BAD = 401, 413, 300


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One attempt to deliver, as GitHub lists it.

    Args:
        id: Its number, by which it is asked for again.
        guid: Of the delivery, the same for all its attempts.
        at: When it was made.
        status: Of the answer; 0 where there was none.
        event: Its event.
        action: What happened, where the event has actions.
        repository_id: What it is about, by GitHub's number; None for what is about none.
        is_redelivery: Whether somebody had asked for it.
        is_under_way: Whether GitHub does not say yet how it ended.
        webhook_id: The number of the repository's webhook that sent it; None of an App's.
    """

    id: int
    guid: str
    at: datetime
    status: int
    event: str
    action: str | None = None
    repository_id: int | None = None
    is_redelivery: bool = False
    is_under_way: bool = False
    webhook_id: int | None = None

    @property
    def is_good(self) -> bool:
        """Whether it was answered with 2xx."""
        return 200 <= self.status < _FIRST_BAD  # noqa: PLR2004 - the class of good statuses


@dataclass(frozen=True, slots=True)
class DeliveryGap:
    """A delivery that is not here: its attempts, the newest first, at least one."""

    attempts: tuple[DeliveryAttempt, ...]

    @property
    def newest(self) -> DeliveryAttempt:
        """Its last attempt."""
        return self.attempts[0]

    @property
    def first_at(self) -> datetime:
        """When it was sent first, as far as it is listed."""
        return self.attempts[-1].at

    @property
    def guid(self) -> str:
        """The delivery."""
        return self.newest.guid

    @property
    def is_failed(self) -> bool:
        """Whether no attempt was answered with 2xx; otherwise somebody else has answered, or it was lost here."""
        return not any(attempt.is_good for attempt in self.attempts)

    @property
    def is_astray(self) -> bool:
        """Whether it was delivered again, answered well, and is not here: another receiver answers."""
        return any(attempt.is_redelivery and attempt.is_good for attempt in self.attempts)

    def is_due(self, now: datetime) -> bool:
        """Return whether to ask for it again by now: at once, then after waits that double, while GitHub keeps it.

        A receiver that is away for an hour is asked a few times, and one that refuses a delivery for good not for ever.
        """
        if self.is_astray:
            return False
        return now - self.newest.at >= self.newest.at - self.first_at


@dataclass(frozen=True, slots=True)
class UnrepairedHook:
    """A webhook (of a repository, or `app`) of whose deliveries some are not here, or could not be compared: why."""

    hook: str
    problem: str

    @property
    def hint(self) -> str:
        """What to do."""
        return (
            "`squire webhooks repair` tries again now and says more; the schedule reads the repositories all the same"
        )


@dataclass(frozen=True, slots=True)
class LastCheck:
    """The newest comparison of a hook: from when on, when, and what is left to do."""

    since: datetime
    at: datetime
    error: str | None


def compare_since(last: LastCheck | None, now: datetime) -> datetime:
    """Return from when on to compare: from the last comparison, or from its start while something is left of that."""
    oldest = now - KEPT_FOR
    if last is None:
        return oldest
    return max(oldest, last.at - OVERLAP if last.error is None else last.since)


def find_gaps(attempts: Iterable[DeliveryAttempt], known: Collection[str], now: datetime) -> tuple[DeliveryGap, ...]:
    """Return the deliveries that are not here, the oldest first, without those that may still be on their way.

    Args:
        attempts: As GitHub lists them.
        known: Those that are here.
        now: When it was listed.
    """
    by_guid: defaultdict[str, list[DeliveryAttempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.guid not in known:
            by_guid[attempt.guid].append(attempt)
    gaps = (
        DeliveryGap(tuple(sorted(members, key=lambda attempt: (attempt.at, attempt.id), reverse=True)))
        for members in by_guid.values()
    )
    settled = (gap for gap in gaps if not gap.newest.is_under_way or now - gap.newest.at > UNDER_WAY_FOR)
    return tuple(sorted(settled, key=lambda gap: (gap.first_at, gap.guid)))


def choose_probe(gaps: Sequence[DeliveryGap]) -> DeliveryGap:
    """Return the gap to ask for first where it is not sure that anything arrives: the one asked for least.

    Raises:
        ValueError: There are no gaps.
    """
    return min(gaps, key=lambda gap: len(gap.attempts))


def cause_of(status: int) -> tuple[str, str]:
    """Return why deliveries do not arrive, by how the last one was answered, and what to do about it."""
    if status == _UNAUTHORIZED:
        return (
            "the receiver refuses their signature (401): GitHub has another secret than this receiver",
            "`squire webhooks rotate` sets a new one on both sides",
        )
    if status in _NO_ANSWER:
        return (
            "GitHub gets no answer from the receiver",
            "start `squire dev`, and check that GitHub reaches the webhook's address",
        )
    if status == _TOO_LARGE:
        return ("they are larger than the receiver takes (413)", "raise webhooks.max_body")
    if status < _FIRST_BAD:
        return (
            f"another receiver answers them ({status})",
            "check the webhook's address, and that what answers there has this ledger",
        )
    return (
        f"the receiver answers {status}",
        "check the webhook's address, and the receiver's log: `squire logs --component webhooks`",
    )
