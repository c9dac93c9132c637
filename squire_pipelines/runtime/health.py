"""The looks at everything of one home, in a thread beside whatever a process does."""

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from squire_pipelines.domain.conditions import Condition
from squire_pipelines.health.all_probes import LibraryProbes
from squire_pipelines.health.looks import HealthLooks
from squire_pipelines.health.probe import Probe
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.observability.secret_uses import record_secret_uses
from squire_pipelines.runtime.daemon_probe import daemon_probe
from squire_pipelines.runtime.upkeep_probe import upkeep_probe
from squire_pipelines.settings.model import Settings

LOOK_EVERY_S = 10.0
"""How often a look is made at the least: alerts follow from what is not seen any more, too."""

_STOP_WITHIN_S = 2.0
_RECORD_EVERY_S = 3600.0
_BUSY_TIMEOUT_S = 3.0
_log = get_logger(Component.PIPELINE)


def all_probes(settings: Callable[[], Settings]) -> Callable[[], Sequence[Probe]]:
    """Return what gives all probes, by the settings as they are at each look."""
    library = LibraryProbes()
    return lambda: (*library.of(settings()), daemon_probe(settings()), upkeep_probe(settings()))


class HealthWatch:
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
        self._settings = settings
        self._looks = HealthLooks(settings().home, all_probes(settings))
        self._after_look = after_look
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=_STOP_WITHIN_S)  # a probe may hang: the process's end ends it

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions after the last look."""
        return self._looks.conditions

    def _run(self) -> None:
        while True:
            try:
                conditions = self._looks.look()
                self._record_uses(conditions)
                self._after_look(conditions)
            except Exception:  # noqa: BLE001 - the next look may do better, and an end of the looks would be noticed late
                _log.exception("look at conditions failed")
            if self._stop.wait(self._looks.wait_s(self._every_s)):
                return

    def _record_uses(self, conditions: tuple[Condition, ...]) -> None:
        """Record in the audit trail, once an hour, which secrets the probes have read."""
        schema = next((condition for condition in conditions if condition.name == "schema"), None)
        if schema is None or not schema.is_ok:
            return
        ledger = Ledger(self._settings().resolved_ledger_url, busy_timeout_s=_BUSY_TIMEOUT_S)
        try:
            record_secret_uses(ledger, actor="health", every_s=_RECORD_EVERY_S)
        finally:
            ledger.close()
