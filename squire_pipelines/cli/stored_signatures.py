"""Verifies the signatures of stored deliveries with the secrets that a command can read, which it reads once."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from squire_pipelines.cli.context import CliContext
from squire_pipelines.domain.deliveries import REQUEST_SOURCES, DeliverySource
from squire_pipelines.domain.hook_schemes import verify_stored
from squire_pipelines.errors import SecretMissingError, SquireError
from squire_pipelines.webhooks.live_hooks import read_hook
from squire_pipelines.webhooks.signing_secrets import read_signing_secrets
from squire_pipelines.webhooks.verification import SignatureState, SignatureVerdict, verdict_of, verify_again

if TYPE_CHECKING:
    from squire_pipelines.settings.model import Settings

Verifier = Callable[[Mapping[str, Any], bytes], SignatureVerdict]
"""Returns whether the signature of a delivery, its row and body, holds now; unknown where no secret can be read."""


def open_verifier(context: CliContext) -> Verifier:
    """Read the secrets that hold now, and return what verifies with them."""
    settings = context.settings
    problem = ""
    secrets: tuple[bytes, ...] = ()
    try:
        secrets = read_signing_secrets(settings.webhooks, settings.secret_sources, settings.recorded_tenants).all
    except SecretMissingError:
        pass  # the verdict says that there is none
    except SquireError as error:
        problem = f"the webhook's secret cannot be read: {error.message}"
    verify_hook = _hook_verifier(settings)

    def verify(row: Mapping[str, Any], body: bytes) -> SignatureVerdict:
        if row["source"] in REQUEST_SOURCES:
            return SignatureVerdict(SignatureState.UNKNOWN, "a request to read a repository is not signed")
        if row["source"] in settings.hooks:
            return verify_hook(row, body)
        if row["source"] != DeliverySource.GITHUB:
            return SignatureVerdict(
                SignatureState.UNKNOWN, f"how {row['source']} signs is not known: no table [hooks] has it"
            )
        if problem:
            return SignatureVerdict(SignatureState.UNKNOWN, problem)
        return verify_again(body, row["signature"], secrets)

    return verify


def _hook_verifier(settings: "Settings") -> Verifier:
    """Return what verifies deliveries of other senders, each of which is read once."""
    hook_of = cache(partial(read_hook, settings))

    def verify(row: Mapping[str, Any], body: bytes) -> SignatureVerdict:
        try:
            hook = hook_of(row["source"])
        except SquireError as error:
            return SignatureVerdict(SignatureState.UNKNOWN, f"the sender cannot be verified: {error.message}")
        is_valid = verify_stored(hook.scheme, row["delivery_id"], row["signature"], body, hook.secrets)
        if is_valid is None:
            return SignatureVerdict(SignatureState.UNKNOWN, "no signature was kept with it: a token signs no body")
        return verdict_of(is_valid=is_valid)

    return verify
