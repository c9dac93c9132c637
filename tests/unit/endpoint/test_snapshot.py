"""The readings: each as often as it costs, the last values when one fails, and text that Prometheus can parse."""

from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from squire_pipelines.endpoint.exposition import text_of, zeros_of
from squire_pipelines.endpoint.gauges import Gauges, ReadValues, bounded_names
from squire_pipelines.endpoint.ledger_counters import container_result
from squire_pipelines.endpoint.snapshot import MetricsReading, Snapshot
from squire_pipelines.metrics import families
from squire_pipelines.metrics.family import Origin
from squire_pipelines.metrics.series import add_observation, add_one, series_name


class Time:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def samples(text: bytes) -> dict[tuple[str, frozenset[str]], float]:
    """Return every line's value by its name and its labels' values, as Prometheus' own parser reads them."""
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def reading_of(clock: Time, took_s: float, calls: list[float]) -> Callable[[], ReadValues]:
    def read() -> ReadValues:
        calls.append(clock.now)
        clock.now += took_s
        gauges = Gauges()
        gauges.set(families.DELIVERIES_WAITING, len(calls))
        return ReadValues(gauges)

    return read


def test_what_takes_long_is_read_less_often_and_a_scrape_reads_nothing() -> None:
    clock, quick, slow = Time(), list[float](), list[float]()
    readings = (
        MetricsReading("machine", reading_of(clock, 0.001, quick)),
        MetricsReading("tasks", reading_of(clock, 2.0, slow)),
    )
    snapshot = Snapshot(readings, interval_s=lambda: 10, monotonic=clock, wall=clock)
    for _ in range(20):
        snapshot.refresh()
        for _ in range(100):
            snapshot.text()
        clock.now += 10
    assert len(quick) == 20
    assert len(slow) == 2  # 2 s are a fiftieth of 100 s
    values = samples(snapshot.text())
    assert values["squire_metrics_age_seconds", frozenset([])] == 10
    assert values["squire_metrics_reading_duration_seconds", frozenset(["tasks"])] == pytest.approx(2)


def test_a_reading_that_fails_keeps_its_values_and_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="squire")
    clock, calls = Time(), list[float]()
    works = reading_of(clock, 0, calls)

    def read() -> ReadValues:
        if 1 <= len(calls) < 4:
            calls.append(clock.now)
            raise OSError("no disk")
        return works()

    snapshot = Snapshot((MetricsReading("tasks", read),), interval_s=lambda: 10, monotonic=clock, wall=clock)
    for _ in range(3):
        snapshot.refresh()
        clock.now += 10
    values = samples(snapshot.text())
    assert values["squire_deliveries_waiting", frozenset([])] == 1
    assert values["squire_metrics_reading_failures_total", frozenset(["tasks"])] == 2
    assert values["squire_metrics_reading_timestamp_seconds", frozenset(["tasks"])] == 1000
    for _ in range(2):
        snapshot.refresh()
        clock.now += 10
    assert [record.getMessage() for record in caplog.records] == ["metrics cannot be read", "metrics are read again"]


def test_counters_and_histograms_of_several_places_are_text_that_prometheus_parses() -> None:
    values: dict[str, float] = {}
    add_one(values, families.MODEL_COST, ("agent", 'a "model"\\'), 1.25)
    for seconds in (0.1, 3, 1000):
        add_observation(values, families.MODEL_DURATION, ("agent",), seconds)
    text = text_of((), (values, {"+squire_of_another_version_total|": 1, "nonsense": 2}))
    parsed = samples(text)
    assert parsed["squire_model_cost_usd_total", frozenset(["agent", 'a "model"\\'])] == 1.25
    assert parsed["squire_model_call_duration_seconds_bucket", frozenset(["agent", "0.25"])] == 1
    assert parsed["squire_model_call_duration_seconds_bucket", frozenset(["agent", "5"])] == 2
    assert parsed["squire_model_call_duration_seconds_bucket", frozenset(["agent", "+Inf"])] == 3
    assert parsed["squire_model_call_duration_seconds_count", frozenset(["agent"])] == 3
    assert parsed["squire_model_call_duration_seconds_sum", frozenset(["agent"])] == pytest.approx(1003.1)
    assert b"another_version" not in text


def test_counters_with_few_labels_are_there_before_anything_is_counted() -> None:
    ledger, processes = (samples(text_of((), (zeros_of(origin),))) for origin in (Origin.LEDGER, Origin.PROCESSES))
    assert ledger["squire_container_starts_total", frozenset(["docker", "crashed"])] == 0
    assert ("squire_tasks_created_total", frozenset(["o/r"])) not in ledger
    assert processes["squire_deliveries_refused_total", frozenset(["401"])] == 0
    assert processes["squire_containers_orphaned_total", frozenset([])] == 0
    assert set(ledger.values()) == set(processes.values()) == {0}


def test_names_of_the_settings_are_bounded_and_none_breaks_a_series() -> None:
    assert len(bounded_names([f"o/{number}" for number in range(1000)])) == 100
    assert bounded_names(["a|b", "a\nb", "o/r"]) == {"o/r"}
    assert series_name(families.TASKS_CREATED, ("o/r",)) == "+squire_tasks_created_total|o/r|"


@pytest.mark.parametrize(
    ("cause", "result"),
    [
        ("completed", "ended"),
        ("agent_error", "ended"),
        ("killed", "crashed"),
        ("out_of_memory", "out_of_memory"),
        ("timeout", "stopped"),
        ("cancelled", "stopped"),
        ("lost", "lost"),
        ("engine_lost", "lost"),
        ("internal_error", "lost"),
    ],
)
def test_a_container_crashed_when_it_was_killed_and_not_when_its_run_was_lost(cause: str, result: str) -> None:
    assert container_result(cause) == result
    assert result in families.CONTAINER_STARTS.labels[1].values
