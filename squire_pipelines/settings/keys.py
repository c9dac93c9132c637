"""The names of settings: which ones there are, what each may be, and the known one that an unknown one is like.

All of it is read from the sections' own classes.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from squire_pipelines.errors import SettingError
from squire_pipelines.sections.annotations import forms_of, marks_of
from squire_pipelines.settings.file import KeyPath, key_text

_PART = re.compile(r'\.?(?:"([^"]*)"|\'([^\']*)\'|\[(\d{1,6})\]|([^."\'\[\]]+))')
_MAX_GUESSES = 3
_NO_KEY_HINT = "`squire config show --defaults` lists every key with its default"


class SettingValueError(ValueError):
    """A rule on several settings is broken; `key` is the one whose line is shown.

    Args:
        message: What is wrong, in the settings' own words.
        key: The parts of its name.
    """

    def __init__(self, message: str, *, key: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.key = key


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a setting is, if it is one."""
    return next((form for form in forms_of(annotation) if isinstance(form, type) and issubclass(form, BaseModel)), None)


def step_into(annotation: Any, part: str | int) -> Any:
    """Return what a part of a setting may be; None where nothing says it. Raises KeyError where there is no such part.

    Args:
        annotation: Of the setting: a section, a table of names, or a list.
        part: A key, or a place in a list.
    """
    model = model_in(annotation)
    if model is not None:
        return field_annotation(model.model_fields[str(part)])
    for form in forms_of(annotation):
        origin, inner = get_origin(form), get_args(form)
        if origin in (dict, Mapping) and isinstance(part, str):
            return inner[1]
        if origin in (tuple, list) and isinstance(part, int):
            return inner[0]
    if any(form in (Any, dict, list) for form in forms_of(annotation)):
        return None
    raise KeyError(part)


def field_annotation(field: FieldInfo) -> Any:
    """Return what a field may be, with the marks that pydantic keeps beside it."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def annotation_at(annotation: Any, path: Sequence[str | int]) -> Any:
    """Return what the setting at `path` may be; None where nothing says it. Raises KeyError where there is none."""
    for part in path:
        if annotation is None:
            return None
        annotation = step_into(annotation, part)
    return annotation


def is_marked(annotation: Any, path: Sequence[str | int], label: object) -> bool:
    """Return whether `label` stands beside the type of the setting at `path`, of what has it, or of its members."""
    for part in path:
        if label in marks_of(annotation):
            return True
        try:
            annotation = step_into(annotation, part)
        except KeyError:
            return False  # pydantic's names for alternatives are no settings
        if annotation is None:
            return False
    inner = (member for form in forms_of(annotation) for member in get_args(form))
    return label in marks_of(annotation) or any(label in marks_of(member) for member in inner)


def default_at(annotation: Any, path: Sequence[str | int]) -> object:
    """Return the default of the setting at `path`; None where it has none, or where there is no such setting."""
    try:
        model = model_in(annotation_at(annotation, path[:-1])) if path else None
    except KeyError:
        return None
    field = model.model_fields.get(str(path[-1])) if model is not None else None
    return None if field is None or field.is_required() else field.get_default(call_default_factory=True)


def names_in(annotation: Any) -> tuple[str, ...]:
    """Return the keys of a section; none for what has no keys of its own."""
    model = model_in(annotation)
    return tuple(model.model_fields) if model is not None else ()


def similar_key(annotation: Any, path: Sequence[str | int]) -> str | None:
    """Return the known key that the last part of an unknown name is like, if any is."""
    try:
        known = names_in(annotation_at(annotation, path[:-1]))
    except KeyError:
        return None
    return next(iter(get_close_matches(str(path[-1]), known, n=1)), None)


def leaf_paths(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the names of all settings that have one of their own: not those in a table of names."""
    for name, field in model.model_fields.items():
        inner = model_in(field.annotation)
        if inner is not None:
            yield from leaf_paths(inner, (*path, name))
        else:
            yield (*path, name)


def parse_key(text: str, settings: type[BaseModel]) -> KeyPath:
    """Return the parts of a setting's name, as messages and `squire config show` write it.

    A shell takes the quotes from `repository."owner/name".agent.kind`, so that they may be missing there.

    Raises:
        SettingError: There is no such setting; it names the one that is like it.
    """
    parts = _split(text)
    if not parts:
        raise SettingError(f"{text!r} is no key; one looks like dispatch.max_concurrent", hint=_NO_KEY_HINT)
    path = _with_repository(parts, settings)
    annotation: Any = settings
    for index, part in enumerate(path):
        try:
            annotation = step_into(annotation, part) if annotation is not None else None
        except KeyError:
            similar = similar_key(settings, path[: index + 1])
            known = key_text((*path[:index], similar)) if similar else _anywhere(part, settings)
            guess = f"; perhaps {known} is meant" if known else ""
            raise SettingError(f"there is no setting {key_text(path)}{guess}", hint=_NO_KEY_HINT) from None
    return path


def _anywhere(part: str | int, settings: type[BaseModel]) -> str | None:
    """Return the full names of the few settings that are called so in some section."""
    names = [key_text(path) for path in leaf_paths(settings) if path[-1] == part and len(path) > 1]
    return " or ".join(names) if len(names) <= _MAX_GUESSES else None


def _split(text: str) -> list[str | int]:
    parts: list[str | int] = []
    position = 0
    while position < len(text):
        match = _PART.match(text, position)
        if match is None or (match[0].startswith(".") is (position == 0 or match[3] is not None)):
            return []
        if match[3] is not None:
            parts.append(int(match[3]))
        else:
            parts.append(next(group for group in (match[1], match[2], match[4]) if group is not None))
        position = match.end()
    return parts


def _with_repository(parts: list[str | int], settings: type[BaseModel]) -> KeyPath:
    """Put a repository's name together that was taken apart at its dots, since it had no quotes around it."""
    if parts[0] != "repository" or len(parts) == 1 or "/" not in str(parts[1]):
        return tuple(parts)
    known = names_in(annotation_at(settings, ("repository", "owner/name")))
    end = next((index for index, part in enumerate(parts) if index > 1 and part in known), len(parts))
    if end == len(parts) and get_close_matches(str(parts[-1]), known, n=1):
        end -= 1  # a misspelt key and no part of the name
    return ("repository", ".".join(map(str, parts[1:end])), *parts[end:])
