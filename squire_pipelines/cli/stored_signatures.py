"""Verifies the signatures of stored deliveries with the secrets that a command can read, which it reads once."""

from collections.abc import Callable, Mapping
from typing import Any

from squire_pipelines.cli.context import CliContext
from squire_pipelines.errors import SecretMissingError, SquireError
from squire_pipelines.ledger.deliveries import COMMAND
from squire_pipelines.ledger.delivery_reports import GITHUB
from squire_pipelines.webhooks.signing_secrets import read_signing_secrets
from squire_pipelines.webhooks.verification import SignatureState, SignatureVerdict, verify_again

Verifier = Callable[[Mapping[str, Any], bytes], SignatureVerdict]
"""Returns whether the signature of a delivery, its row and body, holds now; unknown where no secret can be read."""


def open_verifier(context: CliContext) -> Verifier:
    """Read the secrets that hold now, and return what verifies with them."""
    settings = context.settings
    problem = ""
    secrets: tuple[bytes, ...] = ()
    try:
        secrets = read_signing_secrets(settings.webhooks, settings.secret_sources).all
    except SecretMissingError:
        pass  # the verdict says that there is none
    except SquireError as error:
        problem = f"the webhook's secret cannot be read: {error.message}"

    def verify(row: Mapping[str, Any], body: bytes) -> SignatureVerdict:
        if row["source"] == COMMAND:
            return SignatureVerdict(SignatureState.UNKNOWN, "a request of a command is not signed")
        if row["source"] != GITHUB:
            return SignatureVerdict(SignatureState.UNKNOWN, f"how {row['source']} signs is not verified again")
        if problem:
            return SignatureVerdict(SignatureState.UNKNOWN, problem)
        return verify_again(body, row["signature"], secrets)

    return verify
