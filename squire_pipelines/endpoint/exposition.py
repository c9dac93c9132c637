"""Metrics as Prometheus' text: gauges and counters become its families, by the names and labels that ours define."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from squire_pipelines.endpoint.gauges import Gauges, Labels
from squire_pipelines.metrics.families import ALL, BY_NAME
from squire_pipelines.metrics.family import Family, FamilyKind, Origin
from squire_pipelines.metrics.series import BUCKET, SUM, parse_series, series_name

# Prometheus takes some thousands of lines from one target with ease; a scrape has to end.
MAX_SERIES = 20_000
MAX_ZEROS = 64
"""Combinations of one family's labels."""


@dataclass(frozen=True, slots=True, eq=False)  # a registry needs one that can be hashed
class _Collected(Collector):
    families: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


def zeros_of(origin: Origin) -> dict[str, float]:
    """Return the counters of an origin that are 0 before anything happens, so that the first time is an increase too.

    Those with many combinations of labels, or labels of the settings' names, appear when they are counted first.
    """
    values: dict[str, float] = {}
    for family in ALL:
        labels = [label.values for label in family.labels if isinstance(label.values, tuple)]
        is_small = math.prod(map(len, labels)) <= MAX_ZEROS and len(labels) == len(family.labels)
        if family.origin is origin and family.kind is FamilyKind.COUNTER and is_small:
            values |= {series_name(family, combination): 0.0 for combination in product(*labels)}
    return values


def text_of(gauges: Iterable[Gauges], counters: Iterable[Mapping[str, float]]) -> bytes:
    """Return all values as Prometheus' text; counters of families that this version does not have are left out."""
    registry = CollectorRegistry(auto_describe=False)
    families = [*_gauge_families(gauges), *_counter_families(counters)]
    registry.register(_Collected(sorted(families, key=lambda family: family.name)))
    return generate_latest(registry)


def _gauge_families(readings: Iterable[Gauges]) -> Iterator[Metric]:
    for gauges in readings:
        for family, values in gauges:
            yield _gauge(family, values)


def _gauge(family: Family, values: Mapping[Labels, float]) -> Metric:
    names = [label.name for label in family.labels]
    if family.kind is FamilyKind.COUNTER:
        metric: GaugeMetricFamily | CounterMetricFamily = CounterMetricFamily(family.name, family.help, labels=names)
    else:
        metric = GaugeMetricFamily(family.name, family.help, labels=names)
    for labels, value in values.items():
        metric.add_metric(labels, value)
    return metric


def _counter_families(counters: Iterable[Mapping[str, float]]) -> Iterator[Metric]:
    values: dict[Family, dict[Labels, dict[str, float]]] = {}
    count = 0
    for series in counters:
        for name, value in series.items():
            parsed = parse_series(name)
            family = BY_NAME.get(parsed.family) if parsed is not None else None
            if parsed is None or family is None or len(parsed.labels) != len(family.labels):
                continue
            count += 1
            if count <= MAX_SERIES:
                values.setdefault(family, {}).setdefault(parsed.labels, {})[parsed.part] = value
    for family, by_labels in values.items():
        if family.kind is FamilyKind.HISTOGRAM:
            yield _histogram(family, by_labels)
        else:
            yield _gauge(family, {labels: parts[""] for labels, parts in by_labels.items() if "" in parts})


def _histogram(family: Family, by_labels: Mapping[Labels, Mapping[str, float]]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=[label.name for label in family.labels])
    for labels, parts in by_labels.items():
        total = 0.0
        buckets: list[tuple[str, float]] = []
        for bound in (*map(str, family.buckets), "+Inf"):
            total += parts.get(f"{BUCKET}{bound}", 0.0)
            buckets.append((bound, total))
        metric.add_metric(labels, buckets, parts.get(SUM, 0.0))
    return metric
