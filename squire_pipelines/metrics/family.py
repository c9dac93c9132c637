"""What a family of metrics is: a name by Prometheus' rules, its unit, and labels that have only so many values.

The rules: https://prometheus.io/docs/practices/naming/. A label is never a title, a branch, a URL or another text of
somebody's: whatever is not among its values is counted as `other`.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

OTHER = "other"
"""The value of a label for whatever is not among its values."""

MAX_VALUES = 100
"""Of one label: repositories and models beyond that are counted as `other`."""


class FamilyKind(StrEnum):
    """What a family's values are."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Origin(StrEnum):
    """Where a family's values come from."""

    LEDGER = "the ledger"
    PROCESSES = "counters of each process"
    MACHINE = "this machine"
    ENDPOINT = "the endpoint itself"


class SettingsNames(StrEnum):
    """The names of the settings that a label's values may be."""

    REPOSITORIES = "the repositories of the settings"
    MODELS = "the models of the settings"
    PROVIDERS = "the providers of the settings that have a limit of the day"
    SCOPES = "a repository of the settings, or `*` for all together"


@dataclass(frozen=True, slots=True)
class Label:
    """One label.

    Args:
        name: Of the label.
        values: All that it may be, but for `other`; names of the settings where these decide.
    """

    name: str
    values: tuple[str, ...] | SettingsNames

    def bounded(self, value: str | None, names: Collection[str] = ()) -> str:
        """Return a value as it is counted. `names` are those of the settings, for a label of them."""
        known = names if isinstance(self.values, SettingsNames) else self.values
        return value if value is not None and value in known else OTHER


@dataclass(frozen=True, slots=True, eq=False)  # there is one of each name, so that it is quick to look up
class Family:
    """A family of metrics.

    Args:
        name: With its unit, and `_total` for a counter.
        kind: What its values are.
        origin: Where they come from.
        help: What they mean, in one sentence.
        labels: In their order.
        buckets: Upper bounds of a histogram's buckets, in the family's unit; the infinite one is not among them.
        is_latest: Of a gauge that processes set: of several values the greatest counts, such as a last moment.
    """

    name: str
    kind: FamilyKind
    origin: Origin
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    is_latest: bool = False

    def bounded(self, values: Iterable[str | None]) -> tuple[str, ...]:
        """Return the values of labels that have fixed ones as they are counted."""
        return tuple(label.bounded(value) for label, value in zip(self.labels, values, strict=True))
