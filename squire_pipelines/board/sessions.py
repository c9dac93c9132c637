"""The sessions of all boards of one ledger, and the throttle of their logins, by the settings.

A session's token is the browser's alone. The ledger has its hash, and what can be compared by whoever has the token: so
what lies there signs nobody in.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from squire_pipelines.errors import LedgerError
from squire_pipelines.ledger import board_sessions
from squire_pipelines.ledger.board_sessions import LoginTry
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, get_logger

_TOKEN_BYTES = 32
_MAX_TOKEN_CHARS = 200  # of ours; a longer cookie is another program's
_log = get_logger(Component.BOARD)


@dataclass(frozen=True, slots=True)
class BoardSession:
    """One person's session, as it was when the request came.

    Args:
        person: The person's name.
        tenant: Whose work alone is shown and changed; None for an operator, who sees all.
        login_proof: What `proof_of` made of the token that was given at the login; None where none was.
        has_messages: Whether the next page has to say what became of actions.
        token: Its own, which only the browser has beside this process.
    """

    person: str
    tenant: str | None
    login_proof: str | None
    has_messages: bool
    token: str = field(repr=False)

    @property
    def csrf(self) -> str:
        """What each form has to repeat, so that no other site can send it."""
        return hmac.digest(self.token.encode(), b"form", "sha256").hex()

    @property
    def token_hash(self) -> str:
        """By which the ledger knows it."""
        return _hash(self.token)

    def is_of_login(self, login_token: str) -> bool:
        """Return whether it began with this token of the board."""
        return self.login_proof is not None and hmac.compare_digest(self.login_proof, proof_of(self.token, login_token))


class SessionStore:
    """All sessions of the ledger's boards.

    Args:
        ledger: Has them.
        most: Gives how many there may be; the one that was used longest ago ends for a new one.
        lasts_s: Gives how long one lasts, in seconds.

    Every method raises LedgerError where the ledger does not answer, and waits for it: none is for an event loop.
    """

    def __init__(self, ledger: Ledger, most: Callable[[], int], lasts_s: Callable[[], float]) -> None:
        self._ledger = ledger
        self._most = most
        self._lasts_s = lasts_s

    def begin(self, person: str, tenant: str | None, *, login_token: str | None = None) -> tuple[str, BoardSession]:
        """Begin a session; return its token, which only the browser has, and it.

        Args:
            person: The person's name.
            tenant: Whose work alone is shown; None for an operator.
            login_token: That the person gave; the session is over when it is no login any more.
        """
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        proof = None if login_token is None else proof_of(token, login_token)
        with self._ledger.write() as tx:
            board_sessions.begin(
                tx,
                _hash(token),
                person=person,
                tenant=tenant,
                login_proof=proof,
                lasts_s=self._lasts_s(),
                most=self._most(),
            )
        return token, BoardSession(person, tenant, proof, has_messages=False, token=token)

    def find(self, token: str) -> BoardSession | None:
        """Return the session of a token, None where there is none (any more)."""
        if not token or len(token) > _MAX_TOKEN_CHARS:
            return None
        with self._ledger.read() as tx:
            stored = board_sessions.find(tx, _hash(token))
            is_use_due = stored is not None and board_sessions.is_use_due(stored, tx.now)
        if stored is None:
            return None
        if is_use_due:
            self._record_use(stored.token_hash)
        return BoardSession(
            stored.person, stored.tenant, stored.login_proof, has_messages=stored.has_messages, token=token
        )

    def _record_use(self, token_hash: str) -> None:
        try:
            with self._ledger.write() as tx:
                board_sessions.record_use(tx, token_hash)
        except LedgerError as error:  # the page can be read all the same; the session only looks unused
            _log.warning("the use of a session was not written down", reason=error.message)

    def is_over(self, session: BoardSession) -> bool:
        """Return whether a session has ended since its request came, on whatever board."""
        return self.find(session.token) is None

    def end(self, token: str) -> None:
        """End the session of a token, if there is one, on all boards."""
        with self._ledger.write() as tx:
            board_sessions.end(tx, _hash(token))

    def leave_messages(self, session: BoardSession, lines: Iterable[str]) -> None:
        """Have the next page say what became of actions, which are done whether it says so or not."""
        try:
            with self._ledger.write() as tx:
                board_sessions.leave_messages(tx, session.token_hash, lines)
        except LedgerError as error:  # what was done is done: an error page would say that it was not
            _log.warning("the next page does not say what was done", reason=error.message)

    def take_messages(self, session: BoardSession) -> tuple[str, ...]:
        """Return the notice, once."""
        if not session.has_messages:
            return ()
        with self._ledger.write() as tx:
            return board_sessions.take_messages(tx, session.token_hash)

    def judge_login(self, address: str, is_right: Callable[[], bool], *, per_minute: int) -> LoginTry:
        """Judge one try to log in, see `ledger.board_sessions.judge_login`."""
        with self._ledger.write() as tx:
            return board_sessions.judge_login(tx, address, is_right, per_minute=per_minute)


def proof_of(session_token: str, login_token: str) -> str:
    """Return by what a session is known to have begun with a token of the board.

    The key is the session's own token, so that nobody who reads the ledger can try out tokens.
    """
    return hmac.digest(session_token.encode(), b"login\0" + login_token.encode(), "sha256").hex()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
