"""Plans over several repositories: how they are named, and their checks. Pure.

Such a plan is kept under the name of its group in the place of a repository's. Each of its tasks names its repository;
keys are those of the whole plan, so that a task may depend on one of another repository.
"""

from collections.abc import Iterator, Mapping

from squire_pipelines.domain.plans import RULES, PlanFinding, check_plan
from squire_pipelines.domain.tasks import Plan

_PREFIX = "group:"


def group_subject(name: str) -> str:
    """Return what stands in the place of a repository's name; no repository can have it."""
    return f"{_PREFIX}{name}"


def is_group(subject: str) -> bool:
    """Return whether a plan's subject is a group and no repository."""
    return subject.startswith(_PREFIX)


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
