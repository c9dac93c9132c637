"""Reads a repository's own file with its signals, and stores what it says or what is wrong in it.

A look shows the name of the file's content, so that GitHub is asked for it only when that is another than before.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from squire_pipelines.domain.authority import TrustRules
from squire_pipelines.domain.looks import RepositoryLook
from squire_pipelines.domain.presets import PresetPlace
from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import GitHubError, SettingError
from squire_pipelines.execution.onboarding import follow_onboarding
from squire_pipelines.execution.repository_file_issue import keep_issue
from squire_pipelines.execution.repository_settings import said_by, settings_in
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.repository_file import FileOnBranch, read_file
from squire_pipelines.ledger import repository_files
from squire_pipelines.ledger.repository_files import StoredFile
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.repository_files.parsing import REPOSITORY_FILE
from squire_pipelines.repository_files.presets import PresetReader
from squire_pipelines.repository_files.tightening import tightened
from squire_pipelines.settings.model import Settings

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
    with ledger.read() as tx:
        stored, now = repository_files.get(tx, repository), tx.now
    if not settings.trust_for(repository).repository_files:
        if stored is not None and (stored.problem is not None or stored.blob_sha is not None):
            with ledger.write() as tx:
                repository_files.record(tx, StoredFile(repository), trace_id=trace_id)
        return True
    if look is not None and look.settings_blob == (stored.blob_sha if stored is not None else None):
        if look.settings_blob is None and (stored is None or stored.problem is None):
            return True  # there is none, and was none
        age = now - stored.read_at if stored is not None and stored.read_at is not None else None
        half = timedelta(seconds=settings.collection.full_every_s / 2)  # so that a full reading always reads it
        if look.settings_blob is not None and age is not None and timedelta(0) <= age < half:
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


@dataclass(slots=True)
class CollectedSettings:
    """The settings that hold in each repository while signals are read, with the files that were read meanwhile.

    Args:
        ledger: Has the files.
        operator: The operator's settings.
        trace_of: Returns the trace by which a repository is read.
    """

    ledger: Ledger
    operator: Settings
    trace_of: Callable[[str], str]
    _known: dict[str, Settings] = field(default_factory=dict)

    def of(self, repository: str) -> Settings:
        """Return the settings that hold in one repository."""
        if repository not in self._known:
            self._known[repository] = settings_in(self.ledger, self.operator, repository)
        return self._known[repository]

    def trust_rules(self, repository: str) -> TrustRules:
        """Return by which rules its signals are judged."""
        return self.of(repository).trust_rules_for(repository)

    def reading_rules(self, repository: str) -> str:
        """Return a text that changes with what decides how it is read."""
        return self.of(repository).reading_rules(repository)

    async def refresh(self, client: GitHubClient, repository: str, look: RepositoryLook | None) -> bool:
        """Read its own file where that may have changed, and tell what is wrong in it; see `refresh_file`.

        What became of the pull request that asks for its consent is recorded too, where one does.
        """
        trace_id = self.trace_of(repository)
        holds = await refresh_file(client, self.ledger, self.operator, repository, look, trace_id=trace_id)
        await keep_issue(client, self.ledger, repository)
        await follow_onboarding(client, self.ledger, self.operator, repository, trace_id=trace_id)
        self._known.pop(repository, None)
        return holds


async def settings_at_github(client: GitHubClient, settings: Settings, repository: str) -> tuple[Settings, str | None]:
    """Return the settings that hold with a repository's file as it is now, and what is wrong in that; store nothing.

    Raises GitHubError.
    """
    if not settings.trust_for(repository).repository_files:
        return settings, None
    file = await read_stored_file(client, settings, repository)
    own_settings = said_by(file)
    return settings if own_settings is None else tightened(settings, repository, own_settings), file.problem


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
    own_settings = before.settings if before is not None else None
    try:
        own_settings = (await reader.load(own)).model_dump(mode="json", exclude_unset=True)
    except SettingError as error:
        problem = error
    return StoredFile(
        repository,
        commit_sha=own.commit_sha,
        blob_sha=own.blob_sha,
        content=own.text if problem is None else None,
        settings=own_settings,
        origins=reader.origins,
        presets=tuple({"place": str(part.place), "blob_sha": part.blob_sha or ""} for part in reader.parts),
        problem=one_line(problem.message, limit=_MAX_PROBLEM) if problem is not None else None,
        hint=one_line(problem.hint, limit=_MAX_PROBLEM) if problem is not None else None,
        place=problem.place[:_MAX_PROBLEM] if problem is not None else None,
    )
