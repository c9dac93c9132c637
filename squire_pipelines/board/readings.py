"""What the pages show, read from the ledger and the home. Each reading is bounded; nothing is written."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from squire_pipelines.agents.attempt_files import DIFF_FILE
from squire_pipelines.domain.alert_steps import AlertState, Silence
from squire_pipelines.domain.budgets import BudgetLimits, month_of
from squire_pipelines.domain.tasks import AttemptStatus
from squire_pipelines.domain.tenant_alerts import tenant_of_alert
from squire_pipelines.errors import NotFoundError
from squire_pipelines.execution.repository_settings import repository_settings
from squire_pipelines.execution.settings_waits import with_waits_by_settings
from squire_pipelines.execution.task_facts import TaskFacts, read_task_facts
from squire_pipelines.file_store.attempt_copies import AttemptCopy, AttemptLogFile
from squire_pipelines.ledger import alerts as alert_rows
from squire_pipelines.ledger import attempts as attempt_rows
from squire_pipelines.ledger import budgets as budget_rows
from squire_pipelines.ledger import decisions
from squire_pipelines.ledger import plans as plan_rows
from squire_pipelines.ledger import schedules as schedule_rows
from squire_pipelines.ledger import tasks as task_rows
from squire_pipelines.ledger.budgets import BudgetLevel, Reservation
from squire_pipelines.ledger.decisions import StoredSignal
from squire_pipelines.ledger.list_pages import Rows, SignalFilter, plan_page, signal_page
from squire_pipelines.ledger.model_calls import CallCosts, costs_by_provider
from squire_pipelines.ledger.plans import SavedPlan
from squire_pipelines.ledger.schedules import Schedule
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.ledger.task_query import TaskQuery
from squire_pipelines.ledger.task_rows import TaskPage, read_page
from squire_pipelines.ledger.tenants import VisibleKind, check_visible
from squire_pipelines.publishing.diff import MAX_DIFF_BYTES
from squire_pipelines.reloading.in_force import SettingsInForce
from squire_pipelines.runtime.status_facts import StatusFacts, gather, gather_for_tenant
from squire_pipelines.sections.board import is_loopback
from squire_pipelines.settings.model import Settings

ROWS = 50
"""Rows of a page of signals, plans or reservations."""

PATCH_LINES = 2_000
"""Lines of a change on a page, each of which is an element."""

_ENDED_READ = 1_000
_FACTS_LAST_S = 2.0
_FACTS_SHOWN_S = 30.0


@dataclass(frozen=True, slots=True)
class SpendingFacts:
    """What budgets are used, what is reserved, and what calls to each provider cost this month."""

    levels: tuple[BudgetLevel, ...]
    blocked: dict[str, str]
    reservations: tuple[Reservation, ...]
    providers: dict[str, CallCosts]


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """The alerts that fire, those that are over, and what is silenced."""

    firing: tuple[AlertState, ...]
    ended: tuple[AlertState, ...]
    silences: tuple[Silence, ...]


@dataclass(frozen=True, slots=True)
class AttemptLog:
    """Where the log of an attempt is read, and whether more may come."""

    task_id: str
    number: int
    file: AttemptLogFile
    is_ended: bool


@dataclass(frozen=True, slots=True)
class ShownChange:
    """What an attempt changed, as a patch for people; `is_cut` where it is longer."""

    attempt: int
    patch: str
    is_cut: bool


class BoardReadings:
    """Reads what the pages show.

    Args:
        in_force: The settings, as they are at each reading.
        ledger: The ledger.
        clock: Gives the time in seconds, by which facts are used again for a moment.
        tenant: Whose work alone is read; None for all. What is another's is as good as not there.
    """

    def __init__(
        self,
        in_force: SettingsInForce,
        ledger: Ledger,
        clock: Callable[[], float] = time.monotonic,
        *,
        tenant: str | None = None,
    ) -> None:
        self._in_force = in_force
        self.ledger = ledger
        self._clock = clock
        self._lock = threading.Lock()
        self._status: tuple[float, StatusFacts] | None = None
        self._of_tenants: dict[str, BoardReadings] = {}
        self.tenant = tenant

    def for_tenant(self, tenant: str | None) -> "BoardReadings":
        """Return the readings of what one tenant may see; these for an operator, who sees all."""
        if tenant is None:
            return self
        if tenant not in self._of_tenants:  # as many as the settings have had, since a session is one of theirs
            self._of_tenants[tenant] = BoardReadings(self._in_force, self.ledger, self._clock, tenant=tenant)
        return self._of_tenants[tenant]

    @property
    def settings(self) -> Settings:
        """The settings in force; of a tenant's readings, those of the tenant."""
        settings = self._in_force.settings
        return settings if self.tenant is None else settings.for_tenant(self.tenant)

    def check_task(self, tx: Transaction, task_id: str) -> None:
        """Raise NotFoundError for a task that is another tenant's, as for one that is not there."""
        check_visible(tx, self.tenant, VisibleKind.TASK, task_id)

    @property
    def config(self) -> Path:
        """The file of the settings, which hints name."""
        return self._in_force.home.config_file

    @property
    def report_file(self) -> Path:
        """Where the report lies, once it is written here or on another machine; a tenant has one of its own.

        Raises:
            FileStoreError: There is none here, and the store of files does not answer.
        """
        home, settings = self._in_force.home, self._in_force.settings
        path = home.report if self.tenant is None else home.report_of(self.tenant)
        if not settings.files.url:
            return path
        from squire_pipelines.warehouse.sharing import readable_publication  # noqa: PLC0415 - DuckDB

        return readable_publication(settings, path.stem, path)

    @property
    def dagster_url(self) -> str:
        """Where people reach Dagster's UI; empty where nobody has said so."""
        board = self._in_force.settings.board
        if self.tenant is not None:
            return ""  # it knows no tenants, and is the operators' alone
        if board.dagster_url is not None:
            return board.dagster_url.rstrip("/")
        is_here = is_loopback(board.host) and board.public_url is None
        return f"http://127.0.0.1:{self.settings.pipeline.webserver_port}" if is_here else ""

    def status(self) -> StatusFacts:
        """Return what `squire status` shows. Whoever asks within two seconds gets the same.

        Older facts, of half a minute at most, are shown where new ones are being gathered already for somebody else.
        """
        kept, now = self._status, self._clock()
        if kept is not None and now - kept[0] <= _FACTS_LAST_S:
            return kept[1]
        may_wait = kept is None or now - kept[0] > _FACTS_SHOWN_S
        if not self._lock.acquire(blocking=may_wait):
            return kept[1] if kept is not None else self.status()
        try:
            newest = self._status
            if newest is not None and newest is not kept:  # gathered while this one waited
                return newest[1]
            refusal = self._in_force.state.refusal
            if self.tenant is None:
                facts = gather(self.settings, refusal=refusal.reason if refusal is not None else "")
            else:
                facts = gather_for_tenant(self.settings)
            self._status = (self._clock(), facts)
            return facts
        finally:
            self._lock.release()

    def tasks(self, query: TaskQuery) -> TaskPage:
        """Return a page of the list of tasks. Raises NotFoundError."""
        with self.ledger.read() as tx:
            page = read_page(tx.query_runner(), replace(query, tenant=self.tenant), now=tx.now)
        if any(row.waits_for_start for row in page.rows):
            return with_waits_by_settings(page, self.ledger, self.settings)
        return page

    def task(self, task_id: str) -> TaskFacts:
        """Return all about one task. Raises NotFoundError."""
        with self.ledger.read() as tx:
            self.check_task(tx, task_id)
        return read_task_facts(self.ledger, self.settings, task_id)

    def change(self, facts: TaskFacts) -> ShownChange | None:
        """Return what the newest attempt with a change has changed; None where nothing is known.

        Raises:
            FileStoreError: It may be in the store, which does not answer.
        """
        for attempt in reversed(facts.attempts):
            path = AttemptCopy(self.settings, attempt.id, quick=True).kept(DIFF_FILE)
            if path is None:
                continue
            with path.open("rb") as file:
                patch = file.read(MAX_DIFF_BYTES + 1)
            lines = patch[:MAX_DIFF_BYTES].split(b"\n", PATCH_LINES)
            is_cut = len(patch) > MAX_DIFF_BYTES or bool(lines[PATCH_LINES:] and lines[PATCH_LINES])
            return ShownChange(attempt.number, b"\n".join(lines[:PATCH_LINES]).decode(errors="replace"), is_cut)
        return None

    def log(self, task_id: str, number: int) -> AttemptLog:
        """Return where an attempt's log is. Raises NotFoundError."""
        with self.ledger.read() as tx:
            self.check_task(tx, task_id)
            task_rows.get(tx, task_id)
            attempts = attempt_rows.of_task(tx, task_id)
        for attempt in attempts:
            if attempt.number == number:
                file = AttemptCopy(self.settings, attempt.id, quick=True).log()
                return AttemptLog(task_id, number, file, is_ended=attempt.status is AttemptStatus.ENDED)
        raise NotFoundError(f"task {task_id} has no attempt {number}", hint=f"it has had {len(attempts)}")

    def signals(self, *, only_held: bool, repository: str | None, after: int | None) -> Rows:
        """Return a page of signals. Raises NotFoundError."""
        with self.ledger.read() as tx:
            filters = SignalFilter(only_held=only_held)
            return signal_page(tx, filters, repository=repository, tenant=self.tenant, limit=ROWS, after=after)

    def signal(self, signal_id: int) -> StoredSignal:
        """Return one signal. Raises NotFoundError."""
        with self.ledger.read() as tx:
            check_visible(tx, self.tenant, VisibleKind.SIGNAL, signal_id)
            return decisions.find(tx, str(signal_id))

    def schedules(self) -> tuple[Schedule, ...]:
        """Return the newest schedules that are active or paused."""
        with self.ledger.read() as tx:
            return schedule_rows.page(tx, limit=ROWS, tenant=self.tenant)

    def plans(self, *, repository: str | None, after: str | None) -> Rows:
        """Return a page of plans. Raises NotFoundError."""
        with self.ledger.read() as tx:
            return plan_page(tx, repository=repository, tenant=self.tenant, limit=ROWS, after=after)

    def plan(self, plan_id: str) -> SavedPlan:
        """Return one plan. Raises NotFoundError."""
        with self.ledger.read() as tx:
            check_visible(tx, self.tenant, VisibleKind.PLAN, plan_id)
            return plan_rows.get(tx, plan_id)

    def spending(self) -> SpendingFacts:
        """Return what work costs, and what it may cost."""
        settings, tenant = self.settings, self.tenant
        own = repository_settings(self.ledger, settings).of_all
        # How much all have spent together is not a tenant's business.
        of_all = settings.budgets if tenant is None else BudgetLimits()
        with self.ledger.read() as tx:
            blocks = budget_rows.blocked_by_budget(tx, own.budgets_for, tenant=tenant)
            return SpendingFacts(
                budget_rows.levels(tx, of_all, own.budgets_for, settings.repositories),
                {name: str(shortage) for name, shortage in (*blocks.repositories.items(), *blocks.tasks.items())},
                budget_rows.reservations(tx, limit=ROWS, tenant=tenant),
                costs_by_provider(tx, month_of(tx.now), tenant=tenant),
            )

    def alerts(self) -> AlertFacts:
        """Return what is wrong, and what was."""
        tenant = self.tenant
        with self.ledger.read() as tx:
            firing, silences = alert_rows.open_alerts(tx), alert_rows.silences(tx)
            if tenant is None:
                return AlertFacts(firing, alert_rows.ended_alerts(tx, limit=ROWS), silences)
            own = alert_rows.of_one_tenant(tx, firing, tenant)
            ended = alert_rows.of_one_tenant(tx, alert_rows.ended_alerts(tx, limit=_ENDED_READ), tenant)
            return AlertFacts(own, ended[:ROWS], tuple(one for one in silences if self.may_silence(one.match)))

    def may_silence(self, match: str) -> bool:
        """Return whether a tenant may silence what a name stands for: its own alerts alone, by their keys."""
        if self.tenant is None:
            return True
        settings = self._in_force.settings
        return tenant_of_alert(match.partition(":")[2], settings.tenant_of) == self.tenant
