"""Which delivery a person means, and what is said of one that has left the ledger or was never there."""

from typing import Any

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.delivery_options import event_of
from squire_pipelines.cli.delivery_queries import find_rows
from squire_pipelines.cli.text import instant
from squire_pipelines.errors import NotFoundError
from squire_pipelines.ledger.store import Transaction

_NONE_HINT = "`squire webhooks list` shows those that there are"
_GONE_HINT = (
    "GitHub delivers again what is at most three days old; `squire signals collect` reads the repository as it is now"
)


def find_delivery(context: CliContext, tx: Transaction, name: str) -> dict[str, Any]:
    """Return the newest delivery that `name` means: a row's number, or the id that the sender gave.

    Raises:
        NotFoundError: There is none, or retention has moved it to the archive; the message says when and where.
    """
    rows = find_rows(tx, name)
    if rows:
        return rows[0]
    raise _not_in_ledger(context, tx, name)


def _not_in_ledger(context: CliContext, tx: Transaction, name: str) -> NotFoundError:
    from squire_pipelines.warehouse.archived_deliveries import find_archived  # noqa: PLC0415 - DuckDB is slow to import
    from squire_pipelines.warehouse.sharing import archive_of  # noqa: PLC0415 - likewise

    archived = find_archived(tx, archive_of(context.settings, context.ledger), name)
    if archived is None:
        return NotFoundError(f"there is no delivery {name!r}", hint=_NONE_HINT)
    event = event_of({"event": archived.event, "action": archived.action})
    about = f" about {archived.repository}" if archived.repository else ""
    when = f" on {instant(archived.archived_at)}" if archived.archived_at else ""
    return NotFoundError(
        f"delivery {archived.id} ({event}{about}, received {instant(archived.received_at)}) has left the ledger: "
        f"retention moved it{when} to the archive {archived.file}, which keeps no bodies",
        hint=_GONE_HINT,
    )
