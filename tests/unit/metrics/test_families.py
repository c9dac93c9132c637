"""The families hold to Prometheus' rules, and no label can grow without end."""

import re

import pytest

from squire_pipelines.definitions import build_defs
from squire_pipelines.metrics import families
from squire_pipelines.metrics.family import OTHER, Family, FamilyKind, SettingsNames

NAME = re.compile(r"squire_[a-z]+(_[a-z]+)*")
UNITS = ("_seconds", "_bytes", "_usd", "_tokens", "_total", "_info")
COUNTS = {  # gauges that count things, whose name is these things'
    "squire_tasks", "squire_tasks_running", "squire_tasks_pending", "squire_attempts_open", "squire_condition",
    "squire_github_quota_limit", "squire_github_quota_remaining", "squire_github_quota_forecast_remaining",
    "squire_deliveries_waiting", "squire_deliveries_missing", "squire_metrics_process_files", "squire_alerts_firing",
    "squire_alert_messages_waiting", "squire_alert_messages_dropped",
}  # fmt: skip
# Whatever is a text of somebody's has no place in a label.
FORBIDDEN = {
    "title",
    "branch",
    "url",
    "path",
    "sha",
    "task",
    "attempt",
    "login",
    "author",
    "message",
    "reason",
    "error",
}


@pytest.mark.parametrize("family", families.ALL, ids=lambda family: family.name)
def test_each_name_says_its_unit_by_the_rules(family: Family) -> None:
    assert NAME.fullmatch(family.name)
    assert family.name.endswith("_total") == (family.kind is FamilyKind.COUNTER)
    assert family.name.endswith(UNITS) or family.name in COUNTS
    assert family.help.endswith(".")
    assert (family.kind is FamilyKind.HISTOGRAM) == bool(family.buckets)
    assert list(family.buckets) == sorted(set(family.buckets))


@pytest.mark.parametrize("family", families.ALL, ids=lambda family: family.name)
def test_each_label_has_only_so_many_values_and_none_is_a_text_of_somebodys(family: Family) -> None:
    assert len(family.labels) <= 3
    for label in family.labels:
        assert label.name not in FORBIDDEN
        if label.name == "version":  # our own, one at a time
            continue
        assert isinstance(label.values, SettingsNames) or 0 < len(label.values) <= 40
        hostile = 'x"\n|}'
        assert label.bounded(hostile) == OTHER
        assert label.bounded(None) == OTHER


def test_no_two_families_have_one_name_and_each_is_defined_here() -> None:
    assert len(families.BY_NAME) == len(families.ALL)


def test_each_sensor_is_counted_by_its_own_name() -> None:
    assert sorted(sensor.name for sensor in build_defs().sensors or ()) == sorted(families.SENSORS)
