"""Sessions: their end, their number, and what is kept of their tokens."""

from squire_pipelines.board.sessions import SessionStore


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_session_ends_after_its_time_and_when_it_is_ended() -> None:
    clock = _Clock()
    store = SessionStore(lambda: 10, lambda: 60.0, clock)
    first, session = store.begin("ada", None)
    second, _ = store.begin("bob", None)
    assert store.find(first) is session
    store.end(second)
    assert store.find(second) is None
    clock.now += 60
    assert store.find(first) is None
    assert len(store) == 0


def test_the_session_that_was_used_longest_ago_ends_for_a_new_one() -> None:
    store = SessionStore(lambda: 2, lambda: 60.0)
    first, _ = store.begin("ada", None)
    second, _ = store.begin("bob", None)
    assert store.find(first) is not None
    store.begin("eve", None)
    assert store.find(second) is None
    assert store.find(first) is not None


def test_messages_are_shown_once_and_are_few() -> None:
    _, session = SessionStore(lambda: 1, lambda: 60.0).begin("ada", None)
    session.messages.extend(str(number) for number in range(9))
    assert session.take_messages() == ("4", "5", "6", "7", "8")
    assert session.take_messages() == ()
