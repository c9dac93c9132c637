"""Plans one repository: what a plan is made from, and the plan. The asset, dry runs and commands have this one way.

To plan saves nothing but what a model that is asked costs, and its answer; to save the plan and to make its tasks are
steps of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from squire_pipelines.domain.budgets import Purpose
from squire_pipelines.domain.covered import CoveredFact
from squire_pipelines.domain.duplicates import KnownWork, check_duplicates, open_pull_requests
from squire_pipelines.domain.plan_making import RetryWaits
from squire_pipelines.domain.plans import PlanFinding, check_bounds, check_plan, check_use
from squire_pipelines.domain.signals import Signal
from squire_pipelines.domain.tasks import Plan, TaskSpec
from squire_pipelines.execution.repository_context import RepositoryReader
from squire_pipelines.execution.requests import admission_rule, request_inputs
from squire_pipelines.github.lookup import RepositoryInfo
from squire_pipelines.ledger import collections, plan_retries, plans
from squire_pipelines.ledger.covered_facts import covered_facts
from squire_pipelines.ledger.known_work import known_work
from squire_pipelines.ledger.plans import SavedPlan
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.planning.account import PlanAccount
from squire_pipelines.planning.digest import settings_digest, signals_digest
from squire_pipelines.planning.planner import make_plan
from squire_pipelines.planning.requests import requested_tasks
from squire_pipelines.planning.shared_answers import SharedAnswers
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.settings.model import Settings


@dataclass(frozen=True, slots=True)
class PlanBasis:
    """What a plan of one repository is made from, as the ledger had it at one moment.

    Args:
        repository: `owner/name`.
        signals: All that are there now.
        covered: Those that need no task, by ref, and why.
        known_work: Tasks that a new one must not repeat.
        latest: The repository's newest plan.
        is_planned: Whether that plan was made from the same signals and settings, and is not to be made again.
        newest: The reading that the signals are of, which the plan answers; 0 where they were not recorded.
    """

    repository: str
    signals: tuple[Signal, ...]
    covered: Mapping[str, CoveredFact]
    known_work: tuple[KnownWork, ...]
    latest: SavedPlan | None
    is_planned: bool
    newest: int = 0


def plan_basis(
    tx: Transaction, settings: Settings, repository: str, signals: Sequence[Signal], *, newest: int = 0
) -> PlanBasis:
    """Return what a plan is made from.

    Args:
        tx: Reads.
        settings: Those that hold in the repository.
        repository: `owner/name`.
        signals: All of the repository, with people's decisions.
        newest: See `PlanBasis`.
    """
    planner, latest = settings.planner, plans.latest(tx, repository)
    rules = settings.trust_rules_for(repository)
    return PlanBasis(
        repository,
        tuple(signals),
        covered_facts(tx, repository, signals, times=planner.max_tasks_per_fact, rules=rules),
        known_work(tx, repository, days=planner.duplicate_days),
        latest,
        latest is not None
        and latest.plan.signals_digest == signals_digest(signals)
        and latest.plan.settings_digest in {None, settings_digest(settings, repository)}
        and not plan_retries.is_due(latest.ask_again_at, tx.now),
        newest,
    )


def recorded_basis(tx: Transaction, settings: Settings, repository: str) -> PlanBasis:
    """Return what a plan is made from, as the repository was read last."""
    newest = max((row.id for row in collections.latest(tx, [repository])), default=0)
    return plan_basis(tx, settings, repository, collections.active_signals(tx, repository), newest=newest)


def requests_in(settings: Settings, basis: PlanBasis, *, default_branch: str | None) -> tuple[TaskSpec, ...]:
    """Return the tasks of the signals by which people ask for work: they are made without a planner."""
    inputs = request_inputs(settings, basis.repository, basis.signals, basis.covered, default_branch=default_branch)
    return requested_tasks(inputs)


def unadmitted_plan(latest: SavedPlan | None, *, is_planned: bool) -> Plan | None:
    """Return what a cycle would go by where it makes no new plan: the last one, with the tasks that are not made yet.

    None where it would make a new plan.

    Args:
        latest: The newest plan.
        is_planned: See `PlanBasis`.
    """
    if not is_planned or latest is None:
        return None
    note = f"nothing has changed since the plan {latest.id}, so that no new one is made"
    is_to_be_admitted = latest.admitted_at is None and not latest.findings
    tasks = latest.plan.tasks if is_to_be_admitted else ()
    return latest.plan.model_copy(update={"tasks": tasks, "notes": (note,), "left_out": ()})


async def plan_repository(
    settings: Settings,
    ledger: Ledger,
    basis: PlanBasis,
    *,
    info: RepositoryInfo,
    trace_id: str,
    fresh: bool = False,
    fall_back: bool = True,
) -> Plan:
    """Plan what nobody has asked for as a task of its own; a model that is asked is paid for from the budgets.

    Args:
        settings: Those that hold in the repository.
        ledger: Has the budgets and the answers to what was asked before.
        basis: What the plan is made from.
        info: What GitHub says that the repository is; its code is read when a model is asked.
        trace_id: Of the run or command.
        fresh: Whether a model is asked though it has answered the same before.
        fall_back: Whether the rules plan when a model gives no usable plan.

    Raises:
        ConfigError: A model is to be asked, and a file of the prompt cannot be used.
        PlanningError: A model gave no usable plan, and the rules are not to plan in its place.
        LedgerError: The ledger cannot be written.
    """
    account = PlanAccount(ledger, settings, basis.repository, trace_id=trace_id)
    requests = requests_in(settings, basis, default_branch=info.default_branch)
    reader = RepositoryReader(settings, ledger, basis.repository, info)
    return await make_plan(
        settings,
        basis.repository,
        basis.signals,
        default_branch=info.default_branch,
        covered=frozenset(basis.covered).union(*(request.signals for request in requests)),
        find_key=partial(find_secret, sources=settings.secret_sources),
        on_call=account.settle,
        reserve=account.reserve,
        shared=SharedAnswers(ledger, settings.planner, fresh=fresh),
        known_work=basis.known_work,
        read_context=reader.read if settings.planner.context_bytes else None,
        fall_back=fall_back,
    )


def find_problems(settings: Settings, basis: PlanBasis, plan: Plan) -> tuple[PlanFinding, ...]:
    """Return why a plan may not become tasks, in the order of `PLAN_CHECKS`; nothing where it may."""
    planner = settings.planner
    known = {signal.ref for signal in basis.signals}
    return (
        *check_plan(plan, known_signals=known, max_tasks=planner.max_tasks),
        *check_bounds(plan, planner.task_bounds),
        *check_use(plan, settings.budgets_for(basis.repository).cap(Purpose.PLAN)),
        *check_duplicates(plan, (*basis.known_work, *open_pull_requests(basis.signals)), basis.covered),
    )


def save_plan(
    tx: Transaction, settings: Settings, basis: PlanBasis, plan: Plan, *, trace_id: str, run_id: str | None
) -> SavedPlan:
    """Store a plan with what is wrong with it, which keeps it from becoming tasks.

    Args:
        tx: Writes.
        settings: Those that hold in the repository.
        basis: What the plan was made from.
        plan: Whoever made it.
        trace_id: Of the run or command.
        run_id: Of Dagster's run; None for a command.
    """
    waits = RetryWaits(settings.planner.retry_base_s, settings.planner.retry_cap_s)
    saved = plans.save(tx, plan, find_problems(settings, basis, plan), trace_id=trace_id, run_id=run_id, waits=waits)
    collections.mark_planned(tx, basis.repository, basis.newest)
    return saved


def admit_plan(tx: Transaction, settings: Settings, saved: SavedPlan) -> tuple[str, ...]:
    """Make the tasks of a plan that passed its checks, once; return the ids of the new ones."""
    planner, rule = settings.planner, admission_rule(settings)
    return plans.admit(
        tx,
        saved.id,
        lambda _: rule,
        max_tasks_per_fact=planner.max_tasks_per_fact,
        duplicate_days=planner.duplicate_days,
    )
