"""Dispatch: which ready tasks are started, and the attempts that start with them, all in one transaction."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from sqlalchemy import Row, func, select

from squire_pipelines.domain.agent_choice import AgentChoice
from squire_pipelines.domain.budgets import BudgetLimits, Purpose
from squire_pipelines.domain.dispatch_order import ageing_moments
from squire_pipelines.domain.fair_shares import SlotSharing, TenantShare
from squire_pipelines.domain.identity import attempt_id as id_of_attempt
from squire_pipelines.domain.provider_limits import DayLimits, limited, no_room, share_of_day
from squire_pipelines.domain.queue_rules import QueueRules
from squire_pipelines.domain.tasks import AttemptStatus
from squire_pipelines.ledger import budgets
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.breakers import CountedAttempts, record_tripped
from squire_pipelines.ledger.dependencies import cancel_dependents
from squire_pipelines.ledger.dispatch_batch import DispatchBatch
from squire_pipelines.ledger.dispatch_holds import ALL_SLOTS, DispatchHolds, slots_of, subjects_of
from squire_pipelines.ledger.due_tasks import DueRules, count_due, read_due
from squire_pipelines.ledger.launches import count_unclaimed
from squire_pipelines.ledger.provider_budgets import reserve_at_providers
from squire_pipelines.ledger.queue_waits import RulesOf, read_room, ready_rules
from squire_pipelines.ledger.store import Transaction
from squire_pipelines.ledger.tables import attempts
from squire_pipelines.ledger.task_traits import ChooseAgent, traits_of
from squire_pipelines.ledger.tenants import read_credits, store_credits

_FOLLOWING = 400
_LOOK_AHEAD = (1, 8, 64)
"""How far beyond the tasks whose turn it is others are looked for, while those wait for an agent or its providers."""


PRIORITY_STEP_S = 21_600.0
"""The default of `dispatch.priority_step_s`."""

NO_SLOTS: Mapping[str, int] = MappingProxyType({})
DayLimitsOf = Callable[[str, AgentChoice | None, str | None], DayLimits]
"""Takes the repository, the agent's choice and the attempt's id."""


@dataclass(frozen=True, slots=True)
class TenantSharing:
    """How tenants share the slots.

    Args:
        tenant_of: Gives whose a repository is.
        shares: What each tenant is due; of one that is not among them, as much as any.
    """

    tenant_of: Callable[[str], str]
    shares: Mapping[str, TenantShare]


def dispatch(
    tx: Transaction,
    *,
    max_concurrent: int,
    max_per_repository: int,
    claim_deadline_s: float,
    max_unclaimed: int | None = None,
    priority_step_s: float = PRIORITY_STEP_S,
    slots: Mapping[str, int] = NO_SLOTS,
    without: Collection[str] = (),
    on_hold: Collection[str] = (),
    changed: Collection[str] = (),
    limits_of: budgets.LimitsOf | None = None,
    choose: ChooseAgent | None = None,
    day_limits_of: DayLimitsOf | None = None,
    rules_of: RulesOf | None = None,
    sharing: TenantSharing | None = None,
) -> tuple[Attempt, ...]:
    """Start an attempt for every task whose turn it is, all in this transaction; none in the repositories `without`.

    However many dispatchers there are, no more than `max_concurrent` attempts are open at once and no more than
    `max_per_repository` of one repository, or fewer where `slots` have fewer for it. Their order is that of
    `domain.dispatch_order`, in which a task rises by one priority for each `priority_step_s` that it waits. The new
    attempts are `queued`; their run has to claim them within `claim_deadline_s`. No more than `max_unclaimed` wait for
    that at once, so that a busy machine gets more when it has started those. With `limits_of`, each attempt
    reserves its budget, and tasks that do not fit theirs wait. So do those whose last attempt ended for what
    only the user can change, but for `changed`: it has been.
    `choose` says which agent each attempt gets, which is recorded with it; a task for which it names none waits, and
    those behind it are looked at instead. `day_limits_of` gives the limits of a day of an attempt's providers, of which
    it reserves its share; a task waits while none of its providers has room, and those behind it are looked at too.
    `rules_of` says what a repository's tasks wait for besides: an attempt that may open a pull request counts towards
    the caps from its start, so that no two dispatchers pass them together; one that adds to an open one needs no room.
    Each attempt is recorded with the moment since when none of these rules held its task: those that wait for a machine
    to launch them, or for a daemon to look, wait for Squire. `on_hold` are the repositories that wait for people.
    With `sharing`, tenants share the slots by `domain.fair_shares`; within a tenant the order is as without.
    """
    tx.exclusive("dispatch")
    while cancel_dependents(tx):
        pass  # each round cancels at least one task, which the next does not return again
    under_way, holds = _count_open(tx), DispatchHolds(tx)
    most = max_concurrent
    if max_unclaimed is not None:
        most = min(most, under_way.total() + max(0, max_unclaimed - count_unclaimed(tx)))
    free = _Places(under_way, most, max_per_repository, slots)
    if not free.has_any:
        if under_way.total() >= max_concurrent:
            holds.add(ALL_SLOTS)
        return ()
    blocked = budgets.BudgetBlocks({}, {}) if limits_of is None else budgets.blocked_by_budget(tx, limits_of)
    queue_rules = {} if rules_of is None else ready_rules(tx, rules_of)
    free.room.update(read_room(tx, queue_rules))
    due = DueRules(
        # A repository without a free slot has no task whose turn it is; its rows would take the place of others'.
        without=frozenset((*without, *blocked.repositories, *free.taken)),
        changed=changed,
        full=frozenset(name for name, count in free.room.items() if not count),
        merging=frozenset(name for name, rules in queue_rules.items() if rules.wait_for_merge),
        moments=ageing_moments(tx.now, priority_step_s),
    )
    batch = DispatchBatch(tx)
    counted = CountedAttempts(tx, batch.write)
    starting = _Starting(tx, holds, batch, counted, claim_deadline_s, limits_of, choose, day_limits_of, queue_rules)
    capped: tuple[str, ...] = ()
    if sharing is None:
        started = tuple(_start_due(starting, due, free, blocked.tasks))
    else:
        started, capped = _start_by_tenant(starting, due, free, blocked.tasks, sharing)
    batch.write()
    # The place of a task that somebody has cancelled at this very moment is filled at the next look.
    started = batch.without_cancelled(started)
    held_tasks = (*blocked.tasks, *starting.waiting)
    waiting_repositories = (*on_hold, *blocked.repositories, *capped)
    subjects = subjects_of(waiting_repositories, full=free.without_room, task_ids=held_tasks)
    holds.record({*free.slots_taken(max_concurrent), *subjects})
    return started


def _start_by_tenant(
    starting: "_Starting", due: DueRules, free: "_Places", blocked_tasks: Collection[str], sharing: TenantSharing
) -> tuple[tuple[Attempt, ...], tuple[str, ...]]:
    """Start what is due, one task of one tenant after another.

    Returns the attempts, and the repositories of tenants that have as many slots as they may have.
    """
    tx, tenant_of = starting.tx, sharing.tenant_of
    taken: Counter[str] = Counter()
    for name, count in free.open.items():
        taken[tenant_of(name)] += count
    counts = count_due(tx, due, without_tasks=blocked_tasks)
    repositories: dict[str, set[str]] = {}
    usable: Counter[str] = Counter()
    for name, count in counts.items():
        repositories.setdefault(tenant_of(name), set()).add(name)
        usable[tenant_of(name)] += min(count, free.slots_left(name))
    owed = read_credits(tx)
    slots = SlotSharing(free.max_concurrent, sharing.shares, dict(taken), dict(usable), dict(owed))
    queues = {
        tenant: _start_due(starting, replace(due, only=frozenset(names)), free, blocked_tasks)
        for tenant, names in repositories.items()
    }
    started: list[Attempt] = []
    while (tenant := slots.next_tenant()) is not None:
        attempt = next(queues[tenant], None)
        if attempt is None:
            slots.has_nothing(tenant)
            continue
        slots.give(tenant)
        started.append(attempt)
    store_credits(tx, owed, slots.credits)
    capped = (name for tenant, names in repositories.items() if slots.is_full(tenant) for name in sorted(names))
    return tuple(started), tuple(capped)


def _start_due(
    starting: "_Starting", due: DueRules, free: "_Places", blocked_tasks: Collection[str]
) -> Iterator[Attempt]:
    """Start what is due while there are places."""
    for times in _LOOK_AHEAD:
        waiting = len(starting.waiting)
        most = {"per_repository": free.max_per_repository * times, "limit": free.max_concurrent * times}
        without = (*blocked_tasks, *starting.waiting, *starting.batch.task_ids)
        rows = read_due(starting.tx, due, **most, without_tasks=without)
        for place, task in enumerate(rows, start=1):
            if not free.has_any:
                return
            following = rows[place : place + _FOLLOWING]
            if free.has_one_for(task) and (attempt := starting.start(task, following)) is not None:
                free.take(task)
                yield attempt
        if len(starting.waiting) == waiting:
            return


@dataclass(frozen=True, slots=True)
class _Places:
    """Which places for attempts are free: slots, and room for pull requests where `room` has the repository."""

    open: Counter[str]
    max_concurrent: int
    max_per_repository: int
    fewer: Mapping[str, int]
    room: dict[str, int] = field(default_factory=dict)

    @property
    def has_any(self) -> bool:
        return self.open.total() < self.max_concurrent

    @property
    def taken(self) -> tuple[str, ...]:
        """The repositories whose slots are all taken."""
        return tuple(name for name in self.open if not self._has_slot(name))

    @property
    def without_room(self) -> tuple[str, ...]:
        """The repositories whose caps leave no room for another pull request."""
        return tuple(name for name, count in self.room.items() if count <= 0)

    def slots_taken(self, max_concurrent: int) -> Iterator[str]:
        """Yield what slots hold by the settings, however few may be launched at once."""
        if self.open.total() >= max_concurrent:
            yield ALL_SLOTS
        for name, count in self.open.items():
            if count >= min(self.max_per_repository, self.fewer.get(name, self.max_per_repository)):
                yield slots_of(name)

    def _has_slot(self, name: str) -> bool:
        return self.slots_left(name) > 0

    def slots_left(self, name: str) -> int:
        """Return how many more attempts a repository may have."""
        return max(0, min(self.max_per_repository, self.fewer.get(name, self.max_concurrent)) - self.open[name])

    def has_one_for(self, task: Row[*tuple[Any, ...]]) -> bool:
        """Return whether a task may start; the caps let pass what a person has started."""
        name = task.repository
        needs_room = not task.adds_to_open and task.start_requested_at is None
        return self._has_slot(name) and not (needs_room and self.room.get(name, 1) <= 0)

    def take(self, task: Row[*tuple[Any, ...]]) -> None:
        self.open[task.repository] += 1
        if not task.adds_to_open and task.repository in self.room:
            self.room[task.repository] -= 1


def _count_open(tx: Transaction) -> Counter[str]:
    open_attempts = select(attempts.c.repository, func.count()).where(attempts.c.status != AttemptStatus.ENDED)
    return Counter({row[0]: row[1] for row in tx.execute(open_attempts.group_by(attempts.c.repository))})


@dataclass(frozen=True, slots=True)
class _DayShare:
    """What an attempt may spend, in US dollars, at each of its providers; their limits of the day are `limits`."""

    limits: tuple[tuple[str, float | None], ...]
    usd: float


@dataclass(frozen=True, slots=True)
class _Starting:
    """Starts attempts in one dispatch; `waiting` are the tasks that a breaker, their agent or its providers hold."""

    tx: Transaction
    holds: DispatchHolds
    batch: DispatchBatch
    counted: CountedAttempts
    claim_deadline_s: float
    limits_of: budgets.LimitsOf | None
    choose: ChooseAgent | None
    day_limits_of: DayLimitsOf | None
    rules: Mapping[str, QueueRules]
    waiting: set[str] = field(default_factory=set)
    without_room: set[_DayShare] = field(default_factory=set)

    def start(self, task: Row[*tuple[Any, ...]], following: Sequence[Row[*tuple[Any, ...]]]) -> Attempt | None:
        """Return a task's new attempt, which the batch writes; None when it has to wait.

        `following` are the tasks that come next, of which what decides is read with what decides about this one.
        """
        choice = None
        if self._is_held(task, following):
            self.waiting.add(task.id)
            return None
        if self.choose is not None:
            choice = self.choose(traits_of(self.tx, task.id, task.repository, task.kind, task.spec))
            if choice is None:
                self.waiting.add(task.id)
                return None
        if not self._reserve(task, choice):
            return None
        free_since = self.holds.free_since(task, waits_for_merge=self._waits_for_merge(task.repository))
        self.counted.add(task.repository)
        return self.batch.start(task, free_since=free_since, claim_deadline_s=self.claim_deadline_s, choice=choice)

    def _waits_for_merge(self, repository: str) -> bool:
        rules = self.rules.get(repository)
        return rules is not None and rules.wait_for_merge

    def _is_held(self, task: Row[*tuple[Any, ...]], following: Sequence[Row[*tuple[Any, ...]]]) -> bool:
        """Return whether a breaker holds a task, which its history then says."""
        rules = self.rules.get(task.repository)
        if rules is None or rules.breaker is None:
            return False
        trip = self.counted.trip(task, rules.breaker, following)
        if trip is not None:
            record_tripped(self.tx, task, trip)
        return trip is not None

    def _reserve(self, task: Row[*tuple[Any, ...]], choice: AgentChoice | None) -> bool:
        """Reserve what the attempt may cost; return whether there was room."""
        attempt = id_of_attempt(task.id, task.attempts + 1)
        limits = BudgetLimits() if self.limits_of is None else self.limits_of(task.repository)
        share = self._share(task.repository, attempt, limits, choice)
        if share in self.without_room:
            self.waiting.add(task.id)
            return False
        if self.batch.reserve(task, limits) is not None:
            return False
        if share is None or self._reserve_at_providers(attempt, share):
            return True
        self.without_room.add(share)
        self.waiting.add(task.id)
        self.batch.release(attempt)
        return False

    def _share(
        self, repository: str, attempt: str, limits: BudgetLimits, choice: AgentChoice | None
    ) -> _DayShare | None:
        """Return the attempt's share; None where no provider of its agent has a limit of the day."""
        day = self.day_limits_of(repository, choice, attempt) if self.day_limits_of is not None else {}
        usd = share_of_day(limits.cap(Purpose.ATTEMPT), day)
        return None if usd is None or not limited(day) else _DayShare(tuple(day.items()), usd)

    def _reserve_at_providers(self, attempt: str, share: _DayShare) -> bool:
        day = dict(share.limits)
        self.batch.write_reservations()
        return not no_room(day, reserve_at_providers(self.tx, attempt, limited(day), share.usd).values())
