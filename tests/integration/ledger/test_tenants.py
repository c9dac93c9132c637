"""Tenants in the ledger: whose a row is, also after a move; shared slots; budgets that hold one tenant alone."""

import pytest
from sqlalchemy import event, select

from squire_pipelines.domain.budgets import BudgetLimits, Limit, Scope, TenantBudgetLimits
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.fair_shares import TenantShare
from squire_pipelines.domain.tenants import tenant_of
from squire_pipelines.ledger import budgets, task_dispatch, tenants
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import dispatch_holds
from squire_pipelines.ledger.tables import tasks as task_table
from squire_pipelines.ledger.task_dispatch import TenantSharing
from tests.support.ledgers import Clock, add_tasks, claim, settle, spec

PATTERNS = {"alpha": ("a/*",), "beta": ("b/*",)}
SHARES = {"alpha": TenantShare(2), "beta": TenantShare(1)}


def whose(name: str) -> str:
    return tenant_of(name, PATTERNS)


def start(ledger: Ledger, slots: int, shares: dict[str, TenantShare] = SHARES) -> tuple[Attempt, ...]:
    with ledger.write() as tx:
        return task_dispatch.dispatch(
            tx,
            max_concurrent=slots,
            max_per_repository=slots,
            claim_deadline_s=60,
            sharing=TenantSharing(whose, shares),
        )


def count(started: tuple[Attempt, ...]) -> dict[str, int]:
    names = [whose(attempt.repository) for attempt in started]
    return {name: names.count(name) for name in sorted(set(names))}


def many(ledger: Ledger, repository: str, number: int = 12) -> None:
    add_tasks(ledger, *(spec(f"{repository}-{one}") for one in range(number)), repository=repository)


def test_slots_are_shared_by_weight_however_long_one_tenants_queue_is(ledger: Ledger) -> None:
    many(ledger, "a/one", 40)
    many(ledger, "a/two", 40)
    many(ledger, "b/one", 5)
    assert count(start(ledger, 9)) == {"alpha": 6, "beta": 3}
    assert count(start(ledger, 12)) == {"alpha": 2, "beta": 1}
    assert count(start(ledger, 30)) == {"alpha": 17, "beta": 1}, "what beta cannot use goes to alpha"


def test_a_tenant_keeps_to_its_own_limit_and_others_take_the_rest(ledger: Ledger, clock: Clock) -> None:
    many(ledger, "a/one")
    many(ledger, "b/one", 2)
    shares = {"alpha": TenantShare(max_concurrent=3)}
    assert count(start(ledger, 10, shares)) == {"alpha": 3, "beta": 2}
    clock.forward(3600)
    assert start(ledger, 10, shares) == ()
    with ledger.read() as tx:
        rows = tx.execute(select(dispatch_holds)).all()
    assert "work of a/one" in {row.subject for row in rows if row.until is None}


def test_one_slot_goes_round_so_that_no_tenant_waits_for_ever(ledger: Ledger) -> None:
    many(ledger, "a/one", 6)
    many(ledger, "b/one", 6)
    order = []
    for _ in range(6):
        (attempt,) = start(ledger, 1)
        order.append(whose(attempt.repository))
        settle(ledger, claim(ledger, attempt.id), Cause.COMPLETED)
    assert sorted(order) == ["alpha"] * 4 + ["beta"] * 2


def test_without_tenants_dispatch_asks_the_ledger_what_it_always_asked(ledger: Ledger) -> None:
    many(ledger, "a/one", 2)
    asked: list[str] = []
    with ledger.write() as tx:
        event.listen(tx.connection, "before_cursor_execute", lambda *args: asked.append(args[2]))
        task_dispatch.dispatch(tx, max_concurrent=2, max_per_repository=2, claim_deadline_s=60)
    assert asked
    assert not any("tenant" in statement for statement in asked)


def test_rows_stay_with_the_tenant_of_their_time_and_what_goes_on_moves(ledger: Ledger, clock: Clock) -> None:
    many(ledger, "a/one", 2)
    done = settle_one(ledger)
    assert tenants.record_tenants(ledger, {}) == ()
    assert tenants.record_tenants(ledger, {"a/one": "alpha"}) == ()
    clock.forward(86_400)
    assert tenants.record_tenants(ledger, {"a/one": "beta"}) == ("a/one",)
    assert tenants.record_tenants(ledger, {"a/one": "beta"}) == ()
    assert of(ledger, "alpha") == {done}
    assert len(of(ledger, "beta")) == 1
    assert of(ledger, "default") == set()
    many(ledger, "c/new", 1)
    assert len(of(ledger, "default")) == 1, "what no tenant has is the house's"
    with ledger.read() as tx:
        assert tenants.present_tenants(tx) == {"a/one": "beta"}


def settle_one(ledger: Ledger) -> str:
    attempt = start(ledger, 1)[0]
    settle(ledger, claim(ledger, attempt.id), Cause.COMPLETED)
    return attempt.task_id


def of(ledger: Ledger, tenant: str) -> set[str]:
    row = task_table.c
    with ledger.read() as tx:
        return {*tx.execute(select(row.id).where(*tenants.of_tenant(tenant, row.repository, row.ended_at))).scalars()}


def test_a_name_that_is_none_never_becomes_sql() -> None:
    with pytest.raises(ValueError, match="tenant"):
        tenants.of_tenant("x' OR '1'='1", task_table.c.repository)


def limits_of(repository: str) -> BudgetLimits:
    if whose(repository) != "alpha":
        return BudgetLimits()
    return TenantBudgetLimits(attempt=Limit(usd=2), tenant="alpha", tenant_day=Limit(usd=4), tenant_month=Limit(usd=9))


def test_a_spent_budget_holds_its_tenant_alone(ledger: Ledger, clock: Clock) -> None:
    tenants.record_tenants(ledger, {"a/one": "alpha", "a/two": "alpha", "b/one": "beta"})
    for name in ("a/one", "a/two", "b/one"):
        many(ledger, name, 5)
    with ledger.write() as tx:
        started = task_dispatch.dispatch(
            tx,
            max_concurrent=9,
            max_per_repository=9,
            claim_deadline_s=60,
            limits_of=limits_of,
            sharing=TenantSharing(whose, SHARES),
        )
        assert count(started) == {"alpha": 2, "beta": 5}
        blocked = budgets.blocked_by_budget(tx, limits_of)
        assert set(blocked.repositories) == {"a/one", "a/two"}
        assert str(blocked.repositories["a/one"]).startswith("the budget of the tenant's day (4.00 of 4.00 USD")
        levels = budgets.levels(tx, BudgetLimits(), limits_of, ("a/one", "a/two", "b/one"))
        assert [(one.scope, one.tenant, one.used.usd) for one in levels] == [
            (Scope.TENANT_DAY, "alpha", 4),
            (Scope.TENANT_MONTH, "alpha", 4),
        ]
    # What was spent before a move stays that of the tenant who spent it.
    clock.forward(3600)
    tenants.record_tenants(ledger, {"a/one": "beta", "a/two": "beta"})
    with ledger.read() as tx:
        assert budgets.used(tx, limits_of("a/one"), repository="a/one")[Scope.TENANT_DAY].usd == 4
