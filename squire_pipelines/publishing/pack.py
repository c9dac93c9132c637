"""Measures a pack before git unpacks it: how many objects, how large each becomes. Pure but for reading the buffer.

A delta of 2 kB can make git allocate 4 GB, and 600 kB of deflated zeros become 600 MB; git checks neither.
The format: https://git-scm.com/docs/pack-format. What the objects say is for `git index-pack --strict` to check.
"""

import zlib

_HEADER = 12
_TRAILER = 20
_BASE_ID = 20
_OFS_DELTA = 6
_REF_DELTA = 7
_PLAIN_TYPES = frozenset({1, 2, 3, 4})
_VERSIONS = frozenset({2, 3})
_STEP = 64 * 1024
_FIRST_STEP = 512
_DELTA_SIZES_BYTES = 20
_MAX_VARINT_BYTES = 10


class PackTruncatedError(Exception):
    """The pack ends before its last object does."""


class PackMalformedError(Exception):
    """The pack is none, or contradicts itself."""


class PackTooLargeError(Exception):
    """The pack's objects become larger than they may."""


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    """Return a number of 7 bits per byte, lowest first, and the position behind it."""
    value = 0
    for index in range(_MAX_VARINT_BYTES):
        if position + index >= len(view):
            raise PackTruncatedError
        byte = view[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            return value, position + index + 1
    raise PackMalformedError("a number of more than 70 bits")


def _object_header(view: memoryview, position: int) -> tuple[int, int, int]:
    """Return the type, the inflated size, and the position behind the header."""
    if position >= len(view):
        raise PackTruncatedError
    first = view[position]
    size = first & 0x0F
    position += 1
    if first & 0x80:
        rest, position = _varint(view, position)
        size |= rest << 4
    return (first >> 4) & 7, size, position


def _inflate(view: memoryview, position: int, size: int) -> tuple[bytes, int]:
    """Return the first bytes of the deflated stream there, which must inflate to `size`, and the position behind."""
    inflater = zlib.decompressobj()
    head, total, step = b"", 0, _FIRST_STEP
    pending: bytes | memoryview = b""
    try:
        while not inflater.eof:
            if not pending:
                pending = view[position : position + step]
                position += len(pending)
                step = _STEP
                if not pending:
                    raise PackTruncatedError
            data = inflater.decompress(pending, _STEP)
            pending = inflater.unconsumed_tail
            if len(head) < _DELTA_SIZES_BYTES:
                head += data[:_DELTA_SIZES_BYTES]
            total += len(data)
            if total > size:
                break
    except zlib.error as error:
        raise PackMalformedError(f"an object does not inflate: {error}") from error
    if total != size:
        raise PackMalformedError("an object has another size than it says")
    return head, position - len(inflater.unused_data)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise PackTooLargeError(f"an object of {size} bytes, the limit is {limit}")


def _measure_object(view: memoryview, position: int, max_bytes: int) -> tuple[int, int]:
    """Return the size that the object at `position` has in the end, and the position behind it."""
    kind, size, position = _object_header(view, position)
    if kind == _OFS_DELTA:
        _, position = _varint(view, position)
    elif kind == _REF_DELTA:
        position += _BASE_ID
    elif kind not in _PLAIN_TYPES:
        raise PackMalformedError(f"an object of the unknown type {kind}")
    _check_size(size, max_bytes)
    head, position = _inflate(view, position, size)
    if kind in {_OFS_DELTA, _REF_DELTA}:
        # A delta begins with the size of its base and the size of its result.
        _, after_base = _varint(memoryview(head), 0)
        size, _ = _varint(memoryview(head), after_base)
        _check_size(size, max_bytes)
    return size, position


def check_pack(data: memoryview, *, max_objects: int, max_object_bytes: int, max_total_bytes: int) -> None:
    """Walk through a pack and refuse it beyond its limits, with never more than a few 100 kB inflated in memory.

    Args:
        data: The pack, from `PACK` to its checksum.
        max_objects: How many objects it may have.
        max_object_bytes: How large one object may become, after its delta is applied.
        max_total_bytes: How large all objects together may become.

    Raises:
        PackTruncatedError: It ends too early.
        PackMalformedError: It is no pack, or contradicts itself.
        PackTooLargeError: One of the limits is passed.
    """
    if len(data) < _HEADER + _TRAILER:
        raise PackTruncatedError
    if bytes(data[:4]) != b"PACK" or int.from_bytes(data[4:8], "big") not in _VERSIONS:
        raise PackMalformedError("there is no pack in it")
    count = int.from_bytes(data[8:12], "big")
    if count > max_objects:
        raise PackTooLargeError(f"{count} objects, the limit is {max_objects}")
    body = data[: len(data) - _TRAILER]
    position, total = _HEADER, 0
    for _ in range(count):
        size, position = _measure_object(body, position, max_object_bytes)
        total += size
        if total > max_total_bytes:
            raise PackTooLargeError(f"objects of over {max_total_bytes} bytes together")
    if position != len(body):
        raise PackMalformedError("there are bytes behind its last object")
