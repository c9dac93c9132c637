"""The steward's role among several machines: one daemon is active, and the others wait until it has gone.

The daemon's own process has the lease, so that whoever kills or stops it ends the lease too. It ends itself when it
cannot prolong the lease, before another may take it, and when the ledger was upgraded to what it cannot go on with.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from squire_pipelines import __version__
from squire_pipelines.domain.server_processes import ServerKind, ServerRole
from squire_pipelines.errors import LedgerError
from squire_pipelines.home import Home
from squire_pipelines.ledger import HEAD_REVISION, role_leases
from squire_pipelines.ledger.role_leases import STEWARD, RoleLease
from squire_pipelines.ledger.store import Ledger, open_ledger
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.observability.server_presence import ServerFacts, ServerPresence
from squire_pipelines.repeating_thread import RepeatingThread
from squire_pipelines.settings.model import load_settings

LEASE_S = 20.0
"""How long after its last beat another daemon waits. With its start this is less than half a minute."""

BEAT_S = 4.0
LOOK_S = 1.0
GIVEN_UP_AFTER_S = 12.0
"""How long after its last beat a steward ends itself: `_GRACE_S` later at most it is gone, and its lease is over."""

_GRACE_S = 4.0  # for the daemon's end, within what is left of the lease
_LOST = 75  # EX_TEMPFAIL: the process is started again, and waits
_log = get_logger(Component.PIPELINE)


def holder_name(home: Home) -> str:
    """Return what names the processes of this home among those of all machines."""
    return f"{socket.gethostname()}:{home.state}"


def wait_for_role(
    ledger: Ledger, holder: str, *, sleep: Callable[[float], None] = time.sleep, lease_s: float = LEASE_S
) -> RoleLease:
    """Wait until this process is the steward, for however long another one is; a signal ends it meanwhile."""
    reason = ""
    while True:
        try:
            with ledger.write() as tx:
                lease = role_leases.take(tx, STEWARD, holder, version=__version__, lease_s=lease_s)
        except LedgerError as error:
            again = f"the ledger does not answer: {error}"
        else:
            if lease.holder == holder:
                return lease
            again = f"{lease.holder} is the steward"
        if again != reason:
            _log.warning("the daemon waits", reason=again)
            reason = again
        sleep(LOOK_S)


class StewardLease(RepeatingThread):
    """Prolongs the lease until the block ends, and then leaves the role.

    Args:
        ledger: Has the lease.
        lease: That `wait_for_role` returned.
        on_loss: Called once, in a thread, when another process has taken the role or soon may.
        given_up_after_s: How long after the last beat the role counts as lost, also while the ledger keeps a beat
            waiting.
    """

    def __init__(
        self,
        ledger: Ledger,
        lease: RoleLease,
        *,
        on_loss: Callable[[], None],
        given_up_after_s: float = GIVEN_UP_AFTER_S,
    ) -> None:
        super().__init__("steward-lease", first_after_s=BEAT_S)
        self._ledger = ledger
        self._lease = lease
        self._on_loss = on_loss
        self._given_up_after_s = given_up_after_s
        self._guard = threading.Lock()
        self._is_over = False
        self._watchdog = self._new_watchdog()

    def repeat(self) -> float:
        """Beat once."""
        try:
            unfit = self._ledger.schema().why_unfit(HEAD_REVISION, __version__)
            with self._ledger.write() as tx:
                is_ours = role_leases.prolong(tx, self._lease, lease_s=LEASE_S)
        except LedgerError as error:
            _log.warning("the steward's lease was not prolonged", reason=str(error))
            return LOOK_S
        if not is_ours:
            self._lose("another daemon has become the steward")
        elif unfit is not None:
            self._lose(unfit)
        else:
            self._watchdog.cancel()
            self._watchdog = self._new_watchdog()
        return BEAT_S

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._watchdog.cancel()
        with self._guard:
            was_over, self._is_over = self._is_over, True
        if was_over:
            return
        try:
            with self._ledger.write() as tx:
                role_leases.give_up(tx, self._lease)
        except LedgerError as cause:
            _log.warning("the steward's role was not left", reason=str(cause), free_after_s=LEASE_S)

    def _new_watchdog(self) -> threading.Timer:
        reason = f"its lease could not be prolonged for {self._given_up_after_s:g} s"
        watchdog = threading.Timer(self._given_up_after_s, self._lose, (reason,))
        watchdog.daemon = True
        watchdog.start()
        return watchdog

    def _lose(self, reason: str) -> None:
        with self._guard:
            was_over, self._is_over = self._is_over, True
        if not was_over:
            _log.error("the daemon ends: it is no longer the steward", reason=reason)
            self._on_loss()


@contextmanager
def as_steward() -> Iterator[None]:
    """Wait until this process is the steward by the settings' ledger, and be it for the block.

    A block that is under way when the role is lost is ended with its process: by SIGTERM, and shortly after it at once.
    """
    settings = load_settings()
    with closing(open_ledger(settings.resolved_ledger_url)) as ledger:
        role = [ServerRole.WAITING]
        with ServerPresence(ledger, settings.home, ServerKind.STEWARD, lambda: ServerFacts(role[-1])) as presence:
            lease = wait_for_role(ledger, holder_name(settings.home))
            _log.info("this daemon is the steward", token=lease.token)
            role.append(ServerRole.ACTIVE)
            presence.repeat()  # not at the next beat: whoever looks is to see it
            with StewardLease(ledger, lease, on_loss=_end_process):
                yield


def _end_process() -> None:
    last = threading.Timer(_GRACE_S, os._exit, (_LOST,))
    last.daemon = True
    last.start()
    os.kill(os.getpid(), signal.SIGTERM)
