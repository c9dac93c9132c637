"""Plans several repositories together: which groups are due, their plan, and its tasks.

The runs of a group's first repository make its plan. It is kept under the group's name, beside those of repositories.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from squire_pipelines.domain.budgets import Purpose
from squire_pipelines.domain.duplicates import KnownWork
from squire_pipelines.domain.group_members import GroupMember
from squire_pipelines.domain.plan_failures import NOT_MADE
from squire_pipelines.domain.plan_groups import check_group, group_subject
from squire_pipelines.domain.plan_making import RetryWaits
from squire_pipelines.domain.plans import PlanFinding, check_bounds, check_use
from squire_pipelines.domain.signals import Signal
from squire_pipelines.domain.tasks import Plan
from squire_pipelines.errors import SquireError
from squire_pipelines.execution.repository_context import RepositoryReader, read_together
from squire_pipelines.execution.requests import admission_rule
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.lookup import repository_info
from squire_pipelines.ledger import collections, plan_retries, plans
from squire_pipelines.ledger.known_work import known_work
from squire_pipelines.ledger.plans import SavedPlan
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.planning.account import PlanAccount
from squire_pipelines.planning.digest import group_digest
from squire_pipelines.planning.group_planner import make_group_plan
from squire_pipelines.planning.planner import Sources
from squire_pipelines.planning.shared_answers import SharedAnswers
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.sections.goals import PlanGroup
from squire_pipelines.settings.model import Settings


@dataclass(frozen=True, slots=True)
class GroupBasis:
    """What a plan over several repositories is made from, as the ledger had it at one moment.

    Args:
        group: Of the settings.
        signals: Of each of its repositories.
        known_work: Tasks that a new one must not repeat, likewise.
        unread: Those of which nothing was read yet: there is no plan before.
        latest: The group's newest plan.
        is_planned: Whether that plan was made by the same settings, and is not to be made again.
    """

    group: PlanGroup
    signals: Mapping[str, tuple[Signal, ...]]
    known_work: Mapping[str, tuple[KnownWork, ...]]
    unread: tuple[str, ...]
    latest: SavedPlan | None
    is_planned: bool

    @property
    def subject(self) -> str:
        """The name under which its plans are kept."""
        return group_subject(self.group.name)


@dataclass(frozen=True, slots=True)
class MadeGroupPlan:
    """A group's plan, and the default branch of each of its repositories that has a commit, as GitHub had them then."""

    plan: Plan
    branches: Mapping[str, str]


def group_basis(
    tx: Transaction, settings: Settings, group: PlanGroup, read: Mapping[str, Sequence[Signal]] | None = None
) -> GroupBasis:
    """Return what a group's plan is made from; `read` has the signals of those repositories that were read by now."""
    read = read or {}
    names, latest = group.repositories, plans.latest(tx, group_subject(group.name))
    return GroupBasis(
        group,
        {name: tuple(read[name]) if name in read else collections.active_signals(tx, name) for name in names},
        {name: known_work(tx, name, days=settings.planner.duplicate_days) for name in names},
        tuple(name for name in _unread(tx, group) if name not in read),
        latest,
        latest is not None
        and latest.plan.settings_digest in {None, group_digest(settings, group)}
        and not plan_retries.is_due(latest.ask_again_at, tx.now),
    )


def _unread(tx: Transaction, group: PlanGroup) -> tuple[str, ...]:
    return tuple(name for name in group.repositories if not collections.latest(tx, [name]))


def due_groups(tx: Transaction, settings: Settings, stopped: Collection[str] = ()) -> tuple[PlanGroup, ...]:
    """Return the groups of which a plan is to be made, or to become tasks, if none of their repositories is stopped."""
    groups = {
        group_subject(group.name): group
        for group in settings.planner.group
        if not any(name in stopped for name in group.repositories)
    }
    if not groups:
        return ()
    digests = {subject: group_digest(settings, group) for subject, group in groups.items()}
    new = [subject for subject in groups if plans.latest(tx, subject) is None]
    readable = [subject for subject in new if not _unread(tx, groups[subject])]
    waiting = (*readable, *plans.unadmitted(tx), *plan_retries.due_again(tx, digests))
    return tuple(groups[subject] for subject in dict.fromkeys(waiting) if subject in groups)


async def plan_group(
    settings: Settings,
    client: GitHubClient,
    ledger: Ledger,
    basis: GroupBasis,
    *,
    settings_of: Callable[[str], Settings],
    trace_id: str,
    fresh: bool = False,
    fall_back: bool = True,
) -> MadeGroupPlan:
    """Plan several repositories by their group's goals; a model that is asked is paid for from the budgets.

    A repository without any commit is left out until it has one. Those of which a model is asked are read before.

    Args:
        settings: The operator's.
        client: Of GitHub.
        ledger: Has the budgets and the answers to what was asked before.
        basis: What the plan is made from.
        settings_of: Gives those that hold in a repository.
        trace_id: Of the run or command.
        fresh: Whether a model is asked though it has answered the same before.
        fall_back: Whether there is a plan without tasks when a model gives no usable plan.

    Raises:
        SquireError: GitHub, the ledger or a file of the settings cannot be used; without `fall_back` also the model.
    """
    settings = settings.for_repository(basis.subject)
    account = PlanAccount(ledger, settings, basis.subject, trace_id=trace_id)
    infos = {name: await repository_info(client, name) for name in basis.group.repositories}
    branches = {name: info.default_branch for name, info in infos.items() if info.default_branch}
    members = [
        GroupMember(
            repository=name,
            default_branch=branch,
            signals=basis.signals[name],
            protected_paths=settings_of(name).policy_for(name).protected_paths,
        )
        for name, branch in branches.items()
    ]
    max_bytes = settings.planner.context_bytes
    readers = [RepositoryReader(settings_of(name), ledger, name, infos[name]) for name in branches]
    limit = settings.collection.max_concurrent_repositories
    sources = Sources(
        partial(find_secret, sources=settings.secret_sources),
        account.settle,
        account.reserve,
        SharedAnswers(ledger, settings.planner, fresh=fresh),
        partial(read_together, readers, max_bytes=max_bytes, limit=limit) if max_bytes else None,
    )
    plan = await make_group_plan(settings, basis.group, members, sources, basis.known_work, fall_back=fall_back)
    return MadeGroupPlan(plan, branches)


def save_group_plan(
    tx: Transaction,
    settings: Settings,
    basis: GroupBasis,
    outcome: MadeGroupPlan | SquireError,
    *,
    trace_id: str,
    run_id: str | None,
) -> SavedPlan | None:
    """Store a group's plan with what is wrong with it, which keeps it from becoming tasks.

    Where there could be none it is tried again later. The first time, a plan without tasks is stored that says why.
    """
    planner = settings.planner
    waits = RetryWaits(planner.retry_base_s, planner.retry_cap_s)
    if isinstance(outcome, MadeGroupPlan):
        findings = find_group_problems(settings, basis, outcome)
        return plans.save(tx, outcome.plan, findings, trace_id=trace_id, run_id=run_id, waits=waits)
    saved = None
    if basis.latest is None:
        empty = Plan(repository=basis.subject, planner="rules", signals_digest="")
        finding = PlanFinding(NOT_MADE, None, str(outcome))
        saved = plans.save(tx, empty, [finding], trace_id=trace_id, run_id=run_id, waits=waits)
    plan_retries.put_off(tx, basis.subject, timedelta(seconds=planner.retry_base_s), reason=str(outcome))
    return saved


def find_group_problems(settings: Settings, basis: GroupBasis, made: MadeGroupPlan) -> tuple[PlanFinding, ...]:
    """Return why a group's plan may not become tasks; nothing where it may."""
    planner, plan = settings.planner, made.plan
    return (
        *check_group(plan, made.branches, max_tasks=planner.max_tasks),
        *check_bounds(plan, planner.task_bounds),
        *check_use(plan, settings.budgets_for(basis.subject).cap(Purpose.PLAN)),
    )


def admit_groups_plan(
    tx: Transaction, settings: Settings, group: PlanGroup, settings_of: Callable[[str], Settings]
) -> tuple[str, ...]:
    """Make the tasks of a group's newest plan that passed its checks, once; return the ids of the new ones.

    Args:
        tx: Writes.
        settings: Have the group.
        group: Whose plan it is. A plan for other repositories is left: another one follows.
        settings_of: Gives those that hold in a repository, by which its tasks are approved and tried.
    """
    saved = plans.latest(tx, group_subject(group.name))
    if saved is None or not _is_within(saved.plan, group.repositories):
        return ()
    days = settings.planner.duplicate_days
    return plans.admit(tx, saved.id, lambda name: admission_rule(settings_of(name)), duplicate_days=days)


def _is_within(plan: Plan, repositories: Iterable[str]) -> bool:
    return {task.repository for task in plan.tasks} <= {*repositories}
