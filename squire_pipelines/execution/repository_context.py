"""Gathers what a planner is told of a repository: its code at the head of the default branch, and its past here.

The code is read from the mirror that attempts are prepared from, which is fetched for it; what follows from the commit
alone is kept beside the mirror until the branch has another head. What cannot be read is left out, with the reason.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from squire_pipelines import __version__
from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.domain.repository_facts import CodeFacts, InstructionFile, RepositoryContext
from squire_pipelines.errors import SquireError
from squire_pipelines.files import write_atomically
from squire_pipelines.github.connection import GitHub
from squire_pipelines.github.lookup import RepositoryInfo
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.work_history import work_history
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.planning.code_overview import folder_lines, languages_of
from squire_pipelines.planning.found_commands import INSTRUCTIONS, files_to_read, find_commands, package_managers
from squire_pipelines.planning.plan_context import PlanContext
from squire_pipelines.publishing.code_reading import committed_at, hot_files, list_files, read_texts
from squire_pipelines.publishing.mirror import Mirror, fetch_mirror
from squire_pipelines.secrets import Secret
from squire_pipelines.secrets.redact import process_redactor
from squire_pipelines.settings.model import Settings

MAX_TEXT_BYTES = 64 * 2**10
"""Of one file that is searched for commands."""

MAX_INSTRUCTION_CHARS = 12_000
"""Of one instruction file that is kept, which is more than any prompt has room for."""

_MAX_KEPT_BYTES = 2 * 2**20
_log = get_logger(Component.PIPELINE)


class KeptFacts(FrozenModel):
    """What was found at one commit, and by which version of Squire."""

    version: str
    facts: CodeFacts


@dataclass(frozen=True, slots=True)
class RepositoryReader:
    """Reads one repository for a planner.

    Args:
        settings: Those that hold in the repository.
        ledger: Has its past.
        repository: `owner/name`, as the settings spell it.
        info: What GitHub says that it is.
    """

    settings: Settings
    ledger: Ledger
    repository: str
    info: RepositoryInfo

    async def read(self) -> PlanContext:
        """Return what is known; see `ContextReader`. Raises LedgerError."""
        context = await self.context()
        return PlanContext(context, self.settings.planner.context_bytes)

    async def context(self) -> RepositoryContext:
        """Return what is known, with the reason where the code could not be read. Raises LedgerError."""
        with self.ledger.read() as tx:
            history = work_history(tx, self.repository)
        try:
            token = await GitHub(self.settings, self.ledger).git_token(self.info.name)
            code = await asyncio.to_thread(self._read_code, token)
        except (SquireError, OSError) as error:
            reason = str(error) if isinstance(error, SquireError) else f"its files cannot be kept: {error.strerror}"
            _log.warning("the code was not read for a plan", repository=self.repository, reason=reason)
            return RepositoryContext(repository=self.repository, why_no_code=reason, history=history)
        return RepositoryContext(repository=self.repository, code=code, history=history)

    def _read_code(self, token: Secret | None) -> CodeFacts:
        limit_s = self.settings.planner.context_timeout_s
        mirror = fetch_mirror(
            self.settings.home,
            self.repository,
            self.info.clone_url,
            token,
            lock_timeout_s=limit_s,
            timeout_s=limit_s,
        )
        branch = self.info.default_branch or ""
        sha = mirror.resolve(branch)
        kept = mirror.path.with_suffix(".context.json")
        facts = _read_kept(kept)
        if facts is None or (facts.sha, facts.branch) != (sha, branch):
            facts = read_code_facts(mirror, branch, sha)
            content = KeptFacts(version=__version__, facts=facts).model_dump_json().encode()
            write_atomically(kept, content, durable=False)
        return facts


def read_code_facts(mirror: Mirror, branch: str, sha: str) -> CodeFacts:
    """Return what the files say at a commit, which is the head of the branch. Raises GitError."""
    listing = list_files(mirror, sha)
    paths = [path for path, _ in listing.files]
    there = frozenset(paths)
    texts = read_texts(mirror, sha, files_to_read(there), max_bytes=MAX_TEXT_BYTES)
    made_at = committed_at(mirror, sha)
    return CodeFacts(
        branch=branch,
        sha=sha,
        committed_at=made_at,
        files=len(paths),
        complete=listing.complete,
        languages=languages_of(listing.files),
        package_managers=package_managers(there),
        commands=find_commands(texts, there),
        instructions=_instructions(texts),
        folders=folder_lines(paths),
        hot_files=hot_files(mirror, sha, until=made_at),
    )


def _instructions(texts: dict[str, str]) -> tuple[InstructionFile, ...]:
    """Return the instruction files, the same text once, free of secrets that this process knows."""
    files: dict[str, InstructionFile] = {}
    for path in INSTRUCTIONS:
        text = process_redactor().redact(texts.get(path, "")).strip()
        if text and text not in files:
            kept = text[:MAX_INSTRUCTION_CHARS]
            files[text] = InstructionFile(path=path, text=kept, cut=len(text) > len(kept))
    return tuple(files.values())


def _read_kept(path: Path) -> CodeFacts | None:
    """Return what is kept; None where nothing is, or another version has written it."""
    with suppress(OSError, ValidationError):
        with path.open("rb") as file:
            kept = KeptFacts.model_validate_json(file.read(_MAX_KEPT_BYTES))
        if kept.version == __version__:
            return kept.facts
    return None
