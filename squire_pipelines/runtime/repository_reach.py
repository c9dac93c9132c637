"""Tells which repositories of a running Squire are out of reach, and when they are read again."""

import time
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy.exc import SQLAlchemyError

from squire_pipelines.domain.looks import RepositoryState
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import SquireError
from squire_pipelines.ledger import collections, repositories
from squire_pipelines.ledger.store import Ledger

LOOK_EVERY_S = 10.0
_UNREAD = {RepositoryState.MISSING, RepositoryState.FORBIDDEN, RepositoryState.REPLACED, RepositoryState.DUPLICATE}
_MAX_REASON = 400


def out_of_reach(ledger: Ledger, names: Sequence[str]) -> dict[str, str]:
    """Return which repositories are not read, and why: GitHub does not show them, or none of their sources answers."""
    with ledger.read() as tx:
        known = repositories.not_as_named(tx, names)
        readings = collections.latest(tx, names)
    reasons: dict[str, str] = {}
    for reading in readings:
        if not reading.status.source_answered:
            reasons.setdefault(reading.repository, reading.error or "it does not answer")
    for reading in readings:
        if reading.status.source_answered:
            reasons.pop(reading.repository, None)  # a part of it is read: the alert `source_fails` says so
    reasons |= {one.repository: one.message or one.state.value for one in known if one.state in _UNREAD}
    return {name: one_line(reasons[name], limit=_MAX_REASON) for name in names if name in reasons}


class RepositoryReach:
    """Says each change once.

    Args:
        ledger: Has the last readings.
        say: Tells people, one line at a time.
        monotonic: Seconds.
    """

    def __init__(
        self, ledger: Ledger, *, say: Callable[[str], None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._ledger = ledger
        self._say = say
        self._monotonic = monotonic
        self._due = monotonic()
        self._known_reasons: Mapping[str, str] = {}
        self._problem = ""

    def look(self, names: Sequence[str]) -> None:
        """Look, not more often than every ten seconds, and say what is new."""
        if self._monotonic() < self._due:
            return
        self._due = self._monotonic() + LOOK_EVERY_S
        try:
            reasons = out_of_reach(self._ledger, names)
        except (SquireError, SQLAlchemyError) as error:
            if self._problem != str(error):
                self._say(
                    f"which repositories are out of reach is not known: {one_line(str(error), limit=_MAX_REASON)}"
                )
            self._problem = str(error)
            return
        self._problem = ""
        for name, reason in reasons.items():
            if self._known_reasons.get(name) != reason:
                self._say(f"{name}: out of reach, and the other repositories go on: {reason}")
        for name in self._known_reasons.keys() - reasons.keys():
            self._say(f"{name}: is read again" if name in names else f"{name}: is not among the repositories any more")
        self._known_reasons = reasons
