"""The looks at everything of one home, in a thread beside whatever a process does."""

from collections.abc import Callable, Sequence

from squire_pipelines.domain.conditions import Condition
from squire_pipelines.health.all_probes import LibraryProbes
from squire_pipelines.health.looks import HealthLooks
from squire_pipelines.health.probe import Probe
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.observability.secret_uses import record_secret_uses
from squire_pipelines.repeating_thread import RepeatingThread
from squire_pipelines.runtime.daemon_probe import daemon_probe
from squire_pipelines.runtime.upkeep_probe import upkeep_probe
from squire_pipelines.settings.model import Settings

LOOK_EVERY_S = 10.0
"""How often a look is made at the least: alerts follow from what is not seen any more, too."""

_RECORD_EVERY_S = 3600.0
_BUSY_TIMEOUT_S = 3.0
_log = get_logger(Component.PIPELINE)


def all_probes(settings: Callable[[], Settings]) -> Callable[[], Sequence[Probe]]:
    """Return what gives all probes, by the settings as they are at each look."""
    library = LibraryProbes()
    return lambda: (*library.of(settings()), daemon_probe(settings()), upkeep_probe(settings()))


class HealthWatch(RepeatingThread):
    """Looks again and again in a thread of its own, from entering the block to its end.

    Args:
        settings: Gives the settings as they are now.
        after_look: Called with the conditions after each look, in that thread. What it raises is logged.
        every_s: How often a look is made, if no probe is due sooner.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        *,
        after_look: Callable[[tuple[Condition, ...]], None] = lambda _: None,
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        super().__init__("health-watch")
        self._settings = settings
        self._looks = HealthLooks(settings().home, all_probes(settings))
        self._after_look = after_look
        self._every_s = every_s

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions after the last look."""
        return self._looks.conditions

    def repeat(self) -> float:
        """Make the looks that are due; return when the next one is."""
        try:
            conditions = self._looks.look()
            self._record_uses(conditions)
            self._after_look(conditions)
        except Exception:  # noqa: BLE001 - the next look may do better, and an end of the looks would be noticed late
            _log.exception("look at conditions failed")
        return self._looks.wait_s(self._every_s)

    def _record_uses(self, conditions: tuple[Condition, ...]) -> None:
        """Record in the audit trail, once an hour, which secrets the probes have read."""
        schema = next((condition for condition in conditions if condition.name == "schema"), None)
        if schema is None or not schema.is_ok or schema.is_starting:
            return
        ledger = Ledger(self._settings().resolved_ledger_url, busy_timeout_s=_BUSY_TIMEOUT_S)
        try:
            record_secret_uses(ledger, actor="health", every_s=_RECORD_EVERY_S)
        finally:
            ledger.close()
