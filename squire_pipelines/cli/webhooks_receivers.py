"""`squire webhooks receivers`: the receivers of all machines, and whether each takes what GitHub signs."""

from squire_pipelines.cli.context import CliContext, Columns, json_option, with_home_to_read
from squire_pipelines.cli.lazy import command

COLUMNS: Columns = {
    "receiver": "name",
    "state": "state",
    "version": "version",
    "seen": "seen_at",
    "wrong": "about",
}


@command("receivers", examples=("squire webhooks receivers", "squire webhooks receivers --json"))
@json_option
@with_home_to_read
def receivers(context: CliContext, *, as_json: bool) -> None:
    """List the receivers of all machines that share the ledger, and name the one that still has an old secret alone.

    On one machine with a ledger in a file there is one, which `squire status` shows, and this list is empty.
    """
    from squire_pipelines.runtime.machine_facts import read_machines  # noqa: PLC0415 - the help starts sooner

    rows = []
    if context.has_ledger:
        with context.ledger.read() as tx:
            known = read_machines(tx, lost_after_s=context.settings.workers.lost_after_s)
        rows = [one for one in known if one.kind == "receiver"]
    empty = "The ledger lists no receiver: only on Postgres do receivers register there."
    context.write_list(rows, COLUMNS, as_json=as_json, empty=empty, spare=("version", "seen"), wrap=("wrong",))
