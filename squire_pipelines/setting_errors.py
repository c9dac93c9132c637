"""Says which setting is wrong, where it stands and why, without repeating what must not be shown."""

import os
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from squire_pipelines.errors import ConfigError
from squire_pipelines.secrets.redact import Redactor
from squire_pipelines.setting_types import SECRET_SHOWN


def config_error(settings: type[BaseModel], error: ValidationError, where: str) -> ConfigError:
    """Return the refusal of settings that do not fit `settings`, of which the first problem is told.

    Args:
        settings: What they are checked by.
        error: What it found.
        where: Whence the values are, where no variable of the environment has them.
    """
    first = error.errors()[0]
    variable = "SQUIRE_" + "__".join(str(part) for part in first["loc"]).upper()
    if variable in {name.upper() for name in os.environ}:
        where = f"environment variable {variable}"
    name = _name(first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        problem = f"{_name(first['loc'][:-1])} needs {first['loc'][-1]}".strip()
    elif first["type"] == "extra_forbidden":
        problem = f"unknown key {name!r}{_similar_key(settings, first['loc'])}"
    elif isinstance(first.get("input"), dict | BaseModel) or first["type"] == SECRET_SHOWN:
        # A rule on several values, which its message names; or a value that must not be shown.
        problem = f"{name}: {reason}" if name else reason
    else:
        problem = f"{name} = {first.get('input')!r}: {reason}"
    if error.error_count() > 1:
        problem += f" (and {error.error_count() - 1} more)"
    return ConfigError(
        Redactor().redact(f"{where}: {problem}"),  # a key may have been pasted where none belongs
        hint="`squire config show --defaults` lists every key with its default",
        context={"errors": error.error_count(), "where": where},
    )


def _name(place: tuple[int | str, ...]) -> str:
    """Return how a setting is called in messages: in a rule by which agents are chosen, with the rule's number."""
    for index, part in enumerate(place):
        if isinstance(part, int) and place[index - 1] == "choose":
            rule = f"{_name(place[:index])}, rule {part + 1}"
            key = ".".join(rest for rest in place[index + 1 :] if isinstance(rest, str))
            return f"{rule}: {key}" if key else rule
    return ".".join(map(str, place))


def _similar_key(settings: type[BaseModel], place: tuple[int | str, ...]) -> str:
    """Return a key that an unknown one may stand for, as the rest of a sentence; empty when none is like it."""
    section: Any = settings
    for part in place[:-1]:
        field = getattr(section, "model_fields", {}).get(part)
        section = field.annotation if field is not None else None
    similar = get_close_matches(str(place[-1]), getattr(section, "model_fields", {}), n=1)
    return f", which may stand for {similar[0]!r}" if similar else ""
