"""`squire ledger upgrade`: the ledger's migrations as a step of its own, before processes are replaced."""

from contextlib import closing

import click

from squire_pipelines import __version__
from squire_pipelines.cli.context import CliContext, emit_json, json_option, with_home
from squire_pipelines.cli.lazy import command
from squire_pipelines.domain.schema_rules import LedgerSchema
from squire_pipelines.errors import SchemaVersionError
from squire_pipelines.ledger import HEAD_REVISION
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.terminal.output import write_line


@command(
    "upgrade",
    examples=("squire ledger upgrade --dry-run", "squire ledger upgrade", "squire ledger upgrade --ends-older --json"),
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and for which older processes; change nothing.")
@click.option("--ends-older", is_flag=True, help="Upgrade also where older processes have it open that cannot go on.")
@json_option
@with_home
def upgrade(context: CliContext, *, dry_run: bool, ends_older: bool, as_json: bool) -> None:
    """Bring the ledger's schema to this Squire's, or make it. Run it first, on one machine; others wait for it.

    Older processes go on where the migrations say so: replace them then, workers first and the steward last. Where they
    could not go on and have a ledger on Postgres open, nothing is changed and the command says from where.
    """
    with closing(Ledger(context.settings.resolved_ledger_url)) as ledger:
        before = LedgerSchema(None) if ledger.is_sqlite and not ledger.path.exists() else ledger.schema()
        if before.is_newer(HEAD_REVISION) and not before.fits(HEAD_REVISION):
            raise SchemaVersionError(before.why_unfit(HEAD_REVISION, __version__) or "", hint="nothing was changed")
        is_due = not before.fits(HEAD_REVISION)
        if is_due and not dry_run:
            ledger.ensure_schema(ends_older=ends_older)
        after = _planned() if is_due and dry_run else ledger.schema() if is_due else before
        place = ledger.describe()
    if as_json:
        fields = {"from": before.revision, "to": after.revision, "oldest_program": after.oldest_program}
        emit_json({"ledger": place, **fields, "changed": is_due and not dry_run})
        return
    if not is_due:
        write_line(f"ok: {place} has schema {before.revision}, with which Squire {__version__} works")
    else:
        verb = "would be brought" if dry_run else "was brought"
        write_line(f"ok: {place} {verb} from schema {before.revision or 'none'} to {after.revision}")
    if after.oldest_program is not None and after.oldest_program != after.revision:
        write_line(f"Processes of schema {after.oldest_program} and newer go on with it until they are replaced.")
    elif is_due:
        write_line("Older processes cannot go on with it: stop them before.")


def _planned() -> LedgerSchema:
    from squire_pipelines.ledger.migrate import oldest_program  # noqa: PLC0415 - Alembic is slow to import

    return LedgerSchema(HEAD_REVISION, oldest_program())
