"""Where the old product kept its files. No file is read here."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from squire_pipelines.errors import ConfigError


@dataclass(frozen=True, slots=True)
class OldPlaces:
    """Where the old product's files may lie.

    Args:
        folder: Where it was started: `squire.config.json`, `steward.yaml`, `.env`, `tasks`.
        user_home: Has `.squire` and `.config/squire`.
        environment: Its variables.
        mounted: What a container had as `steward.yaml`.
    """

    folder: Path
    user_home: Path
    environment: Mapping[str, str]
    mounted: Path = Path("/config/steward.yaml")

    @property
    def is_empty(self) -> bool:
        """Whether none of the files is there, whatever it may hold."""
        return not any(os.path.lexists(path) for path in (*self.config_files, *self.steward_files, self.dotenv))

    @property
    def config_files(self) -> tuple[Path, ...]:
        """The files of settings, of which the old product took the first."""
        return (
            self.folder / "squire.config.json",
            self.user_home / ".squire" / "config.json",
            self.user_home / ".config" / "squire" / "config.json",
        )

    @property
    def steward_files(self) -> tuple[Path, ...]:
        """The files of Steward's settings, of which it took the first."""
        named = self.environment.get("STEWARD_CONFIG_PATH", "").strip()
        # A relative name is one from the folder in which Steward was started.
        first = (self.folder / named,) if named else ()
        return (*first, self.mounted, self.folder / "steward.yaml", self.folder / "steward.yml")

    @property
    def dotenv(self) -> Path:
        """The file of variables."""
        return self.folder / ".env"

    def task_places(self, named: Sequence[str] = ()) -> tuple[Path, ...]:
        """Return the folders of task files and Steward's list, as far as they are there.

        Args:
            named: Folders that the old settings name, from that in which the old product was started.

        Raises:
            ConfigError: A folder cannot be read.
        """
        variable = self.environment.get("SQUIRE_TASKS_DIR", "").strip()
        names = (*((variable,) if variable else ()), *named)
        folders = (*(self.folder / name for name in names), self.user_home / ".squire" / "tasks", self.folder / "tasks")
        state = self.folder / "steward-state.json"
        present = [path for path in folders if _has_tasks(path)]
        return tuple(dict.fromkeys((*present, *((state,) if state.is_file() else ()))))


def _has_tasks(folder: Path) -> bool:
    try:
        return folder.is_dir() and any(path.suffix == ".json" for path in folder.iterdir())
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be read: {error.strerror}; nothing was changed", hint="check its owner and mode"
        ) from error
