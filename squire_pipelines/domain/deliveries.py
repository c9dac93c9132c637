"""Whose deliveries there are, and what can become of one: its state, by its marks, and its effects. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class DeliverySource(StrEnum):
    """Whose deliveries and requests are in the inbox, beside those of the senders that the settings name."""

    GITHUB = "github"
    COMMAND = "cli"
    REPAIR = "repair"
    INSTALLATION = "installation"


REQUEST_SOURCES = frozenset(DeliverySource) - {DeliverySource.GITHUB}
"""The sources of requests to read a repository, of commands and of Squire's own: nothing was delivered."""

UNKNOWN_SENDER = "unknown"
"""Whose requests are counted where the path has no sender's name: it may have anything else."""


class Effect(StrEnum):
    """What a delivery has done."""

    COLLECTED = "collected"
    OUTCOME = "outcome"
    CHECKS = "checks"
    REVIEW = "review"
    REVERT = "revert"
    BASE_MOVED = "base_moved"
    COMMAND = "command"
    LABEL = "label"
    DASHBOARD = "dashboard"
    REPOSITORY = "repository"
    INSTALLATION = "installation"
    PING = "ping"
    ACCESS = "access"
    REACTION = "reaction"
    SIGNAL = "signal"


class DeliveryState(StrEnum):
    """How a delivery stands."""

    WAITING = "waiting"
    DONE = "done"
    FILTERED = "filtered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DeliveryMarks:
    """What a delivery's row says of its fate: the names are those of the columns."""

    filtered_by: str | None
    collected_at: datetime | None
    applied_at: datetime | None
    set_aside_at: datetime | None
    error: str | None

    @property
    def state(self) -> DeliveryState:
        """How it stands. One with an error was read as far as it could be, and is failed."""
        if self.filtered_by is not None:
            return DeliveryState.FILTERED
        if self.set_aside_at is not None:
            return DeliveryState.FAILED
        if self.collected_at is None or self.applied_at is None:
            return DeliveryState.WAITING
        return DeliveryState.FAILED if self.error is not None else DeliveryState.DONE
