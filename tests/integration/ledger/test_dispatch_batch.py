"""Attempts of one dispatch are written together, and that is the same as one dispatch for each of them."""

import random
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, update

from squire_pipelines.domain.agent_choice import AgentChoice, TaskTraits
from squire_pipelines.domain.breakers import Breaker
from squire_pipelines.domain.budgets import BudgetLimits, Limit
from squire_pipelines.domain.queue_rules import PullRequestCaps, QueueRules
from squire_pipelines.domain.tasks import Priority, TaskStatus
from squire_pipelines.ledger import attempts, task_dispatch, tasks
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import attempts as attempt_table
from squire_pipelines.ledger.tables import budgets as budget_table
from squire_pipelines.ledger.tables import task_events
from squire_pipelines.ledger.tables import tasks as task_table
from tests.support.ledgers import START, Clock, add_task, empty_tables, rows_as_stored, rows_as_told_by_events

NAMES = ("acme/a", "acme/b", "acme/c")
MOST = 100
"""More than there are tasks: how many a dispatch looks at follows from its slots."""
MOMENT = START + timedelta(minutes=5)
CODEX = AgentChoice(agent="codex")
_OF_ONE_RUN = {"fingerprint", "spec", "plan_id", "startable_at"}
"""What differs anyhow: slots that were taken a moment ago hold a task until now, which is `startable_at` then."""

PROVIDERS: Mapping[str, float | None] = {"cloud": 6.0}
Rules = dict[str, Any]
Row = dict[str, Any]


def choose_codex(traits: TaskTraits) -> AgentChoice | None:
    """Have the tasks of one repository wait for their agent."""
    return None if traits.repository == NAMES[1] else CODEX


def scene(chance: random.Random) -> tuple[list[Row], Rules]:
    """Some tasks, of which several are of one issue, and rules of which some hold a part of them."""
    rows = [
        {
            "repository": chance.choice(NAMES),
            "title": f"Task {number}",
            "priority": chance.choice(list(Priority)),
            "branch": f"squire/{chance.randrange(5)}",
        }
        for number in range(14)
    ]
    day = Limit(usd=5.0) if chance.random() < 0.5 else Limit()
    limits = {
        name: BudgetLimits(attempt=Limit(usd=1.0), repository=Limit(usd=chance.choice([2.0, 3.0])), day=day)
        for name in chance.sample(NAMES, 2)
    }
    breaker = Breaker(task=3, issue=chance.choice([1, 2]), day=chance.choice([4, 7, 100]))
    queue_rules = {
        NAMES[0]: QueueRules(breaker=breaker),
        NAMES[1]: QueueRules(caps=PullRequestCaps(max_open=3, max_new_per_hour=9), breaker=breaker),
    }
    rules: Rules = {
        "limits_of": lambda name: limits.get(name, BudgetLimits()),
        "rules_of": lambda name: queue_rules.get(name, QueueRules()),
    }
    if chance.random() < 0.5:
        rules["day_limits_of"] = lambda name, *_: PROVIDERS if name == NAMES[2] else {}
        limits[NAMES[2]] = BudgetLimits(attempt=Limit(usd=2.5))
    if chance.random() < 0.5:
        rules["choose"] = choose_codex
    return rows, rules


def start(ledger: Ledger, rules: Rules, *, most: int) -> tuple[Attempt, ...]:
    with ledger.write() as tx:
        return task_dispatch.dispatch(tx, max_concurrent=most, max_per_repository=4, claim_deadline_s=60, **rules)


def fill(ledger: Ledger, clock: Clock, rows: list[Row]) -> list[str]:
    """Make the tasks of a scene at its times, and return their ids."""
    empty_tables(ledger)
    clock.now = START
    ids = []
    for row in rows:
        clock.forward(1)
        ids.append(
            add_task(ledger, max_attempts=2, **{name: row[name] for name in ("repository", "title", "priority")})
        )
        with ledger.write() as tx:
            tx.execute(update(task_table).where(task_table.c.id == ids[-1]).values(branch=row["branch"]))
    return ids


def stored(ledger: Ledger, ids: list[str]) -> dict[str, list[str]]:
    """Return the rows of what a dispatch writes, without what tells two runs of a scene apart."""
    numbers = {task_id: f"<{number}>" for number, task_id in enumerate(ids)}

    def as_text(row: Mapping[str, Any]) -> str:
        words = repr({name: value for name, value in row.items() if name not in _OF_ONE_RUN})
        return re.sub("|".join(ids), lambda match: numbers[match[0]], words)

    with ledger.read() as tx:
        rows = {
            table.name: [as_text(dict(row._mapping)) for row in tx.execute(select(table).order_by(order))]
            for table, order in ((task_table, "created_at"), (attempt_table, "task_id"), (budget_table, "task_id"))
        }
        # Of how many tasks it says that a breaker holds them follows from how many it looks at.
        of_starts = select(task_events).where(task_events.c.actor != "breaker")
        events = tx.execute(of_starts.order_by(task_events.c.task_id, task_events.c.id))
        history = [as_text({name: value for name, value in row._mapping.items() if name != "id"}) for row in events]
    return {name: sorted(texts) for name, texts in rows.items()} | {"events": history}


@pytest.mark.parametrize("seed", range(6))
def test_what_one_dispatch_writes_together_is_what_one_for_each_attempt_writes(
    ledger: Ledger, clock: Clock, seed: int
) -> None:
    rows, rules = scene(random.Random(seed))  # noqa: S311 - no secret
    ids = fill(ledger, clock, rows)
    clock.now = MOMENT
    together: list[str] = []
    while started := start(ledger, rules, most=MOST):
        together += [attempt.id for attempt in started]
    of_one, order = stored(ledger, ids), [ids.index(attempt.rpartition("-")[0]) for attempt in together]

    ids = fill(ledger, clock, rows)
    clock.now = MOMENT
    single: list[str] = []
    while len(single) < MOST and (started := start(ledger, rules, most=len(single) + 1)):
        single += [attempt.id for attempt in started]
    assert [ids.index(attempt.rpartition("-")[0]) for attempt in single] == order
    for name, texts in stored(ledger, ids).items():
        assert set(texts) ^ set(of_one[name]) == set(), name
        assert texts == of_one[name]
    assert single


def test_what_a_dispatch_returns_is_what_the_ledger_has(ledger: Ledger) -> None:
    for number in range(3):
        add_task(ledger, title=f"Task {number}")
    started = start(ledger, {"choose": choose_codex}, most=2)
    with ledger.read() as tx:
        assert {attempt.id: attempts.get(tx, attempt.id) for attempt in started} == {one.id: one for one in started}
        assert len(attempts.queued(tx)) == len(started) == 2


def test_a_task_that_is_cancelled_while_a_dispatch_decides_gets_no_attempt_and_reserves_nothing(
    ledger: Ledger, open_at: Callable[..., Ledger]
) -> None:
    if ledger.is_sqlite:
        return  # nobody writes beside a dispatch there
    first, second = (add_task(ledger, title=f"Task {number}") for number in range(2))
    others = open_at(ledger.url.render_as_string(hide_password=False))

    def cancel_first(traits: TaskTraits) -> AgentChoice:
        if traits.id == second:
            with others.write() as tx:
                tasks.cancel(tx, first, actor="ann")
        return CODEX

    (attempt,) = start(ledger, {"choose": cancel_first}, most=5)
    assert attempt.task_id == second
    with ledger.read() as tx:
        assert tasks.get(tx, first).status is TaskStatus.CANCELLED
        assert attempts.of_task(tx, first) == ()
        assert tx.execute(select(budget_table.c.task_id)).scalars().all() == [second]
    assert rows_as_told_by_events(ledger) == rows_as_stored(ledger)


def test_many_attempts_are_written_by_a_few_statements(ledger: Ledger) -> None:
    for number in range(20):
        add_task(ledger, title=f"Task {number}")
    statements: list[str] = []

    def note(*words: Any) -> None:
        statements.append(str(words[2]))

    event.listen(ledger.engine, "before_cursor_execute", note)
    assert len(start(ledger, {}, most=1)) == 1
    for_one = len(statements)
    statements.clear()
    assert len(task_ids_of(ledger, most=15)) == 14
    event.remove(ledger.engine, "before_cursor_execute", note)
    assert len(statements) <= for_one + 2  # that the slots are taken may be new


def task_ids_of(ledger: Ledger, *, most: int) -> list[str]:
    with ledger.write() as tx:
        started = task_dispatch.dispatch(tx, max_concurrent=most, max_per_repository=most, claim_deadline_s=60)
    return [attempt.task_id for attempt in started]
