"""Plans over several repositories: how they are named, what they are made from, and their checks. Pure.

Such a plan is kept under the name of its group in the place of a repository's. Each of its tasks names its repository;
keys are those of the whole plan, so that a task may depend on one of another repository.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from squire_pipelines.domain.duplicates import KnownWork, repetitions
from squire_pipelines.domain.plans import RULES, PlanFinding, check_plan, leave_out
from squire_pipelines.domain.signals import Signal
from squire_pipelines.domain.tasks import LeftOutTask, Plan

_PREFIX = "group:"


def group_subject(name: str) -> str:
    """Return what stands in the place of a repository's name; no repository can have it."""
    return f"{_PREFIX}{name}"


def is_group(subject: str) -> bool:
    """Return whether a plan's subject is a group and no repository."""
    return subject.startswith(_PREFIX)


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A repository of a group: its default branch, and its signals, of which open pull requests are background."""

    repository: str
    default_branch: str
    signals: tuple[Signal, ...] = ()


def check_group(plan: Plan, branches: Mapping[str, str], *, max_tasks: int) -> tuple[PlanFinding, ...]:
    """Return all that is wrong with a plan over several repositories.

    Args:
        plan: With its tasks.
        branches: The default branch of each repository of the group that has one.
        max_tasks: In the whole plan.
    """
    return (*check_plan(plan, known_signals=(), max_tasks=max_tasks), *_check_places(plan, branches))


def _check_places(plan: Plan, branches: Mapping[str, str]) -> Iterator[PlanFinding]:
    for task in plan.tasks:
        branch = branches.get(task.repository or "")
        if branch is None:
            message = f"is for the repository {task.repository!r}, which is none of {', '.join(branches)}"
            yield PlanFinding(RULES, task.key, message)
        elif task.base_branch != branch:
            message = f"has the base branch {task.base_branch!r}; that of {task.repository} is {branch!r}"
            yield PlanFinding(RULES, task.key, message)


def leave_out_known(plan: Plan, known: Mapping[str, Sequence[KnownWork]]) -> Plan:
    """Return the plan without tasks that repeat work of their own repository, which `known` has by its name.

    The same work in two repositories is no repetition.
    """
    omissions: list[LeftOutTask] = []
    for repository in dict.fromkeys(task.repository for task in plan.tasks):
        tasks = [task for task in plan.tasks if task.repository == repository]
        omissions += repetitions(tasks, known.get(repository or "", ()))[0]
    return leave_out(plan, omissions) if omissions else plan
