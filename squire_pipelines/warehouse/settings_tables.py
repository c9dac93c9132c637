"""Writes the tables that are made anew with each publication: of the settings, and of what holds at that moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import duckdb
from sqlalchemy import ColumnElement, select

from squire_pipelines.domain.targets import TargetName
from squire_pipelines.ledger import budgets
from squire_pipelines.ledger.budgets import LimitsOf
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import repositories, repository_tenants
from squire_pipelines.sections.targets import TargetSettings
from squire_pipelines.settings.model import Settings


@dataclass(frozen=True, slots=True)
class PublishedTargets:
    """The targets of the settings: those of all repositories, and those of each one."""

    general: TargetSettings = field(default_factory=TargetSettings)
    of_repositories: Mapping[str, TargetSettings] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> "PublishedTargets":
        """Return those that the settings have."""
        return cls(settings.targets, {name: settings.targets_for(name) for name in settings.repositories})


def write_targets(connection: duckdb.DuckDBPyConnection, targets: PublishedTargets) -> None:
    """Replace the targets: of all, the most seconds that something may take; of each, what share may miss it."""
    settings, share = targets.general, targets.general.ready_share
    connection.execute("DELETE FROM targets")
    connection.executemany(
        "INSERT INTO targets VALUES (?, ?, ?, ?)",
        [
            ("ready_to_agent", settings.ready_to_agent_s, share, "From ready to the agent's first start."),
            ("ready_to_pull_request", settings.ready_to_pull_request_s, share, "From ready to the pull request."),
        ],
    )
    connection.execute("DELETE FROM repository_targets")
    rows = [
        (name, target.value, own.targets.allowed(target), own.targets.seconds(target))
        for name, own in targets.of_repositories.items()
        for target in TargetName
    ]
    if rows:
        connection.executemany("INSERT INTO repository_targets VALUES (?, ?, ?, ?)", rows)


def write_blocked(tx: Transaction, connection: duckdb.DuckDBPyConnection, limits_of: LimitsOf) -> None:
    """Replace the rows about which ready tasks a used-up budget blocks at this moment."""
    connection.execute("DELETE FROM held_back")
    blocked = budgets.blocked_by_budget(tx, limits_of)
    for column, shortages in (("repository", blocked.repositories), ("task_id", blocked.tasks)):
        for name, shortage in shortages.items():
            connection.execute(
                f"INSERT INTO held_back ({column}, scope, shortage) VALUES (?, ?, ?)",  # noqa: S608 - a name of our own
                [name, shortage.scope.value, str(shortage)],
            )


def write_repositories(tx: Transaction, connection: duckdb.DuckDBPyConnection) -> None:
    """Replace the rows about what the newest look known under each name of the settings."""
    row = repositories.c
    columns = (row.repository, row.github_id, row.name, row.state, row.message, row.looked_at, row.read_at)
    _replace(tx, connection, "repositories", columns)


def write_tenants(tx: Transaction, connection: duckdb.DuckDBPyConnection) -> None:
    """Replace the rows about whose each repository is and was."""
    row = repository_tenants.c
    _replace(tx, connection, "repository_tenants", (row.repository, row.since, row.until, row.tenant))


def _replace(
    tx: Transaction, connection: duckdb.DuckDBPyConnection, table: str, columns: tuple[ColumnElement[Any], ...]
) -> None:
    known = [tuple(stored) for stored in tx.execute(select(*columns).order_by(*columns[:2]))]
    connection.execute(f"DELETE FROM {table}")  # noqa: S608 - a name of ours
    if known:
        marks = ", ".join("?" for _ in columns)
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", known)  # noqa: S608 - likewise
