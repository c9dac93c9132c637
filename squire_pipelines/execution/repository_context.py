"""Gathers what a planner is told of a repository: its code at the head of the default branch, and its past here.

The code is read from the mirror that attempts are prepared from, which is fetched for it; what follows from the commit
alone is kept beside the mirror until the branch has another head. What cannot be read is left out, with the reason.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from squire_pipelines import __version__
from squire_pipelines.domain.frozen import FrozenModel
from squire_pipelines.domain.repository_facts import CodeFacts, InstructionFile, RepositoryContext
from squire_pipelines.errors import GitError, SquireError
from squire_pipelines.files import write_atomically
from squire_pipelines.github.connection import GitHub
from squire_pipelines.github.lookup import RepositoryInfo
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.work_history import work_history
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.planning.code_overview import folder_lines, languages_of
from squire_pipelines.planning.found_commands import INSTRUCTIONS, files_to_read, find_commands, package_managers
from squire_pipelines.planning.plan_context import PlanContext, join_contexts
from squire_pipelines.publishing.code_reading import committed_at, existing_paths, hot_files, list_files, read_texts
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
        context, paths = await self._read()
        existing = {self.repository: paths.existing} if paths is not None else {}
        return PlanContext((context,), self.settings.planner.context_bytes, existing)

    async def context(self) -> RepositoryContext:
        """Return what is known, with the reason where the code could not be read. Raises LedgerError."""
        return (await self._read())[0]

    async def _read(self) -> tuple[RepositoryContext, "MirrorPaths | None"]:
        with self.ledger.read() as tx:
            history = work_history(tx, self.repository)
        try:
            token = await GitHub(self.settings, self.ledger).git_token(self.info.name)
            code, paths = await asyncio.to_thread(self._read_code, token)
        except (SquireError, OSError) as error:
            reason = str(error) if isinstance(error, SquireError) else f"its files cannot be kept: {error.strerror}"
            _log.warning("the code was not read for a plan", repository=self.repository, reason=reason)
            return RepositoryContext(repository=self.repository, why_no_code=reason, history=history), None
        return RepositoryContext(repository=self.repository, code=code, history=history), paths

    def _read_code(self, token: Secret | None) -> tuple[CodeFacts, "MirrorPaths"]:
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
        sha, heads = mirror.resolve(branch), mirror.heads()
        kept = mirror.path.with_suffix(".context.json")
        facts = _read_kept(kept)
        if facts is None or (facts.sha, facts.branch) != (sha, branch):
            facts = read_code_facts(mirror, branch, sha)
            content = KeptFacts(version=__version__, facts=facts).model_dump_json().encode()
            write_atomically(kept, content, durable=False)
        return facts, MirrorPaths(mirror, {**heads, branch: sha})


async def read_together(readers: Sequence[RepositoryReader], *, max_bytes: int, limit: int) -> PlanContext:
    """Return what is known of several repositories, in the order of their readers, of which `limit` read at once.

    `max_bytes` are of the texts of all of them together. Raises LedgerError.
    """
    semaphore = asyncio.Semaphore(limit)

    async def read(reader: RepositoryReader) -> PlanContext:
        async with semaphore:
            return await reader.read()

    return join_contexts(await asyncio.gather(*map(read, readers)), max_bytes)


@dataclass(frozen=True, slots=True)
class MirrorPaths:
    """Says which paths branches have, at the heads that they had when the repository was read.

    Args:
        mirror: Has the commits.
        heads: Of the branches.
    """

    mirror: Mirror
    heads: Mapping[str, str]

    def existing(self, branch: str, paths: Sequence[str]) -> Collection[str] | None:
        """See `PathLookup`: None for a branch that was not there, or when git cannot say."""
        sha = self.heads.get(branch)
        if sha is None or not paths:
            return None if sha is None else ()
        try:
            return existing_paths(self.mirror, sha, paths)
        except GitError as error:
            _log.warning("paths of a plan were not checked", repository=self.mirror.repository, reason=error.message)
            return None


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
        hot_files=hot_files(mirror, sha, until=made_at, there=there if listing.complete else None),
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
