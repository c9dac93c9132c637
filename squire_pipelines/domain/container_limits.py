"""The limits of an attempt's container, and sizes as people write them. The settings have the defaults."""

import re
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field

from squire_pipelines.domain.frozen import FrozenModel, SparseModel

_UNITS = {"": 1, "b": 1, "k": 2**10, "kib": 2**10, "m": 2**20, "mib": 2**20, "g": 2**30, "gib": 2**30}
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s{0,10}([a-z]{0,3})", re.IGNORECASE)
MIN_MEMORY = 64 * 2**20
MIN_CPUS = 0.01
"""The least share of a processor that engines can give; less is rounded to none, which is no limit."""
LONGEST_S = 604_800.0
"""One week: the longest wait. Beyond 24 days waits overflow in the system's calls, beyond the year 9999 in dates."""


def parse_size(value: object) -> object:
    """Return the bytes of `"4GiB"`, `"512m"` or a plain number. Raises ValueError for another unit."""
    if not isinstance(value, str):
        return value
    if (match := _SIZE.fullmatch(value.strip())) and match[2].lower() in _UNITS:
        return int(float(match[1]) * _UNITS[match[2].lower()])
    raise ValueError("a size is a number of bytes or has one of the units KiB, MiB and GiB, for example 512MiB")


_SizeText = Annotated[str, Field(pattern=r"^\s*\d{1,18}(\.\d{1,18})?\s*[A-Za-z]{0,3}\s*$")]
Bytes = Annotated[int, BeforeValidator(parse_size, json_schema_input_type=int | _SizeText), Field(gt=0, le=2**50)]


class TaskLimits(FrozenModel):
    """What differs for one task (or what a task may have at most); None stands for the repository's limit.

    Sizes are in bytes; the names are those of the settings' `agent.limits`.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    cpus: float | None = Field(default=None, ge=MIN_CPUS, le=256)
    memory: Annotated[Bytes, Field(ge=MIN_MEMORY)] | None = None
    pids: int | None = Field(default=None, ge=16, le=32768)
    workspace: Bytes | None = None
    wall_clock_s: float | None = Field(default=None, gt=0, le=LONGEST_S)
    log: Bytes | None = None

    def asked(self) -> dict[str, float]:
        """Return the limits that differ."""
        return self.model_dump(exclude_none=True)


class AppliedLimits(SparseModel, TaskLimits):
    """What an attempt's container could use, as its row keeps it; None where another version did not write it."""

    home: int | None = None
    tmp: int | None = None
    open_files: int | None = None
    output: int | None = None
    transcript: int | None = None
    grace_s: float | None = None
