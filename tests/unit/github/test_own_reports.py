"""What is our own asks for nothing: a report on a commit makes it not green, and a dashboard is no issue to resolve."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from squire_pipelines.domain.dashboards import DASHBOARD_MARK
from squire_pipelines.domain.outcomes import ChecksState
from squire_pipelines.domain.own_reports import CHECK_NAME, STATUS_CONTEXT
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.events import parse_delivery
from squire_pipelines.github.issues import find_issue
from squire_pipelines.github.merged_commits import MergedPull
from squire_pipelines.github.models import Issue, Rollup
from squire_pipelines.github.signals import checks_state, is_own_dashboard
from tests.support.github_json import FakeGitHub, check_run, issue, page, status_context

OURS = check_run(CHECK_NAME, "NEUTRAL")
STATUS = status_context(STATUS_CONTEXT, "SUCCESS")
GREEN = check_run("tests", "SUCCESS")


@pytest.mark.parametrize(
    ("state", "checks", "expected"),
    [
        ("SUCCESS", page([OURS]), ChecksState.NONE),
        ("SUCCESS", page([OURS, STATUS]), ChecksState.NONE),
        ("SUCCESS", page([OURS, GREEN]), ChecksState.PASSED),
        ("SUCCESS", page([OURS], cursor="more"), ChecksState.PASSED),
        ("SUCCESS", page([None]), ChecksState.PASSED),
        ("SUCCESS", None, ChecksState.PASSED),
        ("PENDING", page([OURS]), ChecksState.PENDING),
        ("FAILURE", page([OURS]), ChecksState.FAILED),
    ],
)
def test_a_commit_with_our_report_alone_has_no_checks(state: str, checks: Any, expected: ChecksState) -> None:
    rollup = TypeAdapter(Rollup).validate_python({"state": state, "contexts": checks})
    assert checks_state(rollup) is expected


@pytest.mark.parametrize(
    ("event", "content", "relevant"),
    [
        ("check_run", {"check_run": {"name": CHECK_NAME, "head_sha": "a" * 40, "conclusion": "neutral"}}, False),
        ("check_run", {"check_run": {"name": "tests", "head_sha": "a" * 40, "conclusion": "failure"}}, True),
        ("status", {"context": STATUS_CONTEXT, "sha": "a" * 40, "state": "success"}, False),
        ("status", {"context": "ci", "sha": "a" * 40, "state": "success"}, True),
    ],
)
def test_a_delivery_about_our_report_asks_for_nothing(event: str, content: dict[str, Any], *, relevant: bool) -> None:
    body = json.dumps({"action": "completed", "repository": {"full_name": "o/r"}, **content}).encode()
    delivery = parse_delivery(event, body)
    assert (delivery.relevant, delivery.checks is not None) == (relevant, relevant)


TICKED = "- [x] stop <!-- squire box 0123456789abcdef stop t1 0 -->"


@pytest.mark.parametrize(
    ("action", "text", "relevant", "dashboard"),
    [
        ("edited", DASHBOARD_MARK, False, True),
        ("edited", f"{DASHBOARD_MARK}\n{TICKED}", True, True),
        ("closed", DASHBOARD_MARK, True, True),
        ("edited", f"an issue\n{TICKED}", True, False),
    ],
)
def test_a_delivery_about_a_dashboard_asks_only_where_somebody_ticked_or_closed_it(
    action: str, text: str, *, relevant: bool, dashboard: bool
) -> None:
    content = {"action": action, "repository": {"full_name": "o/r"}, "issue": {"number": 5, "body": text}}
    delivery = parse_delivery("issues", json.dumps(content).encode())
    assert (delivery.relevant, delivery.dashboard) == (relevant, dashboard)


@pytest.mark.parametrize(
    ("is_ours", "text", "own"), [(True, DASHBOARD_MARK, True), (False, DASHBOARD_MARK, False), (True, "text", False)]
)
def test_a_dashboard_is_no_signal_and_nobody_else_can_make_one(*, is_ours: bool, text: str, own: bool) -> None:
    read = Issue.model_validate(issue(body=f"x {text} y", viewerDidAuthor=is_ours))
    assert is_own_dashboard(read) == own


def test_our_own_report_is_no_check_of_the_base() -> None:
    failed = check_run("tests", "FAILURE")
    contexts = page([{"__typename": kind, **one} for kind, one in _typed((OURS, STATUS, failed))])
    commit = {"oid": "a" * 40, "statusCheckRollup": {"contexts": contexts}}
    pull = MergedPull.model_validate({"id": "x", "headRefName": "h", "baseRefName": "main", "mergeCommit": commit})
    assert pull.merge_commit is not None
    assert [(one.name, one.state) for one in pull.merge_commit.checks] == [("tests", ChecksState.FAILED)]


def _typed(checks: Iterable[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    return (("StatusContext" if "context" in one else "CheckRun", one) for one in checks)


@pytest.mark.anyio
async def test_an_issue_that_quotes_our_mark_is_not_ours(client_of: Callable[..., GitHubClient]) -> None:
    bodies = {3: f"> {DASHBOARD_MARK}\n\nWhat is this?", 2: f"{DASHBOARD_MARK}\nAll of it.", 1: "Another."}
    listed = [{"number": number, "body": body, "user": {"login": "Ada"}} for number, body in bodies.items()]
    client = client_of(FakeGitHub(rest={"GET /repos/o/r/issues": httpx.Response(200, json=listed)}))
    assert await find_issue(client, "o/r", DASHBOARD_MARK, author="ada") == 2
    listed[1]["body"] = bodies[3]
    client = client_of(FakeGitHub(rest={"GET /repos/o/r/issues": httpx.Response(200, json=listed)}))
    assert await find_issue(client, "o/r", DASHBOARD_MARK, author="ada") is None
