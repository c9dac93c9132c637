"""What the type of a setting says: which forms it may have, and which marks and checks stand beside them."""

import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin


def forms_of(annotation: Any) -> Iterator[Any]:
    """Yield what a setting may be, without marks and alternatives: `Name | None` gives `str` and `None`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from forms_of(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from forms_of(member)
    elif hasattr(annotation, "__value__"):
        yield from forms_of(annotation.__value__)  # a named alias, such as JsonValue
    else:
        yield annotation


def marks_of(annotation: Any) -> Iterator[Any]:
    """Yield what stands beside the type of a setting, of its alternatives too: bounds, checks and marks of ours."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        yield from metadata
        yield from marks_of(inner)
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from marks_of(member)
