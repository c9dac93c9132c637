"""Moments that others name, as a type: aware, in UTC, and of years that every store can hold and sort. Pure."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator

FIRST_YEAR, LAST_YEAR = 1970, 2999


def check_moment(moment: datetime) -> datetime:
    """Return a moment in UTC. Raises ValueError for a naive one, and for one before 1970 or after 2999."""
    if moment.tzinfo is None:
        raise ValueError("has no time zone")
    # Compared before it is moved to UTC, which fails at either end of the calendar.
    if FIRST_YEAR <= moment.year <= LAST_YEAR:
        in_utc = moment.astimezone(UTC)
        if FIRST_YEAR <= in_utc.year <= LAST_YEAR:
            return in_utc
    raise ValueError(f"is not between the years {FIRST_YEAR} and {LAST_YEAR}")


def parse_moment(text: object) -> datetime:
    """Return the moment that a text names as ISO 8601 has it. Raises ValueError, as `check_moment` does too."""
    if not isinstance(text, str):
        raise ValueError("is no time as ISO 8601 has it")  # noqa: TRY004 - pydantic turns ValueError alone into a finding
    return check_moment(datetime.fromisoformat(text))


def moment_text(moment: datetime) -> str:
    """Return a moment as text of fixed width, which sorts as time does: `2026-01-02T03:04:05.000006Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


Moment = Annotated[datetime, AfterValidator(check_moment)]
