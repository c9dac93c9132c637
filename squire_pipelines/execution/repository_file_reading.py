"""Reads a repository's own file with its signals, and stores what it says or what is wrong in it.

A look shows the name of the file's content, so that GitHub is asked for it only when that is another than before.
"""

from datetime import timedelta

from squire_pipelines.domain.looks import RepositoryLook
from squire_pipelines.domain.presets import PresetPlace
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import GitHubError, SettingError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.repository_file import FileOnBranch, read_file
from squire_pipelines.ledger import repository_files
from squire_pipelines.ledger.repository_files import StoredFile
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.repository_files.parsing import REPOSITORY_FILE
from squire_pipelines.repository_files.presets import PresetReader
from squire_pipelines.settings import Settings

_MAX_PROBLEM = 800
_log = get_logger(Component.GITHUB)


async def refresh_file(
    client: GitHubClient,
    ledger: Ledger,
    settings: Settings,
    repository: str,
    look: RepositoryLook | None,
    *,
    trace_id: str | None,
) -> bool:
    """Read a repository's own file where it may have changed, and store it; return whether what is stored holds.

    What it extends is read again with the next full reading of the repository (`collection.full_every_s`). Where GitHub
    does not answer, what was read last goes on to hold; where nothing was, nothing is started in the repository.
    """
    if not settings.trust_for(repository).repository_files:
        return True
    with ledger.read() as tx:
        stored, now = repository_files.get(tx, repository), tx.now
    is_known = stored is not None and look is not None and stored.blob_sha == look.settings_blob
    if is_known and stored is not None and stored.read_at is not None:
        young = timedelta(seconds=settings.collection.full_every_s / 2)
        is_fresh = timedelta(0) <= now - stored.read_at < young
        if stored.blob_sha is None or is_fresh:
            return True
    elif stored is None and look is not None and look.settings_blob is None:
        with ledger.write() as tx:
            repository_files.record(tx, StoredFile(repository), trace_id=trace_id)
        return True
    try:
        file = await read_stored_file(client, settings, repository, before=stored)
    except GitHubError as error:
        _log.warning("the repository's own file was not read", repository=repository, reason=str(error))
        if stored is None:
            problem = f"{REPOSITORY_FILE} could not be read yet: {one_line(error.message)}"
            with ledger.write() as tx:
                repository_files.record(tx, StoredFile(repository, problem=problem), trace_id=trace_id)
        return False
    with ledger.write() as tx:
        repository_files.record(tx, file, trace_id=trace_id)
    return True


async def read_stored_file(
    client: GitHubClient, settings: Settings, repository: str, *, before: StoredFile | None = None
) -> StoredFile:
    """Return a repository's own file, read from GitHub with all that it extends. Raises GitHubError.

    Args:
        client: Asks GitHub.
        settings: Say whose files may be extended.
        repository: As the settings spell it.
        before: What was read last: of a wrong file, what it said then goes on to hold where work is under way.
    """
    permitted = {name.casefold() for name in (*settings.repositories, *settings.trust_for(repository).presets)}
    reader = PresetReader(lambda place: read_file(client, place), permits=lambda name: name.casefold() in permitted)
    own: FileOnBranch = await read_file(client, PresetPlace(repository, REPOSITORY_FILE))
    file = StoredFile(repository, commit_sha=own.commit_sha, blob_sha=own.blob_sha)
    if own.blob_sha is None:
        return file
    problem: SettingError | None = None
    said = before.settings if before is not None else None
    try:
        said = (await reader.load(own)).model_dump(mode="json", exclude_unset=True)
    except SettingError as error:
        problem = error
    return StoredFile(
        repository,
        commit_sha=own.commit_sha,
        blob_sha=own.blob_sha,
        content=own.text if problem is None else None,
        settings=said,
        origins=reader.origins,
        presets=tuple({"place": str(part.place), "blob_sha": part.blob_sha or ""} for part in reader.parts),
        problem=one_line(problem.message, limit=_MAX_PROBLEM) if problem is not None else None,
        hint=one_line(problem.hint, limit=_MAX_PROBLEM) if problem is not None else None,
        place=problem.place[:_MAX_PROBLEM] if problem is not None else None,
    )
