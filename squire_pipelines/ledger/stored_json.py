"""JSON columns, parsed once when their row is read.

A row that another version of Squire wrote never makes a task unreadable: what this version does not understand is left
out of the value, and stays in the row.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

_ModelT = TypeVar("_ModelT", bound=BaseModel)


def read_json(kind: type[_ModelT], stored: object) -> _ModelT | None:
    """Return a column's value as a `kind`, without the parts that a `kind` does not have or cannot take.

    None when the column is empty, or when the rest is not enough for a `kind`.
    """
    value: Any = deepcopy(stored)
    while value is not None:
        try:
            return kind.model_validate(value)
        except ValidationError as error:
            paths = {_path_in(value, details["loc"]) for details in error.errors(include_url=False)}
        if paths == {()}:
            break
        for *parents, last in sorted(paths - {()}, reverse=True):  # from the end, so that no list's index shifts
            part = value
            for step in parents:
                part = part[step]
            del part[last]
    return None


def _path_in(value: Any, location: Sequence[int | str]) -> tuple[Any, ...]:
    """Return the path to the innermost part of `value` at an error's location, which may go on beyond it."""
    path = []
    for step in location:
        if step in value if isinstance(value, dict) else isinstance(value, list) and step in range(len(value)):
            path.append(step)
            value = value[step]
    return tuple(path)
