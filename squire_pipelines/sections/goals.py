"""What a setting of goals may be: a text, or the files that have it. The files are read where a plan is made.

Here too: repositories that have goals together.
"""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from squire_pipelines.sections.types import (
    RepositoryName,
    SettingsSection,
    absolute_path,
    matching,
)

MAX_GOALS_CHARS = 20_000
"""Of a text, or of all files of one setting together."""

MAX_GOAL_FILES = 20

_FILE_ENDINGS = (".md", ".markdown", ".txt", ".rst")


def check_goals(value: object) -> str | tuple[Path, ...]:
    """Return goals as a text, or as paths from the root. Raises ValueError."""
    if isinstance(value, str):
        return _check_text(value)
    if not isinstance(value, list | tuple) or not all(isinstance(name, str | Path) for name in value):
        raise ValueError('goals are a text, or a list of files like ["./goals.md"]')
    if len(value) > MAX_GOAL_FILES:
        raise ValueError(f"it names more than {MAX_GOAL_FILES} files")
    if any("\0" in str(name) or not str(name).strip() for name in value):
        raise ValueError("the name of a file is not blank and has no NUL in it")
    paths = tuple(absolute_path(Path(name)) for name in value)
    if len(set(paths)) < len(paths):
        raise ValueError("it names the same file twice")
    return paths


def _check_text(text: str) -> str:
    if len(text) > MAX_GOALS_CHARS:
        raise ValueError(f"it has {len(text):,} characters, and may have {MAX_GOALS_CHARS:,}")
    if "\0" in text:
        raise ValueError("it has a NUL, which is no character of a text")
    if len(text.split()) == 1 and text.strip().lower().endswith(_FILE_ENDINGS):
        raise ValueError(f'a file stands in a list: ["{text.strip()}"]')
    return text


Goals = Annotated[str | tuple[Path, ...], BeforeValidator(check_goals)]
"""Paths in the settings' file are from its folder, see `settings.goal_paths`."""


def _check_members(names: tuple[str, ...]) -> tuple[str, ...]:
    if len({name.casefold() for name in names}) < len(names):
        raise ValueError("it names a repository twice")
    return names


GroupName = Annotated[str, matching(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?", "small letters, digits and hyphens")]
Members = Annotated[tuple[RepositoryName, ...], Field(min_length=2, max_length=20), AfterValidator(_check_members)]


class PlanGroup(SettingsSection):
    """Repositories that are planned together by goals of their own: a table `[[planner.group]]`."""

    name: GroupName = Field(description="by which its plans are listed, as group:NAME")
    repositories: Members = Field(description="two or more of `repositories`; the first one's runs make the plan")
    goals: Goals = Field(description="as those of the planner; what is to be done over all of them")


def check_group_names(groups: tuple[PlanGroup, ...]) -> tuple[PlanGroup, ...]:
    """Return the groups. Raises ValueError where two have one name."""
    names = [group.name for group in groups]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two groups are called {', '.join(twice)}")
    return groups


PlanGroups = Annotated[tuple[PlanGroup, ...], Field(max_length=20), AfterValidator(check_group_names)]
