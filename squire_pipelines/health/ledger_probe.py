"""The probe of the ledger: whether it answers and fits this version, and what it says of tasks, plans and quota."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from squire_pipelines.domain.condition_rules import (
    LedgerFacts,
    WarehouseFacts,
    ledger_state,
    schema_state,
    stuck_tasks_state,
    warehouse_state,
)
from squire_pipelines.domain.conditions import ConditionState, HealthLevel
from squire_pipelines.domain.service_rules import planner_state, quota_state
from squire_pipelines.errors import LedgerError
from squire_pipelines.execution.repository_settings import repository_settings
from squire_pipelines.health.probe import Probe, States
from squire_pipelines.health.process_records import process_facts, starting_record
from squire_pipelines.ledger import HEAD_REVISION, github_limits, plan_retries, repositories, stuck_work
from squire_pipelines.ledger.store import Ledger, utc_now
from squire_pipelines.ledger.stuck_work import StartRules
from squire_pipelines.settings.model import Settings

BUSY_TIMEOUT_S = 3.0
_EVERY_S = 15.0
_TIMEOUT_S = 10.0
_CONDITIONS = ("ledger", "schema", "tasks", "planner", "github_quota", "warehouse")


def ledger_probe(settings: Settings, note_offset: Callable[[float | None], None] = lambda _: None) -> Probe:
    """Return the probe of the settings' ledger; `note_offset` is told how far this clock is ahead of its server's."""
    return Probe("ledger", _CONDITIONS, _EVERY_S, _TIMEOUT_S, lambda: look_at_ledger(settings, note_offset))


def look_at_ledger(
    settings: Settings,
    note_offset: Callable[[float | None], None] = lambda _: None,
    *,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
    monotonic: Callable[[], float] = time.monotonic,
) -> States:
    """Look at the ledger, which is neither made nor upgraded by that. Raises ConfigError for a URL that is none.

    Args:
        settings: Name it.
        note_offset: Is told how far this machine's clock is ahead of the server's; None where there is no server.
        busy_timeout_s: How long a transaction waits for its turn.
        monotonic: Seconds.
    """
    ledger = Ledger(settings.resolved_ledger_url, busy_timeout_s=busy_timeout_s)
    try:
        if ledger.is_sqlite and not ledger.path.exists():
            was_there = settings.home.warehouse.exists() or any(settings.home.archive.glob("*"))
            return {"ledger": ledger_state(LedgerFacts(ledger.describe(), exists=False, was_there=was_there))}
        facts, offset_s = _ledger_facts(ledger, monotonic)
        starter = process_facts(starting_record(settings.home.run, "daemon"))
        facts = replace(facts, is_starting=starter.is_starting)
        note_offset(offset_s)
        states: dict[str, ConditionState] = {"ledger": ledger_state(facts)}
        schema = schema_state(facts)
        if schema is not None:
            states["schema"] = schema
        if schema is not None and schema.level is HealthLevel.OK and not schema.is_starting:
            states |= _look_at_rows(ledger, settings)
        return states
    finally:
        ledger.close()


def _ledger_facts(ledger: Ledger, monotonic: Callable[[], float]) -> tuple[LedgerFacts, float | None]:
    place = ledger.describe()
    try:
        schema = ledger.schema()
        began = monotonic()
        with ledger.write() as tx:  # takes the lock and gives it back: nothing is written
            waited_s = monotonic() - began
            offset_s = None if ledger.is_sqlite else (utc_now() - tx.now).total_seconds()
    except LedgerError as error:
        return LedgerFacts(place, problem=error.message, hint=error.hint), None
    facts = LedgerFacts(place, lock_wait_s=waited_s, schema=schema, known_revision=HEAD_REVISION)
    return facts, offset_s


def _look_at_rows(ledger: Ledger, settings: Settings) -> dict[str, ConditionState]:
    own = repository_settings(ledger, settings)
    dispatch = settings.dispatch
    with ledger.read() as tx:
        rules = StartRules(
            dispatch.max_concurrent,
            dispatch.max_per_repository,
            dispatch.priority_step_s,
            own.slots,
            {*own.stopped, *repositories.replaced(tx)},
            own.of_all.budgets_for,
            own.queue_rules_of,
        )
        stuck = stuck_work.read_stuck(tx, rules)
        failures = plan_retries.model_failures(tx)
        quota = github_limits.worst_states(tx)
        newest = stuck_work.newest_event_at(tx)
        now = tx.now
    return {
        "tasks": stuck_tasks_state(stuck),
        "planner": planner_state(failures.count, failures.reason, failures.last_plan) if failures else planner_state(0),
        "github_quota": quota_state(quota, now=now),
        "warehouse": warehouse_state(_warehouse_facts(settings, newest, now)),
    }


def _warehouse_facts(settings: Settings, newest: datetime | None, now: datetime) -> WarehouseFacts:
    try:
        published = datetime.fromtimestamp(settings.home.warehouse.stat().st_mtime, UTC)
    except OSError:
        return WarehouseFacts(None)
    unpublished_s = 0.0 if newest is None or newest <= published else (now - newest).total_seconds()
    return WarehouseFacts((now - published).total_seconds(), unpublished_s)
