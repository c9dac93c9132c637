"""Reads the goals that the settings name, and says of a file that cannot be used why."""

from pathlib import Path

from squire_pipelines.errors import ConfigError
from squire_pipelines.planning.text_files import read_text_file
from squire_pipelines.sections.goals import MAX_GOALS_CHARS
from squire_pipelines.settings.file import key_text
from squire_pipelines.settings.goals import SetGoals

_MAX_BYTES = 4 * MAX_GOALS_CHARS
"""A character of UTF-8 has four at most."""


def read_goals(source: SetGoals) -> str:
    """Return goals as a text without blanks around it: that of the settings, or of the files that they name.

    Raises:
        ConfigError: A file cannot be used.
    """
    goals = source.goals
    if isinstance(goals, str):
        return goals.strip()
    text = "\n\n".join(_read(path, source) for path in goals)
    if len(text) > MAX_GOALS_CHARS:
        reason = f"with it the goals have {len(text):,} characters; the limit is {MAX_GOALS_CHARS:,}"
        raise _unusable(goals[-1], source, reason)
    return text


def _read(path: Path, source: SetGoals) -> str:
    try:
        text = read_text_file(path, max_bytes=_MAX_BYTES)
    except ValueError as error:
        raise _unusable(path, source, str(error)) from error
    if text is None:
        raise _unusable(path, source, "there is no such file")
    return text


def _unusable(path: Path, source: SetGoals, reason: str) -> ConfigError:
    name = key_text(source.key)
    return ConfigError(
        f"{name}: the file {path} cannot be used: {reason}",
        hint=f"correct the file, or take it out of {name}: nothing is planned by these goals before",
        context={"key": source.key},
    )


def goals_or_reason(source: SetGoals) -> str:
    """Return the text of goals; of those that cannot be used, which the plan itself reports, why."""
    try:
        return read_goals(source)
    except ConfigError as error:
        return error.message
