"""Writes docs/reference/settings.md from the settings' classes; `--check` fails when it is not up to date."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from scripts.reference_page import write_or_check
from squire_pipelines.sections.agents import ChooseSettings, NamedAgentSettings
from squire_pipelines.sections.alerts import AlertRuleSettings
from squire_pipelines.sections.gateway import PriceSettings, RegistrySettings
from squire_pipelines.sections.hooks import HookSettings
from squire_pipelines.sections.repositories import RepositoryOverrides
from squire_pipelines.sections.signals import SourceSettings
from squire_pipelines.settings.json_schema import default_text, is_size, settings_schema
from squire_pipelines.settings.keys import model_in
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.providers import ProviderSettings
from squire_pipelines.settings.restarts import RESTART_KEYS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "settings.md"
_HEAD = """\
# Settings

<!-- Written by scripts/settings_reference.py from the settings' classes; do not edit. -->

Every key of `config.toml` with what it may be and its default. [Configuration](../guide/configuration.md) explains
them. A variable is named after its key: `SQUIRE_DISPATCH__MAX_CONCURRENT` sets `dispatch.max_concurrent`. Squire
checks more than stands here, such as rules on several keys: `squire config validate` says what is wrong.

`squire config schema` writes the same as a JSON Schema for editors. `squire init` puts it beside the file, whose first
line (`#:schema`) names it: VS Code with Even Better TOML, and others with taplo, then complete and check the keys.

A changed file is taken by the processes that run, see
[Configuration](../guide/configuration.md#changes-without-a-restart). What needs a restart says so here: of
`squire dev`, or of the process that is named where each is started by itself.
"""
_TABLES: tuple[tuple[str, type[BaseModel]], ...] = (
    ("[providers.NAME]", ProviderSettings),
    ("[agents.NAME]", NamedAgentSettings),
    ("[[agent.choose]]", ChooseSettings),
    ('[gateway.prices."MODEL"]', PriceSettings),
    ("[gateway.registries.NAME]", RegistrySettings),
    ("[alerts.rules.RULE]", AlertRuleSettings),
    ("[sources.NAME]", SourceSettings),
    ("[hooks.NAME]", HookSettings),
    ('[repository."owner/name"]', RepositoryOverrides),
)
_MAX_DEFAULT = 160
_SIZE = "whole number or text"
_WORDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "object": "table",
}


def _type(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Return in words what a part of the schema permits."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return "table" if definitions[name].get("type") == "object" else _type(definitions[name], definitions)
    if "anyOf" in node:
        return " or ".join(dict.fromkeys(_type(choice, definitions) for choice in node["anyOf"]))
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if "const" in node:
        return f"`{node['const']}`"
    if node.get("type") == "array":
        return f"list of {_type(node.get('items', {}), definitions)}"
    word = _WORDS.get(node.get("type", ""), "any")
    bounds = [
        f"{words} {node[key]:g}"
        for key, words in (
            ("minimum", "from"),
            ("exclusiveMinimum", "more than"),
            ("maximum", "to"),
            ("exclusiveMaximum", "less than"),
        )
        if key in node
    ]
    if "maxLength" in node:
        bounds.append(f"to {node['maxLength']} characters")
    return ", ".join([word, *bounds])


def _restart(key: str) -> str:
    """Return whose restart a key needs; a table's stands for all its keys."""
    parts = RESTART_KEYS.get(key) or RESTART_KEYS.get(key.rpartition(".")[0])
    return f"needs a restart: {', '.join(sorted(parts))}" if parts else ""


def _section(
    title: str, model: type[BaseModel], schema: Mapping[str, Any], definitions: Mapping[str, Any]
) -> Iterator[str]:
    """Yield a section's lines, then those of the sections in it."""
    yield f"\n## `{title}`\n\n" if title else "\n## Top level\n\n"
    if title and model.__doc__:
        yield " ".join(line.strip() for line in model.__doc__.strip().splitlines()) + "\n\n"
    yield "| key | may be | default | is |\n|---|---|---|---|\n"
    inner: list[tuple[str, type[BaseModel], Mapping[str, Any]]] = []
    for name, field in model.model_fields.items():
        node = schema["properties"][name]
        section = model_in(field.annotation)
        if section is not None:
            inner.append((f"{title[1:-1]}.{name}".lstrip("."), section, definitions[section.__name__]))
            continue
        default = None if field.is_required() else default_text(field)
        shown = "required" if field.is_required() else "not set" if default is None else f"`{default}`"
        if len(shown) > _MAX_DEFAULT:
            shown = "a list, see `squire config show --defaults`"
        kind = _type(node, definitions)
        if is_size(field) or kind == _SIZE:
            kind = "bytes, or text like `512MiB`"
        key = f"{title[1:-1]}.{name}".lstrip(".")
        cells = (f"`{name}`", kind, shown, "; ".join(filter(None, (field.description, _restart(key)))))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
    for key, section, node in inner:
        yield from _section(f"[{key}]", section, node, definitions)


def page() -> str:
    """Return the page's text."""
    schema = settings_schema()
    definitions = schema["definitions"]
    parts = [_HEAD, *_section("", Settings, schema, definitions)]
    for title, model in _TABLES:
        parts += _section(title, model, definitions[model.__name__], definitions)
    return "".join(parts)


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page(), description=__doc__))
