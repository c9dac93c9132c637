"""`squire migrate`: taking over what the old product left, in one command, and restoring it."""

import os
from pathlib import Path
from typing import Any

import click

from squire_pipelines.cli.audited import record_settings
from squire_pipelines.cli.config_check import what_is_missing
from squire_pipelines.cli.context import CliContext, Columns, emit_json, json_option, with_context
from squire_pipelines.cli.init import config_text, write_schema
from squire_pipelines.cli.lazy import command
from squire_pipelines.cli.person import confirm
from squire_pipelines.cli.run import hand_on_config
from squire_pipelines.cli.secret_places import secret_places
from squire_pipelines.cli.text import counted
from squire_pipelines.cli.unlock import open_or_create_store
from squire_pipelines.errors import ConfigError
from squire_pipelines.home import user_home
from squire_pipelines.ledger.importing import import_tasks
from squire_pipelines.migration.mapping import AI_GATEWAY_KEY, SECRET_VARIABLES
from squire_pipelines.migration.places import OldPlaces
from squire_pipelines.migration.plan import MigrationPlan, MigrationRow, make_plan
from squire_pipelines.migration.record import RecordFile, RecordFolder, records_in
from squire_pipelines.migration.takeover import Takeover
from squire_pipelines.secret_names import SecretName
from squire_pipelines.secrets.passphrase import NAME
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.secrets.sources import SecretSources
from squire_pipelines.settings.file import SettingsFile, read_settings_file
from squire_pipelines.terminal.output import ask, write_line

_ROTATION = {
    str(SecretName.GITHUB_TOKEN): "make a new token at https://github.com/settings/tokens, then `squire secrets rotate "
    "github-token`, and delete the old one there",
    str(SecretName.WEBHOOK_SECRET): "`squire secrets rotate webhook-secret`, and give GitHub the new one",
    AI_GATEWAY_KEY: f"make a new key where it was made, then `squire secrets rotate {AI_GATEWAY_KEY}`, and delete "
    "the old one there",
}


@command(
    "migrate",
    examples=(
        "squire migrate --dry-run",
        "squire migrate",
        "squire migrate --from ~/steward --yes",
        "squire migrate --rollback",
    ),
)
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    metavar="PATH",
    help="Look in this folder, where the old product was started; else in the working directory.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
@click.option("--rollback", is_flag=True, help="Restore the files of the last migration as they were.")
@click.option("--forget", is_flag=True, help="Remove the backups of migrations that are done; none can be undone then.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@json_option
@with_context
def migrate(
    context: CliContext, folder: Path, *, dry_run: bool, rollback: bool, forget: bool, yes: bool, as_json: bool
) -> None:
    """Take over what the old product left: its settings, its secrets in plain text and its tasks.

    It looks for squire.config.json, steward.yaml and .env in the folder, for config.json in ~/.squire and
    ~/.config/squire, and for the old variables. Settings go to config.toml, whose comments and own values stay. Secrets
    are sealed where `squire secrets` keeps them and read back; then they are taken out of the files, of which an
    encrypted backup is kept beside config.toml. All other lines of the files stay.

    A migration that was interrupted is finished by the next one, or undone with --rollback. The exit code is 3 when
    something cannot be taken over; nothing is changed then.
    """
    if sum((dry_run, rollback, forget)) > 1:
        raise click.UsageError("--dry-run, --rollback and --forget exclude each other")
    hand_on_config(context)
    migration = _Migration(context, folder, yes=yes, as_json=as_json)
    if rollback:
        migration.roll_back()
    elif forget:
        migration.forget()
    elif dry_run:
        migration.preview()
    else:
        migration.run()


class _Migration:
    """One run of the command, with what it opens."""

    def __init__(self, context: CliContext, folder: Path, *, yes: bool, as_json: bool) -> None:
        self.context = context
        self.yes = yes
        self.as_json = as_json
        self.sources: SecretSources = secret_places(context)[0]
        asking = self._ask_old_passphrase if context.can_ask else None
        self.records = RecordFolder(context.home, self.sources, asking)
        self.takeover = Takeover(context.home, self.sources, self.records)
        self.config_path = Path(os.path.abspath(context.config_path))  # noqa: PTH100 - the record may be used elsewhere
        self.config = SettingsFile(self.config_path, exists=False)
        self.places = OldPlaces(folder.absolute(), user_home() or folder.absolute(), dict(os.environ))

    def plan(self) -> MigrationPlan:
        """Return what is to be done with the settings as they are now. Raises ConfigError."""
        self.config = read_settings_file(self.config_path)
        template = config_text([], schema=self.config_path.with_suffix(".schema.json").name)
        return make_plan(self.places, self.config, template, self._stored())

    def show(self, plan: MigrationPlan, result: dict[str, Any] | None = None) -> None:
        """Write the table, or with --json all of it and the result."""
        if self.as_json:
            rows = [
                {"entry": row.entry, "from": row.source, "to": row.target or None, "note": row.note}
                for row in plan.rows
            ]
            emit_json({"rows": rows, "changed": result is not None, **(result or {})})
        elif not plan.rows:
            write_line("Nothing of the old product is here: no file, no variable.")
        else:
            columns: Columns = {
                "what": "entry",
                "from": self._short_source,
                "to": "target",
                "what is done, or why not": "note",
            }
            self.context.write_rows(plan.rows, columns, keep=columns, wrap=tuple(columns)[1:])
            if plan.is_empty:
                write_line("Nothing is left to be taken over.")

    def _short_source(self, row: MigrationRow) -> str:
        """Return a file's name from the folder that was looked in, or from the user's, so that the table is narrow."""
        path = Path(row.source)
        if path.is_relative_to(self.places.folder):
            return str(path.relative_to(self.places.folder))
        return (
            f"~/{path.relative_to(self.places.user_home)}" if path.is_relative_to(self.places.user_home) else row.source
        )

    def preview(self) -> None:
        """Show what would be done."""
        plan = self.plan()
        self.show(plan)
        if not self.as_json and (plan.task_places or not plan.is_empty):
            write_line("Nothing was changed: `squire migrate` does this.")

    def run(self) -> None:
        """Finish what was interrupted, then take over what there is."""
        with self.takeover.locked():
            self._finish_interrupted()
            plan = self.plan()
        if plan.is_empty and not plan.task_places:
            self.show(plan)
            return
        if not self.as_json:
            self.show(plan)
        if not self.yes:
            confirm("take this over", hint="add --yes, or --dry-run to see what would be done")
        result: dict[str, Any] = {"backup": None, "notes": []}
        if not plan.is_empty:
            self._open_store()
            with self.takeover.locked():
                if self.plan() != plan:  # another process migrates too, or somebody writes
                    raise ConfigError(
                        "what is to be taken over has changed since it was shown; nothing was changed",
                        hint="run the command again",
                    )
                file, notes = self.takeover.begin(plan, self.config)
            result = {"backup": str(file.path), "notes": notes}
            self._tell(plan, file, notes)
        self._import_tasks(plan, result)
        if plan.settings:  # after the import, which makes the ledger where there is none
            self._record_settings([".".join(path) for path, _ in plan.settings])
        if self.as_json:
            self.show(plan, result)

    def roll_back(self) -> None:
        """Restore the originals of the last migration. Raises ConfigError where there is none."""
        with self.takeover.locked():
            files = records_in(self.context.home.migrations)
            if not files:
                raise ConfigError(
                    f"there is no migration to undo in {self.context.home.migrations}",
                    hint="`squire migrate --dry-run` shows what is there",
                )
            self._open_store()
            record = self.records.read(files[-1])
            notes = self.takeover.undo(files[-1])
        paths = [str(edit.path) for edit in record.edits]
        if record.settings:
            self._record_settings([])
        if self.as_json:
            emit_json({"restored": paths, "notes": notes})
            return
        for path in paths:
            write_line(f"restored {path}")
        for note in notes:
            write_line(note)
        write_line("The migration is undone. Tasks that it imported stay in the ledger.")

    def forget(self) -> None:
        """Remove the backups of migrations that are done."""
        with self.takeover.locked():
            files = [file for file in records_in(self.context.home.migrations) if file.phase == "done"]
            if files and not self.yes:
                confirm(f"remove {counted(len(files), 'backup')}, so that no migration can be undone", hint="add --yes")
            for file in files:
                file.remove()
        if self.as_json:
            emit_json({"removed": [str(file.path) for file in files]})
        else:
            write_line(f"removed {counted(len(files), 'backup')}" if files else "There is no backup.")

    def _finish_interrupted(self) -> None:
        for file in records_in(self.context.home.migrations):
            if file.phase == "done":
                continue
            self._open_store()
            if file.phase == "undoing":
                notes = self.takeover.undo(file)
                write_line("The interrupted rollback is finished: run the command again to migrate.", err=True)
            else:
                _, notes = self.takeover.finish(file)
                write_line("The interrupted migration is finished.", err=True)
            for note in notes:
                write_line(note, err=True)
            if file.phase == "undoing":
                raise SystemExit(0)

    def _open_store(self) -> None:
        if self.sources.store.exists or self.sources.keychain().backend is None:
            open_or_create_store(self.context, self.sources)

    def _stored(self) -> set[str]:
        names = set(self.sources.store.names())
        ring = self.sources.keychain()
        return names | {name for name in set(SECRET_VARIABLES.values()) - names if ring.find(name)[0]}

    def _tell(self, plan: MigrationPlan, file: RecordFile, notes: list[str]) -> None:
        if plan.settings:
            write_schema(self.config_path.with_suffix(".schema.json"))
        if self.as_json:
            return
        for note in notes:
            write_line(note)
        for name in plan.secrets:
            write_line(f"{name} is sealed and read back")
        if plan.settings:
            write_line(f"{counted(len(plan.settings), 'setting')} written to {self.config_path}")
        write_line(f"An encrypted backup is {file.path}: `squire migrate --rollback` restores the files from it.")
        if plan.secrets:
            write_line("These secrets lay in plain text, and copies of them may be in backups or in git. Replace them:")
            for name in plan.secrets:
                write_line(f"  {name}: {_ROTATION[name]}")
        missing = what_is_missing(self.config_path, plan.config_text) if plan.config_text is not None else None
        if missing is not None:
            write_line(f"No task can start yet: {missing.message} ({missing.hint})")
        write_line("Next: `squire doctor`, then `squire run --dry-run`.")

    def _record_settings(self, keys: list[str]) -> None:
        self.context.__dict__.pop("settings", None)  # they may have been read before they were changed
        record_settings(self.context, keys)

    def _import_tasks(self, plan: MigrationPlan, result: dict[str, Any]) -> None:
        taken: dict[str, int] = {}
        skipped = 0
        for place in plan.task_places:
            attempts = self.context.settings.dispatch.max_attempts
            report = import_tasks(self.context.ledger, place, max_attempts=attempts)
            taken = {status: taken.get(status, 0) + count for status, count in report.taken.items()} | {
                status: count for status, count in taken.items() if status not in report.taken
            }
            skipped += report.skipped
        result["tasks"] = {"imported": taken, "skipped": skipped}
        if plan.task_places and not self.as_json:
            left_out = f", and {skipped} left out: `squire tasks import PATH` says why" if skipped else ""
            write_line(f"{counted(sum(taken.values()), 'task')} imported{left_out}")

    @staticmethod
    def _ask_old_passphrase() -> Secret:
        answer = ask("passphrase that held when the migration was done", is_secret=True)
        return Secret(answer, name=NAME, origin="terminal")
