"""Reads the old product's files within bounds. Nothing here writes or knows what they mean."""

import json
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml  # type: ignore[import-untyped] # no stubs are installed

from squire_pipelines.errors import ConfigError
from squire_pipelines.home import why_not_writable
from squire_pipelines.secrets.redact import process_redactor

MAX_FILE_BYTES = 2**20
MAX_YAML_BYTES = 128 * 2**10
_MAX_YAML_EVENTS = 20_000
_MAX_YAML_DEPTH = 30
_UNCHANGED = "nothing was changed"
# Python reads such a number in hex, however long it is, and cannot write it.
_LONG_NUMBER = re.compile(r"[-+]?\d[0-9A-Fa-fxo_:.]{200,}")
FileForm = Literal["json", "yaml", "dotenv"]
_OPENING = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_CLOSING = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


@dataclass(frozen=True, slots=True)
class OldFile:
    """A file of the old product as it was read; `owner` and `group` are numbers, `links` counts its names."""

    path: Path
    content: bytes
    mode: int
    owner: int
    group: int
    links: int
    is_link: bool

    def check_changeable(self) -> None:
        """Check that this user may take something out of the file. Raises ConfigError."""
        reason, step = "", "run the command as its owner"
        if self.is_link:
            reason, step = "it is a symbolic link", "put the file itself in its place"
        elif self.links > 1:
            reason, step = "it has another name, which would keep the secrets", "remove the other hard link"
        elif self.owner != os.geteuid():
            reason = f"it belongs to the user {self.owner}, and this is {os.geteuid()}"
        elif (why := why_not_writable(self.path.parent)) is not None:
            reason, step = why, "make the folder writable"
        if reason:
            raise ConfigError(f"{self.path} cannot be changed: {reason}; {_UNCHANGED}", hint=step)


def read_old_file(path: Path) -> OldFile | None:
    """Return a file; None where there is none, or a folder.

    Raises:
        ConfigError: It cannot be read, is another user's, no regular file, or longer than 1 MiB.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # no name has a NUL in it
        return None
    except OSError as error:
        step = "check its owner and mode, or move it away"
        raise ConfigError(f"{path} cannot be read: {error.strerror}; {_UNCHANGED}", hint=step) from error
    status = os.fstat(descriptor)
    if stat.S_ISDIR(status.st_mode):  # virtual environments are called .env too
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{path} is no regular file; {_UNCHANGED}", hint="move it away")
        if status.st_uid not in {os.geteuid(), 0}:
            raise ConfigError(
                f"{path} belongs to the user {status.st_uid}, whose settings this user {os.geteuid()} does not take "
                f"over; {_UNCHANGED}",
                hint="run the command as its owner, or in another folder",
            )
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(
            f"{path} has {status.st_size} bytes, more than the {MAX_FILE_BYTES} of settings; {_UNCHANGED}",
            hint="is it the right file? move it away",
        )
    mode = stat.S_IMODE(status.st_mode)
    return OldFile(path, content, mode, status.st_uid, status.st_gid, status.st_nlink, path.is_symlink())


def first_file(paths: tuple[Path, ...]) -> tuple[OldFile | None, tuple[OldFile, ...]]:
    """Return the first file that is there, and the others. Raises ConfigError."""
    files = [file for path in dict.fromkeys(paths) if (file := read_old_file(path)) is not None]
    return (files[0] if files else None), tuple(files[1:])


def text_of(file: OldFile) -> str:
    """Return a file's text. Raises ConfigError for what is no UTF-8."""
    try:
        return file.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = file.content.count(b"\n", 0, error.start) + 1
        raise _unreadable(file.path, f"line {line} is no text in UTF-8") from error


def parse_json(file: OldFile) -> dict[str, Any]:
    """Return the object in a file of JSON. Raises ConfigError, which never shows the line: a token may stand in it."""
    try:
        values = json.loads(text_of(file))
    except json.JSONDecodeError as error:
        reason = f"it is no JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        raise _unreadable(file.path, f"{reason} (JSON has no comments; the old product ignored such a file)") from error
    except (RecursionError, ValueError) as error:
        raise _unreadable(file.path, "it is no JSON that can be read") from error
    if not isinstance(values, dict):
        raise _unreadable(file.path, "it is no object of JSON")
    return values


def parse_yaml(file: OldFile) -> dict[str, Any]:
    """Return the mapping in a file of YAML, whose size, depth and aliases are bounded before it is built.

    Raises:
        ConfigError: It is no YAML, or has what no settings need.
    """
    if len(file.content) > MAX_YAML_BYTES:
        raise _unreadable(file.path, f"it has more than {MAX_YAML_BYTES} bytes")
    text = text_of(file)
    try:
        _check_events(file.path, text)
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        position = error.problem_mark or error.context_mark
        place = f"line {position.line + 1}, column {position.column + 1}: " if position is not None else ""
        reason = process_redactor().redact(f"it is no YAML: {place}{error.problem or error.context}")
        raise _unreadable(file.path, reason) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _unreadable(file.path, "it is no YAML that can be read") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise _unreadable(file.path, "it is no mapping of names")
    return values


def _check_events(path: Path, text: str) -> None:
    depth = 0
    for number, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        depth += isinstance(event, _OPENING) - isinstance(event, _CLOSING)
        if isinstance(event, yaml.AliasEvent):  # a few of them name billions of values
            line = event.start_mark.line + 1
            raise _unreadable(path, f"line {line} has an alias (*), which stands for text elsewhere: write it out")
        if isinstance(event, yaml.ScalarEvent) and not event.style and _LONG_NUMBER.fullmatch(event.value):
            raise _unreadable(path, f"line {event.start_mark.line + 1} has a number of too many digits")
        if depth > _MAX_YAML_DEPTH or number > _MAX_YAML_EVENTS:
            raise _unreadable(path, "it is deeper or longer than settings are")


def _unreadable(path: Path, reason: str) -> ConfigError:
    return ConfigError(f"{path}: {reason}; {_UNCHANGED}", hint="correct the file, or move it away")
