"""What a worker does about its own machine, which no other one sees: whose containers run there, and what is left.

The steward adopts and settles attempts by what this reports, see `recovery`.
"""

import time
from datetime import timedelta

from squire_pipelines.agents import engine
from squire_pipelines.deadline import Deadline
from squire_pipelines.errors import SquireError
from squire_pipelines.execution import recovery, stored_work
from squire_pipelines.execution.usage_recorder import recover_calls
from squire_pipelines.ledger import adoption
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.run_log import RunLog
from squire_pipelines.repeating_thread import RepeatingThread
from squire_pipelines.settings.model import Settings

EVERY_S = 10.0
FOLDERS_EVERY_S = 600.0
_ENGINE_TIMEOUT_S = 10.0
_ENGINES_S = 60.0
_LOST_SINCE = timedelta(hours=1)


class EngineUpkeep(RepeatingThread):
    """Looks at this machine's engines every ten seconds, for as long as a block lasts.

    Args:
        ledger: Knows which attempts have ended.
        settings: Of the home.
        worker: The name of the worker whose attempts these are.
        log: Where what fails is told; it is tried again at the next look.
    """

    def __init__(self, ledger: Ledger, settings: Settings, worker: str, log: RunLog) -> None:
        super().__init__("engine-upkeep")
        self._ledger = ledger
        self._settings = settings
        self._worker = worker
        self._log = log
        self._counted: set[str] = set()
        self._in_cluster: frozenset[str] = frozenset()
        self._folders_at = float("-inf")
        self.running: frozenset[str] = frozenset()
        """The worker's open attempts whose container runs here, as the last look saw them."""

    def repeat(self) -> float:
        """Look, remove what belongs to ended attempts, and bring calls of lost ones to the ledger."""
        try:
            with engine.connect_all(_ENGINE_TIMEOUT_S, deadline=Deadline.after(_ENGINES_S)) as clients:
                containers = recovery.agent_containers(clients, self._log)
                with self._ledger.read() as tx:
                    own = adoption.open_ids(tx, worker=self._worker)
                started = (name for name, container in containers.items() if container.started_at is not None)
                self.running = own.intersection({*started, *self._jobs()})
                recovery.remove_leftovers(self._ledger, self._settings, clients, self._log)
            self._count_calls()
            self._tend_folders()
        except (SquireError, OSError) as error:
            self._log.warning("the engine's leftovers are looked for again: %s", error)
        return EVERY_S

    def _jobs(self) -> frozenset[str]:
        """Return the attempts whose Jobs run in the cluster, once those of nobody are removed.

        While the cluster does not answer they are those of the last look: nothing says that they have ended.
        """
        if not self._settings.uses_cluster:
            return frozenset()
        from squire_pipelines.execution.cluster_upkeep import tend_jobs  # noqa: PLC0415 - only where it is used

        try:
            self._in_cluster = tend_jobs(self._ledger, self._settings)
        except SquireError as error:
            self._log.warning("the cluster's Jobs could not be looked at: %s", error)
        return self._in_cluster

    def _tend_folders(self) -> None:
        """Put attempts into the store that could not be put there when they ended, and remove old folders."""
        now = time.monotonic()
        if now - self._folders_at >= FOLDERS_EVERY_S:
            self._folders_at = now
            stored_work.store_leftovers(self._ledger, self._settings)
            recovery.remove_old_folders(self._ledger, self._settings)

    def _count_calls(self) -> None:
        """Bring calls to the ledger that only this machine's logs know, once for each attempt that was given up."""
        with self._ledger.read() as tx:
            lost = [one for one in adoption.lost_on(tx, self._worker, _LOST_SINCE) if one.id not in self._counted]
        for attempt in lost:
            recover_calls(self._ledger, self._settings, attempt)
            self._counted.add(attempt.id)
