"""What an error of the provider's means: whether only the user can change it, and what to change. Pure.

Sources: https://platform.openai.com/docs/guides/error-codes, https://docs.anthropic.com/en/api/errors,
https://ai.google.dev/gemini-api/docs/troubleshooting.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from squire_pipelines.gateway.rules import as_object

_MAX_READ_BYTES = 64 * 2**10
_UNSHOWN = re.compile(r"[^A-Za-z0-9_.-]")
_MAX_CODE_CHARS = 60
_REDIRECTS = range(300, 400)
# Codes that name the cause more surely than the status does: Google's for a wrong key is a 400.
_KEY_CODES = frozenset({"invalid_api_key", "authentication_error", "API_KEY_INVALID", "UNAUTHENTICATED"})
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_error", "billing_hard_limit_reached", "BILLING_DISABLED"})
# Anthropic's sentence in a 400 for an account without money.
_NO_CREDIT = "credit balance is too low"
# Google's name of a quota that comes back on another day.
_DAILY = "PerDay"
_BY_STATUS: Mapping[int, str] = {HTTPStatus.FORBIDDEN: "key", HTTPStatus.NOT_FOUND: "model"}
_SENTENCES = {
    "key": "The model's provider refuses the key ({shown}). Set a valid one with `squire secrets set`; `squire doctor` "
    "tries it.",
    "quota": "The model's provider has no quota or credit left for this key ({shown}). Raise it there, or name another "
    "provider.",
    "model": "The model's provider does not know the model {model} at this address, or not this "
    "interface ({shown}). Correct the name of the model, the base URL or the protocol in the settings.",
    "address": "The model's provider redirects to another address ({shown}). Correct the base URL in the settings.",
}


@dataclass(frozen=True, slots=True)
class UserFault:
    """What only the user can change: `key`, `quota`, `model` or `address`, and a sentence that says what to do."""

    kind: str
    message: str


def error_code(body: bytes) -> str | None:
    """Return the provider's own code of an error, in letters that a log can show; None when it names none."""
    return next((_UNSHOWN.sub("?", code[:_MAX_CODE_CHARS]) for code in _codes(_error(body))), None)


def user_fault(status: int, body: bytes, *, model: str | None, is_free: bool) -> UserFault | None:
    """Return what the user has to change after an error of the provider's, None where a program may go on.

    Args:
        status: Of the provider's answer, an error's.
        body: Of it, whole or its beginning.
        model: The model that was asked.
        is_free: Whether tokens were counted or models named, which some providers do not serve, or not to every key.
    """
    kind = _kind(status, body, is_free=is_free)
    if kind is None:
        return None
    code = error_code(body)
    shown = f"{status} {code}" if code else str(status)
    return UserFault(kind, _SENTENCES[kind].format(shown=shown, model=model))


def _kind(status: int, body: bytes, *, is_free: bool) -> str | None:
    error = _error(body)
    codes = set(_codes(error))
    if status == HTTPStatus.UNAUTHORIZED or codes & _KEY_CODES:
        return "key"
    if status in _REDIRECTS:
        return "address"
    if is_free:
        return None
    is_used_up = status == HTTPStatus.TOO_MANY_REQUESTS and _DAILY in json.dumps(error)
    has_no_credit = status == HTTPStatus.BAD_REQUEST and _NO_CREDIT in str(error.get("message"))
    if status == HTTPStatus.PAYMENT_REQUIRED or codes & _QUOTA_CODES or is_used_up or has_no_credit:
        return "quota"
    return _BY_STATUS.get(status)


def _error(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body[:_MAX_READ_BYTES])
    except (ValueError, RecursionError):
        return {}
    if isinstance(document, list) and document:  # Google's form of an error in a stream of another kind
        document = document[0]
    return as_object(as_object(document).get("error"))


def _codes(error: dict[str, Any]) -> Iterator[str]:
    """Yield the names that an error gives itself, the most telling first."""
    details = error.get("details")
    reasons = [as_object(entry).get("reason") for entry in details] if isinstance(details, list) else []
    for name in (*reasons, error.get("code"), error.get("type"), error.get("status")):
        if isinstance(name, str) and name:
            yield name
