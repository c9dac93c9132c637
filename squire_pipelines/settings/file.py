"""The settings' file as a text: read within a bound, parsed, and searched for the line in which a setting stands.

What the settings mean is `model`; how a wrong one is told is `errors`.
"""

import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from squire_pipelines.errors import SettingError
from squire_pipelines.home import no_toml_hint
from squire_pipelines.secrets.redact import MASK, Redactor

MAX_FILE_BYTES = 4 * 2**20
_MAX_SHOWN = 200
_BYTE_ORDER_MARK = "\ufeff"
_OF_REPOSITORY = 2
KeyPath = tuple[str | int, ...]
"""The parts of a setting's name, from the outermost table on; a number is a place in a list."""

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
# All of TOML in which a bracket, a line's end or a number sign may stand without its own meaning, and these signs.
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}]|\n', re.DOTALL
)
_LONG_NUMBER = re.compile(r"[0-9_]{1000}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What follows the host of a URL, and what stands before it, may be a secret.
_URL = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]{0,20}://)([^\s\"'/]*@)?([^\s\"'/?#]*)([/?#][^\s\"']+)?")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
# How tomllib says that something stands twice, and what its other words mean.
_TWICE = re.compile(r"Cannot overwrite a value|Cannot declare .* twice|Cannot mutate|Duplicate inline table key")
_PLAIN_WORDS = {
    "Invalid value": 'the value is missing or is none of TOML\'s: a text stands in quotes, like "text"',
    "Illegal character '\\n'": "the text has no quote at its end",
    "Unclosed array": "the list has no bracket at its end, or a comma is missing in it",
}


def quote_text(text: str) -> str:
    """Return a text as TOML."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{_CONTROL.sub(lambda sign: f"{chr(92)}u{ord(sign[0]):04x}", text)}"'


def toml_text(value: Any) -> str:
    """Return `value` as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{toml_text(key)} = {toml_text(member)}" for key, member in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_text(member) for member in value)}]"
    return quote_text(str(value))


def key_text(path: KeyPath) -> str:
    """Return a setting's name as TOML and messages have it: `repository."owner/name".agent.kind`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE.fullmatch(part) else quote_text(part))
    return text


@dataclass(frozen=True, slots=True)
class Statement:
    """A table's header, or a key with its value.

    Args:
        path: What it sets.
        first_line: Of the file, from 1.
        last_line: Likewise.
        is_header: Whether it opens a table.
    """

    path: KeyPath
    first_line: int
    last_line: int
    is_header: bool


@dataclass(frozen=True)
class SettingsFile:
    """What a settings' file says; one that is not there says nothing.

    `copy_of` is the file in whose folder a copy's paths begin.
    """

    path: Path
    text: str = ""
    values: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    exists: bool = True
    copy_of: Path | None = None

    @property
    def folder(self) -> Path:
        """The folder from which the paths of goals in it are."""
        return (self.copy_of or self.path).absolute().parent

    @cached_property
    def statements(self) -> tuple[Statement, ...]:
        """Everything that stands in it, in its order."""
        return tuple(_statements(self.text))

    @cached_property
    def _places(self) -> Mapping[KeyPath, Statement]:
        """The statements by what they set, the first of each."""
        return {statement.path: statement for statement in reversed(self.statements)}

    def line_of(self, path: KeyPath, value: object = None) -> int | None:
        """Return the line in which a setting stands, or the table or list that has it; None where neither does.

        Args:
            path: Of the setting.
            value: What is wrong in it, where that may stand in a later line of a long list.
        """
        for length in range(len(path), 0, -1):
            if (statement := self._places.get(path[:length])) is not None:
                return self._line_with(value, statement)
        inner = (other.first_line for other in self.statements if path and other.path[: len(path)] == path)
        line = next(inner, None)
        if line is None and path[:1] == ("repository",):
            return self.line_of(path[_OF_REPOSITORY:], value)  # what it does not say itself, the general tables do
        return line

    def _line_with(self, value: object, statement: Statement) -> int:
        lines = self.text.split("\n")[statement.first_line - 1 : statement.last_line]
        if isinstance(value, str) and value:
            for number, line in enumerate(lines, statement.first_line):
                if value in line:
                    return number
        return statement.first_line


def read_settings_file(path: Path) -> SettingsFile:
    """Read and parse a settings' file; one that does not exist says nothing.

    Raises:
        ConfigError: It cannot be read, is too long, or is not TOML; the error has the line, the column and the text.
    """
    try:
        if not path.is_file():
            _refuse_other_than_file(path)
            return SettingsFile(path, exists=False)
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SettingError(
            f"{path} cannot be read: {error.strerror}", hint="check the file's owner and mode"
        ) from error
    if len(content) > MAX_FILE_BYTES:
        raise SettingError(f"{path} is longer than {MAX_FILE_BYTES} bytes", hint="name another file with --config PATH")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingError(
            f"{path} is not valid TOML: line {line} is no text in UTF-8", hint=no_toml_hint(path)
        ) from error
    return parse_settings(path, text)


def _refuse_other_than_file(path: Path) -> None:
    """Refuse what is in the place of a file, which would say nothing: the defaults are laxer than many a file."""
    if not os.path.lexists(path) or path.is_file():  # it may have come meanwhile; the next look reads it
        return
    if path.is_dir():
        reason = "is a folder"
    elif path.is_symlink() and not path.exists():
        reason = f"is a link to {os.readlink(path)}, which is not there"  # noqa: PTH115 - as it is written
    else:
        reason = "is no regular file"
    raise SettingError(f"{path} {reason}", hint="put the settings' file in its place, or remove it for the defaults")


def parse_settings(path: Path, text: str) -> SettingsFile:
    """Parse the text of a settings' file; `path` is how messages name it. Raises ConfigError."""
    if text.startswith(_BYTE_ORDER_MARK):
        raise SettingError(
            f"{path} is not valid TOML: it begins with a byte order mark, which nobody sees",
            hint="have your editor save it as UTF-8 without a byte order mark (BOM)",
        )
    try:
        return SettingsFile(path, text, tomllib.loads(text))
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is a plain ValueError
        _refuse(path, text, error)


def _refuse(path: Path, text: str, error: Exception) -> NoReturn:
    """Raise the refusal of a text that is not TOML, with the line that is wrong."""
    message = str(error)
    place = _PLACE.search(message)
    lines = text.removesuffix("\n").split("\n")  # what TOML calls a line, unlike `splitlines`
    number, column = len(lines), len(lines[-1]) + 1
    if place is not None and place[1] is not None:
        number, column = int(place[1]), int(place[2])
    if not isinstance(error, tomllib.TOMLDecodeError | RecursionError):
        message = "a number in it has too many digits"
        number = next((no for no, line in enumerate(lines, 1) if _LONG_NUMBER.search(line)), 1)
        column = 1
    reason = _PLACE.sub("", message)
    reason = _say_twice(text, number) if _TWICE.match(reason) else _PLAIN_WORDS.get(reason, reason)
    raise SettingError(
        f"{path} is not valid TOML: line {number}, column {column}: {reason}",
        hint=no_toml_hint(path, number),
        place=_show(lines[number - 1].rstrip("\r") if number <= len(lines) else "", number, column),
    ) from error


def _show(line: str, number: int, column: int) -> str:
    line = "".join(character if character.isprintable() else "\ufffd" for character in line.expandtabs(1))
    shown = Redactor().redact(_URL.sub(_hide_in_url, line))[:_MAX_SHOWN]
    margin = f"{number:>5} | "
    # A mark under a line that was changed or cut would point at something else.
    is_whole = shown == line and column <= len(shown) + 1
    return f"{margin}{shown}" + (f"\n{'':>5} | {'':>{column - 1}}^" if is_whole else "")


def _hide_in_url(url: re.Match[str]) -> str:
    scheme, user, host, rest = url.groups()
    return f"{scheme}{f'{MASK}@' if user else ''}{host}{f'/{MASK}' if rest else ''}"


def _say_twice(text: str, line: int) -> str:
    statements = list(_statements(text))
    second = next((one for one in reversed(statements) if one.first_line <= line), None)
    if second is None:
        return "something is set twice"
    subject = f"the table [{key_text(second.path)}]" if second.is_header else f"the key {key_text(second.path)}"
    first = next((one for one in statements if one.path == second.path and one.first_line < second.first_line), None)
    if first is None:
        return f"{subject} is written in two ways: as a table and as a value"
    return f"{subject} stands twice: the first time in line {first.first_line}"


def _statements(text: str) -> Iterator[Statement]:
    """Yield what stands in a text of TOML; what is none is passed over."""
    table: KeyPath = ()
    lists: Counter[KeyPath] = Counter()
    for first_line, last_line, piece in _pieces(text):
        try:
            values = tomllib.loads(piece)
        except (ValueError, RecursionError):
            continue
        if not values:
            continue  # a comment, or nothing
        is_header = piece.lstrip().startswith("[")
        names = _names(values)
        if not is_header:
            for name in names:
                yield Statement((*table, *name), first_line, last_line, is_header=False)
            continue
        table = ()
        for part in names[0][:-1]:
            table = _last((*table, part), lists)
        table = (*table, names[0][-1])
        if piece.lstrip().startswith("[["):
            lists[table] += 1
            table = _last(table, lists)
        yield Statement(table, first_line, last_line, is_header=True)


def _last(table: KeyPath, lists: Mapping[KeyPath, int]) -> KeyPath:
    return (*table, lists[table] - 1) if lists[table] else table


def _names(values: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the name that a statement sets, and those of an inline table's keys after it."""
    path: tuple[str, ...] = ()
    value: Any = values
    while isinstance(value, Mapping) and len(value) == 1:
        ((name, value),) = value.items()
        path = (*path, name)
    if isinstance(value, Mapping):
        return [path, *((*path, *name) for key, inner in value.items() for name in _names({key: inner}))]
    return [path]


def _pieces(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield each statement with its first and last line: it ends with the line in which no bracket is open."""
    depth, start, line, first_line = 0, 0, 1, 1
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign in ("[", "{"):
            depth += 1
        elif sign in ("]", "}"):
            depth -= 1
        line += sign.count("\n")
        if sign == "\n" and depth <= 0:
            yield first_line, line - 1, text[start : token.end()]
            depth, start, first_line = 0, token.end(), line
    if text[start:].strip():
        yield first_line, line, text[start:]
