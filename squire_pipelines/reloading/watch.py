"""A thread that looks at the settings' file twice a second, for processes that have no tick of their own."""

from collections.abc import Callable

from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.reloading.in_force import InForce, SettingsInForce
from squire_pipelines.repeating_thread import RepeatingThread

EVERY_S = 0.5
_log = get_logger(Component.PIPELINE)


class SettingsWatch(RepeatingThread):
    """Looks until the block ends: `with SettingsWatch(in_force, after_look=...):`.

    Args:
        in_force: What is looked at.
        after_look: Called in the thread after each look; what it raises is logged, and the looks go on.
        every_s: How often, in seconds.
    """

    def __init__(
        self, in_force: SettingsInForce, *, after_look: Callable[[InForce], None], every_s: float = EVERY_S
    ) -> None:
        super().__init__("squire-settings", first_after_s=every_s, stop_within_s=5.0)
        self._in_force = in_force
        self._after_look = after_look
        self._every_s = every_s
        self._problem = ""

    def repeat(self) -> float:
        """Look, and log once what keeps the settings from being looked at."""
        try:
            self._after_look(self._in_force.check())
            self._problem = ""
        except Exception as error:  # noqa: BLE001 - whatever it is, the process goes on with what it has
            if self._problem != str(error):
                _log.error("the settings could not be looked at", reason=f"{type(error).__name__}: {error}")
            self._problem = str(error)
        return self._every_s
