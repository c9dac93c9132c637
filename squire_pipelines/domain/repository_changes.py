"""What deliveries say of repositories themselves: renamed, deleted, shown to the GitHub App or no longer. Pure."""

from dataclasses import dataclass, replace

from squire_pipelines.domain.looks import KnownRepository, RepositoryLook, RepositoryState, identify

DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class RepositoryChange:
    """A delivery of the event `repository`: the action, and the repository as it is after it.

    Args:
        action: As GitHub calls it: `renamed`, `transferred`, `archived`, `unarchived`, `deleted` and others.
        github_id: GitHub's id, which no renaming changes.
        name: Its name now.
        archived: Whether nothing can be changed in it.
        by: Who did it, None where GitHub does not say.
    """

    action: str
    github_id: int | None
    name: str
    archived: bool = False
    by: str | None = None


@dataclass(frozen=True, slots=True)
class NamedRepository:
    """A repository in a list of GitHub's."""

    github_id: int | None
    name: str


@dataclass(frozen=True, slots=True)
class InstallationChange:
    """What happened to an installation of the GitHub App at one owner.

    Args:
        action: As GitHub calls it: `created`, `deleted`, `suspend`, `unsuspend`, `added`, `removed` and others.
        account: The owner.
        added: What it shows now and did not before.
        removed: What it shows no longer.
        by: Who did it, None where GitHub does not say.
    """

    action: str
    account: str
    added: tuple[NamedRepository, ...] = ()
    removed: tuple[NamedRepository, ...] = ()
    by: str | None = None

    @property
    def ends_all(self) -> bool:
        """Whether all of the owner's repositories are shown no longer."""
        return self.action in {DELETED, "suspend"}

    @property
    def begins_all(self) -> bool:
        """Whether any of the owner's repositories may be shown again."""
        return self.action in {"created", "unsuspend", "new_permissions_accepted"}

    def why_lost(self, repository: str) -> str:
        """Return the sentence about a repository that is shown no longer, and what to do about it."""
        how = {
            DELETED: "uninstalled the GitHub App",
            "suspend": "suspended the GitHub App",
        }.get(self.action, "took it out of the GitHub App's installation")
        return (
            f"{repository} is not shown to Squire any more: {self.by or 'somebody'} {how}. Let the App see it again "
            "(GitHub → the App's page → Install App), or take it out of `repositories`"
        )


def after_change(known: KnownRepository, change: RepositoryChange) -> KnownRepository:
    """Return what is known of a repository after a delivery said what happened to it.

    A delivery about another repository, which has its name now, takes nothing from what is known of this one.
    """
    if change.action == DELETED:
        if known.github_id not in {None, change.github_id}:
            return known
        by = f" by {change.by}" if change.by else ""
        gone = f"{known.repository} was deleted at GitHub{by}. Take it out of `repositories`"
        return replace(known, state=RepositoryState.MISSING, message=gone, digest=None)
    look = RepositoryLook(change.github_id, change.name, "", archived=change.archived)
    state, message = identify(known, look, known.repository)
    if state is RepositoryState.REPLACED:
        return replace(known, state=state, message=message, digest=None)
    if (state, message, change.name) == (known.state, known.message, known.name):
        return known
    return replace(
        known,
        github_id=change.github_id or known.github_id,
        name=change.name,
        state=state,
        message=message,
        digest=None,
    )
