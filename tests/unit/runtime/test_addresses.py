"""What `squire dev` prints to open."""

import socket

from squire_pipelines.runtime.addresses import PATIENCE_S, Address, Addresses
from squire_pipelines.runtime.ports import is_listening

UI = Address("UI", "http://127.0.0.1:3000", "127.0.0.1", 3000, "webserver")
BOARD = Address("board", "http://127.0.0.1:3001", "127.0.0.1", 3001, "board")


def test_each_address_is_said_once_it_answers_and_at_last_that_all_do() -> None:
    lines: list[str] = []
    listening: set[int] = set()
    addresses = Addresses(say=lines.append, connects=lambda _host, port: port in listening, monotonic=lambda: 0.0)
    addresses.expect([UI, BOARD], closing="all")
    addresses.look()
    assert lines == []
    listening.add(3001)
    addresses.look()
    assert lines == ["board:     http://127.0.0.1:3001"]
    listening.add(3000)
    addresses.look()
    addresses.look()
    assert lines[1:] == ["UI:        http://127.0.0.1:3000", "all"]


def test_a_server_that_does_not_answer_is_said_once_with_its_log_and_still_waited_for() -> None:
    lines: list[str] = []
    now = 0.0
    listening: set[int] = set()
    addresses = Addresses(say=lines.append, connects=lambda _host, port: port in listening, monotonic=lambda: now)
    addresses.expect([UI])
    now = PATIENCE_S
    addresses.look()
    addresses.look()
    assert lines == ["UI:        does not answer yet; its log is run/webserver.log"]
    listening.add(3000)
    addresses.look()
    assert lines[1:] == ["UI:        http://127.0.0.1:3000"]


def test_an_address_that_stands_for_all_is_asked_on_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert is_listening("0.0.0.0", port)  # noqa: S104 - asked for, not listened on
    assert not is_listening("127.0.0.1", port)
