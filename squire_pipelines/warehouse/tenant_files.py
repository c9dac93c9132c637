"""A warehouse for each tenant, made of the rows of the whole one that are the tenant's: a file of its own, built anew.

Nothing is deleted from a copy, whose free blocks would still have the others' texts. The rules that say which rows are
whose are beside each table here; a table without one is an error.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import duckdb

from squire_pipelines.domain.tenant_alerts import tenant_of_alert
from squire_pipelines.errors import WarehouseError
from squire_pipelines.home import make_folder
from squire_pipelines.ledger.tenant_sql import audit_is_of_tenant, is_of_tenant
from squire_pipelines.ledger.tenants import RecordedOwners
from squire_pipelines.sections.operation import WarehouseSettings
from squire_pipelines.warehouse import changes, engine, files, schema

_SPILL_FACTOR = 16
_THREADS = 2
_WHOLE = "whole"
_Condition = Callable[[str], str]


def _at(moment: str | None, repository: str = "r.repository") -> _Condition:
    return lambda tenant: is_of_tenant(tenant, repository, moment, source=f"{_WHOLE}.")


def _of(condition: str) -> _Condition:
    return lambda _tenant: condition


_OF_A_TASK = _of("r.task_id IN (FROM own_tasks)")

CONDITIONS: Mapping[str, _Condition] = MappingProxyType(
    {
        "tasks": _of("r.id IN (FROM own_tasks)"),
        "task_dependencies": _of("r.task_id IN (FROM own_tasks) AND r.depends_on IN (FROM own_tasks)"),
        "attempts": _OF_A_TASK,
        "task_events": _OF_A_TASK,
        "outcomes": _OF_A_TASK,
        "merges": _OF_A_TASK,
        "base_watches": _OF_A_TASK,
        "signals": _at("r.gone_at"),
        "signal_episodes": _at("r.closed_at"),
        "signal_events": _of("r.episode_id IN (SELECT id FROM signal_episodes)"),
        "check_reruns": _at("r.requested_at"),
        "collections": _at("r.ended_at"),
        "plans": _at("r.created_at"),
        "model_calls": lambda tenant: (
            f"CASE WHEN r.task_id IS NULL THEN r.repository IS NOT NULL AND {_at('r.occurred_at')(tenant)} "
            "ELSE r.task_id IN (FROM own_tasks) END"
        ),
        "deliveries": lambda tenant: f"r.repository IS NOT NULL AND {_at('r.received_at')(tenant)}",
        "delivery_effects": _of("r.delivery IN (SELECT id FROM deliveries)"),
        # Of an address that was refused nobody knows whose it is.
        "delivery_refusals": _of("FALSE"),
        "delivery_checks": _at("r.occurred_at", "r.hook"),
        "budgets": _at("r.opened_at"),
        "alerts": _of("r.id IN (FROM own_alerts)"),
        "audit": lambda tenant: audit_is_of_tenant(
            tenant, "r", moment="occurred_at", tasks=("tasks",), source=f"{_WHOLE}."
        ),
        "targets": _of("TRUE"),
        "repository_targets": _at(None),
        "held_back": lambda tenant: (
            f"CASE WHEN r.task_id IS NULL THEN {_at(None)(tenant)} ELSE r.task_id IN (FROM own_tasks) END"
        ),
        "repositories": _at(None),
        "repository_tenants": lambda tenant: f"r.tenant = '{tenant}'",
        "_publication": _of("TRUE"),
        # They name files with all tenants' rows.
        "_archives": _of("FALSE"),
    }
)
"""By table: which rows of the whole file, as `r`, are a tenant's. What is derived is derived from those."""


def publish_tenant_files(
    whole: Path,
    tenants: Iterable[str],
    path_of: Callable[[str], Path],
    settings: WarehouseSettings,
    *,
    wait_s: float = 60,
) -> tuple[Path, ...]:
    """Publish a file for each tenant beside the whole one, and remove those of tenants that there are no more.

    Args:
        whole: The warehouse of all, as it was published just now.
        tenants: Their names.
        path_of: Gives where a tenant's file is.
        settings: The memory limit.
        wait_s: How long to wait for another publisher of the same file.

    Raises:
        WarehouseError: One cannot be built; those before it are there, and the others are as they were.
    """
    paths = {tenant: path_of(tenant) for tenant in tenants}
    for left in set(whole.parent.glob(f"{whole.stem}-*{whole.suffix}")) - set(paths.values()):
        files.remove(left)
    for tenant, path in paths.items():
        try:
            make_folder(path.parent)
            with files.publication_lock(path, wait_s=wait_s), files.new_file(path) as building:
                _build(whole, tenant, building, settings)
                if os.path.lexists(f"{building}.wal"):
                    raise WarehouseError(f"DuckDB left a write-ahead log beside {building.name}", hint="publish again")
                files.put_in_place(building, path)
        except (OSError, duckdb.Error) as error:
            raise WarehouseError(
                f"the warehouse {path} cannot be published: {engine.reason(error)}",
                hint="free some disk space or raise warehouse.memory_limit; what was published before is unchanged",
            ) from error
    return tuple(paths.values())


def _build(whole: Path, tenant: str, building: Path, settings: WarehouseSettings) -> None:
    link = building.with_name(f"{building.name}.whole")
    link.hardlink_to(whole)  # under a name of its own, beside which there is no log of somebody's who writes to it
    connection = engine.connect(
        building,
        memory_limit=settings.memory_limit,
        spill=building.with_name(f"{building.name}.spill"),
        spill_limit=settings.memory_limit * _SPILL_FACTOR,
        threads=_THREADS,
    )
    with connection:
        connection.execute("SET fsync_mode = 'NONE'")  # `put_in_place` syncs the whole file, once
        connection.execute(f"ATTACH {engine.literal(link)} AS {_WHOLE} (READ_ONLY)")
        connection.begin()
        schema.create_tables(connection)
        _find_own(connection, tenant)
        for table, condition in CONDITIONS.items():
            connection.execute(f"INSERT INTO {table} SELECT r.* FROM {_WHOLE}.{table} r WHERE {condition(tenant)}")  # noqa: S608 - names of ours
        changes.create_touched_tables(connection, everything=True)
        changes.derive(connection)
        schema.create_metrics(connection)
        connection.commit()
        connection.execute(f"DETACH {_WHOLE}")


def _find_own(connection: duckdb.DuckDBPyConnection, tenant: str) -> None:
    """Make temporary tables of the ids of a tenant's tasks and alerts."""
    own = is_of_tenant(tenant, "t.repository", "t.ended_at", source=f"{_WHOLE}.")
    connection.execute(f"CREATE TEMP TABLE own_tasks AS SELECT t.id FROM {_WHOLE}.tasks t WHERE {own}")  # noqa: S608 - likewise
    query = f"SELECT repository, since, until, tenant FROM {_WHOLE}.repository_tenants"  # noqa: S608 - likewise
    owners = RecordedOwners.of_rows(connection.execute(query).fetchall())
    alerts = connection.execute(f"SELECT id, subject, ended_at FROM {_WHOLE}.alerts").fetchall()  # noqa: S608 - likewise
    connection.execute("CREATE TEMP TABLE own_alerts (id VARCHAR)")
    ids = [
        [alert_id]
        for alert_id, subject, ended_at in alerts
        if tenant_of_alert(subject, partial(owners.tenant_at, moment=ended_at)) == tenant
    ]
    if ids:
        connection.executemany("INSERT INTO own_alerts VALUES (?)", ids)
