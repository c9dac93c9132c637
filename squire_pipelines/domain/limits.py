"""Limits of an attempt as a task may ask for them, and sizes as people write them. The settings have the defaults."""

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_UNITS = {"": 1, "b": 1, "k": 2**10, "kib": 2**10, "m": 2**20, "mib": 2**20, "g": 2**30, "gib": 2**30}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)
MIN_MEMORY = 64 * 2**20


def parse_size(value: object) -> object:
    """Bytes of `"4GiB"`, `"512m"` or a plain number. Raises ValueError for another unit."""
    if not isinstance(value, str):
        return value
    if (match := _SIZE.fullmatch(value)) and match[2].lower() in _UNITS:
        return int(float(match[1]) * _UNITS[match[2].lower()])
    raise ValueError("a size is a number of bytes or has one of the units KiB, MiB and GiB, for example 512MiB")


Bytes = Annotated[int, BeforeValidator(parse_size), Field(gt=0)]


class TaskLimits(BaseModel):
    """What differs for one task (or what a task may have at most); what is None is the repository's.

    Sizes in bytes, `wall_clock_s` in seconds; the names are those of the settings' `agent.limits`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cpus: float | None = Field(default=None, gt=0, le=256)
    memory: Annotated[Bytes, Field(ge=MIN_MEMORY)] | None = None
    pids: int | None = Field(default=None, ge=16, le=32768)
    workspace: Bytes | None = None
    wall_clock_s: float | None = Field(default=None, gt=0)
    log: Bytes | None = None

    def asked(self) -> dict[str, float]:
        """The limits that differ."""
        return self.model_dump(exclude_none=True)
