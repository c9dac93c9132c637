"""What a backup says of itself, and where in a home each of its members belongs. Pure.

A member's name is looked up here and never used as a path: what no rule of this module knows is refused.
"""

import re
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, field_validator, model_validator

from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.home import Home

LEDGER = "ledger.sqlite"
CONFIG = "settings/config.toml"
SECRETS = "settings/secrets.sealed"
INSTANCE = "dagster/dagster.yaml"
TEMPLATES, MIGRATIONS, GOALS, ARCHIVE = "settings/templates", "settings/migrations", "settings/goals", "archive"

MAX_MEMBERS = 200_000
MAX_MEMBER_BYTES = 2**43
MAX_NAME_BYTES = 100
"""What a tar's header has room for, without extensions of the format."""

_FIRST_YEAR, _LAST_YEAR = 2000, 9000  # further away a time cannot be shown in every zone
_PART = re.compile(r"[^/\x00-\x1f\x7f]+")
_PARQUET = re.compile(r"[a-z_]{1,60}/[A-Za-z0-9-]{1,80}\.parquet")


class BackupMember(FrozenModel):
    """One file of a backup."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_BYTES)]
    size: Annotated[int, Field(ge=0, le=MAX_MEMBER_BYTES)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class BackupManifest(FrozenModel):
    """The first member of a backup: what it was made of, and all that follows.

    Args:
        format: Of the file; it grows when an older Squire would not understand a backup.
        squire: The version that made it.
        made_at: When.
        revision: The schema of the ledger in it.
        database: Where that ledger was; in the backup it is always SQLite.
        counts: Rows by table, as far as they are counted.
        not_included: What belongs to the home and is not in the backup, each as a sentence.
        members: All files, in their order.
    """

    format: Literal[1] = 1
    squire: Annotated[str, Field(pattern=r"^[0-9A-Za-z.+!_-]{1,100}$")]
    made_at: AwareDatetime
    revision: Annotated[str, Field(pattern=r"^[0-9]{4}$")]
    database: Literal["sqlite", "postgresql"]
    counts: Annotated[
        dict[Annotated[str, Field(pattern=r"^[a-z_]{1,60}$")], Annotated[int, Field(ge=0)]], Field(max_length=200)
    ]
    not_included: Annotated[tuple[str, ...], Field(max_length=MAX_MEMBERS)] = ()
    members: Annotated[tuple[BackupMember, ...], Field(min_length=1, max_length=MAX_MEMBERS)]

    @field_validator("made_at")
    @classmethod
    def _can_be_shown(cls, moment: datetime) -> datetime:
        if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
            raise ValueError(f"not a year from {_FIRST_YEAR} to {_LAST_YEAR}")
        return moment

    @model_validator(mode="after")
    def _is_whole(self) -> "BackupManifest":
        names = [member.name for member in self.members]
        if len(set(names)) != len(names):
            raise ValueError("a member is named twice")
        if LEDGER not in names:
            raise ValueError("it has no ledger")
        for name in names:
            check_name(name)
        return self

    @property
    def bytes(self) -> int:
        """The size of all members."""
        return sum(member.size for member in self.members)

    @property
    def ledger_bytes(self) -> int:
        """The size of the ledger."""
        return next(member.size for member in self.members if member.name == LEDGER)


def check_name(name: str) -> str:
    """Return a member's name as it is. Raises ValueError for one that has no place in a home."""
    _place(name)
    return name


def _place(name: str) -> tuple[str, str]:
    """Return the folder of names that a name is in, and the rest of it. Raises ValueError."""
    if name in {LEDGER, CONFIG, SECRETS, INSTANCE}:
        return name, ""
    for folder in (TEMPLATES, MIGRATIONS, GOALS, ARCHIVE):
        rest = name.removeprefix(f"{folder}/")
        if rest == name or len(name.encode()) > MAX_NAME_BYTES:
            continue
        if _PARQUET.fullmatch(rest) if folder == ARCHIVE else _is_relative(rest, deep=folder == GOALS):
            return folder, rest
    raise ValueError(f"the member {name!r} has no place in a home")


def _is_relative(rest: str, *, deep: bool) -> bool:
    """Return whether this is the name of a file, or with `deep` a path, that leads nowhere else."""
    parts = rest.split("/")
    is_plain = all(_PART.fullmatch(part) and not part.startswith(".") for part in parts)
    return is_plain and (deep or len(parts) == 1)


def target_of(name: str, home: Home) -> Path | None:
    """Return where a member belongs in a home; None for the ledger, whose place the settings say.

    Raises:
        ValueError: It has no place there.
    """
    folder, rest = _place(name)
    whole = {
        LEDGER: None,
        CONFIG: home.config_file,
        SECRETS: home.secret_store,
        INSTANCE: home.dagster / "dagster.yaml",
    }
    if not rest:
        return whole[folder]
    parts = PurePosixPath(rest).parts
    folders = {TEMPLATES: home.task_templates, MIGRATIONS: home.migrations, GOALS: home.config, ARCHIVE: home.archive}
    return folders[folder].joinpath(*parts)
