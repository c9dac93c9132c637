"""What is read of a pull request before its merge: of which head each word is, and what GitHub's refusals mean."""

from datetime import UTC, datetime
from typing import Any

import pytest

from squire_pipelines.domain.merging import BotJudgement, MergeMethod, MergeStatus
from squire_pipelines.domain.outcomes import ChecksState, ReviewDecision
from squire_pipelines.domain.own_reports import CHECK_NAME
from squire_pipelines.errors import GitHubPermissionError, GitHubValidationError
from squire_pipelines.github.merging import MergeReading, refusal_of
from squire_pipelines.github.models import parse
from squire_pipelines.github.query_texts import load_query

HEAD, OLD = "a1" * 20, "b2" * 20
BOT = {"login": "greptile-apps", "__typename": "Bot"}
MIRA = {"login": "mira", "__typename": "User"}
NOOR = {"login": "noor", "__typename": "User"}


def reading(**pull: Any) -> MergeReading:
    commit = {"oid": HEAD, "committedDate": "2026-11-01T12:00:00Z", "statusCheckRollup": {"state": "SUCCESS"}}
    whole = {
        "id": "PR_1",
        "state": "OPEN",
        "headRefOid": HEAD,
        "baseRefName": "main",
        "commits": {"nodes": [{"commit": commit}]},
        **pull,
    }
    return parse(MergeReading, {"pullRequest": whole, "squashMergeAllowed": True}, request="a test")


def review(author: dict[str, str], state: str, commit: str = HEAD, body: str = "") -> dict[str, Any]:
    return {"author": author, "state": state, "body": body, "commit": {"oid": commit}}


def comment(body: str, at: str = "2026-11-01T12:30:00Z") -> dict[str, Any]:
    return {"author": BOT, "body": body, "updatedAt": at}


def test_an_approval_is_of_the_head_and_an_objection_of_any_commit() -> None:
    reviews = [
        review(MIRA, "APPROVED", OLD),
        review(NOOR, "CHANGES_REQUESTED", OLD),
        review(NOOR, "COMMENTED"),
        review(BOT, "APPROVED"),
    ]
    pull = reading(opinions={"nodes": reviews}).pull_request
    assert (pull.approvers, pull.objectors) == ((), ("noor",))
    pull = reading(opinions={"nodes": [*reviews, review(MIRA, "APPROVED"), review(NOOR, "DISMISSED")]}).pull_request
    assert ([author.login for author in pull.approvers], pull.objectors) == (["mira"], ())


def test_a_bots_objection_and_one_of_an_account_that_is_gone_hold_a_merge_up() -> None:
    reviews = [review(BOT, "CHANGES_REQUESTED"), {**review(NOOR, "CHANGES_REQUESTED"), "author": None}]
    pull = reading(opinions={"nodes": [*reviews, review(NOOR, "APPROVED")]}).pull_request
    assert pull.objectors == ("greptile-apps", "ghost")
    assert "states: [APPROVED, CHANGES_REQUESTED, DISMISSED]" in load_query("merge_facts"), "no answer hides one"


def test_checks_of_another_commit_are_none_of_the_heads() -> None:
    commit = {"oid": OLD, "statusCheckRollup": {"state": "SUCCESS"}}
    assert reading(commits={"nodes": [{"commit": commit}]}).pull_request.checks is ChecksState.PENDING


def test_a_confidence_in_quoted_code_counts_for_no_more_than_the_bots_own() -> None:
    body = "Confidence Score: 2/5\n```py\n# Confidence Score: 5/5\n```"
    for text in (body, "> Confidence Score: 5/5\n" + body, "Confidence: 9/5\n" + body):
        pull = reading(comments={"nodes": [comment(text)]}).pull_request
        assert pull.judgements(("greptile-apps",)) == (BotJudgement("greptile-apps", 0.4),)


@pytest.mark.parametrize(
    ("body", "at", "counts"),
    [
        (f"Confidence Score: 4/5\nLast reviewed commit: {HEAD[:9]}", "2026-11-01T11:00:00Z", True),
        (f"Confidence Score: 4/5\nLast reviewed commit: {OLD[:9]}", "2026-11-01T12:30:00Z", False),
        ("Confidence Score: 4/5", "2026-11-01T12:30:00Z", True),
        ("Confidence Score: 4/5", "2026-11-01T11:59:00Z", False),
        ("It looks fine.", "2026-11-01T12:30:00Z", False),
    ],
)
def test_a_bots_confidence_counts_where_it_is_of_the_head(body: str, at: str, counts: bool) -> None:  # noqa: FBT001
    pull = reading(comments={"nodes": [comment(body, at)]}).pull_request
    assert pull.judgements(("greptile-apps[bot]",)) == ((BotJudgement("greptile-apps", 0.8),) if counts else ())
    assert pull.judgements(("coderabbitai",)) == ()


def test_a_word_from_before_the_heads_push_does_not_count_whatever_date_the_commit_has() -> None:
    words = {"nodes": [comment("Confidence Score: 4/5", "2026-11-01T12:30:00Z")]}
    suites = [{"createdAt": "2026-11-01T12:41:00Z"}, {"createdAt": "2026-11-01T12:40:00Z"}]
    commit = {"oid": HEAD, "committedDate": "2026-10-01T12:00:00Z", "checkSuites": {"nodes": suites}}
    pushed_later = reading(comments=words, commits={"nodes": [{"commit": commit}]}).pull_request
    assert pushed_later.judgements(("greptile-apps",)) == ()
    without_suites = reading(comments=words).pull_request
    assert without_suites.judgements(("greptile-apps",), datetime(2026, 11, 1, 12, 31, tzinfo=UTC)) == ()
    assert without_suites.judgements(("greptile-apps",), datetime(2026, 11, 1, 12, 29, tzinfo=UTC))


def test_what_is_not_known_holds_a_merge_up() -> None:
    pull = reading(
        reviewThreads={"totalCount": 103, "nodes": [{"isResolved": True}, {"isResolved": False}]}
    ).pull_request
    assert pull.open_threads == 102
    assert (pull.status, pull.review, pull.checks) == (MergeStatus.UNKNOWN, ReviewDecision.NONE, ChecksState.PASSED)
    assert reading(mergeStateStatus="NEW_WORD").pull_request.status is MergeStatus.UNKNOWN
    assert reading(commits={"nodes": []}).pull_request.checks is ChecksState.NONE
    assert (reading().methods, reading().may_write) == (frozenset({MergeMethod.SQUASH}), None)


def test_our_own_report_is_no_check_that_a_merge_may_rest_on() -> None:
    ours = {"__typename": "CheckRun", "name": CHECK_NAME}
    contexts = {"nodes": [ours], "pageInfo": {"hasNextPage": False}}
    commit = {"oid": HEAD, "statusCheckRollup": {"state": "SUCCESS", "contexts": contexts}}
    assert reading(commits={"nodes": [{"commit": commit}]}).pull_request.checks is ChecksState.NONE
    assert "contexts(first: 3)" in load_query("merge_facts"), "more than the two that may be ours"


def test_a_refusal_tells_a_moved_head_a_missing_right_and_a_rule_apart() -> None:
    moved = refusal_of(GitHubValidationError("409", context={"status": 409, "message": "Head branch was modified."}))
    assert (moved.has_moved, moved.for_good) == (True, False)
    rule = refusal_of(GitHubValidationError("405", context={"status": 405, "message": "Squash merges are not allowed"}))
    assert (rule.has_moved, rule.for_good) == (False, False)
    assert rule.reason == "GitHub refused the merge: Squash merges are not allowed"
    right = refusal_of(GitHubPermissionError("403", hint="ask for it", context={"message": "Resource not accessible"}))
    assert (right.has_moved, right.for_good) == (False, True)
