"""The pure rules of who may use the board."""

import pytest

from squire_pipelines.board.access import (
    address_behind,
    is_believed,
    is_own_host,
    is_own_origin,
    local_path,
    person_name,
)


@pytest.mark.parametrize(
    ("header", "is_own"),
    [
        ("127.0.0.1:8473", True),
        ("[::1]:8473", True),
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("squire.example.com", True),
        ("10.1.2.3", True),
        ("evil.example", False),
        ("squire.example.com.evil.example", False),
        ("squire.example.com@evil.example", False),
        ("", False),
        ("127.0.0.1:8473/x", False),
    ],
)
def test_a_host_is_ours_by_the_settings_or_as_an_address(header: str, *, is_own: bool) -> None:
    assert is_own_host(header, listens_on="10.0.0.5", public_url="https://squire.example.com") is is_own


@pytest.mark.parametrize(
    ("origin", "is_own"),
    [
        ("http://127.0.0.1:8473", True),
        ("https://squire.example.com", True),
        ("http://127.0.0.1:3000", False),
        ("null", False),
        ("file://127.0.0.1:8473", False),
    ],
)
def test_an_origin_is_ours_when_its_host_and_port_are(origin: str, *, is_own: bool) -> None:
    assert is_own_origin(origin, host="127.0.0.1:8473", public_url="https://squire.example.com") is is_own


def test_a_proxy_is_believed_by_its_address_or_network() -> None:
    assert is_believed("10.0.0.7", ["10.0.0.0/24"])
    assert is_believed("::ffff:10.0.0.7", ["10.0.0.7"])
    assert not is_believed("10.0.1.7", ["10.0.0.0/24"])
    assert not is_believed("testclient", ["10.0.0.0/24"])


@pytest.mark.parametrize(
    ("address", "forwarded", "visitor"),
    [
        ("10.0.0.7", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.7", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.7", "203.0.113.9, 10.0.0.8", "203.0.113.9"),
        ("10.0.0.7", "1.1.1.1, x, 10.0.0.8", "10.0.0.8"),
        ("10.0.0.7", "", "10.0.0.7"),
        ("203.0.113.1", "203.0.113.9", "203.0.113.1"),
    ],
)
def test_an_address_is_that_which_the_last_believed_proxy_saw(address: str, forwarded: str, visitor: str) -> None:
    assert address_behind(address, forwarded, ["10.0.0.0/24"]) == visitor


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ada Lovelace", "Ada-Lovelace"),
        ("ada@example.com", "ada@example.com"),
        ("<b>\x1b[2J", "b"),
        ("  ", ""),
        ("a" * 99, "a" * 39),
    ],
)
def test_a_name_has_letters_and_digits_and_a_bound(text: str, name: str) -> None:
    assert person_name(text) == name


def test_the_way_on_after_a_login_is_a_path_of_ours() -> None:
    assert local_path("/tasks?status=ready") == "/tasks?status=ready"
    assert [local_path(path) for path in ("//evil", "http://evil", "/\\evil", "/a\nb", "")] == ["/"] * 5
