"""What a setting of goals may be: a text, or the files that have it. The files are read where a plan is made."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from squire_pipelines.sections.types import absolute_path

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
    if len(text.split()) == 1 and text.strip().lower().endswith(_FILE_ENDINGS):
        raise ValueError(f'a file stands in a list: ["{text.strip()}"]')
    return text


Goals = Annotated[str | tuple[Path, ...], BeforeValidator(check_goals)]
"""Paths in the settings' file are from its folder, see `settings.goal_paths`."""
