"""Writes the paths of goals from the root before they are checked: in the settings' file they are from its folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_KEY = "goals"


def with_goal_paths(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a settings file's values with the paths of goals from the root.

    Args:
        values: As the file has them, of whatever form: what is wrong in them is told later.
        folder: From which the file's paths are.
    """
    result = dict(values)
    if isinstance(planner := values.get("planner"), Mapping):
        result["planner"] = _with_paths(planner, folder)
    if isinstance(repositories := values.get("repository"), Mapping):
        result["repository"] = {
            name: _with_paths(table, folder) if isinstance(table, Mapping) else table
            for name, table in repositories.items()
        }
    return result


def _with_paths(table: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    goals = table.get(_KEY)
    if not isinstance(goals, list):
        return table
    return {**table, _KEY: [_path(name, folder) if isinstance(name, str) else name for name in goals]}


def _path(name: str, folder: Path) -> str:
    """Return a path from the root; what names a home, or nothing, stays as it is."""
    return name if not name.strip() or name.startswith("~") else str(folder / name)
