"""What commands record in the audit trail beside the changes that the ledger's own functions record."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from squire_pipelines.cli.person import actor

if TYPE_CHECKING:
    from pydantic import JsonValue

    from squire_pipelines.cli.context import CliContext


def record_command(context: "CliContext", action: str, subject: str, **detail: "JsonValue") -> None:
    """Record what a person does with a command, where there is a ledger. Raises LedgerError, ConfigError."""
    from squire_pipelines.domain.identity import new_trace_id  # noqa: PLC0415 - not every command needs it
    from squire_pipelines.ledger.audit import record_audit  # noqa: PLC0415 - SQLAlchemy is slow to import

    if not _has_ledger(context):
        return
    with context.ledger.write() as tx:
        record_audit(tx, actor=actor(), action=action, subject=subject, trace_id=new_trace_id(), detail=detail)


def record_export(context: "CliContext", what: str, target: object, **detail: "JsonValue") -> None:
    """Record that data leave Squire, before they do. Raises LedgerError, ConfigError."""
    place = str(target)
    if "://" in place:  # a URL may carry a password
        parts = urlsplit(place)
        place = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    record_command(context, "data.exported", f"{what} to {place}", **detail)


def record_secret_uses(context: "CliContext") -> None:
    """Record which secrets this command has read or changed, where there is a ledger; a failure is a warning."""
    from squire_pipelines.errors import SquireError  # noqa: PLC0415 - not every command needs it
    from squire_pipelines.secrets import uses  # noqa: PLC0415 - likewise

    if not uses.has_uses():
        return
    from squire_pipelines.ledger.secret_uses import record_secret_uses as record  # noqa: PLC0415 - likewise

    try:
        if _has_ledger(context):
            record(context.ledger, actor=actor())
    except SquireError as error:
        from squire_pipelines.terminal.output import write_labelled  # noqa: PLC0415 - likewise

        message = f"the uses of secrets are not in the audit trail: {error.message}"
        write_labelled("warning", message, color="yellow")


def _has_ledger(context: "CliContext") -> bool:
    """Return whether a ledger is there: what is recorded makes none."""
    file = context.settings.ledger_file
    return file is None or file.exists()
