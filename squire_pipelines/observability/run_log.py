"""Where a step's messages go while it runs: Dagster's event log in an op or a sensor, another logger elsewhere."""

from typing import Protocol


class RunLog(Protocol):
    """What libraries need of the logger that their caller hands them. Arguments are put in with `%`."""

    def warning(self, msg: str, *args: object) -> None:
        """Log something that a person should look at."""

    def exception(self, msg: str, *args: object) -> None:
        """Log the exception that is being handled."""
