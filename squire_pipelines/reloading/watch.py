"""A thread that looks at the settings' file twice a second, for processes that have no tick of their own."""

import threading
from collections.abc import Callable
from typing import Self

from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.reloading.in_force import InForce, SettingsInForce

EVERY_S = 0.5
_STOP_S = 5.0
_log = get_logger(Component.PIPELINE)


class SettingsWatch:
    """Looks until the block ends: `with SettingsWatch(in_force, after_look=...):`.

    Args:
        in_force: What is looked at.
        after_look: Called in the thread after each look; what it raises is logged, and the looks go on.
        every_s: How often, in seconds.
    """

    def __init__(
        self, in_force: SettingsInForce, *, after_look: Callable[[InForce], None], every_s: float = EVERY_S
    ) -> None:
        self._in_force = in_force
        self._after_look = after_look
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="squire-settings", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_STOP_S)

    def _watch(self) -> None:
        reported = ""
        while not self._stop.wait(self._every_s):
            try:
                self._after_look(self._in_force.check())
                reported = ""
            except Exception as error:  # noqa: BLE001 - whatever it is, the process goes on with what it has
                if reported != str(error):
                    _log.error("the settings could not be looked at", reason=f"{type(error).__name__}: {error}")
                reported = str(error)
