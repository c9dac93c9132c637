"""`squire webhooks senders`: the senders beside GitHub, how each signs, and what keeps one from being received."""

from squire_pipelines.cli.context import CliContext, Columns, json_option, with_home_to_read
from squire_pipelines.cli.lazy import command

COLUMNS: Columns = {
    "sender": "name",
    "path": "path",
    "reader": "reader",
    "signs by": "scheme",
    "newest delivery": "received_at",
    "open facts": "open_facts",
    "state": lambda row: row.problem or ("ready" if row.enabled else "switched off"),
}


@command("senders", examples=("squire webhooks senders", "squire webhooks senders --json"))
@json_option
@with_home_to_read
def senders(context: CliContext, *, as_json: bool) -> None:
    """List the senders of [hooks]: how each signs, what came of it, and what keeps it from being received."""
    from squire_pipelines.webhooks.sender_status import sender_statuses  # noqa: PLC0415 - the help starts sooner

    rows = list(sender_statuses(context.settings, context.ledger if context.has_ledger else None))
    empty, spare = "The settings name no sender beside GitHub.", ("newest delivery", "open facts", "signs by")
    context.write_list(rows, COLUMNS, as_json=as_json, empty=empty, spare=spare, wrap=("state",))
