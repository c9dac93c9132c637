"""`squire backup` and `squire restore`: a whole home in one file, and back."""

import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from squire_pipelines.cli.context import (
    CliContext,
    Columns,
    emit_json,
    json_option,
    with_context,
    with_home,
    with_home_to_read,
)
from squire_pipelines.cli.lazy import LazyGroup, command
from squire_pipelines.cli.person import actor
from squire_pipelines.cli.progress_bar import labelled_bar
from squire_pipelines.cli.text import counted, instant, size
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import ConfigError
from squire_pipelines.home import make_folder
from squire_pipelines.terminal.output import write_line

if TYPE_CHECKING:
    from squire_pipelines.backups.manifest import BackupManifest
    from squire_pipelines.file_store.store import FileStore

_MAKE = "make"


class _BackupGroup(LazyGroup):
    """A group whose command `make` needs not be named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Name the command where the first word is none."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [_MAKE, *args]
        return super().parse_args(ctx, args)


backup = _BackupGroup(name="backup", help="Back up the whole home into one file; `squire backup` alone makes one.")


def _summary(path: Path, manifest: "BackupManifest") -> str:
    rows = ", ".join(f"{count} {name}" for name, count in manifest.counts.items())
    origin = " of a ledger on Postgres" if manifest.database == "postgresql" else ""
    return f"{path}, schema {manifest.revision}{origin}, {counted(len(manifest.members), 'file')}, {rows}"


@backup.command(
    _MAKE, examples=("squire backup", "squire backup /mnt/backups/", "squire backup make before-upgrade.tar.gz --json")
)
@click.argument("destination", required=False, type=click.Path())
@click.option("--no-archive", is_flag=True, help="Leave out what has left the ledger, which is most of a large home.")
@json_option
@with_home
def make(context: CliContext, destination: str | None, *, no_archive: bool, as_json: bool) -> None:
    """Write ledger, settings, sealed secrets and archive to DESTINATION, a new file or a folder, while Squire runs.

    Without DESTINATION the backup goes to the folder of the settings, where the oldest of more than `backup.keep` are
    removed. Only the encrypted file of secrets is taken: what is not in the backup is named.
    """
    from squire_pipelines.backups import folder, kept  # noqa: PLC0415 - SQLAlchemy, which the help needs not
    from squire_pipelines.ledger.store import Ledger, utc_now  # noqa: PLC0415 - likewise

    settings, config = context.settings, context.config_path
    with_archive = settings.backup.archive and not no_archive
    with closing(Ledger(settings.resolved_ledger_url)) as ledger, labelled_bar() as progress:
        if destination is None:
            made, removed = folder.back_up_regularly(
                settings, ledger, config=config, with_archive=with_archive, actor=actor(), progress=progress
            )
        else:
            target = _made_folder(destination) if destination.endswith(os.sep) else Path(destination)
            if target.is_dir():
                target /= kept.backup_name(utc_now())
            made, removed = (
                folder.back_up_to(
                    target, settings, ledger, config=config, with_archive=with_archive, actor=actor(), progress=progress
                ),
                (),
            )
    if as_json:
        content = {"file": made.path, "bytes": made.bytes, "removed": removed, **_manifest_fields(made.manifest)}
        emit_json(content)
        return
    write_line(f"ok: {_summary(made.path, made.manifest)}, {size(made.bytes)}")
    for text in made.manifest.not_included:
        write_line(f"not in it: {one_line(text)}")
    for path in removed:
        write_line(f"removed: {path}")


def _made_folder(destination: str) -> Path:
    try:
        return make_folder(Path(destination))
    except OSError as error:
        raise ConfigError(
            f"the folder {destination} cannot be made: {error.strerror}", hint="name another, or a file"
        ) from error


def _manifest_fields(manifest: "BackupManifest") -> dict[str, object]:
    return {
        "squire": manifest.squire,
        "made_at": manifest.made_at,
        "revision": manifest.revision,
        "database": manifest.database,
        "counts": manifest.counts,
        "files": len(manifest.members),
        "not_included": manifest.not_included,
    }


@backup.command("verify", examples=("squire backup verify squire-20260301T031700Z.tar.gz",))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@json_option
@with_context
def verify(_context: CliContext, file: Path, *, as_json: bool) -> None:
    """Read all of FILE, compare each digest, and open the ledger in it for reading. Changes nothing."""
    from squire_pipelines.backups.restoring import verify_backup  # noqa: PLC0415 - SQLAlchemy, which the help needs not

    with labelled_bar() as progress:
        manifest = verify_backup(file, progress=progress)
    if as_json:
        emit_json({"file": file, "ok": True, **_manifest_fields(manifest)})
    else:
        write_line(f"ok: {_summary(file, manifest)}; made by Squire {manifest.squire}, {instant(manifest.made_at)}")


@backup.command("list", examples=("squire backup list", "squire backup list --store"))
@click.option("--store", "in_store", is_flag=True, help="List those in the store of files (files.url).")
@json_option
@with_home_to_read
def list_backups(context: CliContext, *, in_store: bool, as_json: bool) -> None:
    """List the backups in the folder of the settings, or in the store of files, the newest first."""
    from squire_pipelines.backups import kept, stored  # noqa: PLC0415 - the settings, which the help needs not

    if in_store:
        store = _store(context)
        known = [{"file": one.name, "made_at": one.made_at, "bytes": one.bytes} for one in stored.stored_backups(store)]
        context.write_list(known, _KEPT, as_json=as_json, empty=f"There is no backup in the store {store.place}.")
        return
    place = kept.backup_folder(context.settings)
    rows = [
        {"file": one.path, "made_at": one.made_at, "bytes": one.path.stat().st_size} for one in kept.kept_backups(place)
    ]
    context.write_list(rows, _KEPT, as_json=as_json, empty=f"There is no backup in {place}.")


_KEPT: Columns = {"file": "file", "made at": "made_at", "size": lambda row: size(row["bytes"])}


def _store(context: CliContext) -> "FileStore":
    from squire_pipelines.file_store.opening import store_of  # noqa: PLC0415 - its libraries, which the help needs not

    store = store_of(context.settings)
    if store is None:
        raise ConfigError("there is no store of files", hint="name it in files.url, or in SQUIRE_FILES__URL")
    return store


@backup.command(
    "fetch",
    examples=("squire backup fetch /mnt/restore/", "squire backup fetch /tmp/ --name squire-20260301T031700Z.tar.gz"),
)
@click.argument("destination", type=click.Path(path_type=Path))
@click.option(
    "--name", metavar="NAME", help="Of the backup, as `squire backup list --store` shows it; else the newest."
)
@json_option
@with_home_to_read
def fetch(context: CliContext, destination: Path, name: str | None, *, as_json: bool) -> None:
    """Copy a backup from the store of files to DESTINATION, a new file or a folder, to restore it.

    Where no home is left, variables name the store: SQUIRE_FILES__URL, and what its credentials come from.
    """
    from squire_pipelines.backups.stored import fetch_backup  # noqa: PLC0415 - as above

    file = fetch_backup(_store(context), destination, name)
    if as_json:
        emit_json({"file": file, "bytes": file.stat().st_size})
        return
    write_line(f"ok: {file}, {size(file.stat().st_size)}")
    write_line(f"Next: `squire restore {file} --home PATH`.")


@backup.command("catch-up", examples=("squire backup catch-up",))
@json_option
@with_home
def catch_up(context: CliContext, *, as_json: bool) -> None:
    """After a restore, take from the store of files the tasks whose work was pushed after the backup.

    Run it before Squire starts: it would make these tasks a second time. Their pull requests are found again.
    """
    from squire_pipelines.execution.pushed_heads import take_over_pushed  # noqa: PLC0415 - as above

    attempts = context.settings.dispatch.max_attempts
    report = take_over_pushed(context.ledger, _store(context), max_attempts=attempts)
    count = sum(report.taken.values())
    if as_json:
        reasons = [{"where": one.where, "reason": one.reason} for one in report.reasons]
        emit_json({"tasks": count, "known": report.known, "skipped": report.skipped, "reasons": reasons})
        return
    write_line(f"ok: {counted(count, 'task')} of after the backup taken over, {report.known} known before")
    for skipped in report.reasons:
        write_line(f"not taken: {one_line(f'{skipped.where}: {skipped.reason}')}")


@command(
    "restore",
    examples=(
        "squire restore squire-20260301T031700Z.tar.gz --home /srv/squire --dry-run",
        "squire restore squire-20260301T031700Z.tar.gz --home /srv/squire",
    ),
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--home",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="PATH",
    help="Restore into this folder, which is empty or new; else into this command's own home.",
)
@click.option("--dry-run", is_flag=True, help="Check FILE and the home, say what would be done, and change nothing.")
@json_option
@with_context
def restore(context: CliContext, file: Path, folder: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Put the backup FILE into an empty home, and upgrade its ledger where an earlier Squire made it.

    No Squire may run there. A restore that was interrupted leaves the home marked as incomplete; the next one clears it
    and begins again. FILE decides what Squire does: restore only what you made yourself.
    """
    from squire_pipelines.backups import restoring  # noqa: PLC0415 - SQLAlchemy, which the help needs not
    from squire_pipelines.ledger import HEAD_REVISION  # noqa: PLC0415 - likewise

    if folder is not None:
        os.environ["SQUIRE_HOME"] = str(folder.expanduser().absolute())
    home = context.home
    with labelled_bar() as progress:
        if dry_run:
            manifest = restoring.verify_backup(file, progress=progress)
            restoring.check_home(home)
            place = None  # by the settings, which are in the backup
            upgraded_from = manifest.revision if manifest.revision != HEAD_REVISION else None
        else:
            done = restoring.restore_home(file, home, actor=actor(), progress=progress)
            manifest, place, upgraded_from = done.manifest, done.ledger, done.upgraded_from
    if as_json:
        fields = {"ledger": place, "upgraded_from": upgraded_from, "changed": not dry_run}
        emit_json({"file": file, "home": home.data, **fields, **_manifest_fields(manifest)})
        return
    if dry_run:
        write_line(f"{_summary(file, manifest)} would be restored into {home.data}; nothing was changed.")
    else:
        write_line(f"ok: {home.data} is {_summary(file, manifest)}; the ledger is {place}")
    if upgraded_from is not None:
        verb = "would be" if dry_run else "was"
        write_line(f"The ledger {verb} upgraded from schema {upgraded_from} to {HEAD_REVISION}.")
    for text in manifest.not_included:
        write_line(f"not in it: {one_line(text)}")
    if not dry_run:
        write_line("Next: `squire doctor`, `squire backup catch-up` where a store of files is set, and start it here")
        write_line("only after the old one is stopped for good.")
