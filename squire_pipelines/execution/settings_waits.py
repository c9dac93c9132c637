"""What tasks wait for by the settings, for lists of tasks that are read without them."""

from dataclasses import replace

from squire_pipelines.execution.repository_settings import repository_settings
from squire_pipelines.ledger.queue_waits import read_waits
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.task_rows import TaskPage, with_waits
from squire_pipelines.settings.model import Settings


def with_waits_by_settings(page: TaskPage, ledger: Ledger, settings: Settings) -> TaskPage:
    """Name what a task waits for by the settings, where the page says that it waits for its start."""
    starting = {row.id: row.repository for row in page.rows if row.waits_for_start}
    own = repository_settings(ledger, settings)
    with ledger.read() as tx:
        waits = read_waits(tx, starting, own.queue_rules_of, own.of_all.budgets_for)
    return replace(page, rows=with_waits(page.rows, waits))
