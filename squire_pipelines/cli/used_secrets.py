"""Records at the end of a command which secrets it has read or changed."""

from collections.abc import Callable

from squire_pipelines.cli.person import actor
from squire_pipelines.errors import SquireError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.secret_uses import record_secret_uses
from squire_pipelines.terminal.output import write_labelled


def record_used_secrets(find_ledger: Callable[[], Ledger | None]) -> None:
    """Record this command's uses of secrets, where there is a ledger; a failure is a warning."""
    try:
        ledger = find_ledger()
        if ledger is not None:
            record_secret_uses(ledger, actor=actor())
    except SquireError as error:
        message = f"the uses of secrets are not in the audit trail: {error.message}"
        write_labelled("warning", message, color="yellow")
