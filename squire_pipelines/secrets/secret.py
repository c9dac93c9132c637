"""The type of a secret in memory: it shows itself in no log, no traceback, no pickle. Finding one is `lookup`'s."""

from typing import NoReturn


class Secret:
    """A secret's value with its name and where it came from (`environment`, a path, `keyring`)."""

    __slots__ = ("_value", "name", "origin")

    def __init__(self, value: str, *, name: str = "secret", origin: str = "") -> None:
        self._value = value
        self.name = name
        self.origin = origin

    def reveal(self) -> str:
        """The value itself. Whoever calls this answers for where it goes."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    def __str__(self) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        # A pickled secret would end in a run's config or on a disk.
        raise TypeError(f"the secret {self.name} is not written anywhere")
