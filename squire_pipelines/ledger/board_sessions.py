"""Who is signed in to the board, and which addresses gave wrong tokens there, for all boards of one ledger.

A session is known by the hash of its token alone. Times are the ledger's.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select, update

from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import board_sessions, login_failures

MAX_MESSAGES = 5
"""Of a session, that the next page shows; the oldest go."""

MAX_ADDRESSES = 4096
"""Of so many addresses failed logins are counted; the one that failed longest ago is forgotten for a new one."""

USED_EVERY_S = 30.0
"""A session's last use is written down so often at most."""

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A session's row; see `ledger.board_tables`."""

    token_hash: str
    person: str
    tenant: str | None
    login_proof: str | None
    used_at: datetime
    ends_at: datetime
    has_messages: bool


def begin(
    tx: Transaction,
    token_hash: str,
    *,
    person: str,
    tenant: str | None,
    login_proof: str | None,
    lasts_s: float,
    most: int,
) -> None:
    """Begin a session; those that are over are deleted, and of more than `most` the ones that were used longest ago."""
    tx.exclusive("board sessions")
    tx.execute(delete(board_sessions).where(board_sessions.c.ends_at <= tx.now))
    values: dict[str, object] = {"person": person, "tenant": tenant, "login_proof": login_proof, "messages": []}
    times = {"begun_at": tx.now, "used_at": tx.now, "ends_at": tx.now + timedelta(seconds=lasts_s)}
    tx.execute(insert(board_sessions).values(token_hash=token_hash, **values, **times))
    count = tx.execute(select(func.count()).select_from(board_sessions)).scalar_one()
    if count > most:
        others = select(board_sessions.c.token_hash).where(board_sessions.c.token_hash != token_hash)
        oldest = others.order_by(board_sessions.c.used_at, board_sessions.c.token_hash).limit(count - most)
        tx.execute(delete(board_sessions).where(board_sessions.c.token_hash.in_(oldest)))


def find(tx: Transaction, token_hash: str) -> StoredSession | None:
    """Return a session that is not over; None where there is none."""
    row = tx.execute(
        select(board_sessions).where(board_sessions.c.token_hash == token_hash, board_sessions.c.ends_at > tx.now)
    ).one_or_none()
    if row is None:
        return None
    return StoredSession(
        token_hash=row.token_hash,
        person=row.person,
        tenant=row.tenant,
        login_proof=row.login_proof,
        used_at=row.used_at,
        ends_at=row.ends_at,
        has_messages=bool(row.messages),
    )


def is_use_due(session: StoredSession, now: datetime) -> bool:
    """Return whether a session's last use is to be written down."""
    return now - session.used_at >= timedelta(seconds=USED_EVERY_S)


def record_use(tx: Transaction, token_hash: str) -> None:
    """Write down that a session is used now."""
    tx.execute(update(board_sessions).where(board_sessions.c.token_hash == token_hash).values(used_at=tx.now))


def end(tx: Transaction, token_hash: str) -> None:
    """End a session, on all boards; nothing where there is none."""
    tx.execute(delete(board_sessions).where(board_sessions.c.token_hash == token_hash))


def leave_messages(tx: Transaction, token_hash: str, lines: Iterable[str]) -> None:
    """Add what the next page of a session shows."""
    messages = [*_lock_messages(tx, token_hash), *lines][-MAX_MESSAGES:]
    _set_messages(tx, token_hash, messages)


def take_messages(tx: Transaction, token_hash: str) -> tuple[str, ...]:
    """Return what the next page of a session shows, once."""
    messages = _lock_messages(tx, token_hash)
    if messages:
        _set_messages(tx, token_hash, [])
    return tuple(messages)


def _lock_messages(tx: Transaction, token_hash: str) -> list[str]:
    tx.exclusive(f"board session {token_hash}")
    stored = select(board_sessions.c.messages).where(board_sessions.c.token_hash == token_hash)
    return list(tx.execute(stored).scalar_one_or_none() or ())


def _set_messages(tx: Transaction, token_hash: str, messages: list[str]) -> None:
    tx.execute(update(board_sessions).where(board_sessions.c.token_hash == token_hash).values(messages=messages))


@dataclass(frozen=True, slots=True)
class LoginTry:
    """What became of one try to log in: whether it was right, and else how long its address has to wait first."""

    is_right: bool
    wait_s: float = 0.0


def judge_login(tx: Transaction, address: str, is_right: Callable[[], bool], *, per_minute: int) -> LoginTry:
    """Judge one try to log in, unless its address has given too many wrong tokens within a minute on any board.

    The tries of one address are judged one after the other, so that many at once are counted as they are.

    Args:
        tx: The transaction.
        address: Who tries.
        is_right: Says whether the token is right; not asked where the address has to wait.
        per_minute: How many wrong ones an address may give; they come back evenly.
    """
    tx.exclusive(f"board login {address}")
    row = tx.execute(select(login_failures).where(login_failures.c.address == address)).one_or_none()
    left = float(per_minute)
    if row is not None:
        left = min(left, row.tries_left + max(0.0, (tx.now - row.updated_at).total_seconds()) * per_minute / 60)
    if left < 1:
        return LoginTry(is_right=False, wait_s=(1 - left) * 60 / per_minute)
    if is_right():
        return LoginTry(is_right=True)
    values = {"tries_left": left - 1, "updated_at": tx.now}
    if row is not None:
        tx.execute(update(login_failures).where(login_failures.c.address == address).values(**values))
    else:
        _make_room(tx)
        tx.execute(insert(login_failures).values(address=address, **values))
    return LoginTry(is_right=False)


def _make_room(tx: Transaction) -> None:
    """Forget the addresses that may try as often as any again, and of too many the ones that failed longest ago."""
    tx.exclusive("board logins")
    tx.execute(delete(login_failures).where(login_failures.c.updated_at <= tx.now - _MINUTE))
    count = tx.execute(select(func.count()).select_from(login_failures)).scalar_one()
    if count >= MAX_ADDRESSES:
        by_age = select(login_failures.c.address).order_by(login_failures.c.updated_at, login_failures.c.address)
        oldest = by_age.limit(count - MAX_ADDRESSES + 1)
        tx.execute(delete(login_failures).where(login_failures.c.address.in_(oldest)))
