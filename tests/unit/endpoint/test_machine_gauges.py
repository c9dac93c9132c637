"""What the home's files say as metrics: each family that is of the machine has a value once there is such a file."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from squire_pipelines.domain.conditions import Condition, HealthLevel
from squire_pipelines.endpoint.machine_gauges import read_machine
from squire_pipelines.health.stored_conditions import change_conditions
from squire_pipelines.metrics import families
from squire_pipelines.metrics.family import Origin
from squire_pipelines.settings.model import Settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_each_family_of_the_machine_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path))
    settings = Settings()
    assert dict(read_machine(settings)).keys() == {families.DISK_FREE, families.DISK_SIZE}
    assert settings.ledger_file is not None
    settings.ledger_file.write_bytes(b"x" * 10)
    settings.home.warehouse.write_bytes(b"x" * 20)
    condition = Condition("engine", HealthLevel.DOWN, "gone", "start it", NOW, NOW, 60.0)
    change_conditions(settings.home, lambda _: {"engine": condition})
    values = dict(read_machine(settings))
    assert values.keys() == {family for family in families.ALL if family.origin is Origin.MACHINE}
    assert values[families.LEDGER_SIZE] == {("ledger",): 10}
    assert values[families.WAREHOUSE_SIZE] == {(): 20}
    assert values[families.WAREHOUSE_PUBLISHED] == {(): settings.home.warehouse.stat().st_mtime}
    assert values[families.CONDITION] == {("engine",): 2}
    assert values[families.CONDITION_CHECKED] == {("engine",): NOW.timestamp()}
    for place in ("data", "state", "cache"):
        assert 0 < values[families.DISK_FREE][place,] <= values[families.DISK_SIZE][place,]
