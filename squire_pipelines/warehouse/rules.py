"""What the settings add to the file: what is aimed at, and which ready tasks wait for a budget."""

from dataclasses import dataclass
from typing import Self

import duckdb

from squire_pipelines.domain.budgets import BudgetLimits
from squire_pipelines.ledger import budgets
from squire_pipelines.ledger.budgets import LimitsOf
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.sections import WarehouseSettings
from squire_pipelines.settings import Settings


@dataclass(frozen=True, slots=True)
class Target:
    """One promise: the most seconds that something may take for a share of the tasks."""

    name: str
    seconds: float
    share: float
    description: str


@dataclass(frozen=True, slots=True)
class Rules:
    """What is aimed at, and what may be spent on a repository."""

    targets: tuple[Target, ...]
    limits_of: LimitsOf

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings have it."""
        return cls(_targets(settings.warehouse), settings.budgets_for)

    @classmethod
    def when_nothing_is_set(cls) -> Self:
        """The targets that there are by default, and no budget."""
        return cls(_targets(WarehouseSettings()), lambda _repository: BudgetLimits())

    def write(self, tx: Transaction, connection: duckdb.DuckDBPyConnection) -> None:
        """Put them, and what follows from them at this moment, into the file in place of what was there."""
        connection.execute("DELETE FROM targets")
        for target in self.targets:
            connection.execute(
                "INSERT INTO targets VALUES (?, ?, ?, ?)",
                [target.name, target.seconds, target.share, target.description],
            )
        connection.execute("DELETE FROM held_back")
        held = budgets.blocked_by_budget(tx, self.limits_of)
        for column, shortages in (("repository", held.repositories), ("task_id", held.tasks)):
            for name, short in shortages.items():
                connection.execute(
                    f"INSERT INTO held_back ({column}, scope, shortage) VALUES (?, ?, ?)",  # noqa: S608 - a name of ours
                    [name, short.scope.value, str(short)],
                )


def _targets(settings: WarehouseSettings) -> tuple[Target, ...]:
    share = settings.sla_share
    return (
        Target("ready_to_agent", settings.sla_agent_s, share, "From ready to the agent's first start."),
        Target("ready_to_pull_request", settings.sla_pull_request_s, share, "From ready to the pull request."),
    )
