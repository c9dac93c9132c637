"""Sentry's deliveries as its documentation shows them."""

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import pytest

from squire_pipelines.sources.hook_protocol import HookContext, HookFact
from squire_pipelines.sources.sentry_hook import SentryHook
from tests.support.sentry import ERROR, EVENT_ALERT, ISSUE, METRIC_ALERT

PROJECTS = {"front-end": "acme/shop", "python": "acme/api", "bar": "acme/api"}


def read(resource: str, payload: Any, projects: dict[str, str] | None = None) -> list[HookFact]:
    repositories = ("acme/shop", "acme/api")
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    context = HookContext("sentry", resource, moment, repositories, PROJECTS if projects is None else projects)
    return list(SentryHook().read(payload, context))


def changed(payload: dict[str, Any], *path: str, to: Any) -> dict[str, Any]:
    copy = deepcopy(payload)
    place = copy
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = to
    return copy


def test_an_issue_that_is_created_is_a_fact_about_its_projects_repository() -> None:
    (fact,) = read("issue", ISSUE)
    assert (fact.repository, fact.key, fact.state, fact.severity) == ("acme/api", "issue/1234567890", "open", "fatal")
    assert fact.title.startswith("Error generated with event_id")
    assert fact.url == "https://example-org.sentry.io/issues/1234567890/"
    assert "short id: PYTHON-Y" in fact.body
    assert "state: unresolved (new)" in fact.body


@pytest.mark.parametrize("status", ["resolved", "ignored"])
def test_an_issue_that_is_resolved_or_archived_ends_its_fact(status: str) -> None:
    (fact,) = read("issue", changed(ISSUE, "data", "issue", "status", to=status))
    assert (fact.key, fact.state) == ("issue/1234567890", "closed")


def test_an_issue_that_came_back_is_another_version_and_one_that_goes_on_is_not() -> None:
    (new,) = read("issue", ISSUE)
    (ongoing,) = read("issue", changed(ISSUE, "data", "issue", "substatus", to="ongoing"))
    (regressed,) = read("issue", changed(ISSUE, "data", "issue", "substatus", to="regressed"))
    assert new.version == ongoing.version != regressed.version


def test_an_alert_is_the_fact_of_its_issue_with_the_code_that_failed() -> None:
    (fact,) = read("event_alert", EVENT_ALERT)
    assert (fact.repository, fact.key, fact.severity) == ("acme/shop", "issue/1117540176", "error")
    assert fact.title == "ReferenceError: heck is not defined"
    assert "alert rule: Very Important Alert Rule!" in fact.body
    assert "ReferenceError: heck is not defined\n  runner.js:5 in submit" in fact.body
    assert "162.218.85.90" not in fact.body
    (error,) = read("error", ERROR)
    assert (error.key, error.version) == (fact.key, fact.version)


def test_a_project_is_known_by_its_number_too_and_one_that_is_not_mapped_is_passed_over() -> None:
    assert [fact.repository for fact in read("event_alert", EVENT_ALERT, {"1": "acme/api"})] == ["acme/api"]
    assert read("event_alert", EVENT_ALERT, {}) == []
    assert read("issue", ISSUE, {}) == []


def test_a_metric_alert_lasts_until_it_is_resolved() -> None:
    (warning,) = read("metric_alert", METRIC_ALERT | {"action": "warning"})
    (resolved,) = read("metric_alert", METRIC_ALERT)
    assert (warning.repository, warning.key, warning.state, warning.severity) == (
        "acme/api",
        "metric/4",
        "open",
        "warning",
    )
    assert (resolved.key, resolved.state) == ("metric/4", "closed")


@pytest.mark.parametrize("resource", ["installation", "comment", "seer", "message"])
def test_what_is_about_something_else_is_no_fact(resource: str) -> None:
    assert read(resource, ISSUE) == []


@pytest.mark.parametrize(
    "payload", [None, [], {}, {"data": None}, {"data": {"issue": 3}}, {"data": {"issue": {"project": "x"}}}]
)
def test_a_body_of_another_form_is_no_fact(payload: Any) -> None:
    assert all(read(resource, payload) == [] for resource in ("issue", "event_alert", "error", "metric_alert"))


def test_an_issue_without_its_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="the body has no id"):
        read("issue", changed(ISSUE, "data", "issue", "id", to={"a": 1}))


def test_long_texts_are_cut() -> None:
    (fact,) = read("issue", changed(ISSUE, "data", "issue", "title", to="x" * 5000))
    assert len(fact.title) == 300
