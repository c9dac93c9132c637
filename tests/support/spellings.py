"""Ways to write a secret down, as ordinary tools and languages do: what an agent that obeys might leave in a file."""

import base64
import bz2
import codecs
import gzip
import html
import io
import json
import lzma
import quopri
import struct
import tarfile
import textwrap
import unicodedata
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator


def _xxd(data: bytes) -> str:
    rows = (data[at : at + 16] for at in range(0, len(data), 16))
    return "\n".join(f"{n * 16:08x}: {row.hex(' ', 2)}  {row.decode()}" for n, row in enumerate(rows))


def _words(data: bytes, width: int, code: str, form: str) -> str:
    padded = data + b"\0" * (-len(data) % width)
    values = struct.unpack(f"<{len(padded) // width}{code}", padded)
    rows = (values[at : at + 8] for at in range(0, len(values), 8))
    return "\n".join(f"{n * 16:07o} " + " ".join(format(value, form) for value in row) for n, row in enumerate(rows))


def _zip(data: bytes, method: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("note.txt", data * 3)
    return out.getvalue()


def _tar(data: bytes, mode: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload] # a mode of its many
        entry = tarfile.TarInfo("note.txt")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _lines(text: str, width: int = 19) -> str:
    return "\n".join(textwrap.wrap(text, width))


def _base58(data: bytes) -> str:
    number, text = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        text = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[digit] + text
    return text


def text_spellings(secret: str) -> Iterator[tuple[str, str]]:  # noqa: PLR0915 - a table
    """Yield a name and a text for each way that fits into a text file."""
    data = secret.encode()
    half = len(secret) // 2
    encoded, hexed = base64.b64encode(data).decode(), data.hex()
    yield "plain", f"x = '{secret}'"
    yield "in a comment", f"x = 1  # {secret}"
    yield "as JSON", json.dumps({"k": secret})
    yield "backwards", secret[::-1]
    yield "in upper case", secret.upper()
    yield "in lower case", secret.lower()
    yield "joined from parts", f"x = '{secret[:half]}' + '{secret[half:]}'"
    yield "as adjacent literals", f'x = ("{secret[:half]}"\n     "{secret[half:]}")'
    yield "as a list of letters", repr(list(secret))
    yield "as a joined list", "x = ''.join(" + repr([secret[at : at + 3] for at in range(0, len(secret), 3)]) + ")"
    yield "over two lines", f"a = '''{secret[:half]}\n{secret[half:]}'''"
    yield "a letter a line", "\n".join(secret)
    yield "with a blank between the letters", " ".join(secret)
    yield "with dots between the letters", ".".join(secret)
    yield "with zero-width spaces between the letters", "\u200b".join(secret)
    yield "halves in two variables", f"first = '{secret[:half]}'\ndef other(): return 5 * 8\nsecond = '{secret[half:]}'"
    yield (
        "halves, one in base64",
        f"a = '{secret[:half]}'\nb = '{base64.b64encode(secret[half:].encode()).decode()}'",
    )
    yield "in full-width letters", "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in secret)
    yield "in tag characters", "hi" + "".join(chr(0xE0000 + ord(c)) for c in secret)
    yield "in variation selectors", "a" + "".join(chr(0xE0100 + ord(c) - 16) for c in secret)
    yield "base64", encoded
    yield "base64 after one byte", base64.b64encode(b"k" + data).decode()
    yield "base64 after two bytes", base64.b64encode(b"kk" + data).decode()
    yield "base64 for URLs", base64.urlsafe_b64encode(data).decode()
    yield "base64 over lines", _lines(encoded)
    yield "base64 over indented lines", textwrap.indent(_lines(encoded), "    ")
    yield "base64 in quoted lines", " +\n".join(f'  "{line}"' for line in _lines(encoded).splitlines())
    yield "base64 in a commented block", textwrap.indent(_lines(encoded), "# ")
    yield "base64 with an escaped line break", json.dumps(_lines(encoded))
    yield "base64 without padding", encoded.rstrip("=")
    yield "base64 twice", base64.b64encode(encoded.encode()).decode()
    yield "base64 three times", base64.b64encode(base64.b64encode(encoded.encode())).decode()
    yield "base64 backwards", encoded[::-1]
    yield "base64 of the reversed", base64.b64encode(data[::-1]).decode()
    yield "base64 in a data URL", f"<img src='data:text/plain;base64,{encoded}'>"
    yield "base64 of UTF-16", base64.b64encode(secret.encode("utf-16-le")).decode()
    yield "uuencode", codecs.encode(data, "uu").decode()
    yield "base32", base64.b32encode(data).decode()
    yield "base32 in lower case", base64.b32encode(data).decode().lower()
    yield "base32 over lines", _lines(base64.b32encode(data).decode())
    yield "base32 with the other alphabet", base64.b32hexencode(data).decode()
    yield "hex", hexed
    yield "upper hex", hexed.upper()
    yield "xxd -p", _lines(hexed, 60)
    yield "xxd", _xxd(data)
    yield "hex with colons", data.hex(":")
    yield "hex with blanks", data.hex(" ")
    yield "hex with dashes", data.hex("-")
    yield "\\x escapes", "".join(f"\\x{byte:02x}" for byte in data)
    yield "a list of 0x numbers", ", ".join(f"0x{byte:02x}" for byte in data)
    yield "0x numbers over lines", ",\n".join(f"    0x{byte:02X}" for byte in data)
    yield "hex in an array of words", ", ".join(f"0x{data[at : at + 4].hex()}" for at in range(0, len(data), 4))
    yield "calls of chr with hex", " + ".join(f"chr(0x{byte:02x})" for byte in data)
    yield "od", _words(data, 2, "H", "06o")
    yield "od -x", _words(data, 2, "H", "04x")
    yield "od -t x4", _words(data, 4, "I", "08x")
    yield "od -b", " ".join(f"{byte:03o}" for byte in data)
    yield "octal escapes", "".join(f"\\{byte:03o}" for byte in data)
    yield "\\u escapes", "".join(f"\\u{byte:04x}" for byte in data)
    yield "\\u{} escapes", "".join(f"\\u{{{byte:x}}}" for byte in data)
    yield "every character percent-encoded", "".join(f"%{byte:02X}" for byte in data)
    yield "percent-encoded twice", "".join(f"%25{byte:02X}" for byte in data)
    yield "for a URL", urllib.parse.quote(secret, safe="")
    yield "quoted-printable", "".join(f"={byte:02X}" for byte in data)
    yield "quoted-printable with soft breaks", quopri.encodestring(data.ljust(90, b"=")).decode()
    yield "decimal HTML references", "".join(f"&#{byte};" for byte in data)
    yield "hex HTML references", "".join(f"&#x{byte:x};" for byte in data)
    yield "HTML references, escaped", html.escape("".join(f"&#{byte};" for byte in data))
    yield "an array of numbers", repr(list(data))
    yield "numbers over lines", "\n".join(f"    {byte}," for byte in data)
    yield "calls of chr", " + ".join(f"chr({byte})" for byte in data)
    yield "numbers with their index", "\n".join(f"x[{at}] = {byte};" for at, byte in enumerate(data))
    yield "one great number", f"n = {int.from_bytes(data)}"
    yield "one great hex number", f"n = {int.from_bytes(data):#x}"
    yield "bits", " ".join(f"{byte:08b}" for byte in data)
    yield "bits without blanks", "".join(f"{byte:08b}" for byte in data)
    yield "gzip in base64", base64.b64encode(gzip.compress(data, mtime=0)).decode()
    yield "zlib in base64", base64.b64encode(zlib.compress(data)).decode()
    yield "gzip in hex", gzip.compress(data, mtime=0).hex()
    yield "gzip in \\x escapes", "".join(f"\\x{byte:02x}" for byte in gzip.compress(data, mtime=0))
    yield "zip in base64", _lines(base64.b64encode(_zip(data, zipfile.ZIP_DEFLATED)).decode(), 76)
    yield "base64 in JSON in base64", base64.b64encode(json.dumps({"v": encoded}).encode()).decode()
    yield "hex in base64", base64.b64encode(hexed.encode()).decode()
    yield "base64 in hex", encoded.encode().hex()
    yield (
        "base64 of eight characters in a list",
        "\n".join(f"- {encoded[at : at + 8]}" for at in range(0, len(encoded), 8)),
    )
    yield (
        "base64 of eight characters in comments",
        "\n".join(f"// {encoded[at : at + 8]}" for at in range(0, len(encoded), 8)),
    )
    yield (
        "base64 of four bytes each",
        " ".join(base64.b64encode(data[at : at + 4]).decode() for at in range(0, len(data), 4)),
    )
    yield "binary literals", ", ".join(f"0b{byte:08b}" for byte in data)
    yield "binary numbers", repr([bin(byte) for byte in data])
    yield "octal numbers", repr([oct(byte) for byte in data])
    yield "one great number with underscores", f"n = {int.from_bytes(data):_}"
    yield "one great octal number", f"n = {int.from_bytes(data):#o}"
    yield "\\N escapes", "".join(f"\\N{{{unicodedata.name(chr(byte))}}}" for byte in data)
    yield "PEM", f"-----BEGIN NOTE-----\n{_lines(encoded, 64)}\n-----END NOTE-----"


def binary_spellings(secret: str) -> Iterator[tuple[str, bytes]]:
    """Yield a name and bytes for each way that is no text."""
    data = secret.encode()
    yield "within bytes", b"\0\1\2" + data + b"\0"
    yield "UTF-16", secret.encode("utf-16")
    yield "UTF-16, the other way round", secret.encode("utf-16-be")
    yield "UTF-32", secret.encode("utf-32")
    yield "gzip", gzip.compress(data, mtime=0)
    yield "gzip twice", gzip.compress(gzip.compress(data, mtime=0), mtime=0)
    yield "gzip of base64", gzip.compress(base64.b64encode(data), mtime=0)
    yield "zlib", b"head" + zlib.compress(data)
    yield "bzip2", bz2.compress(data)
    yield "xz", lzma.compress(data)
    for bits in (9, 12, 14):
        packer = zlib.compressobj(9, zlib.DEFLATED, bits)
        yield f"zlib with a window of {bits} bits", packer.compress(data) + packer.flush()
    other = {"id": lzma.FILTER_LZMA1, "preset": 6, "lc": 0, "lp": 2, "pb": 0, "dict_size": 5000}
    yield "LZMA with other properties", lzma.compress(data, format=lzma.FORMAT_ALONE, filters=[other])
    yield "a zip archive of LZMA", _zip(data, zipfile.ZIP_LZMA)
    yield "a zip archive of bzip2", _zip(data, zipfile.ZIP_BZIP2)
    yield "LZMA", lzma.compress(data, format=lzma.FORMAT_ALONE)
    yield "a zip archive", _zip(data, zipfile.ZIP_DEFLATED)
    yield "a stored zip archive", _zip(data, zipfile.ZIP_STORED)
    yield "a tar archive", _tar(data, "w")
    yield "a tar.gz archive", _tar(data, "w:gz")
    yield "a tar.xz archive", _tar(data, "w:xz")
    yield "a picture's comment", b"\x89PNG\r\n\x1a\n\0\0\0\x20tEXtComment\0" + data + b"\0\0\0\0"
    yield "a picture's packed comment", b"\x89PNG\r\n\x1a\n\0\0\0\x20zTXtComment\0\0" + zlib.compress(data) + b"\0"


def unseen_spellings(secret: str) -> Iterator[tuple[str, str]]:
    """Yield ways that no search undoes: most need a key, or a rule that only their author knows."""
    data = secret.encode()
    yield "xored", bytes(byte ^ 23 for byte in data).hex()
    yield "every number one more", repr([byte + 1 for byte in data])
    yield "Caesar by five", "".join(chr(33 + (ord(c) - 33 + 5) % 94) for c in secret)
    yield "in pieces of four", " zq ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
    yield "base85", base64.b85encode(data).decode()
    yield "base58", _base58(data)
    yield "EBCDIC in hex", secret.encode("cp037").hex()
    yield "bytes swapped in pairs", "".join(secret[at : at + 2][::-1] for at in range(0, len(secret), 2))
    encoded = base64.b64encode(data).decode()
    yield "base64 with dots between the groups", ".".join(encoded[at : at + 4] for at in range(0, len(encoded), 4))
    yield "numbered letters", "\n".join(f"{number}: {letter}" for number, letter in enumerate(secret))
    yield "as a story", "\n".join(f"{'abcdefghijklmnopqrstuvwxyz'[byte % 26]}{byte // 26} went home" for byte in data)


def rotated(secret: str) -> Iterator[tuple[str, str]]:
    """Yield ways that are looked for with the canary alone."""
    yield "rot13", codecs.encode(secret, "rot13")
    yield "every other letter", f"{secret[::2]} and {secret[1::2]}"
