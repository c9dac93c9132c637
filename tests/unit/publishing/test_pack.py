import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.publishing.pack import (
    PackMalformedError,
    PackTooLargeError,
    PackTruncatedError,
    check_pack,
)


def number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def entry(kind: int, data: bytes, *, size: int | None = None, base: bytes = b"") -> bytes:
    size = len(data) if size is None else size
    first = kind << 4 | size & 15
    head = bytes([first | 0x80]) + number(size >> 4) if size > 15 else bytes([first])
    return head + base + zlib.compress(data)


def pack(*entries: bytes, count: int | None = None, version: int = 2) -> memoryview:
    head = b"PACK" + version.to_bytes(4, "big") + (len(entries) if count is None else count).to_bytes(4, "big")
    return memoryview(head + b"".join(entries) + b"\0" * 20)


def measure(data: memoryview, *, objects: int = 100, largest: int = 10_000, total: int = 100_000) -> None:
    check_pack(data, max_objects=objects, max_object_bytes=largest, max_total_bytes=total)


@given(st.lists(st.tuples(st.integers(1, 4), st.binary(max_size=3000)), max_size=20))
def test_the_sizes_of_plain_objects_are_added_up(objects: list[tuple[int, bytes]]) -> None:
    data = pack(*(entry(kind, content) for kind, content in objects))
    total = sum(len(content) for _, content in objects)
    measure(data, objects=len(objects), total=total)
    if objects:
        with pytest.raises(PackTooLargeError, match="objects, the limit is"):
            measure(data, objects=len(objects) - 1)
    if total:
        with pytest.raises(PackTooLargeError, match=f"over {total - 1} bytes together"):
            measure(data, total=total - 1)


def test_a_delta_counts_with_the_size_of_its_result() -> None:
    delta = number(5) + number(700) + b"\x90\x05"
    both = pack(entry(7, delta, base=b"b" * 20), entry(6, delta, base=b"\x81\x01"))
    measure(both, total=1400)
    with pytest.raises(PackTooLargeError, match="over 1399 bytes together"):
        measure(both, total=1399)
    with pytest.raises(PackTooLargeError, match="700 bytes, the limit is 699"):
        measure(pack(entry(7, delta, base=b"b" * 20)), largest=699)


@pytest.mark.parametrize(
    ("objects", "largest", "total"), [(2, 10_000, 100_000), (100, 999, 100_000), (100, 10_000, 2999)]
)
def test_every_limit_holds(objects: int, largest: int, total: int) -> None:
    with pytest.raises(PackTooLargeError):
        measure(pack(*[entry(3, bytes(1000))] * 3), objects=objects, largest=largest, total=total)


def test_an_object_that_says_less_than_it_holds_is_malformed_after_little_work() -> None:
    with pytest.raises(PackMalformedError, match="another size"):
        measure(pack(entry(3, bytes(50 * 2**20), size=10)))


def test_an_object_that_says_more_than_it_holds_is_malformed() -> None:
    with pytest.raises(PackMalformedError, match="another size"):
        measure(pack(entry(3, b"abc", size=10)))


@pytest.mark.parametrize(
    "data",
    [
        memoryview(b"PUCK" + bytes(40)),
        pack(version=7),
        pack(entry(5, b"x")),
        pack(entry(0, b"x")),
        pack(bytes([0x33]) + b"not deflated"),
        pack(entry(3, b"x"), b"more", count=1),
        pack(b"\xb0" + b"\xff" * 12),
    ],
)
def test_what_is_no_pack_is_malformed(data: memoryview) -> None:
    with pytest.raises(PackMalformedError):
        measure(data)


@given(st.integers(0, 400))
def test_a_shortened_pack_is_never_taken(cut: int) -> None:
    whole = pack(
        entry(3, b"some text" * 30), entry(7, number(5) + number(7), base=b"b" * 20), entry(1, bytes(range(256)))
    )
    if cut < len(whole):
        with pytest.raises((PackTruncatedError, PackMalformedError)):
            measure(whole[:cut])


@given(st.binary(max_size=300))
def test_random_bytes_give_a_size_or_one_of_the_errors(data: bytes) -> None:
    try:
        measure(pack(data, count=3))
    except (PackTruncatedError, PackMalformedError, PackTooLargeError):
        return
