"""What people on GitHub may do in a repository, asked once and kept for a time."""

from squire_pipelines.domain.authority import ActorKind, Author, with_permission
from squire_pipelines.execution.repository_reading import kept_permissions
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.judging import ask_permission
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.settings.model import Settings


async def judged_author(
    client: GitHubClient, ledger: Ledger, settings: Settings, repository: str, author: Author
) -> Author:
    """Return the author with what GitHub says this person may do. Raises GitHubError."""
    login = author.login.casefold()
    store = kept_permissions(settings, ledger, repository)
    known = dict(store.known(repository, [login]))
    judged = with_permission(author, known) or author
    if judged.permission is not None or author.kind is not ActorKind.PERSON:
        return judged
    known[login] = await ask_permission(client, repository, author.login)
    store.keep(repository, known)
    return with_permission(author, known) or author
