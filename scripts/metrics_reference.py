"""Writes docs/reference/metrics.md from the families of metrics; `--check` fails when it is not up to date."""

import sys
from pathlib import Path

from scripts.reference_page import write_or_check
from squire_pipelines.endpoint.snapshot import MOST_OF_THE_TIME
from squire_pipelines.metrics.families import ALL
from squire_pipelines.metrics.family import MAX_VALUES, Family, Label, SettingsNames

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "metrics.md"
_SHOWN = 14
_HEAD = f"""\
# Metrics

<!-- Written by scripts/metrics_reference.py from the families of metrics; do not edit. -->

All that `/metrics` serves, see [Metrics](../guide/metrics.md). Names follow
[Prometheus' rules](https://prometheus.io/docs/practices/naming/): base units, and `_total` for what only grows. Names
that the old Squire had are kept where they mean the same, with its labels `repo` and `status`.

- **A label has only so many values.** What is not among them is counted as `other`: a repository or model that the
  settings do not have, or more than {MAX_VALUES} of them. None is a title, branch, URL or another text of somebody's.
- **Counters only grow**, also when processes end, are killed, or rows leave the ledger. What processes count comes from
  all of them, also from runs that lived for seconds.
- **A scrape reads nothing.** Values are read every `observability.metrics_interval_s`, in one thread; a reading that
  takes long is made less often, at most {MOST_OF_THE_TIME:.0%} of the time. `squire_metrics_age_seconds`
  is how old the values are.

| name | kind | labels | is | from |
|---|---|---|---|---|
"""


def _label(label: Label) -> str:
    if isinstance(label.values, SettingsNames):
        return f"`{label.name}`: {label.values.value}"
    if not label.values:
        return f"`{label.name}`"
    more = f" and {len(label.values) - _SHOWN} more" if len(label.values) > _SHOWN else ""
    return f"`{label.name}`: " + ", ".join(f"`{value}`" for value in label.values[:_SHOWN]) + more


def _row(family: Family) -> str:
    labels = "; ".join(_label(label) for label in family.labels)
    buckets = f" Buckets: {', '.join(f'{bound:g}' for bound in family.buckets)}." if family.buckets else ""
    return f"| `{family.name}` | {family.kind} | {labels} | {family.help}{buckets} | {family.origin.value} |"


def page() -> str:
    """Return the page's text."""
    return _HEAD + "\n".join(map(_row, ALL)) + "\n"


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, page(), description=__doc__))
