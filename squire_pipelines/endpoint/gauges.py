"""The values of one reading: gauges by family and labels, and totals of counters. What reads them is beside this."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from squire_pipelines.metrics.family import MAX_VALUES, Family

Labels = tuple[str, ...]
_CUTS = frozenset("|\n")


class Gauges:
    """The values of one reading."""

    def __init__(self) -> None:
        self._values: dict[Family, dict[Labels, float]] = {}

    def set(self, family: Family, value: float, *labels: str) -> None:
        """Set a value, whose labels are bounded already."""
        self._values.setdefault(family, {})[labels] = value

    def add(self, family: Family, value: float, *labels: str) -> None:
        """Add to a value, such as that of `other`, which stands for several."""
        values = self._values.setdefault(family, {})
        values[labels] = values.get(labels, 0.0) + value

    def __iter__(self) -> Iterator[tuple[Family, Mapping[Labels, float]]]:
        return iter(self._values.items())


@dataclass(frozen=True, slots=True)
class ReadValues:
    """What one reading gives: gauges, and totals of counters by their series' names."""

    gauges: Gauges = field(default_factory=Gauges)
    counters: Mapping[str, float] = field(default_factory=dict)


def bounded_names(names: Collection[str]) -> frozenset[str]:
    """Return the names that a label may have: not more than so many, in the settings' order."""
    # What the names of series are cut at has no place in a label.
    return frozenset([name for name in dict.fromkeys(names) if not _CUTS.intersection(name)][:MAX_VALUES])
