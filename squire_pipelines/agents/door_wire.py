"""The language of the door, as values: what a connection begins with, and how its two ends know each other. No I/O.

A connection begins with one line. A container says its token; a router, which has checked it, says a code that is made
with the token's hash, so that the token goes no further than the router, and whoever got a dead supervisor's address
learns nothing that opens a door. The door answers a router with a code of its own, before anything else passes.
The container's side of the same language is `worker-image/squire_worker/door.py`.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum

from squire_pipelines.domain.door_addresses import DoorAddress

MAX_LINE_BYTES = 512
"""Of a connection's first line, and of each answer."""

TOKEN_BYTES = 32
_CONTAINERS, _ROUTERS = "squire-door/1", "squire-route/1"
_UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TOKEN = re.compile(r"[0-9a-f]{64}")
_CODE = re.compile(r"[0-9a-f]{32}\.[0-9a-f]{64}")
_SIZE = re.compile(r"[0-9]{1,15}")


class WrongPrefaceError(ValueError):
    """A connection's first line is none of this language's."""


class Verb(StrEnum):
    """What a connection is for."""

    INPUTS = "inputs"
    GATEWAY = "gateway"
    OUTPUT = "output"


class DoorRefusal(StrEnum):
    """Why a connection is refused. A container tries again after all but `refused`, `preface` and `name`."""

    PREFACE = "preface"
    REFUSED = "refused"
    NAME = "name"
    AWAY = "away"
    BUSY = "busy"
    GATEWAY = "gateway"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Args:
        unit: Whose door is meant: an attempt, or a part of one.
        verb: What for.
    """

    unit: str
    verb: Verb

    def line_with(self, token: str) -> bytes:
        """Return the first line as a container says it."""
        return f"{_CONTAINERS} {self.unit} {token} {self.verb}\n".encode("ascii")


@dataclass(frozen=True, slots=True)
class Preface:
    """A connection's first line: what is asked for, and by what right.

    Args:
        request: What is asked for.
        credential: A container's token, or a router's code.
        is_routed: Whether a router says it.
    """

    request: Request
    credential: str
    is_routed: bool


def parse_preface(line: bytes) -> Preface:
    """Return what a first line says, which ends with its newline. Raises WrongPrefaceError."""
    if len(line) > MAX_LINE_BYTES or not line.endswith(b"\n") or not line.isascii():
        raise WrongPrefaceError("it is no line of this language")
    version, *fields = line[:-1].decode("ascii").split(" ")
    if version not in {_CONTAINERS, _ROUTERS} or len(fields) != 3:  # noqa: PLR2004 - unit, credential, verb
        raise WrongPrefaceError("it is no line of this version")
    unit, credential, verb = fields
    is_routed = version == _ROUTERS
    if not _UNIT.fullmatch(unit) or not (_CODE if is_routed else _TOKEN).fullmatch(credential):
        raise WrongPrefaceError("its unit or its credential is none")
    if verb not in set(Verb):
        raise WrongPrefaceError("its verb is none")
    return Preface(Request(unit, Verb(verb)), credential, is_routed)


def parse_file_line(line: bytes) -> tuple[str, int]:
    """Return the name and the bytes of a file that is handed out next, `NAME SIZE`. Raises WrongPrefaceError."""
    if len(line) > MAX_LINE_BYTES or not line.endswith(b"\n") or not line.isascii():
        raise WrongPrefaceError("it is no line of this language")
    name, _, size = line[:-1].decode("ascii").partition(" ")
    if not _NAME.fullmatch(name) or not _SIZE.fullmatch(size):
        raise WrongPrefaceError("its name or its size is none")
    return name, int(size)


@dataclass(frozen=True, slots=True)
class DoorToken:
    """What opens one attempt's door.

    Args:
        text: For the file in the container, and nowhere else.
        sha256: By which the ledger and the door know it.
    """

    text: str
    sha256: str

    def __repr__(self) -> str:
        return f"DoorToken(sha256={self.sha256!r})"


def new_token() -> DoorToken:
    """Return a token that nobody can guess."""
    text = secrets.token_hex(TOKEN_BYTES)
    return DoorToken(text, token_hash(text))


def token_hash(token: str) -> str:
    """Return by what a token is known, in hexadecimal digits."""
    return hashlib.sha256(token.encode("ascii")).hexdigest()


def is_token(token: str, token_sha256: str) -> bool:
    """Return whether a token is the one, in a time that says nothing of how much of it is right."""
    return hmac.compare_digest(token_hash(token), token_sha256)


def _code(token_sha256: str, *parts: str) -> str:
    return hmac.digest(token_sha256.encode("ascii"), " ".join(parts).encode("ascii"), "sha256").hex()


def routed_line(request: Request, address: DoorAddress, token_sha256: str) -> tuple[bytes, str]:
    """Return the first line as a router says it to the door at `address`, and the code that the door has to answer.

    The address is in the codes, so that what was said to one address opens nothing at another.
    """
    nonce = secrets.token_hex(16)
    code = _code(token_sha256, "router", str(address), request.unit, nonce, request.verb)
    line = f"{_ROUTERS} {request.unit} {nonce}.{code} {request.verb}\n".encode("ascii")
    return line, _code(token_sha256, "door", str(address), request.unit, nonce)


def proof_for(preface: Preface, address: DoorAddress, token_sha256: str) -> str | None:
    """Return the code that a door answers a router with; None where the router's own code is wrong."""
    request = preface.request
    nonce, _, code = preface.credential.partition(".")
    right = _code(token_sha256, "router", str(address), request.unit, nonce, request.verb)
    if not hmac.compare_digest(code, right):
        return None
    return _code(token_sha256, "door", str(address), request.unit, nonce)
