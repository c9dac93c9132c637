"""Records at the end of a command which secrets it has read or changed."""

from collections.abc import Callable
from contextlib import closing

from squire_pipelines.cli.person import actor
from squire_pipelines.errors import SquireError
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.secret_uses import record_secret_uses
from squire_pipelines.terminal.output import write_labelled


def record_used_secrets(find_url: Callable[[], str | None]) -> None:
    """Record this command's uses of secrets, where there is a ledger that it can use; a failure is a warning."""
    try:
        url = find_url()
        if url is None:
            return
        with closing(Ledger(url)) as ledger:
            if ledger.is_sqlite:
                ledger.ensure_schema()
            if ledger.is_usable():  # a database on a server that has none yet may be about to get a backup
                record_secret_uses(ledger, actor=actor())
    except SquireError as error:
        message = f"the uses of secrets are not in the audit trail: {error.message}"
        write_labelled("warning", message, color="yellow")
