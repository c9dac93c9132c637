"""The asset `history/report`: a page, pictures and numbers; without a warehouse, a failure that says what to do."""

from pathlib import Path

import dagster as dg
import pytest

from squire_pipelines.assets.report import report
from squire_pipelines.resources.stores import SettingsResource
from squire_pipelines.sections.operation import WarehouseSettings
from squire_pipelines.settings.model import load_settings
from squire_pipelines.warehouse.publish import publish_warehouse
from tests.support.ledgers import new_sqlite_ledger
from tests.support.years import fill


def _materialized() -> dg.ExecuteInProcessResult:
    return dg.materialize([report], resources={"settings": SettingsResource()}, raise_on_error=False)


@pytest.mark.slow
def test_report_is_a_page_with_pictures_and_numbers() -> None:
    home = load_settings().home
    home.data.mkdir(parents=True, exist_ok=True)
    ledger = new_sqlite_ledger(home.data / "ledger.sqlite")
    fill(ledger, days=10, tasks=40)
    publish_warehouse(ledger, home.warehouse, WarehouseSettings(memory_limit=256 * 2**20))
    ledger.close()

    result = _materialized()

    assert result.success
    (event,) = result.asset_materializations_for_node("history__report")
    assert event.metadata["created"].value == 40
    assert isinstance(event.metadata["success_rate"].value, float)
    pictures = [Path(str(value.value)) for name, value in event.metadata.items() if name.startswith("plot_")]
    assert len(pictures) == 6
    for picture in pictures:
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_mode & 0o077 == 0
    # The event log keeps every day's metadata, and no picture is in it.
    assert sum(len(str(value.value)) for value in event.metadata.values()) < 10_000
    assert Path(str(event.metadata["dagster/uri"].value)).read_text().startswith("<!DOCTYPE html>")


@pytest.mark.slow
def test_without_a_warehouse_the_failure_says_what_to_do() -> None:
    result = _materialized()
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert failure.step_failure_data.user_failure_data
    assert failure.step_failure_data.user_failure_data.description == "nothing has been published yet"
