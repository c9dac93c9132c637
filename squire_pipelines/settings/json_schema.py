"""The settings described for others: a JSON Schema for editors of TOML, and each default as the file has it."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from squire_pipelines.domain.container_limits import parse_size
from squire_pipelines.sections.repositories import RepositoryOverrides
from squire_pipelines.settings.file import toml_text
from squire_pipelines.settings.model import Settings

_DRAFT = "http://json-schema.org/draft-07/schema#"  # what editors' extensions for TOML know; nothing newer is used
_DEFINITION = "#/definitions/{model}"


def settings_schema() -> dict[str, Any]:
    """Return the JSON Schema of the settings' file.

    It has each key with its description, bounds and default. Rules on several keys are not in it: `squire config
    validate` knows them.
    """
    schema = schema_of(Settings, title="Squire's settings")
    definitions = schema["definitions"]
    overrides = definitions[RepositoryOverrides.__name__]["properties"]
    for name, node in overrides.items():
        # What differs for one repository is a part of the general section.
        section = definitions.keys() & {schema["properties"].get(name, {}).get("$ref", "").rpartition("/")[2]}
        if section:
            overrides[name] = {"$ref": _DEFINITION.format(model=section.pop())}
        elif name == "agents":
            overrides[name] = schema["properties"][name] | {"description": node.get("description", "")}
    definitions["NamedAgentSettings"]["properties"]["limits"] = {"$ref": _DEFINITION.format(model="LimitSettings")}
    return schema


def schema_of(model: type[BaseModel], *, title: str) -> dict[str, Any]:
    """Return the JSON Schema of a file that has a model's keys.

    Args:
        model: Of the whole file.
        title: Of the schema.
    """
    schema = model.model_json_schema(ref_template=_DEFINITION)
    schema["definitions"] = schema.pop("$defs")
    plain: dict[str, Any] = _plain(schema)
    return {"$schema": _DRAFT, "title": title, **plain}


def _plain(node: Any, *, in_names: bool = False) -> Any:
    """Return a part of a schema without titles and without null, which TOML does not have.

    Args:
        node: The part.
        in_names: Whether the keys of it are names of settings and no words of the schema.
    """
    if isinstance(node, list):
        return [_plain(member) for member in node]
    if not isinstance(node, Mapping):
        return node
    result = {
        key: _plain(member, in_names=key in {"properties", "definitions"} and not in_names)
        for key, member in node.items()
        if in_names or not (key == "title" or (key == "default" and member is None))
    }
    choices = result.get("anyOf")
    if not in_names and isinstance(choices, list):
        left = [choice for choice in choices if choice != {"type": "null"}]
        result["anyOf"] = left
        if len(left) == 1:
            result = {**left[0], **{key: member for key, member in result.items() if key != "anyOf"}}
    return result


def default_text(field: FieldInfo) -> str | None:
    """Return a key's default as TOML; None where it is not set without the file."""
    default = field.get_default(call_default_factory=True)
    if default is None:
        return None
    return size_text(default) if is_size(field) else toml_text(default)


def is_size(field: FieldInfo) -> bool:
    """Return whether a key is a number of bytes, which people write with a unit."""
    return any(getattr(member, "func", None) is parse_size for member in field.metadata)


def size_text(count: int) -> str:
    """Return a number of bytes as TOML: with the largest unit in which it is whole."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count % factor == 0:
            return f'"{count // factor}{unit}"'
    return str(count)
