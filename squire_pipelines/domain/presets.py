"""The names of files that a repository's own file extends: where each lies. Pure."""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

_PRESET = re.compile(
    r"(?:([A-Za-z0-9._-]{1,39}/[A-Za-z0-9._-]{1,100})//)?([A-Za-z0-9._-]{1,100}(?:/[A-Za-z0-9._-]{1,100}){0,9})"
)


@dataclass(frozen=True, slots=True)
class PresetPlace:
    """A file on the default branch of a repository."""

    repository: str
    path: str

    def __str__(self) -> str:
        return f"{self.repository}//{self.path}"

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others; GitHub knows no case in the names of repositories."""
        return self.repository.casefold(), self.path


def place_of(name: str, repository: str) -> PresetPlace:
    """Return where a preset lies: in the repository that it names, else in that of the file which extends it.

    Raises ValueError for what is no name of a preset.
    """
    match = _PRESET.fullmatch(name)
    if match is None or {".", ".."} & {*match[2].split("/"), *(match[1] or "").split("/")}:
        raise ValueError("a preset is owner/repo//path of a file, or a path in this repository")
    return PresetPlace(match[1] or repository, match[2])


def _check(name: str) -> str:
    place_of(name, "owner/name")
    return name


Preset = Annotated[str, Field(min_length=1, max_length=400), AfterValidator(_check)]
