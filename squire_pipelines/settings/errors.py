"""Says which setting is wrong, where it stands, why, and what to do, without repeating what must not be shown."""

import os
import shlex
import tomllib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from squire_pipelines.errors import ConfigError, SettingError
from squire_pipelines.secrets.redact import Redactor
from squire_pipelines.sections.hidden_values import HIDDEN, SECRET_SHOWN
from squire_pipelines.settings.file import KeyPath, SettingsFile, key_text
from squire_pipelines.settings.keys import SettingValueError, default_at, is_marked, similar_key
from squire_pipelines.settings.variables import old_variable_at

_EVERY_KEY = "`squire config show --defaults` lists every key with its default"
_MAX_SHOWN = 10
_MAX_VALUE = 200
_OF_A_NAME = "[key]"  # where pydantic says that the name itself is wrong
_TABLE, _LIST = "a table belongs here", 'a list belongs here, like ["one", "two"]'
_WORDS = {
    "model_type": _TABLE,
    "dict_type": _TABLE,
    "tuple_type": _LIST,
    "list_type": _LIST,
    "string_type": "a text belongs here, in quotes",
    "int_type": "a whole number belongs here",
    "int_parsing": "a whole number belongs here",
    "int_from_float": "a whole number belongs here",
    "float_type": "a number belongs here",
    "float_parsing": "a number belongs here",
    "bool_type": "true or false belongs here",
    "bool_parsing": "true or false belongs here",
}
"""What pydantic's types of errors mean, where its own words are those of Python."""


def config_error(section: Any, error: ValidationError, table: str = "") -> SettingError:
    """Return the refusal of settings that do not fit `section`: the first problem as its message, others below it.

    Args:
        section: What they are checked by: a class, or what a field of one may be.
        error: What it found.
        table: Whose settings these are, as `[repository."owner/name".agent]`; empty for the settings as a whole.
    """
    details = error.errors()
    prefix = f"{table}: " if table else ""
    others = [f"also: {prefix}{_problem(section, other)}" for other in details[1:_MAX_SHOWN]]
    first = details[0]
    count = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return SettingError(
        # A key may have been pasted where none belongs.
        Redactor().redact(f"{prefix}{_problem(section, first)}{count}"),
        hint=_fix(section, first, table),
        place=Redactor().redact("\n".join(others)),
        context={
            "errors": len(details),
            "key": (*table_path(table), *_key_of(first)),
            "value": _shown_value(section, first),
        },
    )


def table_name(repository: str, section: str) -> str:
    """Return how messages name a section, or a repository's own; an empty name stands for all repositories."""
    return f'[repository."{repository}".{section}]' if repository else f"[{section}]"


def setting_context(table: str, *key: str | int) -> Mapping[str, object]:
    """Return the context of an error about a setting, by which its line is looked for in the file.

    Args:
        table: As messages name it, `[agents.codex]`.
        key: The names below it.
    """
    return {"key": (*table_path(table), *key)}


def in_file(error: ConfigError, file: SettingsFile) -> SettingError:
    """Return an error about settings with the file and the line, or the variable, that has the one at fault.

    Args:
        error: With the setting's key in its context, where one is at fault.
        file: What was read.
    """
    key = error.context.get("key")
    path: KeyPath = key if isinstance(key, tuple) else ()
    variable = variable_at(path)
    line = file.line_of(path, error.context.get("value")) if path and variable is None else None
    if variable is not None:
        where = f"environment variable {variable}"
    elif not file.values:
        where = "environment"
    else:
        where = str(file.path) if line is None else f"{file.path}, line {line}"
    hint = error.hint if variable is None else f"change or unset the variable {variable}"
    context = {name: value for name, value in error.context.items() if name != "value"}
    context |= {"where": where} | ({"key": key_text(path)} if path else {})
    return SettingError(f"{where}: {error.message}", hint=hint, place=getattr(error, "place", ""), context=context)


def refuse_parameters(file: SettingsFile) -> None:
    """Refuse keys that pydantic-settings would take for parameters of its own, such as `_cli_parse_args`."""
    for name in file.values:
        if name.startswith("_"):
            error = SettingError(f"unknown key {name!r}", hint=f"remove it; {_EVERY_KEY}", context={"key": (name,)})
            raise in_file(error, file)


def variable_at(path: KeyPath) -> str | None:
    """Return the environment variable that sets the setting at `path`, or a table that has it; None for none."""
    names = {name.upper(): name for name in os.environ}
    for length in range(len(path), 0, -1):
        variable = "SQUIRE_" + "__".join(str(part) for part in path[:length]).upper()
        if variable in names:
            return names[variable]
    return old_variable_at(path)


def table_path(table: str) -> KeyPath:
    """Return the parts of a table's name, as messages have it: `[repository."owner/name".agent]`."""
    values: Any = tomllib.loads(table) if table else {}
    path: KeyPath = ()
    while values:
        ((name, values),) = values.items()
        path = (*path, name)
    return path


def _key_of(details: ErrorDetails) -> KeyPath:
    reason = details.get("ctx", {}).get("error")
    if isinstance(reason, SettingValueError) and reason.key:
        return reason.key
    return tuple(part for part in details["loc"] if part != _OF_A_NAME)


def _is_hidden(section: Any, details: ErrorDetails) -> bool:
    """Return whether the value at fault must not be repeated."""
    return details["type"] == SECRET_SHOWN or is_marked(section, details["loc"], HIDDEN)


def _shown_value(section: Any, details: ErrorDetails) -> object:
    value = details.get("input")
    return value if isinstance(value, str | int | float) and not _is_hidden(section, details) else None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}… (cut: {len(text)} characters)"


def _problem(section: Any, details: ErrorDetails) -> str:
    name = _name(tuple(part for part in details["loc"] if part != _OF_A_NAME))
    reason = _WORDS.get(details["type"]) or details["msg"].removeprefix("Value error, ")
    if details["type"] == "missing":
        return f"{_name(details['loc'][:-1])} needs {details['loc'][-1]}".strip()
    if details["type"] == "extra_forbidden":
        similar = similar_key(section, details["loc"])
        return f"unknown key {name!r}" + (f", which may stand for {similar!r}" if similar else "")
    if isinstance(details.get("input"), dict | BaseModel) or _is_hidden(section, details):
        # A rule on several values, which its message names; or a value that must not be shown.
        return f"{name}: {reason}" if name else reason
    return f"{name} = {_short(details.get('input'))}: {reason}"


def _fix(section: Any, details: ErrorDetails, table: str) -> str:
    """Return what to do about a problem."""
    path = (*table_path(table), *_key_of(details))
    name = key_text(path)
    if details["type"] == "missing":
        return f"add {details['loc'][-1]} to [{key_text(path[:-1])}]"
    if details["type"] == "extra_forbidden":
        similar = similar_key(section, details["loc"])
        known = f"rename it to {key_text((*path[:-1], similar))}, or remove it" if similar else "remove it"
        return f"{known}; {_EVERY_KEY}"
    if _OF_A_NAME in details["loc"]:
        return f"rename or remove {name}"
    if not path or isinstance(details.get("input"), dict | BaseModel):
        return f"change {name}" if path else "change one of them"
    place = next((index for index, part in enumerate(path) if isinstance(part, int)), None)
    if place is not None:
        return f"change it; {key_text(path[:place])} is a list"
    default = default_at(section, details["loc"])
    shown = f", {default}" if isinstance(default, str | int | float) and default != "" else ""
    return f"change it, as with `squire config set {shlex.quote(name)} VALUE`, or remove it for the default{shown}"


def _name(place: tuple[int | str, ...]) -> str:
    """Return how a setting is called in messages: in a rule by which agents are chosen, with the rule's number."""
    for index, part in enumerate(place):
        if isinstance(part, int) and place[index - 1] == "choose":
            rule = f"{_name(place[:index])}, rule {part + 1}"
            key = ".".join(rest for rest in place[index + 1 :] if isinstance(rest, str))
            return f"{rule}: {key}" if key else rule
    return ".".join(map(str, place))
