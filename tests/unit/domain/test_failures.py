from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.failures import (
    DEFAULT_IGNORED,
    CheckHistory,
    CheckRecord,
    FailureClass,
    classify,
    histories,
    ignored_by,
)

TEN = datetime(2026, 11, 1, 10, 0, tzinfo=UTC)


def record(name: str = "tests", conclusion: str | None = "failure", hour: int | None = 0, **fields: Any) -> CheckRecord:
    """A run of a job of the workflow CI that began `hour` hours after ten and took a minute."""
    began = None if hour is None else TEN + timedelta(hours=hour)
    values: dict[str, Any] = {
        "app": "github-actions",
        "workflow": "CI",
        "started_at": began,
        "ended_at": began + timedelta(minutes=1) if began and conclusion else None,
        "position": 0,
        **fields,
    }
    return CheckRecord(name=name, conclusion=conclusion, **values)


def test_newest_run_of_a_check_decides_wherever_it_is_listed() -> None:
    failed, passed = record(), record(conclusion="success", hour=1)
    for listed in ([failed, passed], [passed, failed]):
        (history,) = histories(listed)
        assert history == CheckHistory(passed, (failed,))
        assert not history.newest.has_failed
    assert not histories([passed, failed])[0].passed_before


def test_run_that_has_not_ended_is_newer_than_the_one_that_failed() -> None:
    (history,) = histories([record(conclusion=None, hour=None), record()])
    assert history.newest.conclusion is None
    (history,) = histories([record(conclusion=None, hour=1), record()])
    assert not history.newest.has_failed


def test_checks_of_one_name_of_two_apps_or_workflows_are_two() -> None:
    listed = [record(), record(app="other", workflow=None), record(workflow="Nightly"), record(app=None, workflow=None)]
    assert [history.newest for history in histories(listed)] == listed


@given(st.permutations([record(hour=hour, position=hour) for hour in range(4)]))
def test_order_of_the_answer_does_not_matter(listed: list[CheckRecord]) -> None:
    (history,) = histories(listed)
    assert [known.position for known in (*history.earlier, history.newest)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("conclusion", "failed"),
    [
        ("failure", True),
        ("timed_out", True),
        ("startup_failure", True),
        ("error", True),
        ("cancelled", False),
        ("action_required", False),
        ("stale", False),
        ("skipped", False),
        ("neutral", False),
        ("success", False),
        (None, False),
    ],
)
def test_conclusions_that_are_failures(conclusion: str | None, failed: bool) -> None:  # noqa: FBT001 - a table
    assert record(conclusion=conclusion).has_failed is failed


@pytest.mark.parametrize(
    ("name", "app"),
    [
        ("license/cla", None),
        ("License/CLA", None),
        ("DCO", "dco"),
        ("codecov/project", None),
        ("codecov/patch", "codecov"),
        ("coverage/coveralls", None),
        ("netlify/docs/deploy-preview", None),
        ("Header rules - docs", "netlify"),
        ("Vercel \u2013 shop", "vercel"),
        ("Vercel", None),
        ("Cloudflare Pages", "cloudflare-workers-and-pages"),
        ("Workers Builds: api", "cloudflare-workers-and-pages"),
        ("semantic-pull-request", None),
        ("Semantic Pull Request", "semantic-prs"),
        ("Lint PR title", "github-actions"),
        ("Check labels", "github-actions"),
        ("require-labels", "github-actions"),
        ("CLA Assistant", None),
        ("CLAassistant / CLA Assistant", "github-actions"),
        ("verification/cla-signed", None),
        ("ci/cla", None),
        ("CLA check", "github-actions"),
        ("codeclimate/total-coverage", None),
        ("codeclimate/diff-coverage", None),
        ("Conventional Commits", "github-actions"),
        ("pr-labels", "github-actions"),
        ("PR labels", "github-actions"),
        ("Render preview", None),
        ("Header rules - docs-site", "netlify"),
        ("Pages changed - docs-site", None),
        ("Redirect rules - docs-site", None),
        ("Mixed content - docs-site", None),
    ],
)
def test_check_that_no_change_of_the_code_mends_is_ignored_by_default(name: str, app: str | None) -> None:
    assert ignored_by(record(name, app=app, workflow=None), DEFAULT_IGNORED) is not None


@pytest.mark.parametrize(
    "name",
    [
        "tests",
        "build",
        "coverage",
        "class tests",
        "label printer",
        "titles",
        "deploy",
        "ci/class",
        "codeclimate/lint",
        "claims",
        "render",
        "previews",
        "pages",
    ],
)
def test_ordinary_check_is_not_ignored_by_default(name: str) -> None:
    assert ignored_by(record(name), DEFAULT_IGNORED) is None


def test_pattern_is_of_the_name_the_workflow_or_the_app_and_signs_stand_for_themselves() -> None:
    check = record("unit [linux] (3.12)", workflow="CI")
    assert ignored_by(check, ["nothing", "UNIT [linux]*"]) == "UNIT [linux]*"
    assert ignored_by(check, ["ci / unit*"]) == "ci / unit*"
    assert ignored_by(check, ["github-actions/unit [linux] (3.1?)"]) is not None
    assert ignored_by(check, ["unit", "unit ?linux? (3.12", "*[abc]*"]) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("The hosted runner lost communication with the server. Anything", "its runner was lost"),
        ("##[error]The runner has received a shutdown signal.", "its runner was lost"),
        ("tar: write error: No space left on device", "its runner had no space left"),
        ("curl: (6) Could not resolve host: pypi.org", "a connection of its runner failed"),
        ("npm error code ETIMEDOUT", "a connection of its runner failed"),
    ],
)
def test_failure_of_the_infrastructure_is_known_by_its_words(text: str, reason: str) -> None:
    failure = classify(CheckHistory(record()), text)
    assert (failure.kind, failure.reason) == (FailureClass.INFRASTRUCTURE, reason)


def test_what_could_not_start_is_the_infrastructures_and_what_passed_before_is_flaky() -> None:
    assert classify(CheckHistory(record(conclusion="startup_failure"))).kind is FailureClass.INFRASTRUCTURE
    passed_before = CheckHistory(record(hour=1), (record(conclusion="success"),))
    assert classify(passed_before, "No space left on device").kind is FailureClass.FLAKY
    failed_before = CheckHistory(record(hour=1), (record(),))
    assert classify(failed_before, "AssertionError: 1 != 2").kind is FailureClass.CODE
