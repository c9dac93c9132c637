"""A tenant's warehouse has its own rows in every table, and no word of another's."""

from pathlib import Path

import duckdb
import pytest

from squire_pipelines.errors import WarehouseError
from squire_pipelines.ledger import tenants
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.operation import WarehouseSettings
from squire_pipelines.warehouse import schema
from squire_pipelines.warehouse.publish import publish_warehouse
from squire_pipelines.warehouse.tenant_files import CONDITIONS, publish_tenant_files
from tests.support.ledgers import new_sqlite_ledger
from tests.support.tenants import OWNERS, TenantWork, fill

NAMES = ("acme", "beta", "default")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return new_sqlite_ledger(tmp_path / "ledger.sqlite")


def publish(ledger: Ledger, folder: Path) -> dict[str, Path]:
    whole = folder / "warehouse.duckdb"
    publish_warehouse(ledger, whole, WarehouseSettings())
    paths = {name: folder / f"warehouse-{name}.duckdb" for name in NAMES}
    assert publish_tenant_files(whole, NAMES, paths.__getitem__, WarehouseSettings()) == tuple(paths.values())
    return paths | {"whole": whole}


def texts(path: Path) -> dict[str, str]:
    """Return all that each table of a file says."""
    with duckdb.connect(str(path), read_only=True) as connection:
        names = [name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        return {name: repr(connection.execute(f"FROM {name}").fetchall()) for name in names}


def test_every_table_has_a_rule_by_which_rows_are_a_tenants() -> None:
    assert set(CONDITIONS) == {*schema.TABLES, *schema.OWN}


def test_no_table_of_a_tenants_file_has_anothers_row_or_text(ledger: Ledger, tmp_path: Path) -> None:
    work = fill(ledger)
    paths = publish(ledger, tmp_path)
    whole = texts(paths["whole"])
    for name in NAMES:
        own, foreign = work[name], [one for other, one in work.items() if other != name]
        tables = texts(paths[name])
        assert set(tables) == set(whole)
        for table, text in tables.items():
            for other in foreign:
                marks = (other.word, other.repository, other.ended, other.waiting, other.attempt, other.plan)
                assert [mark for mark in marks if mark in text] == [], (name, table)
            has_own = any(mark in whole[table] for mark in (own.word, own.repository, own.ended))
            assert has_own == any(mark in text for mark in (own.word, own.repository, own.ended)), (name, table)
        raw = paths[name].read_bytes()
        assert not [one.repository for one in foreign if one.repository.encode() in raw]
        assert paths[name].stat().st_mode & 0o777 == paths["whole"].stat().st_mode & 0o777
    assert "task_facts" in whole
    assert whole["success_weeks"] != "[]"


def test_history_stays_with_the_tenant_that_had_it(ledger: Ledger, tmp_path: Path) -> None:
    work = fill(ledger)
    tenants.record_tenants(ledger, {"acme/shop": "beta"})
    paths = publish(ledger, tmp_path)
    ids = {}
    for name in NAMES:
        with duckdb.connect(str(paths[name]), read_only=True) as connection:
            ids[name] = {row[0] for row in connection.execute("SELECT id FROM tasks").fetchall()}
    assert ids["acme"] == {work["acme"].ended}
    assert {work["acme"].waiting, work["beta"].ended} <= ids["beta"]


def test_a_file_of_a_tenant_that_is_no_more_is_removed(ledger: Ledger, tmp_path: Path) -> None:
    fill(ledger)
    paths = publish(ledger, tmp_path)
    publish_tenant_files(paths["whole"], ("acme",), paths.__getitem__, WarehouseSettings())
    assert [paths[name].exists() for name in ("acme", "beta", "whole")] == [True, False, True]
    publish_tenant_files(paths["whole"], (), paths.__getitem__, WarehouseSettings())
    assert not paths["acme"].exists()


def test_a_file_that_cannot_be_built_leaves_the_one_before(ledger: Ledger, tmp_path: Path) -> None:
    work: dict[str, TenantWork] = fill(ledger)
    paths = publish(ledger, tmp_path)
    before = paths["acme"].read_bytes()
    broken = tmp_path / "broken.duckdb"
    broken.write_bytes(b"no database")
    with pytest.raises(WarehouseError, match="cannot be published"):
        publish_tenant_files(broken, ("acme",), paths.__getitem__, WarehouseSettings())
    assert paths["acme"].read_bytes() == before
    assert set(work) == set(OWNERS.values())
