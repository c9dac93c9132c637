"""The provider's key never comes back to an agent, in whatever form and however the answer is cut."""

import asyncio
import base64
import html
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.gateway.key_filter import MASK, CleanAnswer, KeyFilter

KEY = 'sk-A+b/"k9' * 3
FORMS = {
    "as it is": KEY.encode(),
    "in JSON": json.dumps(KEY)[1:-1].encode(),
    "with slashes escaped": json.dumps(KEY)[1:-1].replace("/", "\\/").encode(),
    "all escaped": "".join(f"\\u{ord(character):04X}" for character in KEY).encode(),
    "half escaped": "".join(f"\\u{ord(c):04x}" if n % 2 else c for n, c in enumerate(KEY)).replace('"', '\\"').encode(),
    "in base64": base64.b64encode(KEY.encode()),
    "in base64 after a letter": base64.b64encode(b"x" + KEY.encode()),
    "in base64 after two": base64.urlsafe_b64encode(b"xy" + KEY.encode()),
    "in hex": KEY.encode().hex().encode(),
    "in a URL": quote(KEY, safe="").encode(),
    "all percent": "".join(f"%{ord(character):02X}" for character in KEY).encode(),
    "in HTML with zeros": "".join(f"&#{ord(character):05};" for character in KEY).encode(),
    "in HTML by hexadecimals with zeros": "".join(f"&#x{ord(character):04X};" for character in KEY).encode(),
    "in HTML without ends": "".join(f"&#{ord(c)}" if n % 2 else c for n, c in enumerate(KEY)).encode(),
    "in HTML by names": html.escape(KEY).replace("-", "&hyphen;").replace("+", "&plus;").replace("/", "&sol;").encode(),
    "in JSON in JSON": json.dumps(json.dumps(KEY)[1:-1])[1:-1].encode(),
    "in HTML": "".join(f"&#{ord(character)};" for character in KEY).encode(),
}


def answer(pieces: Sequence[bytes], key: str | None = KEY) -> bytes:
    """What the agent gets of a stream that is cut into these pieces."""
    sent: list[dict[str, Any]] = []

    async def run() -> None:
        async def send(message: Any) -> None:
            sent.append(dict(message))

        clean = CleanAnswer(KeyFilter(key), send, lambda _: None)
        await clean({"type": "http.response.start", "status": 200, "headers": [(b"x-request-id", b"1")]})
        for piece in pieces:
            await clean({"type": "http.response.body", "body": piece, "more_body": True})
        await clean({"type": "http.response.body", "body": b"", "more_body": False})

    asyncio.run(run())
    return b"".join(message.get("body", b"") for message in sent)


def holds_the_key(text: bytes) -> bool:
    """Whether the middle of any form of the key is in a text."""
    return any(form[8:-8] in text for form in FORMS.values())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [1, 2, 5, 7, 13, 10_000])
def test_a_stream_is_cleaned_however_it_is_cut(form: str, size: int) -> None:
    body = b'data: {"error": "bad key ' + FORMS[form] + b' given"}\n\ndata: [DONE]\n\n'
    cleaned = answer([body[start : start + size] for start in range(0, len(body), size)])
    assert not holds_the_key(cleaned)
    assert MASK in cleaned
    assert cleaned.startswith(b'data: {"error": "bad key ')
    assert cleaned.endswith(b' given"}\n\ndata: [DONE]\n\n')


@given(
    st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"sk-", b"sk-A+b", *FORMS.values()])), max_size=8),
    st.data(),
)
def test_no_cut_lets_the_key_through_and_nothing_else_is_lost(parts: list[bytes], data: st.DataObject) -> None:
    body = b" ".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    cleaned = answer(pieces)
    assert cleaned == KeyFilter(KEY).clean(body)
    assert not holds_the_key(cleaned)


def test_a_piece_that_cannot_begin_the_key_is_not_held_back() -> None:
    key_filter = KeyFilter(KEY)
    assert key_filter.clean_piece(b'data: {"content": "sk-A"}\n\n') == (b'data: {"content": "sk-A"}\n\n', b"")
    assert key_filter.clean_piece(b"bad key sk-A") == (b"bad key ", b"sk-A")
    assert key_filter.clean_piece(b"bad key \\u00") == (b"bad key ", b"\\u00")
    assert key_filter.clean_piece(b"an ordinary end") == (b"an ordinary end", b"")


def test_a_form_that_what_follows_makes_a_longer_one_waits_for_it() -> None:
    whole = "".join(f"&#{ord(character)};" for character in KEY).encode()
    cut = whole.removesuffix(b";")
    assert KeyFilter(KEY).clean_piece(b"bad " + cut) == (b"bad ", cut)
    assert answer([b"bad " + cut, b"; given"]) == b"bad " + MASK + b" given"
    assert answer([b"bad " + cut, b" given"]) == b"bad " + MASK + b" given"
    assert answer([b"bad " + cut]) == b"bad " + MASK


@pytest.mark.parametrize("key", [None, "", "abc"])
def test_without_a_key_nothing_changes(key: str | None) -> None:
    assert answer([b"abc", b"def"], key) == b"abcdef"
    assert KeyFilter(key).clean_piece(b"abc") == (b"abc", b"")


def test_headers_are_cleaned_and_the_length_is_that_of_the_clean_body() -> None:
    sent: list[dict[str, Any]] = []
    texts: list[bytes] = []

    async def run() -> None:
        async def send(message: Any) -> None:
            sent.append(dict(message))

        clean = CleanAnswer(KeyFilter(KEY), send, texts.append)
        headers = [(b"content-length", b"999"), (b"x-request-id", b"req_" + KEY.encode())]
        await clean({"type": "http.response.start", "status": 401, "headers": headers})
        await clean({"type": "http.response.body", "body": b"bad " + KEY.encode()})

    asyncio.run(run())
    start, body = sent
    assert start["headers"] == [(b"x-request-id", b"req_" + MASK), (b"content-length", b"14")]
    assert body["body"] == b"bad " + MASK
    assert texts == [b"bad " + MASK]


@pytest.mark.parametrize("sign", ["\\/", "%2F", "%2f", "\\u002f", "\\u002F", "&#47;", "&#x2f;"])
def test_base64_whose_slashes_are_escaped_is_found(sign: str) -> None:
    key = "sk-o?o?o?" + "k?o" * 9
    encoded = base64.b64encode(key.encode()).decode()
    assert "/" in encoded
    assert encoded.replace("/", sign)[8:-8].encode() not in answer([encoded.replace("/", sign).encode()], key)


def test_of_a_long_token_the_end_is_hidden_and_that_takes_no_seconds_to_prepare() -> None:
    # A signed token of two thousand characters took 14 s, during which its attempt had no gateway.
    token = "".join(f"{number:x}" for number in range(600))[:2000]
    cleaned = KeyFilter(token).clean(b"you sent " + token.encode() + b"!")
    assert cleaned.endswith(MASK + b"!")
    assert token[-64:].encode() not in cleaned
