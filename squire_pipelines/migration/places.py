"""Where the old product kept its files. Nothing is read here."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


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

    @property
    def task_places(self) -> tuple[Path, ...]:
        """The folders of task files and Steward's list, as far as they are there."""
        named = self.environment.get("SQUIRE_TASKS_DIR", "").strip()
        folders = (
            (self.folder / named,) if named else (),
            (self.user_home / ".squire" / "tasks", self.folder / "tasks"),
        )
        present = [path for path in (*folders[0], *folders[1]) if path.is_dir() and any(path.glob("*.json"))]
        state = self.folder / "steward-state.json"
        return tuple(dict.fromkeys((*present, *((state,) if state.is_file() else ()))))
