"""Values of settings that no error repeats, since they are secrets or may have one in them."""

from pydantic_core import PydanticCustomError

SECRET_SHOWN = "secret_shown"  # noqa: S105 - the type of an error
"""The type of an error whose value must not be repeated."""


class HiddenValue:
    """Marks the type of a setting whose value no error repeats, also where it has another type than it should."""


HIDDEN = HiddenValue()


def hidden_error(message: str) -> PydanticCustomError:
    """Return an error about a value that it does not repeat."""
    return PydanticCustomError(SECRET_SHOWN, "{reason}", {"reason": message})
