"""The sessions of the board, in this process's memory: they end with it, and are as many as the settings allow."""

import hashlib
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

_MAX_MESSAGES = 5
_TOKEN_BYTES = 32


@dataclass(slots=True)
class BoardSession:
    """One person's session.

    Args:
        person: The person's name.
        csrf: What each form has to repeat, so that no other site can send it.
        ends_at: When it is over, in seconds of the store's clock.
        tenant: Whose work alone is shown and changed; None for an operator, who sees all.
        messages: What the next page says of actions that were done.
    """

    person: str
    csrf: str
    ends_at: float
    tenant: str | None = None
    messages: deque[str] = field(default_factory=lambda: deque(maxlen=_MAX_MESSAGES))

    def take_messages(self) -> tuple[str, ...]:
        """Return what is to be said, once."""
        taken = tuple(self.messages)
        self.messages.clear()
        return taken


class SessionStore:
    """All sessions. Known are the hashes of their tokens alone.

    Args:
        most: Gives how many there may be; the one that was used longest ago ends for a new one.
        lasts_s: Gives how long one lasts, in seconds.
        clock: Gives the time in seconds.
    """

    def __init__(
        self, most: Callable[[], int], lasts_s: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._lasts_s = lasts_s
        self._clock = clock
        self._sessions: OrderedDict[str, BoardSession] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, person: str, tenant: str | None) -> tuple[str, BoardSession]:
        """Begin a session of an operator or of a tenant's; return its token, which only the browser has, and it."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        session = BoardSession(person, secrets.token_urlsafe(_TOKEN_BYTES), self._clock() + self._lasts_s(), tenant)
        self._sessions[_hash(token)] = session
        while len(self._sessions) > self._most():
            self._sessions.popitem(last=False)
        return token, session

    def find(self, token: str) -> BoardSession | None:
        """Return the session of a token, None where there is none (any more)."""
        key = _hash(token)
        session = self._sessions.get(key)
        if session is None:
            return None
        if session.ends_at <= self._clock():
            del self._sessions[key]
            return None
        self._sessions.move_to_end(key)
        return session

    def end(self, token: str) -> None:
        """End the session of a token, if there is one."""
        self._sessions.pop(_hash(token), None)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
