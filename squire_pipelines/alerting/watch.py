"""From each look at the conditions to what is recorded about alerts: in the ledger, or in memory while it is away."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from squire_pipelines.alerting.target import tenant_target
from squire_pipelines.domain.alert_rules import Assessment, assess_conditions
from squire_pipelines.domain.alert_steps import AlertNotice, AlertState, AlertStep, Silence, next_step
from squire_pipelines.domain.alert_texts import AlertMessage, message_of
from squire_pipelines.domain.clock_jumps import ClockLook, next_look
from squire_pipelines.domain.conditions import Condition
from squire_pipelines.domain.identity import new_id
from squire_pipelines.domain.tenant_alerts import tenant_of_alert
from squire_pipelines.domain.work_alerts import LONG_UNREAD, assess_work
from squire_pipelines.errors import LedgerError
from squire_pipelines.execution.repository_settings import repository_settings
from squire_pipelines.ledger import alert_facts
from squire_pipelines.ledger import alerts as alert_rows
from squire_pipelines.ledger.alerts import QueueBounds
from squire_pipelines.ledger.store import Ledger, Transaction, utc_now
from squire_pipelines.machine_name import machine_name
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.secrets.redact import process_redactor
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.provider_uses import providers_with_day_limits

FACTS_EVERY_S = 20.0
"""How often the ledger's facts are read; conditions are there anyway."""

BUSY_TIMEOUT_S = 3.0
MAX_IN_MEMORY = 20
_READINGS_IN_A_ROW = 3
_SET_ANEW_S = 60.0
"""A smaller step of a clock changes nothing about alerts."""

_MAX_SUBJECT_NAME = 60
_OF_OTHERS = frozenset({"reason", "hint", "subject", "key"})
_log = get_logger(Component.ENDPOINT)


@dataclass(frozen=True, slots=True)
class DirectMessage:
    """A message that is sent without the ledger, since there is none that takes it."""

    id: str
    message: AlertMessage


@dataclass(slots=True)
class _Memory:
    """What is known of alerts without the ledger: as it was read last, and what has changed since."""

    states: dict[str, AlertState] = field(default_factory=dict)
    silences: tuple[Silence, ...] = ()
    changed: dict[str, AlertState] = field(default_factory=dict)


class AlertWatch:
    """Records what becomes of the alerts at each look. Use it in one thread.

    Args:
        settings: Gives the settings as they are now.
        machine: The name by which this machine's conditions are known.
        clock: Instead of the ledger's and this machine's, for tests.
        monotonic: Seconds.
        busy_timeout_s: For how long the ledger's lock is waited for before it counts as away.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        *,
        machine: str | None = None,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        clock: Callable[[], datetime] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._machine = (machine or machine_name())[:_MAX_SUBJECT_NAME]
        self._clock = clock
        self._now = clock or utc_now
        self._monotonic = monotonic
        self._busy_timeout_s = busy_timeout_s
        self._memory = _Memory()
        self._work = Assessment()
        self._work_due = 0.0
        self._direct: deque[DirectMessage] = deque(maxlen=MAX_IN_MEMORY)
        self._direct_lock = threading.Lock()
        self._is_away = False
        self._clocks: dict[str, ClockLook] = {}
        self._clock_was_set = False

    def look(self, conditions: Sequence[Condition]) -> None:
        """Record what becomes of the alerts by these conditions."""
        settings = self._settings()
        seen = _redacted_assessment(assess_conditions(conditions, self._machine, now=self._now()))
        try:
            is_recorded = self._look_with_ledger(settings, seen)
        except LedgerError as error:
            if not self._is_away:
                _log.error("alerts are kept in memory: the ledger does not take them", reason=error.message)
            self._is_away = True
            self._look_without_ledger(settings, seen)
        else:
            if is_recorded and self._is_away:
                _log.info("alerts are kept in the ledger again")
            self._is_away = self._is_away and not is_recorded
        self._clock_was_set = False

    def _note_clock(self, name: str, now: datetime) -> None:
        """Notice that a clock was set since the last look: this machine's, or the ledger's."""
        monotonic_s = self._monotonic()
        look = next_look(self._clocks.get(name), wall_s=now.timestamp(), monotonic_s=monotonic_s, least_s=_SET_ANEW_S)
        self._clocks[name] = look
        self._clock_was_set = self._clock_was_set or look.jumped_at_s == monotonic_s

    def add_direct(self, message: DirectMessage) -> None:
        """Have a message sent without the ledger; of more than 20 that wait the oldest is left out."""
        with self._direct_lock:
            self._direct.append(message)

    def take_direct(self) -> tuple[DirectMessage, ...]:
        """Return the messages that are to be sent without the ledger, once each."""
        with self._direct_lock:
            messages = tuple(self._direct)
            self._direct.clear()
        return messages

    def _look_with_ledger(self, settings: Settings, seen: Assessment) -> bool:
        """Record it in the ledger; False where there is none yet, which is then done in memory."""
        ledger = Ledger(settings.resolved_ledger_url, clock=self._clock, busy_timeout_s=self._busy_timeout_s)
        try:
            if not is_usable(ledger):
                self._look_without_ledger(settings, seen)
                return False
            assessment = seen | self._assess_work(ledger, settings)
            with ledger.read() as tx:
                self._note_clock("ledger", tx.now)
                step = self._step(tx, settings, assessment)
                self._memory.states = {state.key: state for state in alert_rows.open_alerts(tx)} | self._memory.changed
            if step.changed or self._memory.changed:
                self._record(ledger, settings, assessment)
        finally:
            ledger.close()
        return True

    def _record(self, ledger: Ledger, settings: Settings, assessment: Assessment) -> None:
        bounds = QueueBounds(settings.alerts.max_queued, settings.alerts.keep)
        targets = settings.alerts.target_names
        changed = tuple(self._memory.changed.values())
        with ledger.write() as tx:
            tx.exclusive(alert_rows.LOCK)
            # What was sent while the ledger was away was sent: it is recorded, not sent again.
            alert_rows.record_step(tx, AlertStep(changed), None, targets, bounds)
            step = self._step(tx, settings, assessment, has_recorded=True)
            message = _redacted(message_of(step.notices, now=tx.now)) if step.notices else None
            alert_rows.record_step(tx, step, message, targets, bounds)
            self._tell_tenants(tx, settings, step.notices, bounds)
            states = {state.key: state for state in alert_rows.open_alerts(tx)}
        # From what was committed, not read anew: a ledger that goes away now must not have this sent again.
        self._memory.states = states
        self._memory.changed.clear()
        _log_notices(step)

    def _tell_tenants(
        self, tx: Transaction, settings: Settings, notices: Sequence[AlertNotice], bounds: QueueBounds
    ) -> None:
        """Queue what is about a tenant's repositories and budget for its own targets, without any other's."""
        for tenant in settings.tenants if notices else ():
            names = [tenant_target(tenant, name) for name in settings.for_tenant(tenant).alerts.target_names]
            own = [one for one in notices if tenant_of_alert(one.state.subject, settings.tenant_of) == tenant]
            if names and own:
                message = _redacted(message_of(own, now=tx.now))
                alert_rows.record_step(tx, AlertStep(), message, names, bounds)

    def _step(
        self, tx: Transaction, settings: Settings, assessment: Assessment, *, has_recorded: bool = False
    ) -> AlertStep:
        states = {state.key: state for state in alert_rows.open_alerts(tx)}
        if not has_recorded:
            states |= self._memory.changed
        self._memory.silences = alert_rows.silences(tx)
        return next_step(
            [state for state in states.values() if state.ended_at is None],
            assessment,
            self._memory.silences,
            settings.alerts.policies,
            now=tx.now,
            new_id=lambda: new_id("al", tx.now),
            clock_was_set=self._clock_was_set,
        )

    def _assess_work(self, ledger: Ledger, settings: Settings) -> Assessment:
        if self._monotonic() < self._work_due:
            return self._work
        own = repository_settings(ledger, settings)
        targets = {name: settings.targets_for(name).targets for name in settings.repositories}
        began = self._monotonic()
        with ledger.read() as tx:
            unread_after = max(LONG_UNREAD, _READINGS_IN_A_ROW * settings.collection.interval(tx.now))
            facts = alert_facts.read_work(
                tx,
                settings.budgets,
                own.of_all.budgets_for,
                own.queue_rules_of,
                targets,
                unread_after=unread_after,
                provider_usd=providers_with_day_limits(settings),
                stopped=own.stopped,
            )
        self._work = _redacted_assessment(
            assess_work(facts, settings.alerts.policies, budget_share=settings.alerts.budget_share)
        )
        took_s = self._monotonic() - began
        self._work_due = began + max(FACTS_EVERY_S, 50 * took_s)  # at most a fiftieth of the time
        return self._work

    def _look_without_ledger(self, settings: Settings, seen: Assessment) -> None:
        now = self._now()
        self._note_clock("own", now)
        memory = self._memory
        step = next_step(
            list(memory.states.values()),
            seen,
            memory.silences,
            settings.alerts.policies,
            now=now,
            new_id=lambda: new_id("al", now),
            clock_was_set=self._clock_was_set,
        )
        for state in step.changed:
            memory.changed[state.key] = state
            memory.states[state.key] = state
        for state in [state for state in memory.states.values() if state.ended_at is not None]:
            del memory.states[state.key]
        if step.notices:
            message = _redacted(message_of(step.notices, now=now))
            self.add_direct(DirectMessage(new_id("msg_", now), message))
            _log_notices(step)


def is_usable(ledger: Ledger) -> bool:
    """Return whether the ledger is there with this version's tables. Raises LedgerError where it does not answer."""
    if ledger.is_sqlite and not ledger.path.exists():
        return False
    return ledger.is_usable()


def _redacted_assessment(assessment: Assessment) -> Assessment:
    """Mask secrets before a text is cut or made inert for chats, after which none would be known any more."""
    redact = process_redactor().redact
    firing = {
        key: replace(alert, reason=redact(alert.reason), hint=redact(alert.hint))
        for key, alert in assessment.firing.items()
    }
    return replace(assessment, firing=firing)


def _redacted(message: AlertMessage) -> AlertMessage:
    redact = process_redactor().redact
    alerts = tuple(
        {name: redact(value) if name in _OF_OTHERS else value for name, value in alert.items()}
        for alert in message.alerts
    )
    return replace(message, title=redact(message.title), body=redact(message.body), alerts=alerts)


def _log_notices(step: AlertStep) -> None:
    redact = process_redactor().redact
    for notice in step.notices:
        state = notice.state
        values = {"kind": notice.kind.value, "severity": state.severity.value, "reason": redact(state.reason)}
        _log.warning("alert", rule=state.rule, subject=state.subject, **values)
