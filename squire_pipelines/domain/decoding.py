# ruff: noqa: PLR2004 - code points, and digits of a number, are no constants with a better name
"""Undoes the encodings that hide a text, one step at a time. Pure; what is looked for lives in `leaks`.

`expand` yields some bytes and everything that they turn into when encodings are undone again and again, within bounds.
A step that yields nothing but noise ends there: random bytes decode to random bytes in every alphabet.
"""

import base64
import binascii
import bz2
import html
import lzma
import re
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

MAX_DEPTH = 6
MAX_BYTES = 256 * 2**20
"""Bytes that one search looks at, with all that was decoded."""

_MAX_UNPACKED = 32 * 2**20
_MIN_RUN = 6
_WINDOW = 2**20
_OVERLAP = 2**16
_NOT_BASE64 = b" \t\r\n\f\v\"'`,;\\()<>[]{}|#*>"
_SEPARATORS = b" \t\r\n\f\v\"'`,;:\\()[]{}|-_.+"


class TooMuchToSearchError(Exception):
    """Decoding yields more than `MAX_BYTES`, or archives that hold more than may be unpacked."""


@dataclass(slots=True)
class Budget:
    """How many bytes a search may still look at, all its texts together."""

    left: int = MAX_BYTES

    def spend(self, count: int) -> None:
        """Count these bytes. Raises TooMuchToSearchError when they are too many."""
        self.left -= count
        if self.left < 0:
            raise TooMuchToSearchError


@dataclass(frozen=True, slots=True)
class Decoded:
    """Bytes of a text: as they stood (`depth` 0), or as they are after so many steps."""

    data: bytes
    depth: int


@dataclass(slots=True)
class _Queue:
    """What is still to be decoded, each thing once."""

    budget: Budget
    waiting: list[Decoded] = field(default_factory=list)
    known: set[bytes] = field(default_factory=set)

    def add(self, data: bytes, depth: int) -> None:
        """Put bytes in line unless they are too few to mean anything, or were there before."""
        if len(data) >= _MIN_RUN and data not in self.known:
            self.budget.spend(len(data))
            self.known.add(data)
            self.waiting.append(Decoded(data, depth))


def expand(data: bytes, budget: Budget) -> Iterator[Decoded]:
    """Yield `data` and all that it decodes to, at most `MAX_DEPTH` steps deep.

    Raises TooMuchToSearchError when the budget is used up before everything was seen.
    """
    queue = _Queue(budget)
    queue.add(data, 0)
    while queue.waiting:
        node = queue.waiting.pop()
        yield node
        if node.depth == MAX_DEPTH:
            continue
        queue.add(_normalise(node.data), node.depth + 1)
        for decoded in (part for window in _windows(node.data) for search in _SEARCHES for part in search(window)):
            # Of noise nothing is left; what reads as text, or is packed, is worth another step.
            queue.add(_readable(decoded), node.depth + 1)
            for unpacked in _unpack(decoded):
                queue.add(unpacked, node.depth + 1)
        for unpacked in _unpack(node.data):
            queue.add(unpacked, node.depth + 1)
        if node.depth == 0:
            queue.add(node.data[::-1], MAX_DEPTH - 2)


def _windows(data: bytes) -> Iterator[bytes]:
    """Yield `data` in overlapping parts, so that no search needs memory for more than one of them."""
    yield from (data[at : at + _WINDOW + _OVERLAP] for at in range(0, len(data), _WINDOW))


_PRINTABLE = re.compile(rb"[\t\n\r\x20-\x7e]{8,}")


def _readable(data: bytes) -> bytes:
    """Return the runs of printable characters of `data`, UTF-16 and UTF-32 too, each on a line."""
    return b"\n".join(_PRINTABLE.findall(data.replace(b"\0", b"")))


# --- from one text to another -----------------------------------------------------------------------------------------

_ESCAPE = re.compile(
    rb"\\(?:x\{?([0-9a-fA-F]{1,2})\}?|u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|([nrtfv\"'/\\]))"
)
_PLAIN_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"f": b"\f", b"v": b"\v"}
_NAMED = re.compile(rb"\\N\{([A-Za-z0-9 -]{2,80})\}")
_PERCENT = re.compile(rb"%([0-9a-fA-F]{2})")
_QUOTED_PRINTABLE = re.compile(rb"=(?:([0-9A-F]{2})|\r?\n)")
_MIN_QUOTED = 6
_ENTITY = re.compile(rb"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,24});?")
# Two literals beside each other, or with an operator between: Python, JavaScript, C, shell, SQL.
_JOINT = re.compile(rb"""["'`]\s{0,400}+(?:\+|\.\.?|,|&|\|\||<<|~|\\)?+\s{0,400}+[bBfFrRuUL]{0,2}+["'`]""")


def _character(number: int) -> bytes:
    return chr(number).encode("utf-8", "replace") if number < 0x110000 and not 0xD800 <= number < 0xE000 else b""


def _unescape(data: bytes) -> bytes:
    def character(match: re.Match[bytes]) -> bytes:
        one_byte, braced, short, long, octal, plain = match.groups()
        if one_byte:
            return bytes([int(one_byte, 16)])
        if octal:
            return bytes([int(octal, 8) & 255])
        if plain:
            return _PLAIN_ESCAPES.get(plain, plain)
        return _character(int(braced or short or long, 16))

    return _ESCAPE.sub(character, _NAMED.sub(_named, data)) if b"\\" in data else data


def _named(match: re.Match[bytes]) -> bytes:
    try:
        return unicodedata.lookup(match[1].decode()).encode()
    except KeyError:
        return match[0]


def _unquote(data: bytes) -> bytes:
    if b"%" in data:
        data = _PERCENT.sub(lambda match: bytes([int(match[1], 16)]), data)
    if data.count(b"=") >= _MIN_QUOTED and len(_QUOTED_PRINTABLE.findall(data)) >= _MIN_QUOTED:
        data = _QUOTED_PRINTABLE.sub(lambda match: bytes([int(match[1], 16)]) if match[1] else b"", data)
    return data


def _resolve_entities(data: bytes) -> bytes:
    if b"&" not in data:
        return data
    return _ENTITY.sub(lambda match: html.unescape(match[0].decode()).encode("utf-8", "replace"), data)


def _join_literals(data: bytes) -> bytes:
    return _JOINT.sub(b"", data)


# The characters of the tags' block repeat ASCII and are not drawn.
_TAG = re.compile("[\U000e0020-\U000e007e]")


def _compatible(data: bytes) -> bytes:
    """Return the text with letters in the plain form of which they are a variant, without UTF-16's zero bytes."""
    data = data.replace(b"\0", b"")
    if data.isascii():
        return data
    text = unicodedata.normalize("NFKC", data.decode("utf-8", "replace"))
    return _TAG.sub(lambda match: chr(ord(match[0]) - 0xE0000), text).encode("utf-8", "replace")


def _normalise(data: bytes) -> bytes:
    """Return the text without escapes, percent signs, entities, joints of literals and variants of letters."""
    return _compatible(_join_literals(_unescape(_resolve_entities(_unquote(data)))))


# --- searches for encoded parts ---------------------------------------------------------------------------------------

_BASE64_RUN = re.compile(rb"[A-Za-z0-9+/_-]{12,}")
_BASE32_RUN = re.compile(rb"[A-Z2-7]{16,}")
_BASE32_HEX_RUN = re.compile(rb"[0-9A-V]{16,}")
# In lower case it is told from words by its length.
_LOWER_RUN = re.compile(rb"[0-9a-z]{24,}")
# A line of a list or a comment with nothing else, and a text that ends by itself.
_MARKED = re.compile(rb"^[^A-Za-z0-9\n]{1,16}([A-Za-z0-9+/_-]{4,})={0,2}[^A-Za-z0-9\n]{0,8}$", re.MULTILINE)
_PADDED = re.compile(rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{2,}={1,2}")
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


def _base64(data: bytes) -> Iterator[bytes]:
    texts = {data, data.translate(None, _NOT_BASE64), b"".join(_MARKED.findall(data))}
    for text in texts:
        for match in _BASE64_RUN.finditer(text):
            run = match[0].translate(_TO_STANDARD)
            # A text before it may have shifted it within the groups of four.
            for start in range(4):
                part = run[start:]
                yield binascii.a2b_base64(part[: len(part) // 4 * 4])
    ended = [text for text in _PADDED.findall(data) if len(text) % 4 == 0]
    yield b"".join(binascii.a2b_base64(text.translate(_TO_STANDARD)) for text in ended)


def _base32(data: bytes) -> Iterator[bytes]:
    text = data.translate(None, _NOT_BASE64) + b"\n" + b"\n".join(_LOWER_RUN.findall(data)).upper()
    for pattern, decode in ((_BASE32_RUN, base64.b32decode), (_BASE32_HEX_RUN, base64.b32hexdecode)):
        for match in pattern.finditer(text):
            for start in range(8):
                part = match[0][start:]
                yield decode(part[: len(part) // 8 * 8])


# A line of uuencode: its length, and four characters for each three bytes.
_UU_LINE = re.compile(rb"^[!-M][ -`]{4,60}$", re.MULTILINE)
_UU_TO_STANDARD = bytes.maketrans(
    bytes(range(32, 97)), b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/A"
)


def _uuencode(data: bytes) -> Iterator[bytes]:
    lines = [line for line in _UU_LINE.findall(data) if len(line) - 1 == -(-(line[0] - 32) // 3) * 4]
    yield b"".join(binascii.a2b_base64(line[1:].translate(_UU_TO_STANDARD))[: line[0] - 32] for line in lines)


_HEX_RUN = re.compile(rb"[0-9a-fA-F]{12,}")
_HEX_TOKEN = re.compile(rb"(?:0[xX])?([0-9a-fA-F]{2,})")
_MARKED_HEX = re.compile(rb"(?:0[xX]|\\[xX]?|&#[xX]|%|\\u00|[uU]\+00|=)([0-9a-fA-F]{2})(?![0-9a-fA-F])")


def _hex(data: bytes) -> Iterator[bytes]:
    squeezed = data.translate(None, _SEPARATORS)
    for match in _HEX_RUN.finditer(squeezed.replace(b"0x", b"").replace(b"\\x", b"")):
        for start in range(2):
            part = match[0][start:]
            yield bytes.fromhex(part[: len(part) // 2 * 2].decode())
    tokens = [token for token in _HEX_TOKEN.findall(data) if len(token) % 2 == 0]
    if len(tokens) * 2 >= _MIN_RUN or any(len(token) >= 2 * _MIN_RUN for token in tokens):
        decoded = [bytes.fromhex(token.decode()) for token in tokens]
        yield b"".join(decoded)
        yield b"".join(word[::-1] for word in decoded)
    yield bytes.fromhex(b"".join(_MARKED_HEX.findall(data)).decode())


_BITS = re.compile(rb"[01]{48,}")
_BINARY = re.compile(rb"(?<![0-9A-Za-z])(?:0[bB])?([01]{6,8})(?![0-9A-Za-z])")


def _bits(data: bytes) -> Iterator[bytes]:
    for match in _BITS.finditer(data.translate(None, _SEPARATORS)):
        for start in range(8):
            part = match[0][start : start + (len(match[0]) - start) // 8 * 8]
            yield bytes(int(part[at : at + 8], 2) for at in range(0, len(part), 8))
    yield bytes(int(number, 2) for number in _BINARY.findall(data))


_NUMBER = re.compile(rb"\d{1,400}")
_OCTAL = re.compile(rb"0[oO]([0-7]{1,3})(?![0-9])")
_UNDERSCORE = re.compile(rb"(?<=\d)_(?=\d)")


def _numbers(data: bytes) -> Iterator[bytes]:
    """Yield what lists of numbers spell: one for each character, words of two, four or eight, or one for all."""
    numbers = _NUMBER.findall(_UNDERSCORE.sub(b"", data) if b"_" in data else data)
    if len(numbers) < 2 and not any(len(number) > 2 * _MIN_RUN for number in numbers):
        return
    small = [int(number) for number in numbers if len(number) <= 3]
    yield _characters(small)
    yield _characters([int(number, 8) for number in numbers if len(number) == 3 and not number.strip(b"01234567")])
    yield bytes(int(number, 8) & 255 for number in _OCTAL.findall(data))
    words = [number for number in numbers if len(number) > 3]
    yield b"".join(int(word, 8).to_bytes(8, "little")[:2] for word in words if _is_octal_word(word))
    values = [int(word) for word in words]
    values += [int(word, 8) for word in words if len(word) > 2 * _MIN_RUN and not word.strip(b"01234567")]
    sized = [(value, (value.bit_length() + 7) // 8) for value in values]
    yield b"".join(value.to_bytes(size, "big") for value, size in sized)
    yield b"".join(value.to_bytes(size, "little") for value, size in sized)


def _characters(numbers: list[int]) -> bytes:
    """Return what the numbers of visible characters spell, without the indexes that stand between them."""
    return bytes(number for number in numbers if 32 <= number < 127)


def _is_octal_word(word: bytes) -> bool:
    return len(word) == 6 and not word.strip(b"01234567")


_SELECTOR = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def _selectors(data: bytes) -> Iterator[bytes]:
    """Yield the bytes that variation selectors count: 16 of one block and 240 of another."""
    if b"\xef\xb8" in data or b"\xf3\xa0" in data:
        numbers = map(ord, _SELECTOR.findall(data.decode("utf-8", "replace")))
        yield bytes(number - 0xFE00 if number < 0xFE10 else number - 0xE0100 + 16 for number in numbers)


_SEARCHES: tuple[Callable[[bytes], Iterator[bytes]], ...] = (
    *(_base64, _base32, _uuencode, _hex, _bits, _numbers, _selectors),
)

# --- packed data ------------------------------------------------------------------------------------------------------

_MAGIC = re.compile(rb"\x1f\x8b\x08|BZh[1-9]1AY&SY|\xfd7zXZ\x00|\x5d\x00\x00|PK\x03\x04")
# zlib's two bytes for each size of its window, without a dictionary: https://www.rfc-editor.org/rfc/rfc1950
_ZLIB = re.compile(rb"[\x08\x18\x28\x38\x48\x58\x68\x78][^\x20-\x3f\x60-\x7f\xa0-\xbf\xe0-\xff]")
_ZLIB_CHECK = 31
# LZMA of a length that its writer did not know, with any properties.
_NO_LENGTH = b"\xff" * 8
_LZMA = re.compile(rb"[\x00-\xe0](?=.{4}\xff{8})", re.DOTALL)
_ZIP_HEADER_BYTES = 30
_ZIP_LZMA = 14
_ZIP_LZMA_HEADER_BYTES = 9
_LZMA_MEMORY = 64 * 2**20
_CHUNK = 4096


def _unpack(data: bytes) -> Iterator[bytes]:
    """Yield what is packed in `data`: gzip, zlib, bzip2, xz, LZMA, and the entries of a zip archive."""
    starts = [(match[0], match.start()) for match in _MAGIC.finditer(data)]
    starts += [
        (b"\x78", match.start()) for match in _ZLIB.finditer(data) if int.from_bytes(match[0]) % _ZLIB_CHECK == 0
    ]
    if _NO_LENGTH in data:
        starts += [(b"\x5d", match.start()) for match in _LZMA.finditer(data)]
    for magic, start in starts:
        unpacked = _unpack_one(magic, memoryview(data)[start:])
        if len(unpacked) > _MAX_UNPACKED:
            raise TooMuchToSearchError
        if unpacked:
            yield unpacked


def _unpack_one(magic: bytes, data: memoryview) -> bytes:
    try:
        if magic.startswith(b"\x1f"):
            return _inflate(zlib.decompressobj(31), data)
        if magic.startswith(b"\x78"):
            return _inflate(zlib.decompressobj(), data)
        if magic.startswith(b"BZ"):
            return bz2.BZ2Decompressor().decompress(data, _MAX_UNPACKED + 1)
        if magic.startswith(b"PK"):
            method, name, extra = (int.from_bytes(data[at : at + 2], "little") for at in (8, 26, 28))
            entry = data[_ZIP_HEADER_BYTES + name + extra :]
            return _unpack_raw_lzma(entry) if method == _ZIP_LZMA else _inflate(zlib.decompressobj(-15), entry)
        return lzma.LZMADecompressor(memlimit=_LZMA_MEMORY).decompress(data, _MAX_UNPACKED + 1)
    except (OSError, lzma.LZMAError, EOFError, ValueError):
        return b""


def _unpack_raw_lzma(entry: memoryview) -> bytes:
    """Unpack an entry of a zip archive that has LZMA's properties before it: two numbers, and five bytes."""
    if len(entry) < _ZIP_LZMA_HEADER_BYTES:
        return b""
    rest, context = divmod(entry[4], 9)
    position, literal = divmod(rest, 5)
    # More than what is unpacked at most is never looked back at.
    size = min(max(int.from_bytes(entry[5:9], "little"), 4096), _MAX_UNPACKED)
    properties = {"id": lzma.FILTER_LZMA1, "dict_size": size, "lc": context, "lp": literal, "pb": position}
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[properties])
    return unpacker.decompress(entry[_ZIP_LZMA_HEADER_BYTES:], _MAX_UNPACKED + 1)


class _Inflater(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: memoryview, max_length: int = ..., /) -> bytes: ...


def _inflate(inflater: _Inflater, data: memoryview) -> bytes:
    """Inflate until the stream ends or breaks: what came before a broken place counts."""
    out = bytearray()
    for at in range(0, len(data), _CHUNK):
        try:
            out += inflater.decompress(data[at : at + _CHUNK], _MAX_UNPACKED)
        except zlib.error:
            break
        if inflater.eof or len(out) > _MAX_UNPACKED:
            break
    return bytes(out)
