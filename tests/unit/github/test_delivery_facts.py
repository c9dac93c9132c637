"""What rules ask of deliveries, read from bodies of GitHub's form and of no form at all."""

from typing import Any

import pytest

from squire_pipelines.domain.delivery_filters import MAX_PATHS
from squire_pipelines.github.delivery_facts import facts_of

PULL = {
    "action": "labeled",
    "repository": {"full_name": "acme/shop"},
    "sender": {"login": "renovate[bot]", "type": "Bot"},
    "label": {"name": "new"},
    "pull_request": {"head": {"ref": "renovate/all"}, "base": {"ref": "main"}, "labels": [{"name": "wip"}]},
}


def push(*commits: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"ref": "refs/heads/release/1", "commits": list(commits), **more}


def commit(*modified: str, **more: Any) -> dict[str, Any]:
    return {"added": [], "modified": list(modified), "removed": [], **more}


def test_a_pull_requests_facts_are_its_branches_labels_and_who_did_it() -> None:
    facts = facts_of("pull_request", PULL)
    assert (facts.action, facts.repository, facts.sender, facts.is_bot) == (
        "labeled",
        "acme/shop",
        "renovate[bot]",
        True,
    )
    assert facts.branches == ("renovate/all", "main")
    assert facts.labels == ("new", "wip")
    assert facts.paths is None


def test_a_push_tells_its_branch_and_all_paths_of_its_commits() -> None:
    facts = facts_of("push", push(commit("a", "b"), {"added": ["c"], "modified": ["a"], "removed": ["d"]}))
    assert facts.branches == ("release/1",)
    assert facts.paths == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    "data",
    [
        push(),
        push(commit("a"), forced=True),
        push(commit("a"), created=True),
        push(commit("a"), {"modified": ["b"]}),
        push(commit("a"), commit(added=[3])),
        push(commit(*map(str, range(MAX_PATHS + 1)))),
        push(*(commit() for _ in range(2048)), commit("a")),
        push(commit("a" * 5000)),
        {"ref": "refs/heads/main", "commits": "none"},
    ],
)
def test_paths_that_may_be_more_than_the_push_tells_are_not_known(data: dict[str, Any]) -> None:
    assert facts_of("push", data).paths is None


@pytest.mark.parametrize(
    ("event", "data", "branches"),
    [
        ("push", {"ref": "refs/tags/v1"}, ()),
        ("create", {"ref": "new", "ref_type": "branch"}, ("new",)),
        ("delete", {"ref": "v1", "ref_type": "tag"}, ()),
        ("workflow_run", {"workflow_run": {"head_branch": "b"}}, ("b",)),
        ("check_run", {"check_run": {"check_suite": {"head_branch": "b"}, "app": {"slug": "ci"}}}, ("b",)),
        ("status", {"branches": [{"name": "b"}, {"name": "c"}]}, ("b", "c")),
    ],
)
def test_branches_of_other_events(event: str, data: dict[str, Any], branches: tuple[str, ...]) -> None:
    assert facts_of(event, data).branches == branches


@pytest.mark.parametrize(
    ("event", "data", "is_marked"),
    [
        ("issue_comment", {"comment": {"body": "<!-- squire comment -->\nDone."}}, True),
        ("issue_comment", {"comment": {"body": "<!-- squire comment -->\n/squire stop"}}, False),
        ("issue_comment", {"comment": {"body": "> <!-- squire comment -->"}}, False),
        ("pull_request_review", {"review": {"body": None}}, False),
    ],
)
def test_a_comment_is_marked_where_it_begins_with_our_mark_and_gives_no_command(
    event: str, data: dict[str, Any], *, is_marked: bool
) -> None:
    assert facts_of(event, data).is_marked is is_marked


def test_a_remark_tells_the_file_that_it_is_about() -> None:
    assert facts_of("pull_request_review_comment", {"comment": {"path": "src/a.py"}}).paths == ("src/a.py",)


@pytest.mark.parametrize("junk", [None, 3, "text", [], [3], {"ref": 3}, {"login": []}])
def test_what_has_another_form_is_not_known_and_stops_nothing(junk: object) -> None:
    names = ("action", "repository", "sender", "comment", "review", "check_run", "pull_request", "issue", "label")
    data = dict.fromkeys((*names, "ref", "commits", "branches", "labels"), junk)
    for event in ("push", "pull_request", "issue_comment", "check_run", "status", "create"):
        facts = facts_of(event, data)
        assert (facts.sender, facts.is_bot, facts.paths, facts.is_marked) == (None, None, None, False)
