"""The language of the door: which first lines are taken, and how its two ends know each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.agents.door_wire import (
    MAX_LINE_BYTES,
    DoorToken,
    Preface,
    Request,
    Verb,
    WrongPrefaceError,
    is_token,
    new_token,
    parse_file_line,
    parse_preface,
    proof_for,
    routed_line,
    token_hash,
)
from squire_pipelines.domain.door_addresses import DoorAddress

TOKEN = DoorToken("ab" * 32, token_hash("ab" * 32))
ADDRESS = DoorAddress("10.0.0.7", 41234)
UNITS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True)
VERBS = st.sampled_from(Verb)


@given(unit=UNITS, verb=VERBS)
def test_what_a_container_says_is_read_as_it_was_meant(unit: str, verb: Verb) -> None:
    request = Request(unit, verb)
    line = request.line_with(TOKEN.text)
    assert len(line) <= MAX_LINE_BYTES
    assert parse_preface(line) == Preface(request, TOKEN.text, is_routed=False)


@given(unit=UNITS, verb=VERBS)
def test_what_a_router_says_is_known_by_the_door_it_is_said_to_and_no_other(unit: str, verb: Verb) -> None:
    request = Request(unit, verb)
    line, proof = routed_line(request, ADDRESS, TOKEN.sha256)
    preface = parse_preface(line)
    assert (len(line) <= MAX_LINE_BYTES, preface.request, preface.is_routed) == (True, request, True)
    assert proof_for(preface, ADDRESS, TOKEN.sha256) == proof
    assert TOKEN.text.encode() not in line
    assert TOKEN.sha256.encode() not in line
    assert proof_for(preface, DoorAddress(ADDRESS.host, 1), TOKEN.sha256) is None
    assert proof_for(preface, ADDRESS, new_token().sha256) is None
    for other in set(Verb) - {verb}:
        changed = Preface(Request(unit, other), preface.credential, is_routed=True)
        assert proof_for(changed, ADDRESS, TOKEN.sha256) is None
    assert routed_line(request, ADDRESS, TOKEN.sha256)[0] != line  # no line is said twice


@given(st.binary(max_size=2 * MAX_LINE_BYTES) | st.binary(max_size=100).map(lambda data: b"squire-door/1 " + data))
def test_no_line_is_taken_that_is_none(data: bytes) -> None:
    try:
        preface = parse_preface(data)
    except WrongPrefaceError:
        pass
    else:
        assert preface.request.line_with(preface.credential) == data
    try:
        name, size = parse_file_line(data)
    except WrongPrefaceError:
        return
    assert f"{name} {size:0{len(data) - len(name) - 2}d}\n".encode() == data
    assert not set(name) & set("/\\\0")
    assert name[0] not in ".-"


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"squire-door/1\n",
        b"squire-door/2 t1 " + b"ab" * 32 + b" inputs\n",
        b"squire-door/1 t1 " + b"ab" * 32 + b" inputs",
        b"squire-door/1 t1 " + b"ab" * 32 + b" inputs more\n",
        b"squire-door/1 t1 " + b"ab" * 32 + b" remove\n",
        b"squire-door/1 ../t1 " + b"ab" * 32 + b" inputs\n",
        b"squire-door/1 t1 " + b"AB" * 32 + b" inputs\n",
        b"squire-door/1 t1 " + b"ab" * 31 + b" inputs\n",
        b"squire-route/1 t1 " + b"ab" * 32 + b" inputs\n",
        b"squire-door/1 " + b"t" * 500 + b" " + b"ab" * 32 + b" inputs\n",
        b"GET / HTTP/1.1\n",
    ],
)
def test_a_line_of_another_kind_is_refused(line: bytes) -> None:
    with pytest.raises(WrongPrefaceError):
        parse_preface(line)


def test_no_token_but_the_own_is_taken() -> None:
    first, second = new_token(), new_token()
    assert (len(first.text), first.text == second.text) == (64, False)
    assert is_token(first.text, first.sha256)
    assert not is_token(second.text, first.sha256)
    assert not is_token(first.sha256, first.sha256)
    assert first.text not in repr(first)


@pytest.mark.parametrize("text", ["squire-door:8788", "10.0.0.1:1", "[fd00::1]:65535"])
def test_an_address_is_read_and_written(text: str) -> None:
    assert str(DoorAddress.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "host", "host:", ":8788", "host:0", "host:65536", "fd00::1:8788", "a b:1", "h:٣", "h:-1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        DoorAddress.parse(text)
