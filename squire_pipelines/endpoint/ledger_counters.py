"""Counters that are taken from the ledger: what was added to it is read once, and added up in a file of the home.

Totals and positions are one file, written whole: a kill at any moment leaves both as they were, and the same rows are
then read again and added to the same totals. Rows that retention removes later stay counted.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from squire_pipelines.domain.endings import CRASHES, LOST_CONTAINERS, Cause
from squire_pipelines.domain.tasks import AttemptStatus, TaskStatus
from squire_pipelines.files import write_atomically
from squire_pipelines.home import make_folder
from squire_pipelines.ledger import operator_changes
from squire_pipelines.ledger.operator_changes import Position, newest_position
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.metrics import families
from squire_pipelines.metrics.family import Family
from squire_pipelines.metrics.series import add_observation, add_one

MAX_BACKLOG = 100_000
"""Rows that were there before the first reading are counted if there are no more than these."""

ROWS_AT_ONCE = 5000
READ_S = 0.5
"""After that time a reading leaves the rest to the next one."""

_MAX_BYTES = 16 * 2**20
_FINAL = frozenset(status for status in TaskStatus if status.is_final)
_STOPPED = frozenset({Cause.TIMEOUT, Cause.CANCELLED, Cause.LOG_OVERFLOW, Cause.BUDGET_EXHAUSTED})


@dataclass(frozen=True, slots=True)
class KnownNames:
    """The names of the settings that labels may have; all else is `other`."""

    repositories: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()


@dataclass(slots=True)
class _State:
    position: Position | None = None
    values: dict[str, float] = field(default_factory=dict)


class LedgerCounters:
    """The counters of one ledger. Used in one thread.

    Args:
        path: The file of totals and positions.
        names: Returns the names that labels may have.
    """

    def __init__(self, path: Path, *, names: Callable[[], KnownNames]) -> None:
        self._path = path
        self._names = names
        self._state = _load(path)

    def read(self, ledger: Ledger) -> dict[str, float]:
        """Read what is new, and return all totals by the series' names. Raises LedgerError, OSError."""
        give_up = time.monotonic() + READ_S
        state = _State(self._state.position, dict(self._state.values))
        while True:
            with ledger.read() as tx:
                before = state.position
                more = self._advance(tx, state)
            if not more or time.monotonic() > give_up:
                break
        if state.position != self._state.position or before is None:
            make_folder(self._path.parent)
            write_atomically(self._path, _dump(state), durable=False)
        self._state = state
        return state.values

    def _advance(self, tx: Transaction, state: _State) -> bool:
        """Read some rows of each kind; whether there may be more."""
        newest = newest_position(tx)
        position = state.position
        if position is None:
            rows = newest.event + newest.model_call + newest.delivery + newest.check
            position = Position(collected=None) if rows <= MAX_BACKLOG else newest
        # A backup was put in the ledger's place: what was counted beyond it is not counted again.
        position = replace(
            position,
            event=min(position.event, newest.event),
            model_call=min(position.model_call, newest.model_call),
            delivery=min(position.delivery, newest.delivery),
            check=min(position.check, newest.check),
        )
        names = self._names()
        events = operator_changes.read_events(tx, position.event, ROWS_AT_ONCE)
        calls = operator_changes.read_model_calls(tx, position.model_call, ROWS_AT_ONCE)
        arrived = operator_changes.read_deliveries(tx, position.delivery, ROWS_AT_ONCE)
        checks = operator_changes.read_checks(tx, position.check, ROWS_AT_ONCE)
        collected, until = operator_changes.read_collected(tx, position.collected, ROWS_AT_ONCE)
        for row in events:
            _count_event(state.values, row, names)
        for row in calls:
            _count_call(state.values, row, names)
        for row in arrived:
            effect = "filtered" if row.is_filtered else "collects"
            _add(state.values, families.DELIVERIES_RECEIVED, row.event, effect)
        for row in checks:
            _add(state.values, families.DELIVERIES_REDELIVERED, amount=row.redelivered)
        for row in collected:
            lag = (row.collected_at - row.received_at).total_seconds()
            add_observation(state.values, families.DELIVERY_LAG, (), lag)
        state.position = Position(
            event=events[-1].id if events else position.event,
            model_call=calls[-1].id if calls else position.model_call,
            delivery=arrived[-1].id if arrived else position.delivery,
            check=checks[-1].id if checks else position.check,
            collected=max(until, position.collected or until),
        )
        return ROWS_AT_ONCE in {len(events), len(calls), len(arrived), len(checks)} or len(collected) >= ROWS_AT_ONCE


def _add(values: dict[str, float], family: Family, *labels: str | None, amount: float = 1.0) -> None:
    add_one(values, family, family.bounded(labels), amount)


def _count_event(values: dict[str, float], row: Any, names: KnownNames) -> None:
    _add(values, families.TRANSITIONS, row.subject, row.after)
    repo = families.TASKS_CREATED.labels[0].bounded(row.repository, names.repositories)
    if row.subject == "attempt":
        if row.after == AttemptStatus.ENDED:
            _count_attempt(values, row, repo)
        return
    if row.before is None:
        add_one(values, families.TASKS_CREATED, (repo,))
    if row.after in _FINAL:
        add_one(values, families.TASKS_COMPLETED, (repo, row.after))
        _add(values, families.TASK_ENDINGS, row.kind, row.after, row.task_cause)
        if row.created_at is not None:
            add_observation(values, families.TASK_DURATION, (repo,), (row.at - row.created_at).total_seconds())


def _count_attempt(values: dict[str, float], row: Any, repo: str) -> None:
    _add(values, families.ATTEMPTS_ENDED, row.cause)
    for part, seconds in attempt_parts(row).items():
        if part in families.PARTS:
            add_observation(values, families.ATTEMPT_PARTS, (part,), seconds)
    if row.agent_started_at is None:
        return
    start = (row.agent_started_at - row.queued_at).total_seconds()
    add_observation(values, families.TASK_START, (), start)
    if row.startable_at is not None:
        waited_s = (row.agent_started_at - row.startable_at).total_seconds()
        add_observation(values, families.READY_TO_AGENT, (repo,), waited_s)
    _add(values, families.CONTAINER_STARTS, row.runner, container_result(row.cause))


def attempt_parts(row: Any) -> dict[str, float]:
    """Return how long the parts of an attempt took, in seconds, as far as they are known."""
    parts = {name.removesuffix("_s"): float(value) for name, value in (row.timings or {}).items() if value is not None}
    for part, begin, end in (
        ("queue", row.queued_at, row.claimed_at),
        ("agent", row.agent_started_at, row.agent_ended_at),
        ("publish", row.agent_ended_at, row.ended_at),
    ):
        if begin is not None and end is not None:
            parts.setdefault(part, max(0.0, (end - begin).total_seconds()))
    return parts


def container_result(cause: str | None) -> str:
    """Return how an attempt's container ended, as metrics name it."""
    if cause == Cause.OUT_OF_MEMORY:
        return "out_of_memory"
    if cause in CRASHES:
        return "crashed"
    if cause in LOST_CONTAINERS:
        return "lost"
    return "stopped" if cause in _STOPPED else "ended"


def _count_call(values: dict[str, float], row: Any, names: KnownNames) -> None:
    model = families.MODEL_CALLS.labels[1].bounded(row.model, names.models)
    purpose = families.MODEL_CALLS.labels[0].bounded(row.purpose)
    add_one(values, families.MODEL_CALLS, (purpose, model, "ok" if row.ok else "failed"))
    for kind in ("input", "output", "cached"):
        add_one(values, families.MODEL_TOKENS, (purpose, model, kind), getattr(row, f"{kind}_tokens") or 0)
    add_one(values, families.MODEL_TOKENS, (purpose, model, "cache_write"), row.cache_write_tokens or 0)
    if row.cost_usd is None:
        add_one(values, families.MODEL_UNPRICED, (purpose, model))
    else:
        add_one(values, families.MODEL_COST, (purpose, model), row.cost_usd)
    add_observation(values, families.MODEL_DURATION, (purpose,), row.latency_s)


def _dump(state: _State) -> bytes:
    position = asdict(state.position) if state.position is not None else {}
    return json.dumps({"position": position, "values": state.values}, default=datetime.isoformat).encode()


def _load(path: Path) -> _State:
    """Return what was counted before; a damaged file begins anew, at the rows that come."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MAX_BYTES))
        position = document["position"]
        collected = position["collected"]
        numbers = {name: int(position[name]) for name in ("event", "model_call", "delivery")}
        numbers["check"] = int(position.get("check", 0))  # a file of an earlier version has none
        values = {str(name): float(value) for name, value in document["values"].items()}
        moment = datetime.fromisoformat(collected) if collected else None
        return _State(Position(**numbers, collected=moment), values)
    except FileNotFoundError:
        return _State()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        path.unlink(missing_ok=True)
        return _State()
