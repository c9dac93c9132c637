"""Which paths a planned task names: whether they are there, and which of those that it changes are protected. Pure."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import PurePosixPath
from typing import TypeAlias

from squire_pipelines.domain.plans import PlanFinding
from squire_pipelines.domain.policy import protecting_pattern
from squire_pipelines.domain.tasks import Plan, PlannedWork, TaskSpec

PATHS = "paths"
"""The check of a model's plan for paths that are not there."""

PathLookup: TypeAlias = Callable[[str, Sequence[str]], Collection[str] | None]
"""Returns which of the paths a branch has at the planned head; None where nobody can say. It raises nothing."""

MAX_NAMED = 2_000
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


def check_paths(plan: Plan, existing: Mapping[str, PathLookup]) -> Iterator[PlanFinding]:
    """Find tasks that name files which are neither there nor said to be created, or that create some outside.

    What a task creates is there for those of its repository that depend on it. Of one branch `MAX_NAMED` paths are
    judged.

    Args:
        plan: A model's.
        existing: By repository: says what there is; asked once for each branch. Without it nothing is judged.
    """
    by_key = {task.key: task for task in plan.tasks}
    named = [(task, _needed(task, by_key)) for task in plan.tasks]
    asked: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for task, fields in named:
        asked[_place(task, plan)] |= dict.fromkeys(chain.from_iterable(fields.values()))
    missing = {
        (name, branch): _missing(branch, list(paths)[:MAX_NAMED], existing[name])
        for (name, branch), paths in asked.items()
        if name in existing
    }
    for task, fields in named:
        if outside := [path for path in _paths(task.implementation.files_to_create) if _is_outside(path)]:
            shown = ", ".join(map(repr, outside[:_MAX_SHOWN]))
            yield PlanFinding(PATHS, task.key, f"creates {shown}: a path is from the repository's root, without `..`")
        for field, paths in fields.items():
            if wrong := [path for path in paths if path in missing.get(_place(task, plan), ())]:
                yield PlanFinding(PATHS, task.key, _message(field, wrong, task))


def _place(task: TaskSpec, plan: Plan) -> tuple[str, str]:
    """Return the repository and the branch whose files a task finds."""
    return task.repository or plan.repository, task.base_branch


def _needed(task: TaskSpec, by_key: Mapping[str, TaskSpec]) -> dict[str, tuple[str, ...]]:
    """Return what must be there for a task, by the field that names it."""
    created = frozenset(_created_before(task, by_key))
    return {
        "context.files_to_read": _not_created(task.context.files_to_read, created),
        "implementation.files_to_modify": _not_created(task.implementation.files_to_modify, created),
    }


def _missing(branch: str, paths: Sequence[str], existing: PathLookup) -> frozenset[str]:
    there = existing(branch, [path for path in paths if _is_ordinary(path)])
    return frozenset() if there is None else frozenset(paths).difference(there)


def _message(field: str, wrong: Sequence[str], task: TaskSpec) -> str:
    shown = ", ".join(map(repr, wrong[:_MAX_SHOWN]))
    more = f" and {len(wrong) - _MAX_SHOWN} more" if len(wrong) > _MAX_SHOWN else ""
    branch = f"{task.base_branch!r}{f' of {task.repository}' if task.repository is not None else ''}"
    return (
        f"names {shown}{more} in `{field}`, which the branch {branch} does not have. Name what is there, or say in "
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
    """Yield what a task creates, with its folders, and what those create on which it depends, directly or not.

    What is created in another repository is not there.
    """
    waiting, seen = [task.key], set[str]()
    while waiting:
        key = waiting.pop()
        if key not in seen and key in by_key:
            seen.add(key)
            waiting += by_key[key].depends_on
            if by_key[key].repository != task.repository:
                continue
            for path in _paths(by_key[key].implementation.files_to_create):
                yield path
                yield from map(str, PurePosixPath(path[:_MAX_PATH_CHARS]).parents)


def _not_created(texts: Sequence[str], created: Collection[str]) -> tuple[str, ...]:
    """Return the paths that may be looked for, since no task makes them."""
    return tuple(
        path
        for path in _paths(texts)
        if _GLOB.isdisjoint(path)  # of a pattern nobody can say whether it is there
        and path not in created
    )


def _is_ordinary(path: str) -> bool:
    """Return whether git can be asked about a path at all: no other one is in a tree."""
    is_text = path.isprintable() and len(path) <= _MAX_PATH_CHARS
    return is_text and not _is_outside(path)


def _is_outside(path: str) -> bool:
    return path.startswith("/") or ".." in path.split("/")
