"""Whether a worker takes an agent's attempts, where workers take runs: in place of a look at this machine's engine."""

from collections.abc import Callable
from dataclasses import dataclass, field

from squire_pipelines.domain.worker_rules import WorkKind, free_places, queue_of, why_nobody_serves
from squire_pipelines.errors import NotReachableError, SquireError
from squire_pipelines.ledger import workers
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.settings.model import Settings

AgentCheck = Callable[[AgentSettings], SquireError | None]
"""Returns why an agent cannot start, or None."""


@dataclass(frozen=True, slots=True)
class ServedAgents:
    """Which queues live workers serve, and how many of their places are free.

    Args:
        places: By queue.
    """

    places: dict[str, int] = field(default_factory=dict)

    def problem(self, agent: AgentSettings) -> SquireError | None:
        """Return why no worker would take an attempt of this agent now, or None."""
        labels = agent.worker_labels
        if (reason := why_nobody_serves(labels, self.places)) is not None:
            options = "".join(f" --label {label}" for label in labels)
            return NotReachableError(reason, hint=f"start `squire worker{options}` on such a machine")
        if labels and not self.places[queue_of(WorkKind.AGENT, labels)]:
            return NotReachableError(
                f"all places of the workers with {', '.join(labels)} are taken", hint="wait, or start another worker"
            )
        return None

    @property
    def free(self) -> int:
        """How many attempts workers would take at once, whatever they ask for."""
        agents = [count for queue, count in self.places.items() if queue.split("+")[0] == WorkKind.AGENT]
        return max(agents, default=0)


def read_served(ledger: Ledger, settings: Settings) -> ServedAgents:
    """Return what live workers serve. Raises LedgerError."""
    with ledger.read() as tx:
        known = workers.read_all(tx, lost_after_s=settings.workers.lost_after_s)
    return ServedAgents(free_places(worker.places for worker in workers.open_workers(known)))


def start_check(ledger: Ledger, settings: Settings, ask_engine: AgentCheck) -> AgentCheck:
    """Return what says why an agent cannot start: `ask_engine`, or where workers take runs the rows of these."""
    return read_served(ledger, settings).problem if settings.is_shared else ask_engine
