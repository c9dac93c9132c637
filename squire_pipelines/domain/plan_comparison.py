"""Two plans of one repository, or of one group, task by task. Pure.

| rule, in this order | tasks are the same one when |
|---|---|
| facts | they answer exactly the same facts |
| shared facts | they answer some fact both, the most of them first |
| name | both have the same key |
| text | they say nearly the same, see `similar_text`, of the same repository |
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from squire_pipelines.domain.duplicates import text_of
from squire_pipelines.domain.similar_text import is_same_work
from squire_pipelines.domain.tasks import TaskSpec

_FIELDS = (
    "title",
    "kind",
    "priority",
    "risk",
    "confidence",
    "size",
    "repository",
    "base_branch",
    "signals",
    "depends_on",
    "prompt",
    "acceptance_criteria",
)


class Difference(StrEnum):
    """How a task of one plan stands to those of the other."""

    SAME = "same"
    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of a task that differs, as text."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class TaskComparison:
    """One task in both plans or in one of them; `changes` are the fields that differ."""

    difference: Difference
    before: TaskSpec | None
    after: TaskSpec | None
    changes: tuple[FieldChange, ...] = ()

    @property
    def task(self) -> TaskSpec:
        """The task as it is now, or was."""
        task = self.after or self.before
        if task is None:  # pragma: no cover - one of them is there
            raise AssertionError
        return task


def compare_plans(before: Sequence[TaskSpec], after: Sequence[TaskSpec]) -> tuple[TaskComparison, ...]:
    """Return each task of either plan once: those of `after` in their order, then those that are only in `before`."""
    pairs = _pairs(before, after)
    compared = [
        _compare(before[pairs[place]], task) if place in pairs else TaskComparison(Difference.ADDED, None, task)
        for place, task in enumerate(after)
    ]
    left = set(range(len(before))) - set(pairs.values())
    return (*compared, *(TaskComparison(Difference.REMOVED, before[place], None) for place in sorted(left)))


def _pairs(before: Sequence[TaskSpec], after: Sequence[TaskSpec]) -> dict[int, int]:
    """Return which task of `before` each task of `after` is, by their places; no task is two."""
    pairs: dict[int, int] = {}

    def pair(likeness: Callable[[TaskSpec, TaskSpec], int]) -> None:
        """Pair tasks that are like each other at all, the most alike first."""
        taken = set(pairs.values())
        fitting = [
            (-like, later, earlier)
            for later, task in enumerate(after)
            if later not in pairs
            for earlier, other in enumerate(before)
            if earlier not in taken and (like := likeness(task, other))
        ]
        for _, later, earlier in sorted(fitting):
            if later not in pairs and earlier not in taken:
                pairs[later] = earlier
                taken.add(earlier)

    pair(lambda task, other: bool(task.signals) and set(task.signals) == set(other.signals))
    pair(lambda task, other: len(set(task.signals).intersection(other.signals)))
    pair(lambda task, other: task.key == other.key)
    pair(lambda task, other: task.repository == other.repository and is_same_work(text_of(task), text_of(other)))
    return pairs


def _compare(before: TaskSpec, after: TaskSpec) -> TaskComparison:
    earlier, later = before.model_dump(mode="json"), after.model_dump(mode="json")
    changes = tuple(
        FieldChange(name, _text(earlier[name]), _text(later[name])) for name in _FIELDS if earlier[name] != later[name]
    )
    return TaskComparison(Difference.CHANGED if changes else Difference.SAME, before, after, changes)


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{part} {name}" for name, part in value.items())
    return "" if value is None else str(value)
