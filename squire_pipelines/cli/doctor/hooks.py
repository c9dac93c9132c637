"""The check of senders beside GitHub: whether each can be verified and read, and whether anything came of it."""

from collections.abc import Iterator

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis
from squire_pipelines.cli.text import instant
from squire_pipelines.errors import LedgerError
from squire_pipelines.webhooks.sender_status import sender_statuses


def check_hooks(context: CliContext) -> Iterator[Diagnosis]:
    """Check each sender that the settings switch on."""
    if not context.settings.hooks:
        return
    try:
        statuses = tuple(sender_statuses(context.settings, context.ledger if context.has_ledger else None))
    except LedgerError:  # which has a line of its own
        statuses = tuple(sender_statuses(context.settings, None))
    for status in statuses:
        name = f"hooks {status.name}"
        if not status.enabled:
            yield Diagnosis(name, "ok", "switched off: its requests get 404")
        elif status.problem:
            yield Diagnosis(name, "fail", status.problem, status.next_step)
        else:
            newest = f"newest delivery {instant(status.received_at)}" if status.received_at else "no delivery yet"
            yield Diagnosis(name, "ok", f"{status.path}, signed by {status.scheme}, {newest}")
