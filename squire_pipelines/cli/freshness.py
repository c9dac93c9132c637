"""Says after an answer of the warehouse whether more has happened in the ledger since it was published."""

from datetime import UTC, datetime

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.failures import note
from squire_pipelines.cli.text import age


def has_more(context: CliContext, published_at: datetime) -> bool | None:
    """Return whether anything has happened since the warehouse was published.

    None where that is not known within milliseconds: the ledger is on Postgres, or it cannot be read.
    """
    from squire_pipelines.cli import fast_list  # noqa: PLC0415 - not for --help

    path = fast_list.named_ledger(context.config, context.home)
    return None if path is None else fast_list.has_changed_since(path, published_at)


def note_what_is_missing(context: CliContext, published_at: datetime) -> None:
    """Write on standard error that the answer is of an older publication, when more has happened since."""
    if has_more(context, published_at):
        ago = age(published_at, datetime.now(UTC))
        note(f"published {ago} ago; `squire history publish` takes what happened since")
