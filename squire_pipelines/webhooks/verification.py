"""Whether a stored delivery's signature is that of its body, by the secrets that there are now."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from squire_pipelines.github.protocol import verify_signature


class SignatureState(StrEnum):
    """What verifying a stored signature again shows."""

    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SignatureVerdict:
    """What verifying it again shows, and why."""

    state: SignatureState
    reason: str


def verify_again(body: bytes, signature: str | None, secrets: Sequence[bytes]) -> SignatureVerdict:
    """Verify a stored delivery of GitHub's again.

    Args:
        body: As it was signed.
        signature: The header that came with it; None for a request to read a repository, and for what was stored before
            signatures were kept.
        secrets: Those that hold now.
    """
    if signature is None:
        return SignatureVerdict(SignatureState.UNKNOWN, "no signature was kept with it")
    if not secrets:
        return SignatureVerdict(SignatureState.UNKNOWN, "there is no secret to verify it with")
    return verdict_of(is_valid=any(verify_signature(body, signature, secret) for secret in secrets))


def verdict_of(*, is_valid: bool) -> SignatureVerdict:
    """Return the verdict on a signature that was verified again."""
    if is_valid:
        return SignatureVerdict(SignatureState.VALID, "it is the body's, by a secret that holds now")
    return SignatureVerdict(
        SignatureState.INVALID,
        "none of the secrets that hold now made it: the secret was rotated since, or the row was changed",
    )
