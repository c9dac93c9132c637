"""Changes of the settings' file: one key in its text, with comments and order kept, and the file replaced as a whole.

Whether the result is valid is asked of `settings` by the caller, before anything is written.
"""

import contextlib
import copy
import hashlib
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from squire_pipelines.errors import SettingError
from squire_pipelines.files import lock, write_atomically
from squire_pipelines.home import Home, make_folder
from squire_pipelines.settings.file import KeyPath, SettingsFile, key_text, toml_text

LOCK_TIMEOUT_S = 30.0
_NEW_MODE = 0o600
_BY_HAND = "write it with `squire config edit`"
_NOT_SET = ("not set; ", "not set: ", "not set")
_ABSENT = object()


def with_value(file: SettingsFile, path: KeyPath, value: Any) -> str:
    """Return the file's text with one setting that has another value, and everything else as it was.

    A commented line of the key in its table, as `squire init` writes them, becomes the setting.

    Raises:
        SettingError: The key's table is a value, or the text cannot take it without changing more.
    """
    expected = copy.deepcopy(dict(file.values))
    _put(expected, path, value)
    texts = (_uncommented(file, path, value), _edited(file, path, value))
    for text in texts:
        if text is not None and _parsed(text) == expected:
            return text
    raise SettingError(f"{key_text(path)} cannot be set in {file.path} without changing more", hint=_BY_HAND)


def without_value(file: SettingsFile, path: KeyPath) -> str:
    """Return the file's text without one setting. Raises SettingError where it is not in the file."""
    table = _table_at(file.values, path[:-1])
    if path[-1] not in (table if isinstance(table, Mapping) else range(len(table))):
        raise SettingError(f"{key_text(path)} is not set in {file.path}", hint="`squire config show` says where it is")
    expected = copy.deepcopy(dict(file.values))
    del _table_at(expected, path[:-1])[path[-1]]
    text = _edited(file, path, _ABSENT)
    if text is None or _without_empty(_parsed(text)) != _without_empty(expected):
        raise SettingError(f"{key_text(path)} cannot be removed from {file.path} without changing more", hint=_BY_HAND)
    return text


def replace_settings(path: Path, before: bytes | None, text: str) -> None:
    """Put a text in the place of the file: whole or not at all, with its mode, and through a symlink to its target.

    Args:
        path: Of the file.
        before: What it held when it was read; None where there was none.
        text: What it is to hold.

    Raises:
        SettingError: It is no more as it was read, or cannot be written.
    """
    target = Path(os.path.realpath(path))
    try:
        if read_if_there(target) != before:
            raise SettingError(f"{path} has changed meanwhile, and nothing was written", hint="do it again")
        make_folder(target.parent)
        mode = stat.S_IMODE(target.stat().st_mode) if before is not None else _NEW_MODE
        write_atomically(target, text.encode(), mode=mode)
    except OSError as error:
        raise SettingError(f"{path} cannot be written: {error.strerror}", hint="check its folder") from error


def read_if_there(path: Path) -> bytes | None:
    """Return what a file holds; None where there is none. Raises OSError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def settings_locked(path: Path, home: Home) -> Iterator[None]:
    """Keep other commands from changing the settings' file in the meantime. Raises SettingError.

    Args:
        path: The file; links to the same one have the same lock.
        home: Has the locks.
    """
    digest = hashlib.sha256(os.path.realpath(path).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    place = home.run / f"settings-{digest}.lock"
    try:
        held_lock = lock(place, timeout_s=LOCK_TIMEOUT_S)
    except TimeoutError:
        raise SettingError(
            f"another command is changing {path} for more than {LOCK_TIMEOUT_S:g} s", hint="end it, and do it again"
        ) from None
    except OSError as error:
        raise SettingError(
            f"{place}, which keeps two changes apart, cannot be made: {error.strerror}", hint="make its folder writable"
        ) from error
    with held_lock:
        yield


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except ValueError:
        return None


def _without_empty(value: Any) -> Any:
    """Return tables without those that are empty: the last key of a dotted name takes its table along."""
    if not isinstance(value, Mapping):
        return value
    inner = {key: _without_empty(member) for key, member in value.items()}
    return {key: member for key, member in inner.items() if member != {}}


def _table_at(values: Any, path: KeyPath) -> Any:
    for index, part in enumerate(path):
        try:
            values = values[part]
        except (KeyError, IndexError):
            values = {}
        if not isinstance(values, Mapping | list):
            raise SettingError(f"{key_text(path[: index + 1])} is no table", hint=_BY_HAND)
    return values


def _put(values: Any, path: KeyPath, value: Any) -> None:
    part: Any
    for index, part in enumerate(path):
        is_last = index == len(path) - 1
        if isinstance(values, list) and part not in range(len(values)):
            raise SettingError(f"{key_text(path[:index])} has no member {part}", hint=_BY_HAND)
        if not isinstance(values, dict | list):
            raise SettingError(f"{key_text(path[:index])} is no table", hint=_BY_HAND)
        if is_last:
            values[part] = value
        else:
            values = values[part] if isinstance(values, list) else values.setdefault(part, {})


def _edited(file: SettingsFile, path: KeyPath, value: Any) -> str | None:
    """Return the text as tomlkit changes it; None where it cannot."""
    try:
        document = tomlkit.parse(file.text)
        table: Any = document
        for index, part in enumerate(path[:-1]):
            if isinstance(part, str) and part not in table:
                is_inline = isinstance(table, tomlkit.items.InlineTable)
                table[part] = {} if is_inline else tomlkit.table(is_super_table=index < len(path) - 2)
            table = table[part]
        if value is _ABSENT:
            del table[path[-1]]
        else:
            table[path[-1]] = _item(value)
        return tomlkit.dumps(document)
    except (TOMLKitError, KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None  # the caller compares the result with what it has to be, and says so


def _item(value: Any) -> Any:
    return tomlkit.value(toml_text(value))


def _uncommented(file: SettingsFile, path: KeyPath, value: Any) -> str | None:
    """Return the text in which the key's commented line is the setting; None where there is no such line."""
    lines = file.text.split("\n")
    headers = [statement for statement in file.statements if statement.is_header]
    first = 0
    if path[:-1]:
        first = next((header.first_line for header in headers if header.path == path[:-1]), -1)
    last = next((header.first_line - 1 for header in headers if header.first_line > first), len(lines))
    if first < 0 or any(statement.path == path for statement in file.statements):
        return None
    key = key_text(path[-1:])
    for number in range(first, last):
        line = lines[number].rstrip("\r")
        if not line.startswith(f"# {key} = "):
            continue
        end = "\r" if lines[number].endswith("\r") else ""
        lines[number] = f"{key} = {toml_text(value)}{_remark_of(line.removeprefix('# '))}{end}"
        return "\n".join(lines)
    return None


def _remark_of(line: str) -> str:
    """Return the comment behind a line's value, in which a default is no more called the value."""
    start = line.find("#")
    while start >= 0:
        if _parsed(line[:start].replace("…", "0")) is not None:
            remark = line[start + 1 :].strip()
            remark = next((remark.removeprefix(words) for words in _NOT_SET if remark.startswith(words)), remark)
            return f"  # {remark}" if remark else ""
        start = line.find("#", start + 1)
    return ""
