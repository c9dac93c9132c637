"""How the requests of other senders are signed: three schemes, and the verdict on one request. Pure.

Where the keys come from is `webhooks`' business; what a body says is its reader's.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.domain.standard_webhooks import (
    DEFAULT_TOLERANCE_S,
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    decode_key,
    is_signed,
)

DEFAULT_EVENT = "message"
"""The event of a sender that names none in a header."""

MAX_STORED_SIGNATURE = 200

_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,59}")
_DELIVERY_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")
# The id is signed together with the time, by dots: one within it could move the border between them.
_MESSAGE_ID = re.compile(r"[A-Za-z0-9_:-]{1,100}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_EVENT = re.compile(r"[A-Za-z0-9._:-]{1,100}")
_HEX = re.compile(r"[0-9A-Fa-f]+")
_SHOWN_HEADERS = 5
_TELLING = ("signature", "token", "authorization", "webhook", "hook")
"""What the names of headers contain that senders sign or name themselves by."""


def _check_header(name: str) -> str:
    if not _HEADER.fullmatch(name):
        raise ValueError("a header's name has letters, digits and hyphens, like X-Hub-Signature-256")
    return name


HeaderName = Annotated[str, AfterValidator(_check_header)]
Prefix = Annotated[str, Field(max_length=40)]
Algorithm = Literal["sha256", "sha384", "sha512", "sha1"]
Encoding = Literal["hex", "base64"]
ToleranceS = Annotated[int, Field(ge=1, le=86_400)]


class HmacScheme(FrozenModel):
    """A header has the HMAC of the body, after a prefix such as `sha256=`.

    `id_header` names each delivery; without one, a body's digest does. `event_header` says what it is about.
    """

    kind: Literal["hmac"] = "hmac"
    header: HeaderName
    algorithm: Algorithm = "sha256"
    encoding: Encoding = "hex"
    prefix: Prefix = ""
    id_header: HeaderName | None = None
    event_header: HeaderName | None = None


class StandardScheme(FrozenModel):
    """The headers of https://www.standardwebhooks.com: an id and a time are signed with the body."""

    kind: Literal["standard"] = "standard"
    tolerance_s: ToleranceS = DEFAULT_TOLERANCE_S
    event_header: HeaderName | None = None


class TokenScheme(FrozenModel):
    """A header has the secret itself, after a prefix such as `Bearer `. The body is not signed: use it behind TLS."""

    kind: Literal["token"] = "token"
    header: HeaderName = "Authorization"
    prefix: Prefix = "Bearer "
    id_header: HeaderName | None = None
    event_header: HeaderName | None = None


HookScheme = Annotated[HmacScheme | StandardScheme | TokenScheme, Field(discriminator="kind")]


class HookRefusalReason(StrEnum):
    """Why a request was refused; these words are counted."""

    UNSIGNED = "its signature is missing"
    FORGED = "its signature is wrong"
    LATE = "its time is too far from ours"
    UNNAMED = "its id or its event cannot be one"


@dataclass(frozen=True, slots=True)
class HookRefusal:
    """A request that is not accepted.

    Args:
        reason: Of few, for counts.
        message: For the sender.
        hint: What to do.
    """

    reason: HookRefusalReason
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request that was verified.

    Args:
        delivery_id: By which a repetition is recognised, together with the body.
        event: What it is about, in the sender's word.
        signature: What `verify_stored` verifies it by; None where that would be the secret itself.
    """

    delivery_id: str
    event: str
    signature: str | None


def verify_request(
    scheme: HookScheme, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime
) -> SignedRequest | HookRefusal:
    """Judge a request.

    Args:
        scheme: How the sender signs.
        headers: Of the request; names are looked up in small letters.
        body: As it came.
        secrets: That the sender may have; none of them is empty.
        now: Our time.
    """
    match scheme:
        case HmacScheme():
            return _verify_hmac(scheme, headers, body, secrets)
        case StandardScheme():
            return _verify_standard(scheme, headers, body, secrets, now)
        case TokenScheme():
            return _verify_token(scheme, headers, body, secrets)


def may_be_signed(scheme: HookScheme, headers: Mapping[str, str]) -> bool:
    """Return whether a request has the header that would have its signature or token."""
    name = SIGNATURE_HEADER if isinstance(scheme, StandardScheme) else scheme.header
    return bool(headers.get(name.lower(), ""))


def verify_stored(
    scheme: HookScheme, delivery_id: str, signature: str | None, body: bytes, secrets: Sequence[str]
) -> bool | None:
    """Verify a stored delivery again by the signature that came with it; None where none could be kept.

    The time of a message is not judged again: it was right when it came.
    """
    if signature is None or isinstance(scheme, TokenScheme):
        return None
    if isinstance(scheme, HmacScheme):
        return _has_digest(scheme, signature, body, secrets)
    timestamp, _, text = signature.partition(" ")
    return is_signed(_keys(secrets), delivery_id, timestamp, body, text)


def _verify_hmac(
    scheme: HmacScheme, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]
) -> SignedRequest | HookRefusal:
    signature = headers.get(scheme.header.lower(), "")
    if not signature:
        return _unsigned(scheme.header, headers)
    if not _has_digest(scheme, signature, body, secrets):
        shown = f"{scheme.header} is not the {scheme.encoding} HMAC-{scheme.algorithm.upper()} of the body"
        return HookRefusal(HookRefusalReason.FORGED, shown, _SAME_SECRET)
    return _named(scheme, headers, body, signature)


def _verify_token(
    scheme: TokenScheme, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]
) -> SignedRequest | HookRefusal:
    value = headers.get(scheme.header.lower(), "")
    if not value:
        return _unsigned(scheme.header, headers)
    # By their digests, so that the time does not say how long a secret is.
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
    matches = [
        hmac.compare_digest(digest, hashlib.sha256((scheme.prefix + secret).encode()).digest()) for secret in secrets
    ]
    if not any(matches):
        message = f"{scheme.header} has another token than ours" + (
            f" after {scheme.prefix!r}" if scheme.prefix else ""
        )
        return HookRefusal(HookRefusalReason.FORGED, message, _SAME_SECRET)
    return _named(scheme, headers, body, None)


def _verify_standard(
    scheme: StandardScheme, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime
) -> SignedRequest | HookRefusal:
    message_id, timestamp = headers.get(ID_HEADER, ""), headers.get(TIMESTAMP_HEADER, "")
    signatures = headers.get(SIGNATURE_HEADER, "")
    for name, value in ((SIGNATURE_HEADER, signatures), (ID_HEADER, message_id), (TIMESTAMP_HEADER, timestamp)):
        if not value:
            return _unsigned(name, headers)
    if not _MESSAGE_ID.fullmatch(message_id) or not _TIMESTAMP.fullmatch(timestamp):
        message = f"{ID_HEADER} or {TIMESTAMP_HEADER} cannot be one"
        hint = "an id has letters, digits, _, : and -, and a time is the number of seconds since 1970"
        return HookRefusal(HookRefusalReason.UNNAMED, message, hint)
    if not is_signed(_keys(secrets), message_id, timestamp, body, signatures):
        message = f"{SIGNATURE_HEADER} has no signature v1 of this id, time and body"
        return HookRefusal(HookRefusalReason.FORGED, message, _SAME_SECRET)
    late_s = int(now.timestamp()) - int(timestamp)
    if abs(late_s) > scheme.tolerance_s:
        order = "behind" if late_s > 0 else "ahead of"
        message = f"{TIMESTAMP_HEADER} is {abs(late_s)} s {order} our time, and {scheme.tolerance_s} s are permitted"
        hint = "set the clock of the sender, or ours; a message that is sent again gets a new time"
        return HookRefusal(HookRefusalReason.LATE, message, hint)
    event = _event(scheme.event_header, headers)
    if isinstance(event, HookRefusal):
        return event
    signature = f"{timestamp} {signatures}"
    return SignedRequest(message_id, event, signature if len(signature) <= MAX_STORED_SIGNATURE else None)


def _has_digest(scheme: HmacScheme, signature: str, body: bytes, secrets: Sequence[str]) -> bool:
    if not signature.startswith(scheme.prefix):
        return False
    digest = _decoded(signature.removeprefix(scheme.prefix), scheme.encoding)
    matches = [
        hmac.compare_digest(digest, hmac.new(secret.encode(), body, scheme.algorithm).digest()) for secret in secrets
    ]
    return any(matches)


def _decoded(text: str, encoding: Encoding) -> bytes:
    """Return the bytes of a digest; none where it is not written in this way."""
    if encoding == "hex":
        return bytes.fromhex(text) if _HEX.fullmatch(text) and len(text) % 2 == 0 else b""
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""


def _keys(secrets: Sequence[str]) -> list[bytes]:
    return [decode_key(secret) for secret in secrets]


def _named(
    scheme: HmacScheme | TokenScheme, headers: Mapping[str, str], body: bytes, signature: str | None
) -> SignedRequest | HookRefusal:
    delivery_id = headers.get(scheme.id_header.lower(), "") if scheme.id_header else ""
    if not delivery_id:
        delivery_id = f"sha256:{hashlib.sha256(body).hexdigest()}"
    elif not _DELIVERY_ID.fullmatch(delivery_id):
        hint = "an id has at most 100 letters, digits, dots, _, : and -"
        return HookRefusal(HookRefusalReason.UNNAMED, f"{scheme.id_header} cannot be an id", hint)
    event = _event(scheme.event_header, headers)
    if isinstance(event, HookRefusal):
        return event
    return SignedRequest(delivery_id, event, signature)


def _event(header: str | None, headers: Mapping[str, str]) -> str | HookRefusal:
    event = headers.get(header.lower(), "") if header else ""
    if event and not _EVENT.fullmatch(event):
        hint = "an event has at most 100 letters, digits, dots, _, : and -"
        return HookRefusal(HookRefusalReason.UNNAMED, f"{header} cannot be an event", hint)
    return event or DEFAULT_EVENT


_SAME_SECRET = "is the secret the same on both sides?"  # noqa: S105 - a question


def _unsigned(header: str, headers: Mapping[str, str]) -> HookRefusal:
    names = [name for name in headers if any(word in name.lower() for word in _TELLING) and _HEADER.fullmatch(name)]
    came = f"these came: {', '.join(names[:_SHOWN_HEADERS])}" if names else "no header came that has one"
    hint = f"{came}; has the sender a secret, and does it sign as the settings say?"
    return HookRefusal(HookRefusalReason.UNSIGNED, f"{header} is missing", hint)
