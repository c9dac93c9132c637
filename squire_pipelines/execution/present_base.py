"""A task's base branch as it is now: the default branch has a name, and a branch that is gone may have another one.

The branch of a pull request that is gone ends its task: what was to be changed is not there any more.
"""

from dataclasses import replace

from squire_pipelines.domain.branches import DEFAULT_BRANCH
from squire_pipelines.domain.signals import SignalKind
from squire_pipelines.domain.tasks import TaskKind
from squire_pipelines.errors import GitError, RepositoryError
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.github.connection import GitHub
from squire_pipelines.github.lookup import renamed_branch, repository_info
from squire_pipelines.ledger import outcomes, tasks

_OF_PULL_REQUESTS = (f"{SignalKind.OPEN_PR}:", f"{SignalKind.REVIEW_FINDING}:", f"{SignalKind.FAILED_CI}:#")


def with_named_base(leased: LeasedAttempt, default_branch: str | None) -> LeasedAttempt:
    """Return the attempt of a task into the default branch with that branch's name, which is recorded.

    Raises:
        RepositoryError: The repository has no default branch, that is, no commit yet.
    """
    if leased.task.base_branch != DEFAULT_BRANCH:
        return leased
    if default_branch is None:
        raise RepositoryError(
            f"{leased.task.repository} has no default branch, that is, no commit yet",
            hint=f"push a first commit, then `squire tasks retry {leased.task.id}`",
        )
    return _move_base(leased, default_branch)


async def follow_base(github: GitHub, leased: LeasedAttempt, missing: GitError) -> LeasedAttempt:
    """Return the attempt with the branch that its task's base has become, which is recorded. Raises `missing`.

    Raises:
        GitHubError: GitHub does not say what became of the branch.
    """
    task = leased.task
    async with github.client() as client:
        present = await renamed_branch(client, task.repository, task.base_branch)
        if present is None and _was_default(leased):
            present = (await repository_info(client, task.repository)).default_branch
    if present is None or present == task.base_branch:
        raise missing
    return _move_base(leased, present)


def _move_base(leased: LeasedAttempt, branch: str) -> LeasedAttempt:
    with leased.ledger.write() as tx:
        tasks.move_base(tx, leased.task.id, branch)
        return replace(leased, task=tasks.get(tx, leased.task.id))


def _was_default(leased: LeasedAttempt) -> bool:
    """Return whether the base can only be what was the default branch: a plan names that or a pull request's."""
    task = leased.task
    if task.spec.follow_up is not None or task.spec.kind is TaskKind.MANUAL:
        return False
    if any(ref.startswith(_OF_PULL_REQUESTS) for ref in task.spec.signals):
        return False
    with leased.ledger.read() as tx:
        return outcomes.of_own_branch(tx, task.repository, task.base_branch) is None
