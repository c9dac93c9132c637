"""Goals in the settings as a whole: their paths, which are from the file's folder, and the repositories of groups."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from squire_pipelines.sections.goals import PlanGroup
from squire_pipelines.settings.keys import SettingValueError

_KEY = "goals"


def with_goal_paths(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return a settings file's values with the paths of goals from the root.

    Args:
        values: As the file has them, of whatever form: what is wrong in them is told later.
        folder: From which the file's paths are.
    """
    result = dict(values)
    if isinstance(planner := values.get("planner"), Mapping):
        result["planner"] = dict(_with_paths(planner, folder))
        if isinstance(groups := planner.get("group"), list):
            own = [_with_paths(group, folder) if isinstance(group, Mapping) else group for group in groups]
            result["planner"]["group"] = own
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


def check_groups(groups: Sequence[PlanGroup], repositories: Collection[str]) -> None:
    """Check that groups are of repositories that Squire works on. Raises SettingValueError."""
    for number, group in enumerate(groups):
        for name in group.repositories:
            if name not in repositories:
                message = f"the group {group.name} has {name!r}, which is not among repositories in this spelling"
                raise SettingValueError(message, key=("planner", "group", number, "repositories"))
