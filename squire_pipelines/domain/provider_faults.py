"""What a provider's refusal means where only the user can change it: the key, the model, the quota or the address.

What is not among these is the provider's own fault, or passes by itself. The text of an answer is the provider's: it is
looked through and never repeated.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

MAX_TEXT = 8192
"""How much of an answer's text is looked through, in characters."""
_QUOTA = re.compile(
    r"insufficient_quota|insufficient[_ ]balance|billing_hard_limit|billing_not_active|credit balance is too low"
)
_KEY = re.compile(r"invalid_api_key|api_key_invalid|incorrect api key|api key not valid")
_MODEL = re.compile(r"model_not_found|not a valid model|model not exist|invalid model|unknown model|model:")
_REFUSED = frozenset({400, 401, 402, 403, 404, 405, 422, 429})


class FaultKind(StrEnum):
    """What the user has to change."""

    KEY = "key"
    MODEL = "model"
    QUOTA = "quota"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class ProviderFault:
    """What is wrong with a provider of the settings: one sentence, and what to do, for people."""

    kind: FaultKind
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})"


def fault_kind(status: int, text: str) -> FaultKind | None:
    """Return what the user has to change after an answer of a provider's; None when it is nothing.

    The sources: https://platform.openai.com/docs/guides/error-codes, https://docs.anthropic.com/en/api/errors,
    https://ai.google.dev/gemini-api/docs/troubleshooting

    Args:
        status: Of HTTP.
        text: The body, or any text that holds its error.
    """
    if status not in _REFUSED:
        return None
    lowered = text[:MAX_TEXT].lower()
    if status == 402 or _QUOTA.search(lowered):  # noqa: PLR2004 - "Payment Required"
        return FaultKind.QUOTA
    if status == 429:  # noqa: PLR2004 - "Too Many Requests", which passes by itself
        return None
    if _MODEL.search(lowered) or (status == 404 and "model" in lowered):  # noqa: PLR2004 - "Not Found"
        return FaultKind.MODEL
    if status in {401, 403} or _KEY.search(lowered):
        return FaultKind.KEY
    return FaultKind.ADDRESS if status in {404, 405} else None


def describe_fault(
    kind: FaultKind, *, provider: str, secret: str, model: str, base_url: str | None, status: int | None = None
) -> ProviderFault:
    """Return the sentence about a fault, the same wherever it is told.

    Args:
        kind: What is wrong.
        provider: The name of the provider.
        secret: The name of its key.
        model: Which was asked for.
        base_url: The provider's address; None when nobody knows it.
        status: What the provider answered; None when it was not asked, since the key is nowhere.
    """
    answered = f" (HTTP {status})" if status is not None else ""
    if kind is FaultKind.KEY and status is None:
        message = f"the provider {provider} needs the key {secret}, which is not set"
        return ProviderFault(kind, message, f"run `squire secrets set {secret}`")
    if kind is FaultKind.KEY:
        message, hint = f"the provider {provider} refuses the key {secret}{answered}", "set one that it takes"
    elif kind is FaultKind.QUOTA:
        message = f"the account of the key {secret} has no quota left at the provider {provider}{answered}"
        hint = "add credit there, or set the key of another account"
    elif kind is FaultKind.MODEL:
        message = f"the provider {provider} has no model {model!r}, or the key {secret} may not use it{answered}"
        return ProviderFault(kind, message, "set `model` to one that it has")
    else:
        message = f"the provider {provider} has no such interface at {base_url or 'its address'}{answered}"
        return ProviderFault(kind, message, "check its `base_url`, which ends with the version, and its `protocol`")
    return ProviderFault(kind, message, f"{hint}: `squire secrets set {secret}`")
