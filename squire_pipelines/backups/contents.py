"""What of a home goes into a backup, and what does not and has to be named. Reads no secret."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from squire_pipelines.backups import manifest
from squire_pipelines.secret_names import SecretName, file_variable_of, variables_of
from squire_pipelines.settings.goals import all_goals
from squire_pipelines.settings.model import Settings


@dataclass(frozen=True, slots=True)
class HomeContents:
    """The files of a home beside its ledger, by their names in the backup, and sentences about what is left out."""

    files: tuple[tuple[str, Path], ...]
    left_out: tuple[str, ...]


@dataclass(slots=True)
class _Collection:
    files: dict[str, Path] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def add(self, name: str, path: Path) -> None:
        """Add a file that is there; one whose name a backup cannot have is named as left out."""
        if not path.is_file():
            return
        try:
            manifest.check_name(name)
        except ValueError:
            self.left_out.append(f"the file {path}: a backup cannot have its name")
            return
        self.files[name] = path


def settings_files(settings: Settings, config: Path) -> HomeContents:
    """Return the files of settings and secrets.

    Args:
        settings: As they are.
        config: The file that they come from.
    """
    collection, home = _Collection(), settings.home
    collection.add(manifest.CONFIG, config)
    collection.add(manifest.SECRETS, home.secret_store)
    collection.add(manifest.INSTANCE, home.dagster / "dagster.yaml")
    for folder, place in ((manifest.TEMPLATES, home.task_templates), (manifest.MIGRATIONS, home.migrations)):
        for path in _files_in(place):
            collection.add(f"{folder}/{path.name}", path)
    for path in _goal_files(settings):
        if path.is_relative_to(config.parent):
            collection.add(f"{manifest.GOALS}/{path.relative_to(config.parent).as_posix()}", path)
        else:
            collection.left_out.append(f"the goals in {path}: the file lies outside {config.parent}")
    collection.left_out += _secrets_elsewhere(settings, has_store=manifest.SECRETS in collection.files)
    return HomeContents(tuple(collection.files.items()), tuple(collection.left_out))


def archive_files(archive: Path) -> HomeContents:
    """Return the archive's files. To be called after the ledger was copied: rows leave it when their file is there."""
    collection = _Collection()
    for path in sorted(archive.glob("*/[!.]*.parquet")):
        collection.add(f"{manifest.ARCHIVE}/{path.parent.name}/{path.name}", path)
    return HomeContents(tuple(collection.files.items()), tuple(collection.left_out))


def _files_in(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else ()


def _goal_files(settings: Settings) -> Iterator[Path]:
    for source in all_goals(settings):
        if not isinstance(source.goals, str):
            yield from source.goals


def _secrets_elsewhere(settings: Settings, *, has_store: bool) -> Iterator[str]:
    """Say which secrets the backup does not have: only the encrypted file is taken, never a secret in the clear."""
    for name in dict.fromkeys((*map(str, SecretName), *settings.named_secrets)):
        variables = [variable for variable in (*variables_of(name), file_variable_of(name)) if os.environ.get(variable)]
        if variables:
            yield f"the secret {name}: it comes from {' and '.join(variables)}"
        if settings.secret_sources.plain_file(name).is_file():
            yield f"the secret {name}: it is in a plain file, and secrets are not copied in the clear"
    if not has_store:
        yield "secrets: there is no encrypted file of them; the keychain's stay in the keychain"
    else:
        yield "the passphrase of the encrypted file of secrets: keep it elsewhere, without it the file does not open"
