"""`squire ledger`: whether the system of record is sound, and its backups."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, pass_cli_context
from squire_pipelines.cli.lazy import LazyGroup, command
from squire_pipelines.cli.tasks_change import actor
from squire_pipelines.cli.text import one_line, size
from squire_pipelines.errors import LedgerError, RefusedError
from squire_pipelines.ledger.backup import make_backup, restore_backup, verify
from squire_pipelines.ledger.integrity import check_integrity
from squire_pipelines.ledger.store import Ledger

ledger = LazyGroup(name="ledger", help="Check, back up and restore the system of record.")


@command("check", examples=("squire ledger check", "squire ledger check --json"))
@json_option
@pass_cli_context
def check(context: CliContext, *, as_json: bool) -> None:
    """Check that the ledger is whole, and that its history tells the same as its rows. Changes nothing."""
    found = check_integrity(context.settings.resolved_ledger_url)
    if as_json:
        emit_json(
            {
                "ledger": found.place,
                "revision": found.revision,
                "ok": not found.problems,
                "problems": list(found.problems),
                "rows": found.rows,
            }
        )
    elif not found.problems:
        click.echo(f"ok: {found.place}, schema {found.revision}")
        click.echo(", ".join(f"{count} {name}" for name, count in found.rows.items()))
    if found.problems:
        if not as_json:
            for problem in found.problems:
                click.echo(one_line(problem))
            raise LedgerError(
                f"the ledger {found.place} has {len(found.problems)} problem(s)",
                hint="stop Squire, keep a copy of the file, restore a backup",
            )
        click.get_current_context().exit(1)


_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@contextmanager
def _bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that shows how many pages are copied, where somebody looks at it."""
    with click.progressbar(length=1, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        def told(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield told


@command("backup", examples=("squire ledger backup ledger-2026-03-01.sqlite",))
@_file
@json_option
@pass_cli_context
def backup(context: CliContext, file: Path, *, as_json: bool) -> None:
    """Copy the ledger to a new FILE while everything goes on. What was committed before is in it, whole."""
    store = Ledger(context.settings.resolved_ledger_url)
    try:
        with _bar("copying") as told:
            made = make_backup(store, file, progress=told)
    finally:
        store.close()
    if as_json:
        emit_json({"file": made.path, "revision": made.revision, "bytes": made.bytes, "tasks": made.tasks})
    else:
        click.echo(f"ok: {made.path}, schema {made.revision}, {made.tasks} tasks, {size(made.bytes)}")


@command("restore", examples=("squire ledger restore ledger-2026-03-01.sqlite",))
@_file
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_cli_context
def restore(context: CliContext, file: Path, *, yes: bool) -> None:
    """Put the backup FILE in the ledger's place. The ledger of now is kept beside it; Squire must not run."""
    store = Ledger(context.settings.resolved_ledger_url)
    try:
        if store.is_sqlite:
            found = verify(file)
            question = f"put {file} ({found.tasks} tasks) in the place of {store.describe()}"
            if not yes:
                if not sys.stdin.isatty():
                    raise RefusedError(f"nobody is there to ask whether to {question}", hint="add --yes")
                click.confirm(question.capitalize() + "?", abort=True)
        with _bar("copying") as told:
            done = restore_backup(store, file, actor=actor(), progress=told)
    finally:
        store.close()
    click.echo(f"ok: {done.ledger} is {file}, schema {done.backup.revision}, {done.backup.tasks} tasks")
    if done.aside is not None:
        click.echo(f"the ledger of before is {done.aside}")


ledger.add_command(check)
ledger.add_command(backup)
ledger.add_command(restore)
