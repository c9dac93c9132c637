"""From what fires now to what is sent: new, worse, repeated, over. One function of the alerts as they were. Pure.

Where alerts and messages are kept is `ledger.alerts`'; which alerts fire is `alert_rules`'.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from squire_pipelines.domain.alert_rules import AlertRule, Assessment, FiringAlert, RulePolicy, Severity

RECOVERS_AFTER = timedelta(seconds=25)
"""So long an alert must not fire before it is over: what comes and goes is one alert."""

UNKNOWN_FOR = timedelta(hours=1)
"""After so long without anybody who looks, an alert is over too: its machine or its check is gone."""

SEEN_EVERY = timedelta(minutes=1)
"""How often it is recorded that an alert still fires, with its newest reason: not at each look."""

ALL_ALERTS = "*"


class NoticeKind(StrEnum):
    """Why an alert is in a message."""

    NEW = "new"
    WORSE = "worse"
    REPEATED = "repeated"
    OVER = "over"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class AlertState:
    """One alert from its beginning to its end.

    Args:
        id: Of this episode; the same thing that is wrong again later has another one.
        key: Of what is wrong: see `alert_rules.alert_key`.
        rule: That says so.
        subject: Of what.
        severity: How bad it is now.
        reason: Why, in words.
        hint: What to do.
        began_at: Since when it fires.
        seen_at: When it was recorded last that it still fires.
        cleared_at: Since when it does not fire any more; None while it does.
        notified_at: When it was in a message last; None while it was in none.
        notified_severity: The worst that a message has said.
        notifications: In how many messages it was.
        ended_at: When it was over.
    """

    id: str
    key: str
    rule: str
    subject: str
    severity: Severity
    reason: str
    hint: str
    began_at: datetime
    seen_at: datetime
    cleared_at: datetime | None = None
    notified_at: datetime | None = None
    notified_severity: Severity | None = None
    notifications: int = 0
    ended_at: datetime | None = None


def can_be_silenced(match: str) -> bool:
    """Return whether a name is that of a rule, the key of an alert, or `*` for all."""
    return match == ALL_ALERTS or match.partition(":")[0] in set(AlertRule)


@dataclass(frozen=True, slots=True)
class Silence:
    """Keeps alerts from being sent until its end: `match` is an alert's key, a rule, or `*` for all."""

    id: str
    match: str
    reason: str
    created_by: str
    created_at: datetime
    until: datetime

    def covers(self, rule: str, key: str, now: datetime) -> bool:
        """Return whether it keeps an alert from being sent now."""
        return now < self.until and self.match in {ALL_ALERTS, rule, key}


@dataclass(frozen=True, slots=True)
class AlertNotice:
    """An alert in a message, and why it is in it."""

    kind: NoticeKind
    state: AlertState


@dataclass(frozen=True, slots=True)
class AlertStep:
    """What one look makes of the alerts.

    Args:
        changed: The alerts that are new or not as they were; those with `ended_at` are over.
        notices: What one message is to say; none where nothing is to be sent.
    """

    changed: tuple[AlertState, ...] = ()
    notices: tuple[AlertNotice, ...] = ()


def next_step(
    states: Collection[AlertState],
    assessment: Assessment,
    silences: Collection[Silence],
    policies: Mapping[AlertRule, RulePolicy],
    *,
    now: datetime,
    new_id: Callable[[], str],
    clock_was_set: bool = False,
) -> AlertStep:
    """Return what becomes of the alerts.

    Args:
        states: All that are not over.
        assessment: What fires now, and of what that is known.
        silences: All that there are.
        policies: Of each rule.
        now: When.
        new_id: Makes the id of a new one.
        clock_was_set: Since the look before. What has not been seen for long, or is over for long, then only looks so.
    """
    firing = {key: alert for key, alert in assessment.firing.items() if policies[alert.rule].is_enabled}
    by_key = {state.key: state for state in states}
    changed: list[AlertState] = []
    notices: list[AlertNotice] = []
    for key in (*by_key, *(key for key in firing if key not in by_key)):
        before, alert = by_key.get(key), firing.get(key)
        if alert is not None:
            is_silenced = any(silence.covers(alert.rule, key, now) for silence in silences)
            start = before or _begin(alert, new_id(), now)
            after, kind = _firing(start, alert, None if is_silenced else policies[alert.rule], now)
        elif before is not None:
            is_known = assessment.is_known(before.rule, key)
            start = _from_now(before, is_known=is_known, now=now) if clock_was_set else before
            after, kind = _quiet(start, is_known=is_known, is_enabled=_is_enabled(policies, before.rule), now=now)
        else:
            continue
        if after != before:  # a new one is changed too
            changed.append(after)
        if kind is not None:
            notices.append(AlertNotice(kind, after))
    return AlertStep(tuple(changed), tuple(notices))


def _is_enabled(policies: Mapping[AlertRule, RulePolicy], rule: str) -> bool:
    # A rule of a later version, which was installed before, has no policy here.
    return any(known == rule and policy.is_enabled for known, policy in policies.items())


def _from_now(state: AlertState, *, is_known: bool, now: datetime) -> AlertState:
    """Return an alert that does not fire, as if that, or that it is not known, began at this moment."""
    return replace(state, cleared_at=now) if is_known else replace(state, seen_at=now)


def _begin(alert: FiringAlert, alert_id: str, now: datetime) -> AlertState:
    return AlertState(
        alert_id, alert.key, alert.rule, alert.subject, alert.severity, alert.reason, alert.hint, now, now
    )


def _firing(
    before: AlertState, alert: FiringAlert, policy: RulePolicy | None, now: datetime
) -> tuple[AlertState, NoticeKind | None]:
    """Return what becomes of an alert that fires; without a policy it is silenced."""
    current = replace(
        before,
        severity=alert.severity,
        reason=alert.reason,
        hint=alert.hint,
        began_at=min(before.began_at, now),  # a clock that was set back must not make it begin in the future
        seen_at=now,
        cleared_at=None,
        notified_at=None if before.notified_at is None else min(before.notified_at, now),  # nor its last message
    )
    kind = None if policy is None else _due_notice(current, policy, now)
    if kind is not None:
        is_critical = Severity.CRITICAL in {current.severity, before.notified_severity}
        notified = replace(
            current,
            notified_at=now,
            notified_severity=Severity.CRITICAL if is_critical else Severity.WARNING,
            notifications=current.notifications + 1,
        )
        return notified, kind
    is_as_before = before.severity is current.severity and before.cleared_at is None
    if is_as_before and timedelta() <= now - before.seen_at < SEEN_EVERY:
        return before, None
    return current, None


def _due_notice(state: AlertState, policy: RulePolicy, now: datetime) -> NoticeKind | None:
    is_critical = state.severity is Severity.CRITICAL
    if state.notified_at is None:
        has_lasted = now - state.began_at >= timedelta(seconds=policy.after_s)
        return NoticeKind.NEW if is_critical or has_lasted else None
    if is_critical and state.notified_severity is not Severity.CRITICAL:
        return NoticeKind.WORSE
    is_due = policy.repeat_after_s > 0 and now - state.notified_at >= timedelta(seconds=policy.repeat_after_s)
    return NoticeKind.REPEATED if is_due else None


def _quiet(
    state: AlertState, *, is_known: bool, is_enabled: bool, now: datetime
) -> tuple[AlertState, NoticeKind | None]:
    if not is_enabled:
        return replace(state, cleared_at=state.cleared_at or now, ended_at=now), None
    if not is_known:
        if now - state.seen_at < UNKNOWN_FOR:
            return state, None
        return _over(state, NoticeKind.UNKNOWN, now)
    cleared_at = min(state.cleared_at or now, now)
    if now - cleared_at < RECOVERS_AFTER and state.notified_at is not None:
        return replace(state, cleared_at=cleared_at), None
    return _over(replace(state, cleared_at=cleared_at), NoticeKind.OVER, now)


def _over(state: AlertState, kind: NoticeKind, now: datetime) -> tuple[AlertState, NoticeKind | None]:
    return replace(state, ended_at=now), kind if state.notified_at is not None else None
