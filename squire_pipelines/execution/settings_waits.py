"""What tasks wait for by the settings, for lists of tasks that are read without them."""

from collections.abc import Mapping
from dataclasses import replace

from squire_pipelines.execution.repository_settings import missing_budgets, repository_settings
from squire_pipelines.ledger.queue_waits import read_waits
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.task_rows import TaskPage, with_waits
from squire_pipelines.ledger.waiting import Wait, WaitKind
from squire_pipelines.settings.model import Settings


def with_waits_by_settings(page: TaskPage, ledger: Ledger, settings: Settings) -> TaskPage:
    """Name what a task waits for by the settings, where the page says that it waits for its start."""
    starting = {row.id: row.repository for row in page.rows if row.waits_for_start}
    own = repository_settings(ledger, settings)
    with ledger.read() as tx:
        waits = read_waits(tx, starting, own.queue_rules_of, own.of_all.budgets_for)
    waits |= waits_for_tenants_budgets(settings, starting)
    return replace(page, rows=with_waits(page.rows, waits))


def waits_for_tenants_budgets(settings: Settings, repositories: Mapping[str, str]) -> dict[str, Wait]:
    """Return what those tasks wait for whose tenant needs a budget and has none.

    Args:
        settings: Say who needs one.
        repositories: The repository of each task, by the task's id.
    """
    missing = missing_budgets(settings)
    return {task_id: Wait(WaitKind.BUDGET, missing[name]) for task_id, name in repositories.items() if name in missing}
