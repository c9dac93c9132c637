"""Sessions that several boards share: their end, their number, what the ledger has of them; and throttled logins."""

import json

import pytest
from sqlalchemy import func, select

from squire_pipelines.board.sessions import SessionStore
from squire_pipelines.ledger import board_sessions
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import board_sessions as session_rows
from squire_pipelines.ledger.tables import login_failures
from tests.support.ledgers import Clock


def store_of(ledger: Ledger, *, most: int = 10, lasts_s: float = 60.0) -> SessionStore:
    return SessionStore(ledger, lambda: most, lambda: lasts_s)


def wrong_ones(store: SessionStore, address: str, count: int, *, per_minute: int = 6) -> list[float]:
    return [store.judge_login(address, lambda: False, per_minute=per_minute).wait_s for _ in range(count)]


def test_a_session_of_one_board_is_one_of_all_until_its_time_is_over(ledger: Ledger, clock: Clock) -> None:
    one, two = store_of(ledger), store_of(ledger)
    token, begun = one.begin("ada", "acme")
    session = two.find(token)
    assert session is not None
    assert (session.person, session.tenant, session.csrf) == ("ada", "acme", begun.csrf)
    clock.forward(60)
    assert two.find(token) is None
    assert two.is_over(session)


def test_whoever_signs_out_on_one_board_is_signed_out_on_all(ledger: Ledger) -> None:
    one, two = store_of(ledger), store_of(ledger)
    token, session = one.begin("ada", None)
    other, _ = one.begin("bob", None)
    two.end(token)
    assert one.find(token) is None
    assert one.is_over(session)
    assert one.find(other) is not None


def test_the_session_that_was_used_longest_ago_ends_for_a_new_one(ledger: Ledger, clock: Clock) -> None:
    store = store_of(ledger, most=2, lasts_s=3600)
    first, _ = store.begin("ada", None)
    second, _ = store.begin("bob", None)
    clock.forward(board_sessions.USED_EVERY_S)
    assert store.find(first) is not None
    store.begin("eve", None)
    assert store.find(second) is None
    assert store.find(first) is not None


def test_the_ledger_has_nothing_that_signs_anybody_in(ledger: Ledger) -> None:
    store, login = store_of(ledger), "a-token-of-the-board"
    token, session = store.begin("ada", None, login_token=login)
    with ledger.read() as tx:
        row = tx.execute(select(session_rows)).one()
    text = json.dumps([str(value) for value in row])
    assert all(secret not in text for secret in (token, session.csrf, login))
    assert store.find(row.token_hash) is None
    assert session.is_of_login(login)
    assert not session.is_of_login("another")


def test_messages_are_shown_once_and_are_few(ledger: Ledger) -> None:
    one, two = store_of(ledger), store_of(ledger)
    token, session = one.begin("ada", None)
    one.leave_messages(session, [str(number) for number in range(9)])
    session = one.find(token) or session
    assert two.take_messages(session) == ("4", "5", "6", "7", "8")
    assert one.take_messages(session) == ()


def test_wrong_tokens_are_counted_by_all_boards_together(ledger: Ledger, clock: Clock) -> None:
    one, two = store_of(ledger), store_of(ledger)
    assert wrong_ones(one, "10.0.0.1", 3) == [0, 0, 0]
    assert wrong_ones(two, "10.0.0.1", 4) == [0, 0, 0, 10]
    # The right one has to wait too, or guessing would go on; another address need not.
    assert two.judge_login("10.0.0.1", lambda: True, per_minute=6).wait_s == 10
    assert two.judge_login("10.0.0.2", lambda: True, per_minute=6).is_right
    clock.forward(10)
    assert one.judge_login("10.0.0.1", lambda: True, per_minute=6).is_right


def test_addresses_that_may_try_again_are_forgotten_and_of_too_many_the_oldest(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(ledger)
    for number in range(3):
        wrong_ones(store, f"10.0.0.{number}", 1)
    clock.forward(61)
    wrong_ones(store, "10.0.1.1", 1)
    with ledger.read() as tx:
        assert tx.execute(select(func.count()).select_from(login_failures)).scalar_one() == 1
    monkeypatch.setattr(board_sessions, "MAX_ADDRESSES", 2)
    for number in range(3):
        clock.forward(1)
        wrong_ones(store, f"10.0.2.{number}", 1)
    with ledger.read() as tx:
        assert set(tx.execute(select(login_failures.c.address)).scalars()) == {"10.0.2.1", "10.0.2.2"}
