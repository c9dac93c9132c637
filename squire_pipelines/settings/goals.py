"""Which goals hold where: those of `[planner]`, or a repository's own. `planning.goal_files` reads their files."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from squire_pipelines.errors import ConfigError
from squire_pipelines.sections.goals import Goals, PlanGroup
from squire_pipelines.settings.file import KeyPath
from squire_pipelines.settings.model import Settings

_KEY = "goals"


@dataclass(frozen=True, slots=True)
class SetGoals:
    """Goals, and the name of the setting that has them."""

    key: KeyPath
    goals: Goals


def goals_for(settings: Settings, repository: str) -> SetGoals:
    """Return the goals of one repository: its own, else those of all."""
    name = settings.spelling_of(repository) or repository
    own = settings.repository.get(name)
    if own is None or own.goals is None:
        return SetGoals(("planner", _KEY), settings.planner.goals)
    return SetGoals(("repository", name, _KEY), own.goals)


def all_goals(settings: Settings) -> Iterator[SetGoals]:
    """Yield all goals of the settings."""
    yield SetGoals(("planner", _KEY), settings.planner.goals)
    yield from (goals_for(settings, name) for name, own in settings.repository.items() if own.goals is not None)
    yield from (group_goals(number, group) for number, group in enumerate(settings.planner.group))


def goals_among(settings: Settings, repositories: Collection[str]) -> Iterator[SetGoals]:
    """Yield the goals by which these repositories, in the settings' spelling, are planned: alone and in groups."""
    yield from (goals_for(settings, name) for name in repositories)
    for number, group in enumerate(settings.planner.group):
        if not set(group.repositories).isdisjoint(repositories):
            yield group_goals(number, group)


def group_named(settings: Settings, name: str) -> PlanGroup:
    """Return a group of the settings. Raises ConfigError."""
    groups = {group.name: group for group in settings.planner.group}
    if name not in groups:
        known = f"there are {', '.join(groups)}" if groups else "there is none: add a table `[[planner.group]]`"
        raise ConfigError(f"no group of the settings is called {name!r}", hint=known)
    return groups[name]


def group_goals(number: int, group: PlanGroup) -> SetGoals:
    """Return the goals of the group that stands at a place among the groups of the settings."""
    return SetGoals(("planner", "group", number, _KEY), group.goals)
