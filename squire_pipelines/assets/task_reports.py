"""What is reported of the asset `tasks`: the new tasks of a repository, of its plan and of what people asked for."""

from typing import TYPE_CHECKING

import dagster as dg

from squire_pipelines.assets.page_urls import repository_links
from squire_pipelines.assets.tables import preview
from squire_pipelines.domain.tasks import TaskStatus

if TYPE_CHECKING:
    from squire_pipelines.ledger.plans import SavedPlan
    from squire_pipelines.ledger.store import Ledger
    from squire_pipelines.settings.model import Settings

TASKS = dg.AssetKey(["tasks"])


def report_tasks(
    context: dg.AssetExecutionContext,
    ledger: "Ledger",
    settings: "Settings",
    repository: str,
    created: tuple[str, ...],
    *,
    saved: "SavedPlan | None",
    trace_id: str,
) -> None:
    """Report the new tasks of one repository; `saved` is the plan of those that people did not ask for themselves."""
    from squire_pipelines.ledger import tasks

    with ledger.read() as tx:
        rows = [tasks.get(tx, task_id) for task_id in created]
        limits, rules = settings.budgets_for(repository), settings.dispatch.queue_rules
        waits = [tasks.waiting_reason(tx, row, limits, rules) for row in rows]
    context.log_event(
        dg.AssetMaterialization(
            TASKS,
            partition=repository,
            metadata={
                "created": len(rows),
                "ready": sum(row.status is TaskStatus.READY for row in rows),
                "proposed": sum(row.status is TaskStatus.PROPOSED for row in rows),
                "requested": sum(row.plan_id is None for row in rows),
                **({"plan": saved.id} if saved is not None else {}),
                "trace_id": saved.trace_id if saved is not None else trace_id,
                **repository_links(settings, repository, "/tasks"),
                "preview": preview(
                    ("task", "title", "status", "waits for", "branch"),
                    (
                        (row.id, row.title, row.status.value, wait.text if wait is not None else "", row.branch)
                        for row, wait in zip(rows, waits, strict=True)
                    ),
                ),
            },
        )
    )
