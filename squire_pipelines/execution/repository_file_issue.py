"""Keeps the one issue that says what is wrong in a repository's own file: opened, changed with the error, closed.

An issue and no check run, since a plain token may open one. Every step can be repeated: the mark in an issue's text is
recorded before the issue is opened, so that one whose opening nobody could record is found again.
"""

import hashlib
import secrets

from squire_pipelines.errors import GitHubError, GitHubNotFoundError
from squire_pipelines.github import issues
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.lookup import repository_info
from squire_pipelines.ledger import repository_files
from squire_pipelines.ledger.repository_files import StoredFile
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.publishing.escaping import code, escape_markdown
from squire_pipelines.repository_files.parsing import REPOSITORY_FILE

TITLE = f"Squire waits: {REPOSITORY_FILE} cannot be used"
_OPENING = "opening "
_CLOSED = "closed"
"""Instead of a digest: a file that is wrong again opens the same issue again, and not one each time."""

_log = get_logger(Component.GITHUB)


async def keep_issue(client: GitHubClient, ledger: Ledger, repository: str) -> None:
    """Have the issue say what is wrong now, or close it when nothing is.

    A repository that takes no issues, or a token that may not write them, is logged: `squire tasks show` says it too.
    """
    with ledger.read() as tx:
        stored = repository_files.get(tx, repository)
    if stored is None or (stored.problem is None and stored.issue_digest in {None, _CLOSED}):
        return
    try:
        if stored.problem is None:
            await _close(client, ledger, stored)
        elif stored.blob_sha is not None:
            await _tell(client, ledger, stored)
    except GitHubError as error:
        _log.warning("the issue about the repository's own file was not written", reason=str(error))


async def _tell(client: GitHubClient, ledger: Ledger, stored: StoredFile) -> None:
    text = _text(stored)
    digest = hashlib.sha256(text.encode()).hexdigest()
    if stored.issue_number is not None:
        if stored.issue_digest == digest:
            return
        try:
            await issues.update_issue(
                client, stored.repository, stored.issue_number, state="open", title=TITLE, body=text
            )
        except GitHubNotFoundError:
            _note(ledger, stored.repository, None, None)  # deleted: the next reading opens another
            return
        _note(ledger, stored.repository, stored.issue_number, digest)
        return
    number = await _opened_before(client, stored)
    if number is None:
        marker = _OPENING + secrets.token_hex(16)
        _note(ledger, stored.repository, None, marker)
        number = await issues.create_issue(client, stored.repository, title=TITLE, body=f"{text}\n{_comment(marker)}")
    _note(ledger, stored.repository, number, digest)


async def _close(client: GitHubClient, ledger: Ledger, stored: StoredFile) -> None:
    number = stored.issue_number or await _opened_before(client, stored)
    if number is not None:
        try:
            await issues.update_issue(client, stored.repository, number, state="closed")
        except GitHubNotFoundError:
            _log.info("the issue about the repository's own file is gone", number=number)
            number = None
    _note(ledger, stored.repository, number, None if number is None else _CLOSED)


async def _opened_before(client: GitHubClient, stored: StoredFile) -> int | None:
    """Return the issue whose opening was begun, if GitHub has it; None too where GitHub does not say who we are."""
    digest = stored.issue_digest or ""
    if not digest.startswith(_OPENING):
        return None
    viewer = (await repository_info(client, stored.repository)).viewer
    if viewer is None:
        return None
    return await issues.find_issue(client, stored.repository, _comment(digest), author=viewer.login)


def _comment(marker: str) -> str:
    return f"<!-- squire {marker} -->"


def _note(ledger: Ledger, repository: str, number: int | None, digest: str | None) -> None:
    with ledger.write() as tx:
        repository_files.note_issue(tx, repository, number, digest)


def _text(stored: StoredFile) -> str:
    name, commit = code(REPOSITORY_FILE), code(stored.commit_sha or "unknown")
    problem = escape_markdown(stored.problem or "", limit=1000)
    hint = escape_markdown(stored.hint or "correct the file", limit=1000)
    check = "To check a file before it is merged: `squire config validate --repository-file .github/squire.toml`."
    paragraphs = (
        f"Squire cannot use {name} of the default branch. Until it can, it plans and starts nothing here.",
        f"> {problem}",
        f"What to do: {hint}.",
        f"Read at the commit {commit}. {check} This issue changes with the error and is closed once the file is right.",
    )
    return "\n\n".join(paragraphs) + "\n"
