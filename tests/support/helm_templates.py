"""A renderer of the part of Helm's templates that our chart is written in. Whatever else a template has is refused.

It knows `.Values` and `.Release.Namespace`, `quote`, `toYaml`, `nindent`, `if`, `if not` and `end`, as
https://helm.sh/docs/chart_template_guide/ has them.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped] # no stubs are installed

from tests.support.yaml_files import load, load_all

_ACTION = re.compile(r"(\{\{.*?\}\})", re.DOTALL)
_INNER = re.compile(r"\{\{(-?)\s*(.*?)\s*\}\}")
_VALUE = re.compile(r"\.Values((?:\.[A-Za-z]\w*)+)")


class TemplateError(Exception):
    """A template has what Helm would refuse, or what this renderer does not know."""


def merged(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with others laid over them, table by table, as Helm merges its files of values."""
    result = dict(values)
    for name, value in others.items():
        old = result.get(name)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            result[name] = merged(old, value)
        else:
            result[name] = value
    return result


def render_chart(
    chart: Path, values: Mapping[str, Any] | None = None, *, namespace: str = "squire"
) -> list[dict[str, Any]]:
    """Return the objects of a chart by its default values with others laid over them. Raises TemplateError."""
    defaults = load((chart / "values.yaml").read_text(encoding="utf-8"))
    all_values = merged(defaults, values or {})
    objects: list[dict[str, Any]] = []
    for path in sorted((chart / "templates").glob("*.yaml")):
        text = render(path.read_text(encoding="utf-8"), all_values, namespace=namespace)
        objects += [document for document in load_all(text) if document]
    return objects


def render(template: str, values: Mapping[str, Any], *, namespace: str) -> str:
    """Return the text of one template. Raises TemplateError."""
    written = ""
    conditions: list[bool] = []
    for part in _ACTION.split(template):
        action = _INNER.fullmatch(part)
        trims, expression = action.groups() if action else ("", None)
        if trims and all(conditions):
            written = written.rstrip()
        if expression == "end":
            if not conditions:
                raise TemplateError("an end has no beginning")
            conditions.pop()
        elif expression is not None and expression.startswith("if "):
            conditions.append(_is_true(expression.removeprefix("if "), values))
        elif all(conditions):
            written += _plain(part) if expression is None else _written(expression, values, namespace)
    if conditions:
        raise TemplateError("an if has no end")
    return written


def _plain(text: str) -> str:
    if "{{" in text:
        raise TemplateError(f"an action is not closed: {text[:80]!r}")
    return text


def _is_true(condition: str, values: Mapping[str, Any]) -> bool:
    negated = condition.startswith("not ")
    return bool(_value(condition.removeprefix("not "), values)) is not negated


def _value(expression: str, values: Mapping[str, Any]) -> Any:
    match = _VALUE.fullmatch(expression)
    if match is None:
        raise TemplateError(f"{expression} is no value")
    value: Any = values
    for name in match[1].split(".")[1:]:
        if not isinstance(value, Mapping) or name not in value:
            raise TemplateError(f"values.yaml has no {expression}")
        value = value[name]
    return value


def _written(expression: str, values: Mapping[str, Any], namespace: str) -> str:
    first, *filters = expression.split(" | ")
    if first == ".Release.Namespace":
        value: Any = namespace
    elif first.startswith("toYaml "):
        dumped = yaml.safe_dump(_value(first.removeprefix("toYaml "), values), width=10_000)
        value = dumped.removesuffix("\n").removesuffix("\n...")
    else:
        value = _value(first, values)
        if isinstance(value, dict | list) or value is None:
            raise TemplateError(f"{first} is no text and no number")
    for name in filters:
        value = _filtered(name, value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _filtered(name: str, value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if name == "quote":
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    if match := re.fullmatch(r"nindent (\d+)", name):
        space = " " * int(match[1])
        return "\n" + "\n".join(space + line for line in text.split("\n"))
    raise TemplateError(f"the function {name} is not known")
