"""Files of variables: what is taken out goes, and every other byte stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.migration.dotenv import parse_dotenv, without_entries

OURS = b"AI_GATEWAY_API_KEY"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b"NAME=value", b"value"),
        (b"  export NAME = value\r\n", b"value"),
        (b"NAME=value # why\n", b"value"),
        (b"NAME=va#lue\n", b"va#lue"),
        (b"NAME='it is' # why\n", b"it is"),
        (b'NAME="a \\"b\\" c"\n', b'a "b" c'),
        (b"NAME=\n", b""),
        (b"NAME='never closed\n", b"'never closed"),
        (b'NAME="two\nlines"\n', b"two\nlines"),
        (b"NAME: value\n", b"value"),
        (b"NAME=`it is`\n", b"it is"),
    ],
)
def test_a_value_is_read_as_shells_and_node_read_it(line: bytes, value: bytes) -> None:
    (entry,) = parse_dotenv(line)
    assert (entry.name, entry.value, entry.start, entry.end) == ("NAME", value, 0, len(line))


def test_a_byte_order_mark_hides_no_variable() -> None:
    (entry,) = parse_dotenv(b"\xef\xbb\xbfNAME=value\n")
    assert (entry.name, entry.value, entry.start) == ("NAME", b"value", 0)


def test_text_with_colons_in_quotes_is_part_of_the_value() -> None:
    (entry,) = parse_dotenv(b'NAME="-----BEGIN\nVersion: 1\n"\n')
    assert entry.value == b"-----BEGIN\nVersion: 1\n"


def test_a_quote_that_was_never_closed_hides_no_variable_below_it() -> None:
    entries = parse_dotenv(b"A='open\nB='b'\nC=c\n")
    assert [(entry.name, entry.line) for entry in entries] == [("A", 1), ("B", 2), ("C", 3)]


def test_comments_that_repeat_a_value_go_with_it() -> None:
    data = b"# mine\n# was AI=0123456789\nAI=0123456789\nOTHER=0123456789\n"
    entries = [entry for entry in parse_dotenv(data) if entry.name == "AI"]
    assert without_entries(data, entries) == b"# mine\nOTHER=0123456789\n"


_LINES = st.one_of(
    st.binary(max_size=12).filter(lambda line: not set(line) & set(b"\n\"'")),
    st.sampled_from([b"A=b", b"# c", b"B='x y'", b"\xff=\xe9", b"export C=d # e", b""]),
)


@given(st.lists(_LINES, max_size=6), st.lists(_LINES, max_size=6), st.sampled_from([b"\n", b"\r\n"]))
def test_all_other_bytes_stay(before: list[bytes], after: list[bytes], end: bytes) -> None:
    def text(lines: list[bytes]) -> bytes:
        return b"".join(line + end for line in lines)

    data = text(before) + OURS + b"=0123456789abcdef" + end + text(after)
    entries = [entry for entry in parse_dotenv(data) if entry.name.encode() == OURS]
    assert without_entries(data, entries) == text(before) + text(after)
