"""Verifies the signatures of stored deliveries with the secrets that a command can read."""

from collections.abc import Mapping
from typing import Any

from squire_pipelines.cli.context import CliContext
from squire_pipelines.errors import SecretMissingError, SquireError
from squire_pipelines.ledger.deliveries import COMMAND
from squire_pipelines.webhooks.signing_secrets import read_signing_secrets
from squire_pipelines.webhooks.verification import SignatureState, SignatureVerdict, verify_again


def verify_row(context: CliContext, row: Mapping[str, Any], body: bytes) -> SignatureVerdict:
    """Return whether a stored delivery's signature holds now; unknown where no secret can be read."""
    if row["source"] == COMMAND:
        return SignatureVerdict(SignatureState.UNKNOWN, "a request of a command is not signed")
    settings = context.settings
    try:
        secrets = read_signing_secrets(settings.webhooks, settings.secret_sources).all
    except SecretMissingError:
        secrets = ()
    except SquireError as error:
        return SignatureVerdict(SignatureState.UNKNOWN, f"the webhook's secret cannot be read: {error.message}")
    return verify_again(body, row["signature"], secrets)
