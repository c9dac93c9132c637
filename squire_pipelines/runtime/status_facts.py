"""What `squire status` and the board show, gathered within a second: conditions, the work, and what waits for what."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from squire_pipelines.domain.alert_rules import OF_FACTS
from squire_pipelines.domain.alert_steps import UNKNOWN_FOR, AlertState
from squire_pipelines.domain.conditions import Condition, HealthLevel, next_condition, worst_level
from squire_pipelines.domain.debugging import DebugWindow
from squire_pipelines.errors import ConfigError, LedgerError, ProviderBudgetError, SquireError
from squire_pipelines.execution.serving_workers import ServedAgents, read_served
from squire_pipelines.health.local_probes import local_probes
from squire_pipelines.health.probe import Probe, ProbeRunner
from squire_pipelines.health.stored_conditions import current_conditions, in_order
from squire_pipelines.ledger.alerts import of_one_tenant, open_alerts
from squire_pipelines.ledger.overview import WorkOverview, read_overview
from squire_pipelines.ledger.queue_waits import read_waits
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.task_query import SortOrder, TaskQuery
from squire_pipelines.ledger.task_rows import TaskRow, read_page, with_waits
from squire_pipelines.ledger.waiting import FOR_ITS_START, WaitKind
from squire_pipelines.observability.debugging import read_windows
from squire_pipelines.runtime.daemon_probe import daemon_process_probe
from squire_pipelines.runtime.machine_facts import MachineProcess, read_machines

if TYPE_CHECKING:
    from squire_pipelines.execution.repository_settings import RepositorySettings
    from squire_pipelines.settings.model import Settings

ASKED = ("engine", "models", "clock")
"""Conditions that each home has once somebody has looked at everything."""

MAX_WAITING = 200
"""So many ready tasks are asked what they wait for."""

_BUSY_TIMEOUT_S = 3.0
_BROKER_S = 1.0
_MAX_ASKED_REPOSITORIES = 10
_BY_TEXT = frozenset({WaitKind.BUDGET, WaitKind.CAP, WaitKind.SETTINGS, WaitKind.REPOSITORY, WaitKind.START})
_NEEDED = (("disk", "room"), ("daemon", "the daemon"), ("engine", "the container engine"), ("models", "a model"))
_IN_GENERAL: Mapping[str, str] = {
    WaitKind.DEPENDENCY: "tasks that they depend on",
    WaitKind.TIME: "their time",
}


@dataclass(frozen=True, slots=True)
class WaitGroup:
    """How many ready tasks wait for the same; `kind` is one of `WaitKind`, `until` when the first may go on."""

    kind: str
    text: str
    tasks: int
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """What is shown.

    Args:
        now: The moment.
        home: Where Squire's files are.
        conditions: How everything is, as far as anybody has looked.
        work: Tasks, attempts and pull requests; None where the ledger has none to show.
        waits: What ready tasks wait for, most of them first.
        waits_read: Of how many tasks that is.
        problem: Why the work is not known; empty where it is, or where there is none yet.
        debugging: What is debugged, and until when.
        alerts: Those that fire about the work itself; the others are about conditions, which are shown anyway.
        machines: The processes of all machines, where several share the ledger.
        is_of_tenant: Whether it is what one tenant may see: nothing of the machine.
    """

    now: datetime
    home: str
    conditions: tuple[Condition, ...]
    work: WorkOverview | None = None
    waits: tuple[WaitGroup, ...] = ()
    waits_read: int = 0
    problem: str = ""
    debugging: tuple[DebugWindow, ...] = ()
    alerts: tuple[AlertState, ...] = ()
    machines: tuple[MachineProcess, ...] = ()
    is_of_tenant: bool = False

    @property
    def level(self) -> HealthLevel:
        """How well everything is; an alert, and what nobody looks at any more, is degraded."""
        stale = self.stale
        level = worst_level((one for one in self.conditions if one not in stale), now=self.now)
        return HealthLevel.DEGRADED if (stale or self.alerts) and level is HealthLevel.OK else level

    @property
    def stale(self) -> tuple[Condition, ...]:
        """The conditions that nobody looks at any more."""
        return tuple(condition for condition in self.conditions if condition.is_stale(self.now))

    @property
    def wrong(self) -> tuple[Condition, ...]:
        """The conditions that are not well, also those that nobody looks at any more."""
        return tuple(condition for condition in self.conditions if not condition.is_ok)

    @property
    def unknown(self) -> tuple[str, ...]:
        """What nobody has ever looked at."""
        known = {condition.name for condition in self.conditions} if not self.is_of_tenant else {*ASKED}
        return tuple(name for name in ASKED if name not in known)


def gather(
    settings: "Settings", *, refusal: str = "", looks: Callable[[], tuple[Condition, ...]] | None = None
) -> StatusFacts:
    """Gather what is shown.

    Args:
        settings: That hold.
        refusal: Why the settings' file is refused; empty where it is not.
        looks: Looks at everything anew; None takes what others have seen, but for this machine and the ledger.
    """
    conditions = looks() if looks is not None else _with_quick_looks(settings)
    now = datetime.now(UTC)
    if refusal:
        reason = f"the settings' file is refused, and the last good settings hold: {refusal}"
        hint = "`squire config edit` changes it, `squire config validate` checks it"
        known = next((one for one in conditions if one.name == "settings"), None)
        since = known.since if known is not None and not known.is_ok else now
        wrong = Condition("settings", HealthLevel.DEGRADED, reason, hint, since, now, 60.0)
        conditions = in_order((*(one for one in conditions if one.name != "settings"), wrong))
    debugging = tuple(window for window in read_windows(settings.home.debug_file) if window.is_open(now))
    facts = StatusFacts(now, str(settings.home.state), conditions, debugging=debugging)
    schema = next((condition for condition in conditions if condition.name == "schema"), None)
    if schema is None or not schema.is_ok or schema.is_starting:
        return facts  # there is no ledger yet, or its condition says what is wrong
    try:
        return _with_work(facts, settings)
    except SquireError as error:
        return replace(facts, problem=error.message)


def gather_for_tenant(settings: "Settings") -> StatusFacts:
    """Gather what a tenant may see: its own work and alerts, and nothing of the machine.

    Args:
        settings: Of the tenant, see `Settings.for_tenant`.
    """
    facts = StatusFacts(datetime.now(UTC), "", (), is_of_tenant=True)
    try:
        return _with_work(facts, settings)
    except SquireError as error:
        return replace(facts, problem=error.message)


def _with_quick_looks(settings: "Settings") -> tuple[Condition, ...]:
    known = {condition.name: condition for condition in current_conditions(settings.home)}
    probes: Sequence[Probe] = (*local_probes(settings), daemon_process_probe(settings))
    now = datetime.now(UTC)
    conditions = dict(known)
    for probe, states in ProbeRunner().run(probes):
        for name, state in states.items():
            before = known.get(name)
            looked = next_condition(before, name, state, now=now, fresh_for_s=probe.fresh_for_s)
            # Who looks at the ticks too knows more of a daemon than its process shows, unless that has died.
            if name == "daemon" and before is not None and not before.is_stale(now) and not _is_down(looked):
                continue
            conditions[name] = looked
    return in_order(tuple(conditions.values()))


def _is_down(condition: Condition) -> bool:
    return condition.level is HealthLevel.DOWN


def _runs_not(condition: Condition) -> bool:
    return condition.is_starting or not condition.is_ok


def _with_work(facts: StatusFacts, settings: "Settings") -> StatusFacts:
    from squire_pipelines.execution.repository_settings import repository_settings  # noqa: PLC0415 - seldom without
    from squire_pipelines.execution.settings_waits import waits_for_tenants_budgets  # noqa: PLC0415 - likewise

    ledger = Ledger(settings.resolved_ledger_url, busy_timeout_s=_BUSY_TIMEOUT_S)
    try:
        own = repository_settings(ledger, settings)
        with ledger.read() as tx:
            tenant = settings.tenant
            work = read_overview(tx, tenant=tenant)
            known = open_alerts(tx) if tenant is None else of_one_tenant(tx, open_alerts(tx), tenant)
            firing = (one for one in known if one.cleared_at is None and tx.now - one.seen_at < UNKNOWN_FOR)
            alerts = tuple(one for one in firing if one.rule in OF_FACTS)
            query = TaskQuery(statuses=("ready",), tenant=tenant, order=SortOrder.PRIORITY, limit=MAX_WAITING)
            rows = read_page(tx.query_runner(), query, now=tx.now).rows
            starting = {row.id: row.repository for row in rows if row.waits_for_start}
            has_several = tenant is None and not ledger.is_sqlite
            machines = read_machines(tx, lost_after_s=settings.workers.lost_after_s) if has_several else ()
            waits = read_waits(tx, starting, own.queue_rules_of, own.of_all.budgets_for)
            rows = with_waits(rows, waits | waits_for_tenants_budgets(settings, starting))
        starts = _StartWaits(ledger, own, work, facts.conditions)
        groups = group_waits(rows, starts.wait_of)
    finally:
        ledger.close()
    return replace(facts, work=work, waits=groups, waits_read=len(rows), alerts=alerts, machines=machines)


def group_waits(rows: Sequence[TaskRow], start_wait: Callable[[str], str]) -> tuple[WaitGroup, ...]:
    """Return what tasks wait for, each with how many of them, most of them first.

    Args:
        rows: The ready tasks.
        start_wait: Returns what a task of a repository waits for that nothing in the ledger keeps from starting.
    """
    groups: dict[tuple[str, str], WaitGroup] = {}
    for row in rows:
        kind = WaitKind(row.waiting_for or WaitKind.START)
        text = start_wait(row.repository) if kind is WaitKind.START else row.waiting or ""
        if kind not in _BY_TEXT:
            text = _IN_GENERAL.get(kind, text)
        group = groups.get((kind, text), WaitGroup(kind, text, 0, row.waiting_until))
        ends = [until for until in (group.until, row.waiting_until) if until is not None]
        groups[kind, text] = replace(group, tasks=group.tasks + 1, until=min(ends, default=None))
    return tuple(sorted(groups.values(), key=lambda group: (-group.tasks, group.text)))


class _StartWaits:
    """Says what a task waits for that nothing in the ledger keeps from starting: a slot, a process, a provider."""

    def __init__(
        self, ledger: Ledger, own: "RepositorySettings", work: WorkOverview, conditions: tuple[Condition, ...]
    ) -> None:
        self._ledger = ledger
        self._own = own
        self._work = work
        self._conditions = {condition.name: condition for condition in conditions}
        self._texts: dict[str, str] = {}

    @cached_property
    def _served(self) -> ServedAgents:
        return read_served(self._ledger, self._own.operator)

    @cached_property
    def _broker_problem(self) -> str | None:
        from squire_pipelines.work_queue.broker import why_away  # noqa: PLC0415 - not on one machine

        return why_away(self._own.operator, within_s=_BROKER_S)

    def wait_of(self, repository: str) -> str:
        if repository not in self._texts:
            self._texts[repository] = next(self._reasons(repository), FOR_ITS_START.text)
        return self._texts[repository]

    def _reasons(self, repository: str) -> Iterator[str]:
        settings = self._own.of(repository)
        running, most = self._work.attempts_total, self._own.operator.dispatch.max_concurrent
        if running >= most:
            yield f"a free slot: {running} of {most} are taken"
        running_there = sum(attempt.repository == repository for attempt in self._work.attempts)
        if running_there >= settings.dispatch.max_per_repository:
            yield f"a free slot in {repository}: {running_there} of {settings.dispatch.max_per_repository} are taken"
        for name, text in _NEEDED:
            condition = self._conditions.get(name)
            if condition is not None and (_is_down(condition) or (name == "daemon" and _runs_not(condition))):
                yield f"{text}: {condition.reason}"
        if settings.is_shared:
            if self._broker_problem:
                yield f"the queue: {self._broker_problem}"
            if (problem := self._served.problem(settings.agent_for(repository))) is not None:
                yield f"a worker: {problem.message}"
        if len(self._texts) < _MAX_ASKED_REPOSITORIES and (shortage := self._day_shortage(repository, settings)):
            # What others have spent at a provider that tenants share is not this tenant's business.
            yield shortage if self._own.operator.tenant is None else "a provider whose limit of the day is reached"

    def _day_shortage(self, repository: str, settings: "Settings") -> str:
        """Return why no provider of a repository's agent may cost more today; empty where one may."""
        from squire_pipelines.execution.startable import check_day_limits  # noqa: PLC0415 - seldom needed

        try:
            check_day_limits(self._ledger, settings, repository)
        except ProviderBudgetError as error:
            return error.message
        except (ConfigError, LedgerError):
            return ""  # another line tells of it
        return ""
