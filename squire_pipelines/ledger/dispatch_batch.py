"""The attempts that one dispatch starts, written together: one statement for each table, whatever their number.

A dispatch decides about one task after the other. What decides about a later one and lies in rows of an earlier one is
written before it is read: reservations before a wider budget is added up, all of it before a breaker counts attempts.
"""

from collections.abc import Collection, Iterable
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, select

from squire_pipelines.domain.agent_choice import AgentChoice
from squire_pipelines.domain.budgets import BudgetLimits, Purpose, Shortage
from squire_pipelines.domain.identity import attempt_id
from squire_pipelines.domain.tasks import AttemptStatus
from squire_pipelines.ledger import budgets
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.prepared_write import MAX_ROWS, NewRows
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts
from squire_pipelines.ledger.tables import budgets as budget_table
from squire_pipelines.ledger.transitions import record_starts, start_tasks

_RESERVED = select(budget_table.c.id).where(budget_table.c.id.in_(bindparam("ids", expanding=True)))
_NEW_RESERVATIONS = NewRows(budget_table, budgets.RESERVATION_COLUMNS)
_QUEUED_COLUMNS = (
    "id",
    "task_id",
    "number",
    "repository",
    "status",
    "trace_id",
    "claim_until",
    "queued_at",
    "not_before",
    "previous_id",
)
_NEW = NewRows(attempts, (*_QUEUED_COLUMNS, "startable_at", "updated_at"))
_NEW_CHOSEN = NewRows(attempts, (*_QUEUED_COLUMNS, "startable_at", "updated_at", "choice"))  # else it is NULL
_UNKNOWN: dict[str, Any] = dict.fromkeys(field.name for field in fields(Attempt))


class DispatchBatch:
    """What a dispatch has decided to start and not yet written.

    Args:
        tx: The dispatch's transaction, under its lock.
    """

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._reservations: dict[str, dict[str, Any]] = {}
        self._planned: dict[str, tuple[Attempt, datetime]] = {}
        self.cancelled: set[str] = set()
        """Tasks that a transaction which ended before ours took away from us while we decided."""

    @property
    def task_ids(self) -> Collection[str]:
        """The tasks that are to start, which the ledger still has as ready."""
        return self._planned.keys()

    def reserve(self, task: Row[*tuple[Any, ...]], limits: BudgetLimits) -> Shortage | None:
        """Reserve what a task's next attempt may cost, as `budgets.reserve` does."""
        new = attempt_id(task.id, task.attempts + 1)
        tasks_own = {"repository": task.repository, "task_id": task.id, "attempt_id": new, "trace_id": task.trace_id}
        if any(limits.wide()):
            self.write_reservations()
            return budgets.reserve(self._tx, new, Purpose.ATTEMPT, limits, **tasks_own)
        self._tx.exclusive(budgets.LOCK)
        self._reservations[new] = budgets.reservation_row(self._tx, new, Purpose.ATTEMPT, limits, **tasks_own)
        return None

    def release(self, reservation_id: str) -> None:
        """Undo a reservation, since its work does not begin."""
        if self._reservations.pop(reservation_id, None) is None:
            budgets.release(self._tx, reservation_id)

    def start(
        self, task: Row[*tuple[Any, ...]], *, free_since: datetime, claim_deadline_s: float, choice: AgentChoice | None
    ) -> Attempt:
        """Add a task's new attempt to what is to be written, and return it."""
        number = task.attempts + 1
        known: dict[str, Any] = {
            "id": attempt_id(task.id, number),
            "task_id": task.id,
            "number": number,
            "repository": task.repository,
            "status": AttemptStatus.QUEUED,
            "trace_id": task.trace_id,
            "claim_until": self._tx.now + timedelta(seconds=claim_deadline_s),
            "queued_at": self._tx.now,
            "not_before": task.not_before,
            "previous_id": attempt_id(task.id, number - 1) if number > 1 else None,
            "choice": choice,
        }
        attempt = Attempt(**_UNKNOWN | known)
        self._planned[task.id] = (attempt, free_since)
        return attempt

    def write(self) -> None:
        """Write what is to start; the tasks that were cancelled at this very moment are in `cancelled` then."""
        ready = start_tasks(self._tx, list(self._planned))
        for task_id in [task_id for task_id in self._planned if task_id not in ready]:
            self.cancelled.add(task_id)
            self.release(self._planned.pop(task_id)[0].id)
        self.write_reservations()
        self._add_attempts()
        record_starts(self._tx, (attempt for attempt, _ in self._planned.values()))
        self._planned.clear()

    def _add_attempts(self) -> None:
        rows = [
            {name: getattr(attempt, name) for name in _QUEUED_COLUMNS}
            | {"choice": attempt.choice and attempt.choice.model_dump(mode="json")}
            | {"startable_at": startable_at, "updated_at": self._tx.now}
            for attempt, startable_at in self._planned.values()
        ]
        _NEW_CHOSEN.add(self._tx.connection, [row for row in rows if row["choice"] is not None])
        _NEW.add(self._tx.connection, [row for row in rows if row["choice"] is None])

    def write_reservations(self) -> None:
        """Write the reservations; one that is there already stays as it is."""
        known = self._known(list(self._reservations))
        rows = [row for reservation, row in self._reservations.items() if reservation not in known]
        _NEW_RESERVATIONS.add(self._tx.connection, rows)
        self._reservations.clear()

    def without_cancelled(self, started: Iterable[Attempt]) -> tuple[Attempt, ...]:
        """Return the attempts that there are, in their order."""
        return tuple(attempt for attempt in started if attempt.task_id not in self.cancelled)

    def _known(self, ids: list[str]) -> frozenset[str]:
        known: set[str] = set()
        for first in range(0, len(ids), MAX_ROWS):
            known.update(self._tx.execute(_RESERVED, {"ids": ids[first : first + MAX_ROWS]}).scalars())
        return frozenset(known)
