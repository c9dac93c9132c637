"""Signing messages and verifying them as https://www.standardwebhooks.com says, with a key that both sides know. Pure.

What we send and what is sent to us is signed by the same code.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

KEY_PREFIX = "whsec_"
ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER = "webhook-id", "webhook-timestamp", "webhook-signature"
DEFAULT_TOLERANCE_S = 300

_VERSION = "v1,"
_MAX_SIGNATURES = 20
"""Of one message: a sender signs with its new key and its old one while it changes them."""


def decode_key(text: str) -> bytes:
    """Return the key in a secret: what follows `whsec_` in base64, else the text itself.

    Raises:
        ValueError: No base64 follows `whsec_`.
    """
    if not text.startswith(KEY_PREFIX):
        return text.encode()
    try:
        key = base64.b64decode(text.removeprefix(KEY_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ValueError(f"it begins with {KEY_PREFIX} and goes on with no base64")
    return key


def sign_message(key: bytes, message_id: str, timestamp: int | str, body: bytes) -> str:
    """Return the header `webhook-signature` of a message, with one signature."""
    content = f"{message_id}.{timestamp}.".encode() + body
    return _VERSION + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def is_signed(keys: Iterable[bytes], message_id: str, timestamp: int | str, body: bytes, header: str) -> bool:
    """Return whether one of the signatures in a header was made with one of these keys, in constant time for each.

    Signatures of other versions, such as `v1a`, are passed over.
    """
    signatures = [part for part in header.split(" ")[:_MAX_SIGNATURES] if part.startswith(_VERSION)]
    expected = [sign_message(key, message_id, timestamp, body).encode() for key in keys]
    # All are compared, so that the time does not say which one was right.
    matches = [hmac.compare_digest(part.encode(), one) for part in signatures for one in expected]
    return any(matches)
