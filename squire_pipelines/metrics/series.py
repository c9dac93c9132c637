"""The names of single series in the files of counters, and how two values of one name make one."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from squire_pipelines.metrics.family import Family

_ADDED, _LATEST = "+", "^"
_BETWEEN = "|"
SUM, BUCKET, INFINITE = "sum", "le=", "+Inf"
"""The parts of a histogram: the sum of all values, and how many fell into a bucket and into none before it."""


class Series(NamedTuple):
    """A series by its parts; `part` is `le=BOUND` or `sum` of a histogram, else empty."""

    family: str
    labels: tuple[str, ...]
    part: str


def series_name(family: Family, labels: Iterable[str], part: str = "") -> str:
    """Return the name of a series; its labels are bounded already, so that no line break is in them."""
    sign = _LATEST if family.is_latest else _ADDED
    return sign + _BETWEEN.join((family.name, *labels, part))


def parse_series(name: str) -> Series | None:
    """Return the parts of a name, None for what is none."""
    if not name.startswith((_ADDED, _LATEST)) or _BETWEEN not in name:
        return None
    family, *labels, part = name[1:].split(_BETWEEN)
    return Series(family, tuple(labels), part)


def add_values(totals: dict[str, float], values: Mapping[str, float]) -> None:
    """Add the values of one process to those of others."""
    for name, value in values.items():
        if name.startswith(_LATEST):
            totals[name] = max(value, totals.get(name, value))
        elif name.startswith(_ADDED):
            totals[name] = totals.get(name, 0.0) + value


def add_one(values: dict[str, float], family: Family, labels: Iterable[str], amount: float = 1.0) -> None:
    """Add to a counter whose labels are bounded already."""
    name = series_name(family, labels)
    values[name] = values.get(name, 0.0) + amount


def add_observation(values: dict[str, float], family: Family, labels: tuple[str, ...], value: float) -> None:
    """Add one value, in the family's unit, to a histogram whose labels are bounded already."""
    for part, amount in ((bucket_of(family, value), 1.0), (SUM, value)):
        name = series_name(family, labels, part)
        values[name] = values.get(name, 0.0) + amount


def bucket_of(family: Family, value: float) -> str:
    """Return the part of a histogram that counts a value."""
    index = bisect_left(family.buckets, value)
    return f"{BUCKET}{family.buckets[index] if index < len(family.buckets) else INFINITE}"
