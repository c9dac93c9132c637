"""What commands record in the audit trail beside the changes that the ledger's own functions record."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from pydantic import JsonValue

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.person import actor
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.errors import SquireError
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.settings_changes import record_settings_command
from squire_pipelines.terminal.output import write_labelled


def record_command(context: CliContext, action: str, subject: str, **detail: JsonValue) -> None:
    """Record what a person does with a command, where there is a ledger. Raises LedgerError, ConfigError."""
    if not context.has_ledger:
        return
    with context.ledger.write() as tx:
        record_audit(tx, actor=actor(), action=action, subject=subject, trace_id=new_trace_id(), detail=detail)


def record_export(context: CliContext, name: str, target: object, **detail: JsonValue) -> None:
    """Record that data leave Squire, before they do. Raises LedgerError, ConfigError."""
    place = str(target)
    if "://" in place:  # a URL may carry a password
        parts = urlsplit(place)
        place = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
    record_command(context, "data.exported", f"{name} to {place}", **detail)


def record_settings(context: CliContext, keys: Iterable[str]) -> None:
    """Record that a command changed these settings, after it did, where there is a ledger; a failure is a warning.

    With no keys, what changed is found by comparing. The settings must not have been read before the change.
    """
    try:
        if not context.has_ledger:
            return
        values = context.settings.model_dump(mode="json", exclude_unset=True)
        with context.ledger.write() as tx:
            record_settings_command(tx, keys, values, actor=actor(), trace_id=new_trace_id())
    except SquireError as error:
        message = f"the change is not in the audit trail: {error.message}"
        write_labelled("warning", message, color="yellow")
