"""Metrics as Prometheus' text: gauges and counters become its families, by the names and labels that ours define."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from squire_pipelines.endpoint.gauges import Gauges, Labels
from squire_pipelines.metrics.families import BY_NAME
from squire_pipelines.metrics.family import Family, FamilyKind
from squire_pipelines.metrics.series import BUCKET, SUM, parse_series

# Prometheus takes some thousands of lines from one target with ease; a scrape has to end.
MAX_SERIES = 20_000


@dataclass(frozen=True, slots=True, eq=False)  # a registry needs one that can be hashed
class _Collected(Collector):
    families: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


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
