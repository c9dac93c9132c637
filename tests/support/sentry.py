"""What Sentry delivers, after the examples of its documentation, shortened.

https://docs.sentry.io/integrations/integration-platform/webhooks/
"""

from typing import Any

ISSUE: dict[str, Any] = {
    "action": "created",
    "installation": {"uuid": "24b397fc-a86e-43ef-9297-949e21b82480"},
    "data": {
        "issue": {
            "url": "https://sentry.io/api/0/organizations/example-org/issues/1234567890/",
            "web_url": "https://example-org.sentry.io/issues/1234567890/",
            "id": "1234567890",
            "shortId": "PYTHON-Y",
            "title": "Error generated with event_id: 495d375a-1df6-45c0-9890-34dae8e1b6a4(Priority: HIGH)",
            "culprit": "test-transaction-0-41e49cd3-7252-441f-8d27-63a9ad697b0a",
            "level": "fatal",
            "status": "unresolved",
            "statusDetails": {},
            "substatus": "new",
            "platform": "javascript",
            "project": {"id": "112313123123134", "name": "python", "slug": "python", "platform": "python"},
            "priority": "high",
            "count": "3",
            "userCount": 3,
            "firstSeen": "2025-11-10T20:56:00.679000+00:00",
            "lastSeen": "2025-11-10T20:56:00.738000+00:00",
        }
    },
    "actor": {"type": "application", "id": "example-app", "name": "Example App"},
}

_EVENT: dict[str, Any] = {
    "culprit": "?(<anonymous>)",
    "datetime": "2019-08-19T21:06:17.677000Z",
    "event_id": "e4874d664c3540c1a32eab185f12c5ab",
    "exception": {
        "values": [
            {
                "stacktrace": {
                    "frames": [
                        {"filename": "vendor.js", "function": "call", "in_app": False, "lineno": 1},
                        {"filename": "runner.js", "function": "submit", "in_app": True, "lineno": 5},
                    ]
                },
                "type": "ReferenceError",
                "value": "heck is not defined",
            }
        ]
    },
    "issue_url": "https://sentry.io/api/0/issues/1117540176/",
    "issue_id": "1117540176",
    "level": "error",
    "message": "",
    "platform": "javascript",
    "project": 1,
    "release": None,
    "title": "ReferenceError: heck is not defined",
    "url": "https://sentry.io/api/0/projects/test-org/front-end/events/e4874d664c3540c1a32eab185f12c5ab/",
    "user": {"ip_address": "162.218.85.90"},
    "web_url": "https://sentry.io/organizations/test-org/issues/1117540176/events/e4874d664c3540c1a32eab185f12c5ab/",
}
_ACTOR = {"id": "sentry", "name": "Sentry", "type": "application"}

EVENT_ALERT: dict[str, Any] = {
    "action": "triggered",
    "actor": _ACTOR,
    "data": {"event": _EVENT, "triggered_rule": "Very Important Alert Rule!"},
}
ERROR: dict[str, Any] = {"action": "created", "actor": _ACTOR, "data": {"error": _EVENT}}
METRIC_ALERT: dict[str, Any] = {
    "action": "resolved",
    "actor": _ACTOR,
    "data": {
        "description_text": "1000 events in the last 10 minutes\\nFilter: level:error",
        "description_title": "Resolved: Too many errors",
        "metric_alert": {"id": "4", "identifier": "1", "projects": ["bar"], "status": 2, "title": "Sacred Marmot"},
        "web_url": "https://sentry.io/organizations/baz/alerts/1/",
    },
}
