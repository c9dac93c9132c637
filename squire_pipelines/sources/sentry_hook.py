"""The reader `sentry`: issues and alerts of Sentry, as its integrations deliver them.

https://docs.sentry.io/integrations/integration-platform/webhooks/
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from squire_pipelines.domain.hook_schemes import HmacScheme
from squire_pipelines.domain.text import shorten
from squire_pipelines.sources.hook_protocol import MAX_TITLE, HookContext, HookFact, refuse_options

_CLOSED = frozenset({"resolved", "ignored", "archived"})
"""The states of an issue, and the actions on it, after which nobody has to do anything."""

# An event names its project by a number alone, and by its short name in the address of the interface.
_PROJECT_IN_URL = re.compile(r"/projects/[^/]{1,100}/([^/]{1,100})/events/")
_MAX_FRAMES = 20
_MAX_TEXT = 2_000


class SentryHook:
    """Reads the resources `issue`, `event_alert`, `error` and `metric_alert`.

    An issue is one fact however often it is told of. A project that the settings do not map is passed over.
    """

    name = "sentry"
    scheme = HmacScheme(header="Sentry-Hook-Signature", id_header="Request-ID", event_header="Sentry-Hook-Resource")

    def read(self, payload: Any, context: HookContext) -> Iterable[HookFact]:
        """Return the fact of a delivery; none where it is about something else."""
        refuse_options(context, self.name)
        data = _table(payload, "data")
        action = _text(payload, "action")
        match context.event:
            case "issue":
                fact = _issue(_table(data, "issue"), action, context)
            case "event_alert":
                fact = _event(_table(data, "event"), _text(data, "triggered_rule"), context)
            case "error":
                fact = _event(_table(data, "error"), "", context)
            case "metric_alert":
                fact = _metric(data, action, context)
            case _:
                fact = None
        return () if fact is None else (fact,)


def _issue(issue: Mapping[str, Any], action: str, context: HookContext) -> HookFact | None:
    project = _table(issue, "project")
    repository = _repository(context, _text(project, "slug"), _text(project, "id"))
    if repository is None:
        return None
    status = _text(issue, "status") or action
    state = _text(issue, "substatus")
    facts = {
        "state": " ".join(part for part in (status, f"({state})" if state else "") if part),
        "short id": _text(issue, "shortId"),
        "culprit": _text(issue, "culprit"),
        "priority": _text(issue, "priority"),
        "platform": _text(issue, "platform"),
        "first seen": _text(issue, "firstSeen"),
    }
    return HookFact(
        repository=repository,
        key=f"issue/{_number(issue, 'id')}",
        title=_title(_text(issue, "title") or _text(issue, "culprit")),
        body=_lines(facts),
        url=_url(issue, "web_url", "permalink"),
        state="closed" if status in _CLOSED else "open",
        author="Sentry",
        severity=_text(issue, "level")[:50],
        # What is counted in it changes all the time; that it has come back is another fact.
        version=f"regressed {_text(issue, 'lastSeen')}"[:200] if state == "regressed" else "open",
    )


def _event(event: Mapping[str, Any], rule: str, context: HookContext) -> HookFact | None:
    in_url = _PROJECT_IN_URL.search(_text(event, "url"))
    repository = _repository(context, in_url[1] if in_url else "", _text(event, "project"))
    if repository is None:
        return None
    facts = {
        "alert rule": rule,
        "culprit": _text(event, "culprit"),
        "release": _text(event, "release"),
        "environment": _text(event, "environment"),
        "platform": _text(event, "platform"),
        "message": _text(event, "message"),
        "exception": "\n".join(_exceptions(event)),
    }
    return HookFact(
        repository=repository,
        key=f"issue/{_number(event, 'issue_id')}",
        title=_title(_text(event, "title") or _text(event, "message")),
        body=_lines(facts),
        url=_url(event, "web_url"),
        author="Sentry",
        severity=_text(event, "level")[:50],
        version="open",
    )


def _metric(data: Mapping[str, Any], action: str, context: HookContext) -> HookFact | None:
    alert = _table(data, "metric_alert")
    names = alert.get("projects")
    repository = _repository(context, *(str(name) for name in names) if isinstance(names, list) else ())
    if repository is None:
        return None
    return HookFact(
        repository=repository,
        key=f"metric/{_number(alert, 'id')}",
        title=_title(_text(data, "description_title")),
        body=_text(data, "description_text"),
        url=_url(data, "web_url"),
        state="closed" if action == "resolved" else "open",
        author="Sentry",
        severity=action[:50],
    )


def _exceptions(event: Mapping[str, Any]) -> Iterable[str]:
    """Yield each exception of an event with the code of ours that it passed, the innermost last."""
    values = _table(event, "exception").get("values")
    for value in values[:3] if isinstance(values, list) else ():
        yield f"{_text(value, 'type')}: {_text(value, 'value')}"
        frames = _table(value, "stacktrace").get("frames")
        ours = [frame for frame in frames if _has(frame, "in_app")] if isinstance(frames, list) else []
        for frame in ours[-_MAX_FRAMES:]:
            yield f"  {_text(frame, 'filename')}:{_text(frame, 'lineno')} in {_text(frame, 'function')}"


def _repository(context: HookContext, *names: str) -> str | None:
    return next((context.projects[name] for name in names if name in context.projects), None)


def _number(values: Mapping[str, Any], name: str) -> str:
    text = _text(values, name)
    if not re.fullmatch(r"[A-Za-z0-9-]{1,60}", text):
        raise ValueError(f"the body has no {name}")
    return text


def _has(value: Any, name: str) -> bool:
    return isinstance(value, Mapping) and value.get(name) is True


def _table(value: Any, name: str) -> Mapping[str, Any]:
    inner = value.get(name) if isinstance(value, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _text(value: Any, name: str) -> str:
    inner = value.get(name) if isinstance(value, Mapping) else None
    return shorten(str(inner), _MAX_TEXT) if isinstance(inner, str | int) and not isinstance(inner, bool) else ""


def _title(text: str) -> str:
    return shorten(text, MAX_TITLE) or "Sentry names no title"


def _url(values: Mapping[str, Any], *names: str) -> str:
    return next((text for name in names if re.fullmatch(r"https?://\S{1,1900}", text := _text(values, name))), "")


def _lines(facts: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {text}" for name, text in facts.items() if text)
