"""One repository of a group that is planned together: what a plan over all of them is made from. A type."""

from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.domain.signals import Signal


class GroupMember(FrozenModel):
    """A repository of a group, with its default branch.

    Of its `signals` the open pull requests are background. `protected_paths` are globs of what a task of it may not
    change unasked.
    """

    repository: str
    default_branch: str
    signals: tuple[Signal, ...] = ()
    protected_paths: tuple[str, ...] = ()
