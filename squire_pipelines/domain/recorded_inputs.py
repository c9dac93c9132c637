"""What a plan was made from, as far as its planner saw it: kept with the plan, so that another model can be asked."""

from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.domain.group_members import GroupMember
from squire_pipelines.domain.repository_facts import RepositoryContext
from squire_pipelines.domain.signals import Signal


class RecordedInputs(FrozenModel):
    """The inputs of one plan, free of secrets and bounded.

    `signals` are those that might become a task, and open pull requests as background. `is_whole` is False where some
    of them, or their evidence, had no room. `contexts` are what was known of the repository, or of each of `members`,
    which a plan over several repositories has; there are none where nobody read it, as when rules plan. `max_files` and
    `max_lines` bound one task.
    """

    repository: str
    default_branch: str | None
    signals: tuple[Signal, ...]
    is_whole: bool
    issue_labels: tuple[str, ...] = ()
    protected_paths: tuple[str, ...] = ()
    goals: str = ""
    contexts: tuple[RepositoryContext, ...] = ()
    members: tuple[GroupMember, ...] = ()
    max_tasks: int
    max_files: int
    max_lines: int
