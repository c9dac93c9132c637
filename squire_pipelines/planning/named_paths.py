"""Which paths a planned task names: whether they are there, and which of those that it changes are protected. Pure."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TypeAlias

from squire_pipelines.domain.plans import PlanFinding
from squire_pipelines.domain.policy import protecting_pattern
from squire_pipelines.domain.tasks import Plan, PlannedWork, TaskSpec

PATHS = "paths"
"""The check of a model's plan for paths that are not there."""

PathLookup: TypeAlias = Callable[[str, Sequence[str]], Collection[str] | None]
"""Returns which of the paths a branch has at the planned head; None where nobody can say. It raises nothing."""

_MAX_NAMED = 300
_MAX_PATH_CHARS = 1_000
_MAX_TEXT_CHARS = 1_100
_MAX_SHOWN = 5
_LINES = re.compile(r":\d{1,9}(?:[-:]\d{1,9}){0,3}$")
_GLOB = frozenset("*?[{")


def path_of(text: str) -> str:
    """Return the path that a model's text names, without a line, a test or a remark behind it; empty for none."""
    path = text.strip()[:_MAX_TEXT_CHARS]
    for ending in ("::", "#L", *((" (",) if path.endswith(")") else ())):
        path = path.partition(ending)[0]
    path = _LINES.sub("", path.strip("`'\" "))
    parts = [part for part in path.split("/") if part not in {"", "."}] if not path.startswith("/") else [path]
    return "/".join(parts)


def check_paths(plan: Plan, existing: PathLookup) -> Iterator[PlanFinding]:
    """Find tasks that name files to read or to modify which are neither there nor said to be created.

    What a task creates is there for those that depend on it.

    Args:
        plan: A model's.
        existing: Says what there is.
    """
    by_key = {task.key: task for task in plan.tasks}
    for task in plan.tasks:
        created = frozenset(_created_before(task, by_key))
        named = {
            "context.files_to_read": _not_created(task.context.files_to_read, created),
            "implementation.files_to_modify": _not_created(task.implementation.files_to_modify, created),
        }
        paths = list(dict.fromkeys(path for names in named.values() for path in names))[:_MAX_NAMED]
        there = existing(task.base_branch, [path for path in paths if _is_ordinary(path)])
        if there is not None:
            missing = frozenset(paths).difference(there)
            for field, names in named.items():
                if wrong := [path for path in names if path in missing]:
                    yield PlanFinding(PATHS, task.key, _message(field, wrong, task.base_branch))


def _message(field: str, wrong: Sequence[str], branch: str) -> str:
    shown = ", ".join(map(repr, wrong[:_MAX_SHOWN]))
    more = f" and {len(wrong) - _MAX_SHOWN} more" if len(wrong) > _MAX_SHOWN else ""
    return (
        f"names {shown}{more} in `{field}`, which the branch {branch!r} does not have. Name what is there, or say in "
        "`implementation.files_to_create` that the task makes it"
    )


def protected_among(task: PlannedWork, protected_paths: Sequence[str]) -> tuple[str, ...]:
    """Return the paths that a task says it changes or creates and that are protected, as it names them.

    Args:
        task: The task.
        protected_paths: Globs of the settings; what is always protected counts too.
    """
    paths = _paths((*task.implementation.files_to_modify, *task.implementation.files_to_create))
    return tuple(path for path in paths if protecting_pattern(path, protected_paths) is not None)


def _paths(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(path for text in texts if (path := path_of(text))))


def _created_before(task: TaskSpec, by_key: Mapping[str, TaskSpec]) -> Iterator[str]:
    """Yield what a task creates, and what those create on which it depends, directly or not."""
    waiting, seen = [task.key], set[str]()
    while waiting:
        key = waiting.pop()
        if key not in seen and key in by_key:
            seen.add(key)
            waiting += by_key[key].depends_on
            yield from _paths(by_key[key].implementation.files_to_create)


def _not_created(texts: Sequence[str], created: Collection[str]) -> tuple[str, ...]:
    """Return the paths that no task makes: neither by its name nor as a folder of what it makes."""
    return tuple(
        path
        for path in _paths(texts)
        if _GLOB.isdisjoint(path)  # of a pattern nobody can say whether it is there
        and path not in created
        and not any(name.startswith(f"{path}/") for name in created)
    )


def _is_ordinary(path: str) -> bool:
    """Return whether git can be asked about a path at all: no other one is in a tree."""
    is_text = path.isprintable() and len(path) <= _MAX_PATH_CHARS
    return is_text and not path.startswith("/") and ".." not in path.split("/")
