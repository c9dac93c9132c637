"""What one check of `squire doctor` found."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import click

from squire_pipelines.cli.context import emit_json
from squire_pipelines.domain.conditions import ConditionState, HealthLevel
from squire_pipelines.errors import SquireError
from squire_pipelines.terminal.output import write_hanging

Status = Literal["ok", "warn", "fail"]
_STATUSES: dict[HealthLevel, Status] = {
    HealthLevel.OK: "ok",
    HealthLevel.DEGRADED: "warn",
    HealthLevel.DOWN: "fail",
}
_COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


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

    @classmethod
    def of_state(cls, name: str, state: ConditionState) -> "Diagnosis":
        """Make the line of what one look at something has shown."""
        return cls(name, _STATUSES[state.level], state.reason, state.hint)

    def show(self) -> None:
        """Write the line of the report, and the next step below it."""
        status = click.style(f"{self.status:<5}", fg=_COLORS[self.status])
        indent = len(f"{self.status:<5}{self.name:<15} ")
        write_hanging(f"{status}{self.name:<15} ", self.message, indent=indent)
        if self.next_step and self.status != "ok":
            write_hanging(" " * indent, f"next: {self.next_step}", indent=indent)


def show_all(results: Iterable[Diagnosis], *, as_json: bool) -> bool:
    """Write each result as soon as it is there, or all as JSON; return whether a check failed."""
    shown = []
    for result in results:
        shown.append(result)
        if not as_json:
            result.show()
    if as_json:
        emit_json(shown)
    return any(result.status == "fail" for result in shown)
