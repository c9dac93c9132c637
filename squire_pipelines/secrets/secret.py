"""The type of a secret in memory: it shows itself in no log, no traceback, no pickle. Finding one is `lookup`'s."""

from collections import OrderedDict
from typing import NoReturn

from squire_pipelines.secrets.uses import count_use

_MAX_KNOWN = 256
known_values: OrderedDict[str, None] = OrderedDict()


class Secret:
    """A secret's value with its name and where it came from (`environment`, a path, `keyring`).

    The process remembers the values of those that it makes, the last 256, so that its logs can be kept free of them.
    """

    __slots__ = ("_value", "name", "origin")

    def __init__(self, value: str, *, name: str = "secret", origin: str = "") -> None:
        self._value = value
        self.name = name
        self.origin = origin
        known_values[value] = None
        known_values.move_to_end(value)
        if len(known_values) > _MAX_KNOWN:
            known_values.popitem(last=False)
        if origin:  # it was found in a place where people keep secrets, and not made here
            count_use("read", name, origin)

    def reveal(self) -> str:
        """Return the value itself. Whoever calls this answers for where it goes."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    def __str__(self) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        # A pickled secret would end in a run's config or on a disk.
        raise TypeError(f"the secret {self.name} is not written anywhere")


def known_secrets() -> tuple[str, ...]:
    """Return the values of the secrets that this process has made, for a redactor."""
    return tuple(known_values)
