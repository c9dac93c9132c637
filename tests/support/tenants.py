"""A ledger that two tenants share: each has work of every kind, in which its own word stands."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from squire_pipelines.domain.alert_rules import Severity
from squire_pipelines.domain.alert_steps import AlertState, AlertStep
from squire_pipelines.domain.budgets import BudgetLimits, Limit, Purpose
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.identity import new_id
from squire_pipelines.domain.plans import ApprovalRule
from squire_pipelines.domain.schedules import Rhythm
from squire_pipelines.domain.tasks import Risk
from squire_pipelines.ledger import (
    alerts,
    attempts,
    budgets,
    model_calls,
    outcomes,
    schedules,
    tables,
    task_dispatch,
    tenants,
)
from squire_pipelines.ledger.alerts import QueueBounds
from squire_pipelines.ledger.attempts import AttemptFacts
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.model_calls import ModelCallRow
from squire_pipelines.ledger.schedules import NewSchedule
from squire_pipelines.ledger.store import Ledger
from tests.support.ledgers import TRACE, add_tasks, claim, collect, issue, settle, spec

SETTINGS = """
repositories = ["acme/shop", "beta/site", "house/own"]
[tenants.acme]
repositories = ["acme/*"]
budgets.day.usd = 100
[tenants.beta]
repositories = ["beta/*"]
budgets.day.usd = 100
"""
OWNERS = {"acme/shop": "acme", "beta/site": "beta", "house/own": "default"}
WORDS = {"acme": "applepie", "beta": "bananabread", "default": "doughnut"}
"""Each stands in all that is one tenant's, and nowhere else."""


@dataclass(frozen=True)
class TenantWork:
    """What one tenant has, by its ids."""

    repository: str
    word: str
    ended: str
    waiting: str
    proposed: str
    attempt: str
    plan: str
    signal: int
    schedule: str
    alert: str


def fill(ledger: Ledger) -> dict[str, TenantWork]:
    """Give each tenant of the settings work of every kind."""
    tenants.record_tenants(ledger, OWNERS)
    return {tenant: _work(ledger, repository, WORDS[tenant]) for repository, tenant in OWNERS.items()}


def _work(ledger: Ledger, repository: str, word: str) -> TenantWork:
    url = f"https://github.com/{repository}/pull/12"
    (ended,) = add_tasks(ledger, spec("ended", title=f"Ended {word}", prompt=word), repository=repository)
    with ledger.write() as tx:
        limits, others = BudgetLimits(attempt=Limit(usd=2)), [name for name in OWNERS if name != repository]
        started = task_dispatch.dispatch(
            tx,
            max_concurrent=100,
            max_per_repository=100,
            claim_deadline_s=60,
            limits_of=lambda _: limits,
            without=others,
        )
    attempt = claim(ledger, next(one.id for one in started if one.task_id == ended))
    with ledger.write() as tx:
        token = attempt.lease_token or ""
        attempts.note(tx, attempt.id, token, AttemptFacts(pr_number=12, pr_url=url))
        outcomes.record_opened(tx, task_id=ended, repository=repository, pr_number=12, pr_url=url, head_sha="e" * 40)
        call = {"ok": True, "input_tokens": 10, "output_tokens": 5, "latency_s": 0.5, "trace_id": TRACE}
        own = {"repository": repository, "task_id": ended, "attempt_id": attempt.id, "provider": f"{word}provider"}
        model_calls.record_model_call(tx, ModelCallRow("agent", f"{word}-model", cost_usd=0.5, **call, **own))  # type: ignore[arg-type]
    settle(ledger, attempt, Cause.COMPLETED, f"it ended {word}")
    (waiting,) = add_tasks(ledger, spec("waiting", title=f"Waiting {word}"), repository=repository)
    collect(ledger, issue(7, repository=repository, title=f"Broken {word}"), repository=repository)
    with ledger.write() as tx:
        budgets.reserve(
            tx, f"plan:{word}", Purpose.PLAN, BudgetLimits(plan=Limit(usd=3)), repository=repository, trace_id=TRACE
        )
        record_audit(tx, actor=f"cli:{word}", action="tasks.approve", subject=ended, trace_id=TRACE)
        record_audit(tx, actor=f"cli:{word}", action="container.started", subject=attempt.id, trace_id=TRACE)
        record_audit(
            tx, actor=f"cli:{word}", action="signals.hold", subject=f"{repository} open_issue:7", trace_id=TRACE
        )
        record_audit(tx, actor=f"cli:{word}", action="merge.asked", subject=f"{repository}#12", trace_id=TRACE)
        wish = NewSchedule(
            repository, spec("scheduled", title=f"Scheduled {word}"), Rhythm("0 3 * * *", "UTC"), tx.now, f"cli:{word}"
        )
        schedule = schedules.create(tx, wish, most=5, trace_id=TRACE)
        alert = AlertState(
            new_id("al", tx.now),
            f"task_failures:{repository}",
            "task_failures",
            repository,
            Severity.WARNING,
            f"tasks failed {word}",
            f"look {word}",
            tx.now,
            tx.now,
        )
        alerts.record_step(tx, AlertStep((alert,)), None, (), QueueBounds(10, timedelta(days=1)))
        plan = tx.execute(
            select(tables.plans.c.id)
            .where(tables.plans.c.repository == repository)
            .order_by(tables.plans.c.id)
            .limit(1)
        ).scalar_one()
        signal = tx.execute(select(tables.signals.c.id).where(tables.signals.c.repository == repository)).scalar_one()
    proposed = add_proposed(ledger, repository, word)
    return TenantWork(
        repository, word, ended, waiting, proposed, attempt.id, plan, signal, schedule.id, f"task_failures:{repository}"
    )


def add_proposed(ledger: Ledger, repository: str, word: str) -> str:
    """Add a task that waits for approval; return its id."""
    approval = ApprovalRule(automatic=False, min_confidence=0, max_risk=Risk.HIGH)
    task = spec("proposed", title=f"Proposed {word}")
    return add_tasks(ledger, task, repository=repository, approval=approval)[0]
