"""Our own report on a commit is no check of it: it does not make a commit green, and its deliveries ask for nothing."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from squire_pipelines.domain.outcomes import ChecksState
from squire_pipelines.domain.own_reports import CHECK_NAME, STATUS_CONTEXT
from squire_pipelines.github.events import parse_delivery
from squire_pipelines.github.models import Rollup
from squire_pipelines.github.signals import checks_state
from tests.support.github_json import check_run, page, status_context

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
