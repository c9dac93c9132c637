"""The page of the bounds has all that grows, with the settings and defaults that there are."""

from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.home import Home
from squire_pipelines.ledger.tables import metadata
from squire_pipelines.settings.model import Settings
from tests.support.bounds_page import BoundRow, rows_of, unlisted

ROWS = rows_of("Files of the home") + rows_of("Tables of the ledger")


def default_of(setting: str) -> Any:
    return reduce(getattr, setting.split("."), Settings())


def test_each_table_of_the_ledger_has_something_that_ends_its_rows() -> None:
    assert {name for row in rows_of("Tables of the ledger") for name in row.names} == set(metadata.tables)


@pytest.mark.parametrize("row", [row for row in ROWS if row.setting], ids=lambda row: row.setting)
def test_a_bound_is_the_settings_default(row: BoundRow) -> None:
    number, _, unit = row.default.partition(" ")
    assert float(number) == default_of(row.setting)
    assert (unit in {"day", "days"}) == row.setting.endswith("_days")


def test_a_bound_has_a_setting_and_a_setting_a_bound() -> None:
    assert [row for row in ROWS if bool(row.default) != bool(row.setting)] == []
    assert len([row for row in ROWS if row.setting]) > 15


def test_all_that_the_home_names_is_listed(tmp_path: Path) -> None:
    home = Home(config=tmp_path, data=tmp_path, cache=tmp_path / "cache", state=tmp_path)
    places = {value for name in dir(Home) if isinstance(value := getattr(home, name), Path) and value != tmp_path}
    assert len(places) > 15
    places -= {home.cache, home.reload_request}  # which is in `settings`
    for place in sorted(places, reverse=True):  # what is in a folder before the folder, which is then one
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    assert unlisted(tmp_path) == []
    (tmp_path / "new").mkdir()
    (tmp_path / "cache" / "new").mkdir()
    assert unlisted(tmp_path) == ["cache/new", "new"]
