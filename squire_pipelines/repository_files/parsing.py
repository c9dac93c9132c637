"""Reads the text of a repository's own file, or says what is wrong in it: the key, the line, and the key that is meant.

The text is a stranger's: it is bounded before it is parsed, and cleaned before it is quoted. Where it comes from is
`github.repository_file`; what it makes of the settings is `tightening`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from squire_pipelines.domain.terminal_text import one_line
from squire_pipelines.errors import SettingError
from squire_pipelines.repository_files.keys import RepositoryFileSettings
from squire_pipelines.secrets.redact import Redactor
from squire_pipelines.settings.errors import config_error
from squire_pipelines.settings.file import KeyPath, SettingsFile, key_text, parse_settings
from squire_pipelines.settings.keys import annotation_at, similar_key
from squire_pipelines.settings.model import Settings

REPOSITORY_FILE = ".github/squire.toml"
MAX_FILE_BYTES = 64 * 2**10
_MAX_KEY_PARTS = 40
_MAX_MESSAGE = 600
# The parser's time grows with the square of a dotted key's parts. Each part is bounded, so that this search is linear.
_LONG_KEY = re.compile(
    r"(?:(?>[A-Za-z0-9_-]{1,200}+|\"[^\"\n]{0,200}+\"|'[^'\n]{0,200}+')[ \t]*+\.[ \t]*+)" + f"{{{_MAX_KEY_PARTS}}}"
)
_EVERY_KEY = "docs/guide/repository-settings.md lists every key"


@dataclass(frozen=True, slots=True)
class RepositoryFile:
    """A repository's own file, valid.

    Args:
        settings: What it says, without what it extends.
        values: The same as nested tables, with the keys alone that it has.
        file: Its text, for the lines.
    """

    settings: RepositoryFileSettings
    values: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    file: SettingsFile = field(default_factory=lambda: SettingsFile(Path(REPOSITORY_FILE), exists=False))


def parse_repository_file(name: str, text: str) -> RepositoryFile:
    """Return what a repository's own file says.

    Args:
        name: How messages call it: `.github/squire.toml`, or that of a preset.
        text: Its text.

    Raises:
        SettingError: It is too long, no TOML, or has a key or a value that it may not have; its context has `line`
            and `key` where they are known.
    """
    check_size(name, len(text.encode(errors="replace")))
    if _LONG_KEY.search(text) is not None:
        raise SettingError(f"{name} has a key of more than {_MAX_KEY_PARTS} parts", hint=_EVERY_KEY)
    try:
        file = parse_settings(Path(name), text)
    except SettingError as error:
        line = re.search(r": line (\d+)", error.message)
        context: dict[str, object] = {"line": int(line[1])} if line else {}
        raise _clean(error.message, hint=f"correct {name}", place=error.place, context=context) from error
    except ValueError as error:  # a number of more digits than Python reads
        raise _clean(f"{name} is not valid TOML: {error}", hint=f"correct {name}") from error
    try:
        return RepositoryFile(RepositoryFileSettings.model_validate(file.values), file.values, file)
    except ValidationError as error:
        raise _refusal(file, error) from error


def check_size(name: str, size: int) -> None:
    """Refuse a file of too many bytes, before it is read where that is possible. Raises SettingError."""
    if size > MAX_FILE_BYTES:
        raise SettingError(
            f"{name} has {size} bytes, and may have {MAX_FILE_BYTES}",
            hint="a file of settings is short: remove the rest",
        )


def _refusal(file: SettingsFile, error: ValidationError) -> SettingError:
    details = error.errors()
    first = details[0]
    general = config_error(RepositoryFileSettings, error)
    key = general.context.get("key")
    path: KeyPath = key if isinstance(key, tuple) else ()
    line = file.line_of(path, general.context.get("value"))
    problem, hint = _problem(first, path, general)
    where = str(file.path) if line is None else f"{file.path}, line {line}"
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    context: dict[str, object] = {"key": key_text(path)} | ({} if line is None else {"line": line})
    return _clean(f"{where}: {problem}{more}", hint=hint, place=general.place, context=context)


def _problem(details: ErrorDetails, path: KeyPath, general: SettingError) -> tuple[str, str]:
    """Return what is wrong, and what to do about it."""
    name = key_text(path)
    if details["type"] != "extra_forbidden":
        count = re.sub(r" \(and \d+ more\)$", "", general.message)
        return count, f"correct {name}, or remove it; {_EVERY_KEY}"
    if _is_of_operators(path):
        return f"{name} is for the operator's settings alone", f"remove it; {_EVERY_KEY}"
    similar = similar_key(RepositoryFileSettings, path)
    meant = key_text((*path[:-1], similar)) if similar else ""
    problem = f"unknown key {name}" + (f", which may stand for {meant}" if meant else "")
    return problem, (f"rename it to {meant}, or remove it; " if meant else "remove it; ") + _EVERY_KEY


def _is_of_operators(path: KeyPath) -> bool:
    """Return whether the operator's settings have such a key, so that it is none that is misspelt."""
    try:
        annotation_at(Settings, path)
    except (KeyError, IndexError):
        return False
    return True


def _clean(message: str, *, hint: str, place: str = "", context: Mapping[str, object] | None = None) -> SettingError:
    """Return an error whose words, which quote the file, cause nothing where they are shown."""
    redact = Redactor().redact
    lines = "\n".join(one_line(line, limit=200) if "^" not in line else line[:240] for line in place.split("\n"))
    return SettingError(
        redact(one_line(message, limit=_MAX_MESSAGE)),
        hint=one_line(hint, limit=_MAX_MESSAGE),
        place=redact(lines),
        context=context or {},
    )
