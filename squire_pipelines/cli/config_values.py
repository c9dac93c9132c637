"""The settings as rows of key, value and origin, as `squire config` shows them: nothing that is a secret is in one."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from squire_pipelines.domain.agent_choice import AgentChoice
from squire_pipelines.domain.provider_order import names_of
from squire_pipelines.secrets.redact import MASK, Redactor
from squire_pipelines.sections.annotations import marks_of
from squire_pipelines.sections.types import SECRET_URL
from squire_pipelines.settings.file import KeyPath, SettingsFile, key_text
from squire_pipelines.settings.keys import annotation_at
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.variables import old_variable_at, variable_of

_Path = tuple[str, ...]
_URL = re.compile(r"(?i)\b[a-z][a-z0-9+.-]{0,20}://[^\s\"'<>]+")
_SECRET_NAME = re.compile(r"(?i)token|secret|passw|credential|api.?key|private.?key|webhook")


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting in effect.

    Args:
        path: Its name's parts.
        value: As it may be shown.
        origin: A variable's name, `file`, `default`, or what it follows from.
        line: Of the file, where the file has it.
    """

    path: _Path
    value: Any
    origin: str
    line: int | None = None

    @property
    def key(self) -> str:
        """Its name."""
        return key_text(self.path)


def flatten(value: Any, path: _Path = ()) -> Iterator[tuple[_Path, Any]]:
    """Yield the leaves of nested settings with their paths."""
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping) and (value or not path):
        for name, member in value.items():
            yield from flatten(member, (*path, str(name)))
    else:
        yield path, value


def default_values() -> dict[str, Any]:
    """Return every section as it is without file and environment."""
    return {name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()}


def rows_in_effect(settings: Settings, file: SettingsFile) -> list[SettingRow]:
    """Return every setting in effect: what the file, the environment and the defaults say, and what follows of them."""
    models = dict(_default_models(settings))
    rows = []
    for path, value in flatten(settings):
        origin = find_source(path, file.values, os.environ)
        line = file.line_of(path) if origin == "file" else None
        in_effect, origin = models.pop(path, (value, origin)) if value is None else (value, origin)
        rows.append(SettingRow(path, shown(path, in_effect), origin, line))
    return [*rows, *(SettingRow(path, value, origin) for path, (value, origin) in models.items())]


def find_source(path: _Path, file: Mapping[str, Any], environment: Mapping[str, str]) -> str:
    """Return where the value at `path` comes from: a variable's name, `file` or `default`."""
    names = {name.upper() for name in environment}
    for depth in range(len(path), 0, -1):
        if (variable := variable_of(path[:depth])) in names:
            return variable
    if (old_variable := old_variable_at(path, environment)) is not None:
        return old_variable
    table: Any = file
    for part in path:
        if not isinstance(table, Mapping) or part not in table:
            return "default"
        table = table[part]
    return "file"


def _default_models(settings: Settings) -> Iterator[tuple[_Path, tuple[str, str]]]:
    """Yield each model that an agent gets without naming one: where its own would stand, and from what it follows."""
    for repository in ("", *settings.repository):
        own = settings.repository[repository] if repository else None
        prefix: _Path = ("repository", repository) if repository else ()
        tables = own.agents if own is not None else settings.agents
        places: list[tuple[_Path, AgentChoice | None]] = [((*prefix, "agent", "model"), None)]
        if own is not None and not own.agent:
            places = []
        places += [((*prefix, "agents", name, "model"), AgentChoice(agent=name)) for name in tables]
        for path, choice in places:
            agent, named = settings.agent_for(repository, choice), _named_model(settings, repository, choice)
            if named is None and agent.model is not None:
                origin = f"default of {', '.join(f'[providers.{name}]' for name in names_of(agent.provider))}"
                yield path, (agent.model, origin)


def _named_model(settings: Settings, repository: str, choice: AgentChoice | None) -> str | None:
    """Return the model that some table names for an agent; a default one is in none."""
    agent = settings.agent_for(repository, choice)
    bare = settings.model_copy(update={"providers": {}})
    return bare.agent_for(repository, choice).model if agent.model is not None else None


def shown(path: KeyPath, value: Any) -> Any:
    """Return a value as it may be shown: without what is a secret by its look, its name or its place in a URL."""
    if isinstance(value, Mapping):
        return {name: shown((*path, str(name)), member) for name, member in value.items()}
    if isinstance(value, tuple | list):
        return [shown((*path, index), member) for index, member in enumerate(value)]
    if isinstance(value, BaseModel):
        return shown(path, value.model_dump(mode="json", exclude_unset=True))
    if not isinstance(value, str):
        return value
    is_free = "options" in path
    if is_free and _SECRET_NAME.search(str(path[-1])):
        return MASK
    return Redactor().redact(_URL.sub(lambda match: _shown_url(match[0], only_host=is_free or _is_secret(path)), value))


def _is_secret(path: KeyPath) -> bool:
    try:
        return SECRET_URL in marks_of(annotation_at(Settings, path))
    except KeyError:
        return False


def _shown_url(url: str, *, only_host: bool) -> str:
    """Return a URL without the password and the query in it; with `only_host` without its path too."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    user, at, host = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}:{MASK}@{host}" if at and ":" in user else parts.netloc
    path = f"/{MASK}" if only_host and parts.path.strip("/") else parts.path
    query = f"?{MASK}" if parts.query else ""
    fragment = f"#{MASK}" if parts.fragment else ""
    return f"{parts.scheme}://{netloc}{path}{query}{fragment}"


def value_text(value: Any) -> str:
    """Return a value for people."""
    if value is None:
        return "not set"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value not in ("", {}) else "none"
