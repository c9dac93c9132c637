"""Which queue a run waits in, which workers serve it, and when a worker counts as lost. Pure rules.

The broker that carries the queues decides nothing: what a worker is and what it has taken stands in the ledger.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import combinations
from types import MappingProxyType

WORKER_VARIABLE = "SQUIRE_WORKER_NAME"
"""The environment's name for the worker whose process a run is."""

MAX_LABELS = 4
"""Of one worker, and of one agent: a worker serves a queue for each combination of its labels."""

MAX_WORKER_NAME = 60
"""Characters."""

MAX_SENDS = 3
"""How often the message about one run is sent again that no worker has taken."""

_LABEL = re.compile(r"[a-z0-9][a-z0-9-]{0,29}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_OWN = "worker."


class WorkKind(StrEnum):
    """A kind of work, which is the name of its queue."""

    COLLECT = "collect"
    AGENT = "agent"
    FOLLOW = "follow"
    KEEP = "keep"


KINDS: Mapping[str, WorkKind] = MappingProxyType(
    {
        "collect": WorkKind.COLLECT,
        "plan": WorkKind.COLLECT,
        "agent_run": WorkKind.AGENT,
        "follow": WorkKind.FOLLOW,
        "repair_deliveries": WorkKind.FOLLOW,
    }
)
"""The kinds of jobs by their names; every other job is kept on the machine of the steward."""

SERVED: tuple[WorkKind, ...] = (WorkKind.COLLECT, WorkKind.AGENT, WorkKind.FOLLOW)
"""What a worker serves that nobody has given queues: all that is not the steward's own."""


class WorkerState(StrEnum):
    """What a worker is doing, as far as the ledger knows."""

    LIVE = "live"
    DRAINING = "draining"
    REFUSED = "refused"
    LOST = "lost"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class WorkerPlaces:
    """What one live worker offers: the queues that it serves, and how many of its places are free."""

    queues: frozenset[str]
    free: int


def kind_of(job: str) -> WorkKind:
    """Return the kind of work of a job of Dagster's."""
    return KINDS.get(job, WorkKind.KEEP)


def queue_of(kind: WorkKind, labels: Collection[str] = ()) -> str:
    """Return the queue of a kind of work that only workers with all of these labels take."""
    return "+".join((kind, *sorted(set(labels))))


def own_queue(worker: str) -> str:
    """Return the queue that only the worker of this name serves."""
    return f"{_OWN}{worker}"


def served_queues(kinds: Iterable[WorkKind], labels: Collection[str], worker: str) -> tuple[str, ...]:
    """Return all queues that a worker serves: its own, and those of agents for each combination of its labels."""
    queues = [own_queue(worker)]
    for kind in dict.fromkeys(kinds):
        queues.append(queue_of(kind))
        if kind is WorkKind.AGENT:
            sizes = range(1, len(labels) + 1)
            queues += [queue_of(kind, some) for size in sizes for some in combinations(sorted(labels), size)]
    return tuple(queues)


def check_label(text: str) -> str:
    """Return a worker's label as it is. Raises ValueError for what can be none."""
    if not _LABEL.fullmatch(text):
        raise ValueError("a worker's label has up to 30 small letters, digits and hyphens, like gpu or eu-central")
    return text


def check_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Return labels, each once and in order. Raises ValueError for too many, or what can be none."""
    known = tuple(sorted({check_label(label) for label in labels}))
    if len(known) > MAX_LABELS:
        raise ValueError(f"there are {len(known)} labels, and {MAX_LABELS} are possible")
    return known


def check_worker_name(text: str) -> str:
    """Return a worker's name as it is. Raises ValueError for what can be none."""
    if not _NAME.fullmatch(text):
        raise ValueError("a worker's name has up to 60 letters, digits and ._-, and begins with a letter or digit")
    return text


def is_lost(seen_at: datetime, now: datetime, lost_after_s: float) -> bool:
    """Return whether a worker that was last seen then counts as lost, by one clock for both times."""
    return now - seen_at > timedelta(seconds=lost_after_s)


def free_places(workers: Iterable[WorkerPlaces]) -> dict[str, int]:
    """Return how many free places each queue has. A worker's places count for each of its queues."""
    places: dict[str, int] = {}
    for worker in workers:
        for queue in worker.queues:
            places[queue] = places.get(queue, 0) + max(0, worker.free)
    return places


def why_nobody_serves(labels: Collection[str], queues: Collection[str]) -> str | None:
    """Return why an agent with these labels waits; None when a live worker serves it.

    Args:
        labels: Of the agent.
        queues: Those that live workers serve.
    """
    if queue_of(WorkKind.AGENT, labels) in queues:
        return None
    if labels:
        return (
            f"no live worker serves agents with the label{'s' if len(labels) > 1 else ''} {', '.join(sorted(labels))}"
        )
    return "no live worker serves the queue agent"


def broker_priority(priority: int, *, first_is_lowest: bool) -> int:
    """Return the broker's priority, 0 to 9, of a task's, where 1 goes first. Redis has 0 go first, RabbitMQ 9.

    Args:
        priority: Of the task.
        first_is_lowest: Whether the broker has 0 go first.
    """
    rank = min(max(priority - 1, 0), 9)
    return rank if first_is_lowest else 9 - rank
