"""How a message about alerts reads, for people and for programs. Pure.

Reasons repeat what others wrote (a sensor's error, a task's cause): each becomes one line without what a terminal or
a chat acts upon.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from squire_pipelines.domain.alert_rules import Severity
from squire_pipelines.domain.alert_steps import AlertNotice, NoticeKind
from squire_pipelines.domain.terminal_text import one_line

MAX_LISTED = 20
"""Alerts that one message lists; of more it says how many there are."""

_MAX_LINE = 400
# What chats take for mentions, links behind other words, code and bold. Each becomes a sign that looks alike and does
# nothing.
_INERT = str.maketrans({"@": "\uff20", "<": "\u2039", ">": "\u203a", "`": "\u02cb", "*": "\u2217", "|": "\u2502"})
_WORDS = {
    NoticeKind.NEW: "",
    NoticeKind.WORSE: " (worse than before)",
    NoticeKind.REPEATED: " (still)",
    NoticeKind.OVER: "",
    NoticeKind.UNKNOWN: "",
}
_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3600, 60


@dataclass(frozen=True, slots=True)
class AlertMessage:
    """A message: `title` is one line, `body` the text below it, `alerts` the same for programs."""

    title: str
    body: str
    alerts: tuple[dict[str, Any], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it as it is kept."""
        return {"title": self.title, "body": self.body, "alerts": list(self.alerts)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "AlertMessage":
        """Return the message that was kept."""
        return cls(content["title"], content["body"], tuple(content["alerts"]))


def inert_line(text: str) -> str:
    """Return a text on one line, without what terminals and chats act upon."""
    return one_line(text, limit=_MAX_LINE).translate(_INERT).replace("](", "] (")


def message_of(notices: Sequence[AlertNotice], *, now: datetime) -> AlertMessage:
    """Return the one message that says all of this, the worst first. `notices` has at least one."""
    ordered = sorted(notices, key=lambda notice: (_is_end(notice), notice.state.severity is Severity.WARNING))
    lines = [line for notice in ordered[:MAX_LISTED] for line in _lines(notice, now)]
    if len(ordered) > MAX_LISTED:
        lines.append(f"And {len(ordered) - MAX_LISTED} more: `squire alerts list` shows all.".translate(_INERT))
    return AlertMessage(_title(ordered), "\n".join(lines), tuple(_document(notice) for notice in ordered[:MAX_LISTED]))


def _is_end(notice: AlertNotice) -> bool:
    return notice.kind in {NoticeKind.OVER, NoticeKind.UNKNOWN}


def _title(notices: Sequence[AlertNotice]) -> str:
    begun = [notice for notice in notices if not _is_end(notice)]
    ended = len(notices) - len(begun)
    if len(notices) == 1:
        state = notices[0].state
        words = "over" if ended else state.severity.value
        return inert_line(f"Squire: {words}: {state.rule} ({state.subject})")
    parts = [f"{len(begun)} alerts" if len(begun) > 1 else "1 alert"] if begun else []
    parts += [f"{ended} over"] if ended else []
    return f"Squire: {', '.join(parts)}"


def _lines(notice: AlertNotice, now: datetime) -> list[str]:
    state = notice.state
    name = f"{state.rule} ({state.subject})"
    lasted = duration_text((state.cleared_at or now) - state.began_at)
    if notice.kind is NoticeKind.UNKNOWN:
        return [inert_line(f"NOT KNOWN ANY MORE: {name}: nobody looks at it; it was: {state.reason}")]
    if notice.kind is NoticeKind.OVER:
        return [inert_line(f"OVER: {name}, after {lasted}")]
    lines = [inert_line(f"{state.severity.upper()}{_WORDS[notice.kind]}: {name}: {state.reason}")]
    if state.hint:
        lines.append(inert_line(f"What to do: {state.hint}"))
    if notice.kind is NoticeKind.REPEATED:
        lines.append(f"For {lasted}")
    return lines


def _document(notice: AlertNotice) -> dict[str, Any]:
    state = notice.state
    return {
        "id": state.id,
        "kind": notice.kind.value,
        "key": one_line(state.key),
        "rule": state.rule,
        "subject": one_line(state.subject),
        "severity": state.severity.value,
        "reason": one_line(state.reason),
        "hint": one_line(state.hint),
        "began_at": state.began_at.isoformat(),
        "ended_at": state.ended_at.isoformat() if state.ended_at else None,
    }


def dropped_message(count: int, first: datetime, last: datetime, titles: Sequence[str]) -> AlertMessage:
    """Return the message that says what a target has not got while it was away.

    Args:
        count: Of messages.
        first: When the oldest was made.
        last: When the newest was.
        titles: Of some of them.
    """
    words = "1 message was" if count == 1 else f"{count} messages were"
    between = f"between {first:%Y-%m-%d %H:%M} and {last:%Y-%m-%d %H:%M} UTC"
    lines = [f"They were made {between}, and kept as long as the settings allow:"]
    lines += [inert_line(f"- {title}") for title in titles[:MAX_LISTED]]
    lines += [f"And {count - MAX_LISTED} more."] if count > MAX_LISTED else []
    lines.append(inert_line("`squire alerts list --ended` shows what has been wrong."))
    return AlertMessage(f"Squire: {words} not delivered to you", "\n".join(lines))


def test_message(target: str, now: datetime) -> AlertMessage:
    """Return the message of `squire alerts test`."""
    return AlertMessage(
        "Squire: a test",
        f"This is a test for the target {target}, sent at {now:%Y-%m-%d %H:%M:%S} UTC. Nothing is wrong.",
    )


def duration_text(duration: timedelta) -> str:
    """Return how long something took or takes, in the unit that fits."""
    seconds = max(0, int(duration.total_seconds()))
    for unit_s, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds // unit_s} {unit}"
    return f"{seconds} s"
