"""What the endpoint reads of the ledger: the present as it is, and what happened, once, whoever is killed."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import delete, text, update

from squire_pipelines.domain.budgets import Amount, BudgetLimits, Limit, Purpose
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.rate_limits import LimitKind, LimitUse
from squire_pipelines.domain.timings import Timings
from squire_pipelines.endpoint import ledger_counters, ledger_gauges
from squire_pipelines.endpoint.exposition import text_of
from squire_pipelines.endpoint.gauges import Gauges
from squire_pipelines.endpoint.ledger_counters import KnownNames, LedgerCounters
from squire_pipelines.ledger import attempts, budgets, delivery_checks, github_limits
from squire_pipelines.ledger.attempts import AttemptFacts
from squire_pipelines.ledger.delivery_checks import NewCheck
from squire_pipelines.ledger.model_calls import ModelCallRow, record_model_call
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import attempts as attempt_rows
from squire_pipelines.ledger.tables import deliveries as rows
from squire_pipelines.ledger.tables import task_events
from squire_pipelines.metrics.families import BY_NAME, PARTS
from squire_pipelines.metrics.family import OTHER
from squire_pipelines.metrics.series import parse_series
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.providers import ProviderSettings
from tests.support.deliveries import record_delivery
from tests.support.ledgers import REPOSITORY, TRACE, Clock, add_task, settle, start_attempt, token_of

NAMES = KnownNames(repositories=frozenset({REPOSITORY}), models=frozenset({"m/large"}))
LATER_S = 20


def test_the_size_of_a_ledger_on_a_server_is_read_from_it_and_of_a_file_is_not(ledger: Ledger) -> None:
    with ledger.read() as tx:
        sizes = shown(ledger_gauges.read_ledger(tx, Settings()))
    assert list(sizes) == ([] if ledger.is_sqlite else [("ledger_size_bytes", "ledger")])
    assert all(size > 2**20 for size in sizes.values())


@pytest.fixture
def counters(tmp_path: Path) -> Callable[[], LedgerCounters]:
    """Return the counters as a process that starts has them."""
    return lambda: LedgerCounters(tmp_path / "metrics" / "ledger.json", names=lambda: NAMES)


def values_of(counters: LedgerCounters, ledger: Ledger) -> dict[tuple[str, ...], float]:
    values = {}
    for name, value in counters.read(ledger).items():
        series = parse_series(name)
        assert series is not None
        values[series.family.removeprefix("squire_"), *series.labels, *([series.part] if series.part else [])] = value
    return values


def shown(gauges: Gauges) -> dict[tuple[str, ...], float]:
    return {
        (family.name.removeprefix("squire_"), *labels): value
        for family, values in gauges
        for labels, value in values.items()
    }


def test_what_happened_is_counted_once_also_by_a_process_that_starts_anew(
    ledger: Ledger, clock: Clock, counters: Callable[[], LedgerCounters]
) -> None:
    attempt = start_attempt(ledger)
    clock.forward(5)
    settle(ledger, attempt, Cause.NO_CHANGES)
    add_task(ledger, repository="acme/unknown")
    clock.forward(LATER_S)
    first = counters()
    values = values_of(first, ledger)
    assert values["tasks_created_total", REPOSITORY] == 1
    assert values["tasks_created_total", "other"] == 1
    assert values["tasks_completed_total", REPOSITORY, "succeeded"] == 1
    assert values["task_endings_total", "other", "succeeded", "no_changes"] == 1
    assert values["attempts_ended_total", "no_changes"] == 1
    assert values["ledger_transitions_total", "attempt", "ended"] == 1
    assert values["task_duration_seconds", REPOSITORY, "sum"] == 5
    assert ("ready_to_agent_seconds", REPOSITORY, "count") not in values  # no agent had started
    assert values_of(first, ledger) == values
    assert values_of(counters(), ledger) == values
    settle(ledger, start_attempt(ledger), Cause.OUT_OF_MEMORY)
    clock.forward(LATER_S)
    assert values_of(counters(), ledger)["attempts_ended_total", "out_of_memory"] == 1
    assert values_of(first, ledger)["attempts_ended_total", "out_of_memory"] == 1


def test_each_part_of_an_attempt_is_counted_apart(
    ledger: Ledger, clock: Clock, counters: Callable[[], LedgerCounters]
) -> None:
    parts = dict.fromkeys(Timings.model_fields, 0.0) | {"queue_s": 1.5, "launch_s": 4.0, "claim_s": 0.5}
    attempt = start_attempt(ledger)
    clock.forward(6)
    with ledger.write() as tx:
        attempts.note(
            tx, attempt.id, token_of(attempt), AttemptFacts(agent_started_at=tx.now, timings=Timings(**parts))
        )
    clock.forward(5)
    settle(ledger, attempt, Cause.NO_CHANGES)
    clock.forward(LATER_S)
    values = values_of(counters(), ledger)
    counted = {name[1] for name in values if name[0] == "attempt_part_duration_seconds"}
    assert counted == {name.removesuffix("_s") for name in Timings.model_fields} - {"total"} == {*PARTS} - {"publish"}
    assert [values["attempt_part_duration_seconds", part, "sum"] for part in ("queue", "launch", "claim")] == [
        1.5,
        4,
        0.5,
    ]
    assert values["task_start_seconds", "sum"] == 6


def test_the_wait_for_an_agent_counts_since_nothing_held_its_task(
    ledger: Ledger, clock: Clock, counters: Callable[[], LedgerCounters]
) -> None:
    attempt = start_attempt(ledger)
    clock.forward(12)
    with ledger.write() as tx:
        started = {"agent_started_at": tx.now, "startable_at": tx.now - timedelta(seconds=40)}
        tx.execute(update(attempt_rows).where(attempt_rows.c.id == attempt.id).values(**started))
    settle(ledger, attempt, Cause.NO_CHANGES)
    clock.forward(LATER_S)
    values = values_of(counters(), ledger)
    assert values["ready_to_agent_seconds", REPOSITORY, "sum"] == 40
    assert values["task_start_seconds", "sum"] == 12


def test_a_kill_before_the_totals_are_kept_loses_and_doubles_nothing(
    ledger: Ledger, clock: Clock, counters: Callable[[], LedgerCounters], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_task(ledger)
    clock.forward(LATER_S)
    counters().read(ledger)
    add_task(ledger)
    clock.forward(LATER_S)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ledger_counters, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            counters().read(ledger)
    assert values_of(counters(), ledger)["tasks_created_total", REPOSITORY] == 2


def test_many_rows_are_read_a_few_at_a_time(
    ledger: Ledger, clock: Clock, counters: Callable[[], LedgerCounters], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_counters, "ROWS_AT_ONCE", 2)
    for _ in range(5):
        add_task(ledger)
    clock.forward(LATER_S)
    assert values_of(counters(), ledger)["tasks_created_total", REPOSITORY] == 5


def test_a_long_history_is_not_counted_by_an_endpoint_that_is_new(
    ledger: Ledger, clock: Clock, counters: Callable[[], LedgerCounters], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_counters, "MAX_BACKLOG", 2)
    for _ in range(3):
        add_task(ledger)
    clock.forward(LATER_S)
    assert values_of(counters(), ledger) == {}
    add_task(ledger)
    clock.forward(LATER_S)
    assert values_of(counters(), ledger)["tasks_created_total", REPOSITORY] == 1


def test_without_its_folder_counting_begins_anew(
    ledger: Ledger, clock: Clock, counters: Callable[[], LedgerCounters], tmp_path: Path
) -> None:
    add_task(ledger)
    clock.forward(LATER_S)
    first = values_of(counters(), ledger)
    shutil.rmtree(tmp_path / "metrics")
    assert values_of(counters(), ledger) == first  # what is still in the ledger, once


def test_after_an_older_backup_was_restored_counting_goes_on(
    ledger: Ledger, clock: Clock, counters: Callable[[], LedgerCounters]
) -> None:
    add_task(ledger)
    add_task(ledger)
    clock.forward(LATER_S)
    counters().read(ledger)
    with ledger.write() as tx:
        tx.execute(delete(task_events))
        if ledger.is_sqlite:
            tx.execute(text("DELETE FROM sqlite_sequence WHERE name = 'task_events'"))
        else:
            tx.execute(text("ALTER SEQUENCE task_events_id_seq RESTART WITH 1"))
    counters().read(ledger)
    add_task(ledger)
    clock.forward(LATER_S)
    assert values_of(counters(), ledger)["tasks_created_total", REPOSITORY] == 3


def test_calls_of_models_are_counted_with_tokens_and_cost_by_known_models(
    ledger: Ledger, clock: Clock, counters: Callable[[], LedgerCounters]
) -> None:
    call = ModelCallRow("agent", "m/large", ok=True, input_tokens=100, output_tokens=7, latency_s=3, trace_id=TRACE)
    other = ModelCallRow("plan", "x" * 500, ok=False, input_tokens=1, output_tokens=0, latency_s=400, trace_id=TRACE)
    with ledger.write() as tx:
        record_model_call(tx, call)
        record_model_call(tx, replace(call, cost_usd=0.5, cached_tokens=40))
        record_model_call(tx, other)
    clock.forward(LATER_S)
    values = values_of(counters(), ledger)
    assert values["model_calls_total", "agent", "m/large", "ok"] == 2
    assert values["model_calls_total", "plan", "other", "failed"] == 1
    assert values["model_tokens_total", "agent", "m/large", "input"] == 200
    assert values["model_tokens_total", "agent", "m/large", "cached"] == 40
    assert values["model_cost_usd_total", "agent", "m/large"] == 0.5
    assert values["model_calls_unpriced_total", "agent", "m/large"] == 1
    assert values["model_call_duration_seconds", "plan", "le=+Inf"] == 1


def test_deliveries_are_counted_by_what_they_ask_for_and_their_lag_when_they_are_read(
    ledger: Ledger, clock: Clock, counters: Callable[[], LedgerCounters]
) -> None:
    def receive(number: int, event: str, *, relevant: bool) -> None:
        record_delivery(
            ledger, source="github", delivery_id=f"d-{number}", event=event, action=None, repository=REPOSITORY,
            body=b"{}", relevant=relevant,
        )  # fmt: skip

    receive(1, "push", relevant=True)
    receive(2, "star", relevant=False)
    clock.forward(LATER_S)
    first = values_of(counters(), ledger)
    assert first["deliveries_received_total", "push", "collects"] == 1
    assert first["deliveries_received_total", "other", "filtered"] == 1
    with ledger.read() as tx:
        inbox = shown(ledger_gauges.read_inbox(tx, Settings()))
    waiting = {("deliveries_waiting",): 1, ("delivery_oldest_wait_seconds",): LATER_S}
    assert inbox == {**waiting, ("deliveries_missing",): 0}
    with ledger.write() as tx:
        tx.execute(update(rows).where(rows.c.collected_at.is_(None)).values(collected_at=tx.now))
    clock.forward(LATER_S)
    values = values_of(counters(), ledger)
    assert values["delivery_lag_seconds", "sum"] == LATER_S
    assert values_of(counters(), ledger) == values


def test_what_comparisons_with_github_left_is_shown_and_what_was_asked_for_again_is_counted(
    ledger: Ledger, clock: Clock, counters: Callable[..., LedgerCounters]
) -> None:
    for hook, error in (("app", None), (REPOSITORY, "2 deliveries are not here")):
        with ledger.write() as tx:
            check = NewCheck(hook, tx.now, listed=9, missing=2, failed=1, redelivered=2, error=error)
            delivery_checks.record_check(tx, check, trace_id=TRACE)
        clock.forward(LATER_S)
    with ledger.read() as tx:
        gauges = shown(ledger_gauges.read_inbox(tx, Settings()))
    assert gauges["deliveries_missing",] == 2
    assert gauges["delivery_check_age_seconds",] == 2 * LATER_S
    assert values_of(counters(), ledger)["deliveries_redelivered_total",] == 4


def test_the_present_is_shown_as_it_is(ledger: Ledger, clock: Clock) -> None:
    settings = Settings(
        repositories=(REPOSITORY,),
        budgets=BudgetLimits(day=Limit(usd=10, tokens=1000), attempt=Limit(usd=4, tokens=100)),
        providers={"claude": ProviderSettings(protocol="anthropic", max_usd_per_day=5)},
    )
    start_attempt(ledger)
    add_task(ledger)
    add_task(ledger, repository="acme/unknown")
    with ledger.write() as tx:
        budgets.reserve(tx, "r-1", Purpose.ATTEMPT, settings.budgets, repository=REPOSITORY, trace_id=TRACE)
        budgets.checkpoint(tx, "r-1", Amount(1.5, 30), 1)
        use = LimitUse(LimitKind.GRAPHQL, 5000, 4000, clock.now + timedelta(hours=1))
        github_limits.record_use(tx, "credential", use)
    clock.forward(30)
    forecast = ledger_gauges.QuotaForecast()
    with ledger.read() as tx:
        queue = shown(ledger_gauges.read_queue(tx, settings))
        tasks = shown(ledger_gauges.read_tasks(tx, settings))
        attempts = shown(ledger_gauges.read_attempts(tx, settings))
        budget = shown(ledger_gauges.read_budgets(tx, settings))
        quota = shown(forecast.read(tx, settings))
    assert queue == {
        ("tasks_pending", REPOSITORY): 1,
        ("tasks_pending", "other"): 1,
        ("tasks_running", REPOSITORY): 1,
        ("queue_oldest_wait_seconds",): 30,
    }
    assert tasks["tasks", "ready", "other"] == 2
    assert tasks["tasks", "failed", "fix_ci"] == 0
    assert attempts["attempts_open", "running"] == 1
    assert budget["budget_used_usd", "day", "*"] == 1.5
    assert budget["budget_reserved_usd", "month", REPOSITORY] == 2.5
    assert budget["budget_limit_usd", "day", "*"] == 10
    assert ("budget_limit_usd", "month", "*") not in budget
    of_providers = {name[1:]: value for name, value in budget.items() if name[0] == "provider_budget_limit_usd"}
    assert (of_providers, budget["provider_budget_used_usd", "claude"]) == ({("claude",): 5}, 0)
    assert budget["budget_used_tokens", "day", "*"] == 30
    assert budget["budget_reserved_tokens", "day", "*"] == 70
    assert budget["budget_limit_tokens", "day", "*"] == 1000
    assert quota["github_quota_remaining", "graphql"] == 4000
    assert quota["github_quota_reset_timestamp_seconds", "graphql"] == use.reset_at.timestamp()
    assert quota["github_blocked_seconds", "graphql"] == 0
    assert ("github_quota_forecast_remaining", "graphql") not in quota  # nobody knows yet how fast it is used
    clock.forward(60)
    with ledger.write() as tx:
        use = LimitUse(LimitKind.GRAPHQL, 5000, 3900, use.reset_at)
        github_limits.record_use(tx, "credential", use)
    with ledger.read() as tx:
        quota = shown(forecast.read(tx, settings))
        text_of([forecast.read(tx, settings)], [])
    # 100 points in a minute, and 58.5 minutes to go.
    assert quota["github_quota_forecast_remaining", "graphql"] == pytest.approx(3900 - 100 * 58.5)


def test_no_text_of_somebodys_is_shown_and_each_label_has_a_value_of_its_own(
    ledger: Ledger, clock: Clock, counters: Callable[[], LedgerCounters]
) -> None:
    settings = Settings(repositories=(REPOSITORY,))
    hostile = "canary\n} 1\nsquire_forged{x="
    add_task(ledger, title=hostile, base_branch="canary", repository="canary/canary")
    settle(ledger, start_attempt(ledger, title=hostile), Cause.AGENT_ERROR)
    call = ModelCallRow(hostile, hostile, ok=False, input_tokens=1, output_tokens=1, latency_s=1, trace_id=TRACE)
    with ledger.write() as tx:
        record_model_call(tx, replace(call, error=hostile, provider="canary", repository="canary/canary"))
        budgets.reserve(tx, "r-1", Purpose.PLAN, settings.budgets, repository="canary/canary", trace_id=TRACE)
    record_delivery(
        ledger, source="canary", delivery_id="canary", event="canary", action="canary", repository="canary/canary",
        body=b"{}",
    )  # fmt: skip
    clock.forward(LATER_S)
    reads = (
        ledger_gauges.read_tasks,
        ledger_gauges.read_queue,
        ledger_gauges.read_attempts,
        ledger_gauges.read_inbox,
        ledger_gauges.read_budgets,
        ledger_gauges.QuotaForecast().read,
    )
    with ledger.read() as tx:
        gauges = [read(tx, settings) for read in reads]
    shown_text = text_of(gauges, [counters().read(ledger)]).decode()
    assert "canary" not in shown_text
    families = list(text_string_to_metric_families(shown_text))
    assert len(families) > 15
    for sample in (sample for family in families for sample in family.samples):
        family = BY_NAME.get(sample.name) or BY_NAME[sample.name.rpartition("_")[0]]
        labels = {label.name: label for label in family.labels}
        assert set(sample.labels) - {"le"} == set(labels)
        for name, label in labels.items():
            known = label.values if isinstance(label.values, tuple) else (REPOSITORY, "*")
            assert sample.labels[name] in {*known, OTHER}
