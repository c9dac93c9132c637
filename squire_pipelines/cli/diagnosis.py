"""What one check of `squire doctor` found."""

from dataclasses import dataclass
from typing import Literal

from squire_pipelines.errors import SquireError

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One line of the report; `next_step` says what to do unless all is well."""

    name: str
    status: Status
    message: str
    next_step: str = ""

    @classmethod
    def of_error(cls, name: str, error: SquireError) -> "Diagnosis":
        """Make the line of a check that ended with an error."""
        return cls(name, "fail", error.message, error.hint)
