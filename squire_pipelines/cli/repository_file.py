"""A repository's own file, `.github/squire.toml`, for `squire config validate` and `squire config show`."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from squire_pipelines.cli.config_values import SettingRow, flatten, rows_in_effect, shown
from squire_pipelines.cli.context import CliContext
from squire_pipelines.errors import ConfigError, SettingError
from squire_pipelines.repository_files.parsing import (
    MAX_FILE_BYTES,
    REPOSITORY_FILE,
    check_size,
    parse_repository_file,
)
from squire_pipelines.repository_files.tightening import effects_missing, tightened
from squire_pipelines.sections.repositories import RepositoryOverrides
from squire_pipelines.settings.file import SettingsFile
from squire_pipelines.settings.goals import goals_for
from squire_pipelines.settings.model import Settings
from squire_pipelines.terminal.output import write_line

_FURTHER = ("planner", "dispatch", "publishing")
_KEPT_AS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("follow", "merge", "narrower_paths"): ("follow", "merge", "allowed_paths"),
    ("follow", "merge", "more_quiet_hours"): ("follow", "merge", "quiet_hours"),
}
"""The keys of a repository's file that add to the operator's, by the setting that keeps them."""


def check_local_file(path: Path) -> None:
    """Check a file on this machine and say so. Raises SettingError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        size = path.stat().st_size
    except OSError as error:
        hint = "check the file's owner and mode"
        raise SettingError(f"{path} cannot be read: {error.strerror}", hint=hint) from error
    check_size(str(path), max(size, len(content)))
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingError(f"{path}, line {line}: it is no text in UTF-8", hint="save the file as UTF-8") from error
    parsed = parse_repository_file(str(path), text.removeprefix("\ufeff"))
    write_line(f"ok: {path}")
    if parsed.settings.extends:
        write_line("What it extends was not read.")


def check_repositorys_file(context: CliContext, repository: str) -> None:
    """Read a repository's own file from GitHub with all that it extends, check it, and say so; nothing is stored.

    Raises:
        SettingError: Something in it is wrong.
        GitHubError: It could not be read.
    """
    from squire_pipelines.execution.repository_file_reading import read_stored_file  # noqa: PLC0415 - the client
    from squire_pipelines.execution.repository_settings import said_by  # noqa: PLC0415 - likewise
    from squire_pipelines.github.client import GitHubClient  # noqa: PLC0415 - likewise
    from squire_pipelines.github.tenant_access import access_to_all  # noqa: PLC0415 - likewise
    from squire_pipelines.ledger.repository_files import StoredFile  # noqa: PLC0415 - SQLAlchemy

    settings = context.settings

    async def read() -> StoredFile:
        async with GitHubClient(settings.github, access_to_all(settings, required=True)) as client:
            return await read_stored_file(client, settings, repository)

    stored = asyncio.run(read())
    if stored.problem is not None:
        raise SettingError(f"{repository}: {stored.problem}", hint=stored.hint or "", place=stored.place or "")
    if stored.blob_sha is None:
        write_line(f"ok: {repository} has no {REPOSITORY_FILE} on its default branch")
        return
    write_line(f"ok: {repository}, {REPOSITORY_FILE} at the commit {(stored.commit_sha or '')[:12]}")
    for preset in stored.presets:
        write_line(f"with {preset['place']}")
    own_settings = said_by(stored)
    for note in effects_missing(settings, repository, own_settings) if own_settings is not None else ():
        write_line(f"note: {note}")
    if not settings.trust_for(repository).repository_files:
        write_line("note: the operator has switched such files off for this repository (trust.repository_files)")


def rows_of_repository(context: CliContext, file: SettingsFile, repository: str) -> tuple[list[SettingRow], str]:
    """Return the settings that hold in one repository, each with where it comes from, and a line on its own file.

    Raises ConfigError for a repository that the settings do not name.
    """
    from squire_pipelines.execution.repository_settings import said_by  # noqa: PLC0415 - SQLAlchemy
    from squire_pipelines.ledger import repository_files  # noqa: PLC0415 - likewise

    settings = context.settings
    name = settings.spelling_of(repository)
    if name is None:
        raise ConfigError(
            f"{repository} is not among the repositories of the settings", hint="add it to `repositories`"
        )
    general = {row.path: row for row in rows_in_effect(settings, file)}
    stored = None
    if context.has_ledger and settings.trust_for(name).repository_files:
        with context.ledger.read() as tx:
            stored = repository_files.get(tx, name)
    own_settings = said_by(stored) if stored is not None else None
    effective = settings if own_settings is None else tightened(settings, name, own_settings)
    rows = []
    before, after = _sections(settings, name), _sections(effective, name)
    own = settings.repository.get(name, RepositoryOverrides())
    for path, value in flatten(after):
        origin, line = _origin(general, name, path, own)
        if own_settings is not None and stored is not None and value != _at(before, path):
            key = _KEPT_AS.get(path, path)
            origin, line = _file_origin(stored.origins, key), _line(stored.content, key)
        rows.append(SettingRow(path, shown(path, value), origin, line))
    if stored is None or stored.blob_sha is None:
        return rows, f"{name}: no {REPOSITORY_FILE} was read"
    state = f"not used: {stored.problem}" if stored.problem else f"commit {(stored.commit_sha or '')[:12]}"
    return rows, f"{name}: {REPOSITORY_FILE}, {state}"


def _sections(settings: Settings, name: str) -> dict[str, object]:
    """Return the sections that differ by repository, as they hold in this one."""
    return {
        "issue_labels": settings.issue_labels_for(name),
        "goals": goals_for(settings, name).goals,
        "ci": settings.ci_for(name),
        "filters": settings.filters_for(name),
        "trust": settings.trust_for(name),
        **{section: getattr(settings, section) for section in _FURTHER},
        "policy": settings.policy_for(name),
        "verification": settings.verification_for(name),
        "follow": settings.follow_for(name),
        "budgets": settings.budgets_for(name),
        "gateway": settings.gateway_settings_for(name),
        "agent": settings.agent_for(name),
    }


def _origin(
    general: dict[tuple[str, ...], SettingRow], name: str, path: tuple[str, ...], own: RepositoryOverrides
) -> tuple[str, int | None]:
    section = getattr(own, path[0], None)
    if (isinstance(section, dict) and _names(section, path[1:])) or (len(path) == 1 and section is not None):
        rows = [row for row in general.values() if row.path[: 2 + len(path)] == ("repository", name, *path)]
        return (rows[0].origin, rows[0].line) if rows else ("file", None)
    known = general.get(("planner", *path) if path in {("issue_labels",), ("goals",)} else path)
    return ("default", None) if known is None else (known.origin, known.line)


def _names(table: Mapping[str, object], path: tuple[str, ...]) -> bool:
    """Return whether a table says a key itself; where a table within it leaves one out, the general value holds."""
    if not path or path[0] not in table:
        return False
    member = table[path[0]]
    return not isinstance(member, Mapping) or not path[1:] or _names(member, path[1:])


def _file_origin(origins: object, path: tuple[str, ...]) -> str:
    """Return which of the repository's files says a key, or a part of it."""
    names = origins if isinstance(origins, dict) else {}
    for length in range(len(path), 0, -1):
        key = ".".join(path[:length])
        if key in names:
            return str(names[key])
    return REPOSITORY_FILE


def _line(content: str | None, path: tuple[str, ...]) -> int | None:
    """Return the line of a key in the repository's own file; None where a preset has it."""
    if content is None:
        return None
    try:
        parsed = parse_repository_file(REPOSITORY_FILE, content)
    except SettingError:
        return None
    known = any(statement.path == path for statement in parsed.file.statements)
    return parsed.file.line_of(path) if known else None


def _at(values: dict[str, object], path: tuple[str, ...]) -> object:
    value: object = values
    for part in path:
        value = value.get(part) if isinstance(value, dict) else getattr(value, part, None)
    return value
