"""What an error of a model's provider means: whether only the user can change it, and what to change.

It is judged by the provider's status and codes; its sentences are never repeated. Sources:
https://platform.openai.com/docs/guides/error-codes, https://docs.anthropic.com/en/api/errors,
https://ai.google.dev/gemini-api/docs/troubleshooting,
https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import Any

_MAX_READ_BYTES = 64 * 2**10
_UNSHOWN = re.compile(r"[^A-Za-z0-9_.-]")
_MAX_CODE_CHARS = 60
_REDIRECTS = range(300, 400)
_ASK_AGAIN = frozenset({408, 409, 425, 429})
# Codes that name the cause more surely than the status does: Google's for a wrong key is a 400.
_KEY_CODES = frozenset({"invalid_api_key", "authentication_error", "API_KEY_INVALID", "UNAUTHENTICATED"})
_FORBIDDEN_CODES = frozenset(
    {"permission_error", "permission_denied", "PERMISSION_DENIED", "unsupported_country_region_territory"}
    | {"AccessDeniedException", "ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException"}
)
_QUOTA_CODES = frozenset(
    {"insufficient_quota", "billing_error", "billing_hard_limit_reached", "BILLING_DISABLED"}
    | {"ServiceQuotaExceededException"}
)
CORRECT_MODEL = "correct `model` in the settings"
"""What to do about a model that a provider does not know."""

_MODEL_CODES = frozenset({"model_not_found"})
# Of AWS's signatures, some of which come with a 400.
_SIGNATURE_CODES = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "IncompleteSignatureException"}
    | {"InvalidClientTokenId", "InvalidSignatureException", "MissingAuthenticationToken"}
    | {"MissingAuthenticationTokenException", "OptInRequired", "SignatureDoesNotMatch", "UnrecognizedClientException"}
)
# Sentences of providers that have no code for it: Anthropic's for an account without money, and those of compatible
# servers for a model that they do not have. They count at the beginning alone, or behind what LiteLLM's proxy puts
# before it: further on, a message may quote what the agent has sent.
_BEGINS = r"(?i)\A(?:litellm\.\w+: \w+ - (?:b?'?\{[^']{0,80}\"message\": ?\")?)?"
_NO_CREDIT = re.compile(_BEGINS + r"(?:your credit balance is too low|insufficient balance)")
_NO_MODEL = re.compile(
    _BEGINS + r"(?:[\w.:/@-]{1,200} is not a valid model|(?:the )?(?:model not exist|unknown model)"
    r"|the provided model identifier is invalid|invocation of model id \S{1,300} with on-demand throughput"
    r"|publisher model \S{1,300} is not servable in region)"
)
# AWS's, with the status and code of permissions that are missing.
_NO_ACCESS = re.compile(_BEGINS + r"you (?:don.t|do not) have access to the model")
# Google's name of a quota that comes back on another day, and AWS's sentence of one.
_DAILY = re.compile(r"PerDay|tokens per day")


class FaultKind(StrEnum):
    """What the user has to change."""

    KEY = "key"
    MODEL = "model"
    QUOTA = "quota"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class UserFault:
    """What only the user can change.

    Args:
        kind: Of what.
        message: One sentence about it, for people.
        hint: What to do.
        is_noticed: Whether all that helps changes the settings or a key of ours, so that waiting tasks begin again by
            themselves. Nobody tells us of a quota that was raised, or of a person who signed in to a cloud.
    """

    kind: FaultKind
    message: str
    hint: str
    is_noticed: bool = True

    def __str__(self) -> str:
        return " ".join(f"{text[:1].upper()}{text[1:]}." for text in (self.message, self.hint))


def tell_waiting(faults: Iterable[UserFault]) -> str:
    """Return what a task waits for that cannot go on before any of these is changed, and how it goes on then."""
    distinct = tuple(dict.fromkeys(faults))
    if all(fault.is_noticed for fault in distinct):
        then = "The task waits, and goes on by itself after the change; `squire tasks retry` has it go on at once."
    else:
        then = (
            "The task waits. It goes on by itself after a change of the settings or a key; after any other change, run "
            "`squire tasks retry`."
        )
    return " ".join((*map(str, distinct), then))


@dataclass(frozen=True, slots=True)
class CredentialWords:
    """How messages name credentials that are no key of ours, in the plural, and what to do when they are refused."""

    name: str
    renew: str


@dataclass(frozen=True, slots=True)
class ProviderWords:
    """How messages name a provider: by its name, its key or credentials, and its address where it is known."""

    name: str
    secret: str
    base_url: str | None = None
    credentials: CredentialWords | None = None
    key_step: str | None = None  # what sets its key on this machine, where that is known

    @property
    def _set_key(self) -> str:
        step = self.key_step or f"run `squire secrets set {self.secret}`"
        return f"{step}; `squire doctor` tries it"

    def missing_key(self) -> UserFault:
        """Return what to tell where the provider needs a key and there is none."""
        message = f"the provider {self.name} needs the key {self.secret}, which is not set"
        return UserFault(FaultKind.KEY, message, self._set_key)

    def wrong_key(self) -> UserFault:
        """Return what to tell where the key is set and can be none, so that no request can have it."""
        message = f"the key {self.secret} of the provider {self.name} has a character that no key has"
        return UserFault(FaultKind.KEY, message, f"copy the key alone and set it again: {self._set_key}")

    def describe(self, kind: FaultKind, shown: str, model: str | None) -> UserFault:
        """Return the sentence about a fault, the same wherever it is told; `shown` is the status and code."""
        words = self.credentials
        used = words.name if words is not None else f"the key {self.secret}"
        message, hint = {
            FaultKind.KEY: (
                f"the provider {self.name} refuses {used} ({shown})",
                words.renew if words is not None else f"set one that it takes: {self._set_key}",
            ),
            FaultKind.QUOTA: (
                f"the provider {self.name} has no quota or credit left for {used} ({shown})",
                "raise it there, or use another account"
                if words is not None
                else f"raise it there, or set the key of another account: {self._set_key}",
            ),
            FaultKind.MODEL: (
                f"the provider {self.name} does not know the model {model}, or not for {used} ({shown})",
                f"{CORRECT_MODEL}, or the provider's `region`, or allow the account the model there"
                if words is not None
                else CORRECT_MODEL,
            ),
            FaultKind.ADDRESS: (
                f"the provider {self.name} has no such interface at {self.base_url or 'its address'} ({shown})",
                "correct its `base_url`, which ends with the version, or its `protocol` in the settings",
            ),
        }[kind]
        is_noticed = kind is FaultKind.ADDRESS or (words is None and kind is not FaultKind.QUOTA)
        return UserFault(kind, message, hint, is_noticed)

    def fault_of(self, status: int, body: bytes, *, model: str | None, is_free: bool = False) -> UserFault | None:
        """Return what the user has to change after an error of this provider's; see `fault_kind`."""
        kind = fault_kind(status, body, is_free=is_free)
        if kind is None:
            return None
        code = error_code(body)
        return self.describe(kind, f"{status} {code}" if code else str(status), model)


def error_code(body: bytes) -> str | None:
    """Return the provider's own code of an error, in letters that a log can show; None when it names none."""
    return next((_UNSHOWN.sub("?", code[:_MAX_CODE_CHARS]) for code in _codes(_error(body))), None)


def fault_kind(status: int, body: bytes, *, is_free: bool = False) -> FaultKind | None:
    """Return what only the user can change after an error of a provider's; None where a program may go on.

    Args:
        status: Of the provider's answer, an error's.
        body: Of it, whole or its beginning.
        is_free: Whether tokens were counted or models named, which some providers do not serve, or not to every key.
    """
    error = _error(body)
    codes, message = set(_codes(error)), str(error.get("message") or "")
    if status == HTTPStatus.UNAUTHORIZED or codes & (_KEY_CODES | _SIGNATURE_CODES):
        return FaultKind.KEY
    if status in _REDIRECTS:
        return FaultKind.ADDRESS
    if is_free or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return None
    is_bad = status == HTTPStatus.BAD_REQUEST
    is_used_up = status == HTTPStatus.TOO_MANY_REQUESTS and _DAILY.search(json.dumps(error)) is not None
    has_no_credit = status == HTTPStatus.PAYMENT_REQUIRED or (is_bad and _NO_CREDIT.search(message) is not None)
    if codes & _QUOTA_CODES or is_used_up or has_no_credit:
        return FaultKind.QUOTA
    is_unknown = is_bad and _NO_MODEL.search(message) is not None
    has_no_access = status == HTTPStatus.FORBIDDEN and _NO_ACCESS.search(message) is not None
    if codes & _MODEL_CODES or is_unknown or has_no_access:
        return FaultKind.MODEL
    # An interface says of a model in its own form that it is not there, and a wrong address does in another.
    not_found = FaultKind.MODEL if codes or message else FaultKind.ADDRESS
    # A 403 may also be of the request: OpenRouter refuses so what a moderation flags. Only its code tells them apart.
    forbidden = FaultKind.KEY if codes & _FORBIDDEN_CODES else None
    return {403: forbidden, 404: not_found, 405: FaultKind.ADDRESS}.get(status)


def is_failure_status(status: int) -> bool:
    """Return whether a provider's HTTP status is a failure of its own, after which another may do better."""
    return status in _ASK_AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _error(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body[:_MAX_READ_BYTES])
    except (ValueError, RecursionError):
        return {}
    if isinstance(document, list) and document:  # Google's form of an error in a stream of another kind
        document = document[0]
    if not isinstance(document, dict):
        return {}
    error = document.get("error", document)  # a provider's library may have taken it out already
    return error if isinstance(error, dict) else {}


def _codes(error: dict[str, Any]) -> Iterator[str]:
    """Yield the names that an error gives itself, the most telling first."""
    details = error.get("details")
    entries = details if isinstance(details, list) else []
    reasons = [entry.get("reason") for entry in entries if isinstance(entry, dict)]
    for name in (*reasons, error.get("code"), error.get("type"), error.get("status")):
        if isinstance(name, str) and name:
            yield name
