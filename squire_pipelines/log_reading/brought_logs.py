"""Brings the logs of attempts that other machines have run into this home's cache, where `sources` finds them."""

import re
import time
from collections.abc import Callable, Iterable

from squire_pipelines.errors import SquireError
from squire_pipelines.file_store.attempt_copies import AttemptCopy
from squire_pipelines.settings.model import Settings

EVERY_S = 3.0
MAX_ATTEMPTS = 100
_ATTEMPT = re.compile(r"[0-9a-z]{1,40}-\d{1,9}")


class BroughtLogs:
    """Brings what some attempts have logged so far, and later what was added, not more often than that may have come.

    Args:
        settings: Name the store; without one there is nothing to bring.
        clock: Seconds.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._at = float("-inf")

    def bring(self, ids: Iterable[str]) -> str:
        """Bring the logs of those of the ids that are attempts'; return why that was not possible, else nothing."""
        now = self._clock()
        if not self._settings.files.url or now - self._at < EVERY_S:
            return ""
        self._at = now
        try:
            for attempt_id in sorted(filter(_ATTEMPT.fullmatch, ids))[-MAX_ATTEMPTS:]:
                AttemptCopy(self._settings, attempt_id, quick=True).bring_logs()
        except SquireError as error:
            return error.message
        return ""
