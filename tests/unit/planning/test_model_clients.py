"""What is taken of a provider's answer, however it comes: no more than any plan needs."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator

import httpx2
import pytest

from squire_pipelines.planning.model_clients import MAX_BYTES, bound_answer


class Stream(httpx2.AsyncByteStream):
    def __init__(self, *parts: bytes) -> None:
        self.parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part


def read(*parts: bytes, packed: str | None) -> bytes:
    headers = {} if packed is None else {"content-encoding": packed}

    async def ask() -> bytes:
        transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, stream=Stream(*parts)))
        async with httpx2.AsyncClient(transport=transport, event_hooks={"response": [bound_answer]}) as client:
            return (await client.get("http://model.test/")).content

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("packed", "content"),
    [(None, b"a" * 999), ("gzip", gzip.compress(b"a" * 999)), ("deflate", zlib.compress(b"a" * 999))],
    ids=["plain", "gzip", "deflate"],
)
def test_an_answer_is_read_as_it_is_packed(packed: str | None, content: bytes) -> None:
    assert read(content[:5], content[5:], packed=packed) == b"a" * 999


def test_what_unpacks_to_more_than_any_answer_breaks_off_before_it_fills_the_memory() -> None:
    bomb = gzip.compress(b"\0" * (8 * MAX_BYTES), compresslevel=9)
    assert len(bomb) < 2**20
    tracemalloc.start()
    try:
        with pytest.raises(httpx2.ReadError, match="too long"):
            read(bomb, packed="gzip")
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("packed", "content", "reason"), [("br", b"x", "not asked for"), ("gzip", b"no gzip", "cannot be unpacked")]
)
def test_what_cannot_be_unpacked_is_a_failure_with_a_name(packed: str, content: bytes, reason: str) -> None:
    with pytest.raises(httpx2.ReadError, match=reason):
        read(content, packed=packed)
