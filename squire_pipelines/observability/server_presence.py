"""A process that serves says in the ledger that it lives, where several machines share that."""

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from squire_pipelines import __version__
from squire_pipelines.domain.server_processes import SEEN_EVERY_S, ServerKind, ServerRole
from squire_pipelines.errors import LedgerError
from squire_pipelines.home import Home
from squire_pipelines.ledger import server_processes
from squire_pipelines.ledger.server_processes import ServerRecord, ServerState, mark_of_secret
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.machine_name import machine_name
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.repeating_thread import RepeatingThread

_log = get_logger(Component.PIPELINE)


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a process says of itself now: whether it does its work, what it could not take, and its secrets by name."""

    role: ServerRole = ServerRole.SERVING
    problem: str = ""
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)


class ServerPresence(RepeatingThread):
    """Says that this process lives, again and again, until the block ends; then that it has ended.

    On SQLite it says nothing: all processes are this machine's, and their files in the home say it.

    Args:
        ledger: Where it is said.
        home: Of the process.
        kind: What it does.
        facts: Gives what it says at each beat.
        every_s: How often.
    """

    def __init__(
        self,
        ledger: Ledger,
        home: Home,
        kind: ServerKind,
        facts: Callable[[], ServerFacts] = ServerFacts,
        *,
        every_s: float = SEEN_EVERY_S,
    ) -> None:
        super().__init__("server-presence", stop_within_s=5.0)
        self._ledger = ledger
        self._facts = facts
        self._every_s = every_s
        self._record = ServerRecord(
            id=secrets.token_hex(8),
            kind=kind,
            machine=machine_name(),
            home=str(home.state),
            pid=os.getpid(),
            version=__version__,
        )
        self._salt = ""
        self._marks: dict[tuple[str, bytes], str] = {}
        self._is_failing = False

    def repeat(self) -> float:
        """Say it once."""
        if self._ledger.is_sqlite:
            return 3600.0
        try:
            self.beat()
        except LedgerError as error:
            if not self._is_failing:
                _log.warning("it is not known that this process lives", reason=error.message)
            self._is_failing = True
        else:
            self._is_failing = False
        return self._every_s

    def beat(self) -> None:
        """Say that this process lives, now. Raises LedgerError."""
        facts = self._facts()
        with self._ledger.write() as tx:
            salt = server_processes.shared_salt(tx) or self._salt or server_processes.new_salt()
        known = self._marks if salt == self._salt else {}
        # Outside of a transaction, since each one that is new takes long.
        marks = {
            (name, value): known.get((name, value)) or mark_of_secret(name, value, salt)
            for name, value in facts.secrets.items()
            if value
        }
        self._salt, self._marks = salt, marks
        state = ServerState(facts.role, facts.problem, {name: digest for (name, _), digest in marks.items()})
        with self._ledger.write() as tx:
            if server_processes.shared_salt(tx) not in {None, salt}:
                return  # another process came first, with a salt of its own: the next beat takes that
            server_processes.beat(tx, self._record, state, salt=salt)

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if self._ledger.is_sqlite:
            return
        try:
            with self._ledger.write() as tx:
                server_processes.end(tx, self._record.id)
        except LedgerError as cause:  # it is shown as gone then, until its home has another one or a day has passed
            _log.warning("it is not known that this process has ended", reason=cause.message)
