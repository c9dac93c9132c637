"""`squire ledger`: whether the system of record is sound, its backups, and its move."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from squire_pipelines.cli.context import CliContext, emit_json, json_option, with_home
from squire_pipelines.cli.lazy import Lazy, LazyGroup
from squire_pipelines.cli.person import actor, confirm
from squire_pipelines.cli.text import counted, size
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import ExitCode, LedgerError
from squire_pipelines.ledger.backup import make_backup, record_backup, restore_backup, verify
from squire_pipelines.ledger.integrity import check_integrity
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.terminal.live_line import live_line
from squire_pipelines.terminal.output import write_line

ledger = LazyGroup(
    name="ledger",
    help="Check, upgrade, back up, restore and move the system of record.",
    lazy={
        "move": Lazy("squire_pipelines.cli.ledger_move:move", "Move the ledger into an empty database."),
        "upgrade": Lazy("squire_pipelines.cli.ledger_upgrade:upgrade", "Bring the ledger's schema to this Squire's."),
    },
)


@ledger.command("check", examples=("squire ledger check", "squire ledger check --json"))
@json_option
@with_home
def check(context: CliContext, *, as_json: bool) -> None:
    """Check that the ledger is whole, and that its history agrees with its rows. Changes nothing."""
    with live_line("checking the ledger"):
        report = check_integrity(context.settings.resolved_ledger_url)
    problems = report.problems
    if as_json:
        content = {"ledger": report.place, "revision": report.revision, "ok": not problems}
        emit_json({**content, "problems": problems, "rows": report.rows})
        if problems:
            raise SystemExit(ExitCode.FAILED)
        return
    for problem in problems:
        write_line(one_line(problem))
    if problems:
        raise LedgerError(
            f"the ledger {report.place} has {counted(len(problems), 'problem')}",
            hint="stop Squire, keep a copy of the file, and restore a backup",
        )
    write_line(f"ok: {report.place}, schema {report.revision}")
    write_line(", ".join(f"{count} {name}" for name, count in report.rows.items()))


_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@contextmanager
def _bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many pages are copied, as a bar, where somebody looks at it."""
    with click.progressbar(length=1, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        def update(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield update


@ledger.command("backup", examples=("squire ledger backup ledger-2026-03-01.sqlite",))
@_file
@json_option
@with_home
def backup(context: CliContext, file: Path, *, as_json: bool) -> None:
    """Copy the ledger to a new FILE while Squire runs. The copy has everything that was committed before."""
    with closing(Ledger(context.settings.resolved_ledger_url)) as store, _bar("copying") as progress:
        made = make_backup(store, file, progress=progress)
        record_backup(store, made.path, tasks=made.tasks, size=made.bytes, actor=actor())
    if as_json:
        emit_json({"file": made.path, "revision": made.revision, "bytes": made.bytes, "tasks": made.tasks})
    else:
        write_line(f"ok: {made.path}, schema {made.revision}, {counted(made.tasks, 'task')}, {size(made.bytes)}")


@ledger.command("restore", examples=("squire ledger restore ledger-2026-03-01.sqlite",))
@_file
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_home
def restore(context: CliContext, file: Path, *, yes: bool) -> None:
    """Put the backup FILE in the ledger's place and keep the present ledger beside it. Squire must not run."""
    with closing(Ledger(context.settings.resolved_ledger_url)) as store:
        if store.is_sqlite:
            backed_up = verify(file)
            if not yes:
                place = store.describe()
                confirm(f"put {file} ({counted(backed_up.tasks, 'task')}) in the place of {place}", hint="add --yes")
        with _bar("copying") as progress:
            done = restore_backup(store, file, actor=actor(), progress=progress)
    write_line(f"ok: {done.ledger} is {file}, schema {done.backup.revision}, {counted(done.backup.tasks, 'task')}")
    if done.aside is not None:
        write_line(f"The ledger that was there before is {done.aside}.")
