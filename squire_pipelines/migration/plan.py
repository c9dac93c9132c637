"""What a migration is to do: which secrets are sealed, which settings written, and what is taken out of which file.

It reads the old files and the names of the secrets that Squire keeps. Nothing is changed, and no passphrase is needed.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from squire_pipelines.errors import ConfigError
from squire_pipelines.migration.dotenv import parse_dotenv
from squire_pipelines.migration.mapping import (
    OldEntry,
    Setting,
    entries_of_config,
    entries_of_steward,
    entries_of_variables,
)
from squire_pipelines.migration.old_files import FileForm, OldFile, first_file, parse_json, parse_yaml
from squire_pipelines.migration.places import OldPlaces
from squire_pipelines.migration.removal import remaining_secrets, without_secrets
from squire_pipelines.secrets.redact import process_redactor
from squire_pipelines.secrets.secret import Secret
from squire_pipelines.settings.edits import with_value
from squire_pipelines.settings.file import SettingsFile, key_text, parse_settings, toml_text
from squire_pipelines.settings.keys import default_at
from squire_pipelines.settings.model import Settings, settings_of

ENVIRONMENT = "environment"
_OF_OTHERS = ("GITHUB_TOKEN", "GH_TOKEN")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class MigrationRow:
    """A line of the table that a person sees. It never has a secret's value.

    Args:
        entry: The old name.
        source: The file, or `environment`.
        target: The secret or the setting; empty where nothing stands for it.
        note: What is done, or why nothing is.
    """

    entry: str
    source: str
    target: str
    note: str


@dataclass(frozen=True, slots=True)
class FileEdit:
    """What becomes of a file: `after` is its new content, None where nothing of it is left; `group` is a number."""

    path: Path
    before: bytes
    mode: int
    after: bytes | None
    group: int


@dataclass(slots=True)
class MigrationPlan:
    """All that is to be done.

    Args:
        rows: What a person sees of it.
        secrets: That are sealed, by their names here.
        settings: That are written.
        edits: Of the old files.
        remains: Where a secret stays in plain text, since no entry of the old product's holds it: file, line and what.
        task_places: What has tasks to be imported.
        config_text: The settings' file as it is to be; None where it stays as it is.
    """

    rows: list[MigrationRow] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    settings: list[Setting] = field(default_factory=list)
    edits: list[FileEdit] = field(default_factory=list, repr=False)
    remains: list[tuple[Path, int, str]] = field(default_factory=list)
    task_places: tuple[Path, ...] = ()
    config_text: str | None = field(default=None, repr=False)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.secrets or self.settings or self.edits)


def make_plan(places: OldPlaces, config: SettingsFile, template: str, stored: Collection[str]) -> MigrationPlan:
    """Read what the old product left, and return what is to be done about it.

    Args:
        places: Where its files may lie.
        config: The settings as they are.
        template: The text of a new file of settings, where there is none.
        stored: The names of the secrets that Squire keeps already, which stay as they are.

    Raises:
        ConfigError: A file cannot be read or changed, or a value cannot be taken over.
    """
    entries = _Entries()
    steward, other_stewards = first_file(places.steward_files)
    if steward is not None:
        values = parse_yaml(steward)
        # Steward read the paths in it from the folder in which it was started.
        entries.add(steward, entries_of_steward(values, str(steward.path), places.folder), form="yaml")
    first, others = first_file(places.config_files)
    task_folders = []
    for file in (*(() if first is None else (first,)), *others):
        values = parse_json(file)
        entries.add(file, entries_of_config(values, str(file.path)), form="json", counts=file is first)
        task_folders.append(values.get("tasksDir"))
    dotenv, _ = first_file((places.dotenv,))
    if dotenv is not None:
        variables = {entry.name: entry.value.decode("utf-8", "replace") for entry in parse_dotenv(dotenv.content)}
        entries.add(dotenv, entries_of_variables(variables, str(dotenv.path)), form="dotenv")
        task_folders.append(variables.get("SQUIRE_TASKS_DIR"))
    entries.add(None, entries_of_variables(places.environment, ENVIRONMENT))
    named = [name.strip() for name in task_folders if isinstance(name, str) and name.strip()]
    plan = MigrationPlan(task_places=places.task_places(named))
    _plan_secrets(plan, entries, frozenset(stored))
    plan.rows += [
        MigrationRow(file.path.name, str(file.path), "", "the old product did not read it beside the one above")
        for file in other_stewards
    ]
    _plan_settings(plan, entries, config, template)
    for place in plan.task_places:
        plan.rows.append(MigrationRow("tasks", str(place), "ledger", "imported, as `squire tasks import` does"))
    return plan


@dataclass(slots=True)
class _Entries:
    """The old entries in the order in which they count, and the files they came from."""

    entries: list[OldEntry] = field(default_factory=list)
    files: list[tuple[OldFile, FileForm, list[OldEntry]]] = field(default_factory=list)
    unused: set[str] = field(default_factory=set)

    def add(
        self, file: OldFile | None, entries: Iterator[OldEntry], *, form: FileForm = "dotenv", counts: bool = True
    ) -> None:
        entries_of_file = list(entries)
        for entry in entries_of_file:
            if entry.value:
                Secret(entry.value, name=entry.secret or "old secret")  # so that no message of this process shows it
        self.entries += entries_of_file
        if file is not None:
            self.files.append((file, form, entries_of_file))
            if not counts:
                self.unused.add(str(file.path))


def _plan_secrets(plan: MigrationPlan, entries: _Entries, stored: Collection[str]) -> None:
    for entry in entries.entries:
        if not entry.secret:
            continue
        target = f"secret {entry.secret}"
        if entry.source == ENVIRONMENT and entry.name in _OF_OTHERS:
            note = "stays: Squire reads this variable, as `gh` and other programs do"
        elif entry.secret in stored:
            note = "Squire keeps one already, which stays; the old one is in the backup alone"
        elif plan.secrets.setdefault(entry.secret, entry.value) != entry.value:
            note = "the value above counts; this one is in the backup alone"
        else:
            note = "sealed, and removed here"
        if entry.source == ENVIRONMENT and entry.name not in _OF_OTHERS:
            note = note.replace(", and removed here", "").replace("; the old one is in the backup alone", "")
            note = note.replace("; this one is in the backup alone", "") + "; remove the variable where it is set"
        plan.rows.append(MigrationRow(entry.name, entry.source, target, note))
    values = [entry.value for entry in entries.entries if entry.secret or entry.hides]
    for file, form, entries_of_file in entries.files:
        if (after := without_secrets(file, form, entries_of_file)) != file.content:
            file.check_changeable()
            plan.edits.append(FileEdit(file.path, file.content, file.mode, after, file.group))
        for line, kind in remaining_secrets(after or b"", form, values):
            plan.remains.append((file.path, line, kind))
            note = f"stays: it has {kind} in plain text, and is no entry of the old product's: take it out yourself"
            plan.rows.append(MigrationRow(f"line {line}", str(file.path), "", note))


def _plan_settings(plan: MigrationPlan, entries: _Entries, config: SettingsFile, template: str) -> None:
    text = config.text if config.exists else template
    current = parse_settings(config.path, text)
    known: dict[tuple[str, ...], str] = {}
    for entry in entries.entries:
        if entry.secret:
            continue
        if not entry.settings:
            plan.rows.append(MigrationRow(entry.name, entry.source, "", f"no equivalent: {entry.reason}"))
            continue
        path, value = entry.settings[0]
        target = f"{key_text(path)} = {_shown(value)}"
        note = _why_not(entry, current, known, entries.unused)
        if note and entry.source == ENVIRONMENT:
            note += "; the variable takes precedence where it is set: unset it"
        if not note:
            if not known:
                settings_of(current)  # what cannot be read is not changed
            current = _with_settings(entry, current, plan)
            known[path] = entry.source
            note = "written" + (f"; {entry.reason}" if entry.reason else "")
        plan.rows.append(MigrationRow(entry.name, entry.source, target, note))
    if plan.settings:
        plan.config_text = current.text


def _why_not(entry: OldEntry, current: SettingsFile, known: Mapping[tuple[str, ...], str], unused: set[str]) -> str:
    """Return why an entry's setting is not written; empty where it is."""
    path, value = entry.settings[0]
    if path in known:
        return f"not written: the value of {known[path]} counts"
    if entry.source in unused:
        return "not written: the old product read the first of its files alone"
    own = {other for other, _ in entry.settings if other[0] != "providers"}
    own |= {(*other[:-1], "base_url") for other in own if other[-1] == "provider"}
    own |= {("collection", "schedule")} if path == ("collection", "interval_s") else set()
    if any(value_at(current, other) not in (None, []) for other in own):
        return "not written: config.toml sets it already"
    return "not written: it is the default here" if default_at(Settings, path) == value else ""


def _with_settings(entry: OldEntry, current: SettingsFile, plan: MigrationPlan) -> SettingsFile:
    main, *others = entry.settings
    added = [main, *(setting for setting in others if value_at(current, setting[0]) is None)]
    changed = current
    try:
        for path, value in added:
            changed = parse_settings(current.path, with_value(changed, path, value))
        settings_of(changed)
    except ConfigError as error:
        message = process_redactor().redact(f"{entry.source}: {entry.name} cannot be taken over: {error.message}")
        raise ConfigError(
            f"{message}; nothing was changed", hint=f"correct it in {entry.source}, or take it out, and run it again"
        ) from error
    plan.settings += added
    return changed


def value_at(file: SettingsFile, path: tuple[str, ...]) -> Any:
    """Return what a file sets; None where it sets nothing."""
    value: Any = file.values
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _shown(value: object) -> str:
    text = process_redactor().redact(toml_text(value))
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
