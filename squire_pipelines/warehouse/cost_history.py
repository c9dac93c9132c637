"""What tasks cost by kind and model, from the published warehouse."""

from pathlib import Path

from squire_pipelines.domain.cost_prediction import CostHistory, TaskCosts
from squire_pipelines.warehouse.query import run_query

_MAX_ROWS = 1_000
_QUESTION = """
SELECT
    kind,
    model,
    count(*) AS tasks,
    quantile_cont(cost_usd, 0.1),
    quantile_cont(cost_usd, 0.5),
    quantile_cont(cost_usd, 0.9)
FROM task_facts
WHERE ended_at IS NOT NULL AND cost_usd IS NOT NULL AND model IS NOT NULL
GROUP BY kind, model
ORDER BY tasks DESC
"""


def read_cost_history(path: Path) -> CostHistory:
    """Return what ended tasks cost whose price is known. Raises WarehouseError, QueryError."""
    rows = run_query(path, _QUESTION, limit=_MAX_ROWS).rows
    return {(kind, model): TaskCosts(tasks, low, usual, high) for kind, model, tasks, low, usual, high in rows}
