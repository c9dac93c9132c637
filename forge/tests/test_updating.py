"""A base that moves on below a pull request: how GitHub says so, and what its update of the branch does and refuses."""

from collections.abc import Callable
from typing import Any

import pytest

from github_schemas import conforms
from squire_forge.client import ForgeClient

PULL = "/repos/demo/quiet/pulls/1"
STATE = '{repository(owner:"demo",name:"quiet"){pullRequest(number:1){mergeStateStatus baseRef{target{oid}}}}}'


@pytest.mark.slow
def test_a_branch_behind_its_base_is_brought_up_to_date(
    local_forge: ForgeClient, api: Any, clone_of: Callable[..., Any]
) -> None:
    clone = clone_of(local_forge, "demo/quiet")
    head = clone.commit("topic", {"topic.txt": "one\n"})
    clone.push("topic")
    assert api.rest("POST", "/repos/demo/quiet/pulls", {"title": "T", "head": "topic", "base": "main"}).is_success

    def stands() -> tuple[str, str]:
        pull = api.graphql(STATE)["data"]["repository"]["pullRequest"]
        return pull["mergeStateStatus"], pull["baseRef"]["target"]["oid"]

    def update(expected: str = head) -> Any:
        return api.rest("PUT", f"{PULL}/update-branch", {"expected_head_sha": expected})

    assert update().json()["message"] == "There are no new commits on the base branch."
    clone.run("checkout", "--quiet", "main")
    base = clone.commit("main", {"base.txt": "moved\n"})
    clone.push("main")
    assert stands() == ("CLEAN", base)
    local_forge.act_as("demo/quiet", "mara", merging={"up_to_date": True})
    assert stands() == ("BEHIND", base)
    assert api.rest("PUT", f"{PULL}/merge").status_code == 405
    stale = update("0" * 40)
    assert (stale.status_code, stale.json()["message"][:17]) == (422, "expected head sha")
    updated = update()
    assert updated.status_code == 202
    conforms(updated, "PUT", "/repos/{owner}/{repo}/pulls/{pull_number}/update-branch")
    assert stands()[0] == "CLEAN"
    new_head = api.rest("GET", PULL).json()["head"]["sha"]
    clone.run("fetch", "--quiet", "origin")
    assert clone.run("log", "-1", "--format=%P", new_head).stdout.split() == [head, base]
    clone.commit("main", {"topic.txt": "two\n"})
    clone.push("main")
    assert stands()[0] == "DIRTY"
    conflict = update(new_head)
    assert (conflict.status_code, conflict.json()["message"]) == (422, "merge conflict between base and head")
