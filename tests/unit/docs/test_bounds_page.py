"""The page of the bounds has all that grows, with the settings and defaults that there are."""

from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.cli.history_shell import KEPT_LINES
from squire_pipelines.domain.debugging import MAX_WINDOWS
from squire_pipelines.home import Home
from squire_pipelines.ledger.sqlite import MAX_WAL_BYTES
from squire_pipelines.ledger.tables import metadata
from squire_pipelines.metrics.folding import FOLD_AT, MAX_FILES
from squire_pipelines.settings.model import Settings
from squire_pipelines.warehouse.files import KEPT_WALS
from tests.support.bounds_page import BoundRow, rows_of, unlisted

ROWS = rows_of("Files of the home") + rows_of("Tables of the ledger")


def default_of(setting: str) -> Any:
    return reduce(getattr, setting.split("."), Settings())


def test_each_table_of_the_ledger_has_something_that_ends_its_rows() -> None:
    assert {name for row in rows_of("Tables of the ledger") for name in row.names} == set(metadata.tables)


@pytest.mark.parametrize("row", [row for row in ROWS if row.setting], ids=lambda row: row.setting)
def test_a_bound_is_the_settings_default(row: BoundRow) -> None:
    number, _, unit = row.default.partition(" ")
    assert float(number) * (2**30 if unit == "GiB" else 1) == default_of(row.setting)
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


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("ledger.sqlite", f"its log is cut at {MAX_WAL_BYTES // 2**20} MiB"),
        ("metrics", f"from {FOLD_AT} files on"),
        ("metrics", f"a process that finds {MAX_FILES:,} does not count"),
        ("warehouse.duckdb", f"(`.aside`), the newest {KEPT_WALS} stay"),
        ("history-shell", f"the newest {KEPT_LINES:,} lines stay"),
    ],
)
def test_a_bound_without_a_setting_is_that_of_the_code(place: str, text: str) -> None:
    (row,) = (row for row in rows_of("Files of the home") if place in row.names)
    assert text in row.end


def test_what_is_debugged_has_so_many_entries() -> None:
    (row,) = (row for row in rows_of("Files of the home") if "settings" in row.names)
    assert f"(`debug.json`, {MAX_WINDOWS} entries)" in row.end
