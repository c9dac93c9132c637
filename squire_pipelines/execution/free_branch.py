"""Whether a repository can have a task's branch beside its own, found before an agent is paid for."""

from dataclasses import replace

from squire_pipelines.domain.branches import branch_in_the_way
from squire_pipelines.domain.identity import branch_name
from squire_pipelines.errors import PublishRefusedError
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.ledger import outcomes, tasks
from squire_pipelines.publishing.mirror import Mirror


def with_free_branch(leased: LeasedAttempt, mirror: Mirror) -> LeasedAttempt:
    """Return the attempt with a branch that the repository can have; another one of its task is recorded.

    A task whose branch cannot be made gets one with the prefix that the settings have now. A follow-up needs none.

    Raises:
        PublishRefusedError: A branch of the repository is in the way; `branch_in_the_way` is the reason.
    """
    task, branches = leased.task, mirror.branches()
    obstacle = branch_in_the_way(task.branch, branches)
    if obstacle is None:
        return leased
    with leased.ledger.read() as tx:
        if outcomes.of_own_branch(tx, task.repository, task.base_branch) is not None:
            return leased
    other = branch_name(task.id, task.title, leased.settings.publishing.branch_prefix)
    if other == task.branch or branch_in_the_way(other, branches) is not None:
        raise PublishRefusedError(
            f"{task.repository} has the branch {obstacle}, beside which git can have none called {task.branch}",
            reason="branch_in_the_way",
            hint="delete or rename that branch, or set another `publishing.branch_prefix`; then retry the task",
            context={"branch": task.branch, "in_the_way": obstacle},
        )
    with leased.ledger.write() as tx:
        tasks.move_branch(tx, task.id, other)
        return replace(leased, task=tasks.get(tx, task.id))
