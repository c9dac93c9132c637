"""Merging under rules: protections that block, allowed methods, auto-merge, merge queues, reverts, comparisons."""

from typing import Any

import pytest
from conftest import Clone

from github_schemas import conforms
from squire_forge.client import ForgeClient

QUIET = "demo/quiet"
PULL = """
query Q($number: Int!) { repository(owner: "demo", name: "quiet") {
  autoMergeAllowed mergeCommitAllowed squashMergeAllowed rebaseMergeAllowed viewerPermission
  pullRequest(number: $number) {
    id state mergeStateStatus reviewDecision headRefOid isInMergeQueue isMergeQueueEnabled viewerCanEnableAutoMerge
    mergedBy { login }
    mergeCommit { oid parents(first: 2) { totalCount nodes { oid } } }
    autoMergeRequest { enabledBy { login } mergeMethod enabledAt }
    mergeQueueEntry { enqueuer { login } state position enqueuedAt id }
    timelineItems(last: 5, itemTypes: [AUTO_MERGE_DISABLED_EVENT, REMOVED_FROM_MERGE_QUEUE_EVENT]) {
      nodes {
        ... on AutoMergeDisabledEvent { id actor { login } reason createdAt }
        ... on RemovedFromMergeQueueEvent { id actor { login } reason createdAt }
      }
    }
  }
} }"""
ENABLE = """
mutation($id: ID!, $head: GitObjectID) {
  enablePullRequestAutoMerge(input: {pullRequestId: $id, expectedHeadOid: $head, mergeMethod: SQUASH}) {
    pullRequest { number }
  }
}"""
ENQUEUE = """
mutation($id: ID!, $head: GitObjectID) {
  enqueuePullRequest(input: {pullRequestId: $id, expectedHeadOid: $head}) { mergeQueueEntry { position } }
}"""
DISABLE = "mutation($id: ID!) { disablePullRequestAutoMerge(input: {pullRequestId: $id}) { pullRequest { number } } }"
DEQUEUE = "mutation($id: ID!) { dequeuePullRequest(input: {id: $id}) { mergeQueueEntry { position } } }"
REVERT = """
mutation($id: ID!) { revertPullRequest(input: {pullRequestId: $id}) {
  pullRequest { number } revertPullRequest { number title body headRefName baseRefName }
} }"""


class Open:
    """A pull request of a person's branch in the repository without checks."""

    def __init__(self, forge: ForgeClient, api: Any, clone: Any, branch: str) -> None:
        self.forge, self.api, self.clone, self.branch = forge, api, clone, branch
        clone.run("fetch", "--quiet", "origin")
        clone.commit(branch, {f"{branch}.txt": "a\n"}, start="origin/main")
        clone.push(branch)
        made = api.rest("POST", f"/repos/{QUIET}/pulls", {"title": "A", "head": branch, "base": "main"})
        self.number = made.json()["number"]
        self.path = f"/repos/{QUIET}/pulls/{self.number}"

    def rules(self, **rules: object) -> None:
        self.forge.act_as(QUIET, "mira", permission="write", merging=rules)

    def act(self, **act: object) -> None:
        self.forge.act_as(QUIET, "mira", number=self.number, **act)

    def read(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.api.graphql(PULL, number=self.number)["data"]["repository"]
        return answer

    @property
    def pull(self) -> dict[str, Any]:
        pull: dict[str, Any] = self.read()["pullRequest"]
        return pull

    def merge(self, **body: object) -> Any:
        return self.api.rest("PUT", f"{self.path}/merge", body)

    def refusal(self, mutation: str, **variables: object) -> tuple[str, str]:
        (error,) = self.api.graphql(mutation, id=self.pull["id"], **variables)["errors"]
        return error["type"], error["message"]


@pytest.fixture(scope="module")
def clone(shared_forge: ForgeClient, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(tmp_path_factory.mktemp("clone") / "quiet", shared_forge, QUIET)


@pytest.fixture
def opened(shared_forge: ForgeClient, api_of: Any, clone: Clone, request: pytest.FixtureRequest) -> Open:
    made = Open(shared_forge, api_of(shared_forge), clone, f"ada-{len(request.node.name)}")
    made.rules()
    return made


def test_what_a_branch_asks_for_blocks_the_merge_until_it_is_there(opened: Open) -> None:
    opened.rules(approvals=1, methods=["squash"])
    assert (opened.pull["mergeStateStatus"], opened.pull["reviewDecision"]) == ("BLOCKED", "REVIEW_REQUIRED")
    refused = opened.merge(merge_method="squash")
    assert refused.status_code == 405
    assert "approving review is required" in refused.json()["message"]
    opened.act(review="APPROVED")
    assert opened.pull["mergeStateStatus"] == "CLEAN"
    assert "not allowed on this repository" in opened.merge().json()["message"]
    assert opened.merge(merge_method="squash", sha="f" * 40).status_code == 409
    assert opened.merge(merge_method="squash", sha=opened.pull["headRefOid"]).status_code == 200
    assert opened.pull["mergedBy"]["login"] == "squire-demo"
    assert opened.pull["mergeCommit"]["parents"]["totalCount"] == 1


def test_a_check_that_is_asked_for_and_a_token_without_the_right_block_too(opened: Open) -> None:
    opened.rules(checks=["release"], permission="READ")
    assert (opened.read()["viewerPermission"], opened.merge().status_code) == ("READ", 403)
    assert opened.refusal(ENABLE)[0] == "FORBIDDEN"
    opened.rules(checks=["release"])
    assert opened.merge().json()["message"] == 'Required status check "release" is expected.'
    opened.rules(checks=["release"], permission="ADMIN")
    assert opened.merge().status_code == 200, "an administrator passes by it"


def test_commits_are_replayed_where_that_is_allowed(opened: Open) -> None:
    opened.rules(methods=["rebase"])
    tip = opened.clone.run("rev-parse", "origin/main").stdout.strip()
    assert opened.merge(merge_method="rebase").status_code == 200
    assert [parent["oid"] for parent in opened.pull["mergeCommit"]["parents"]["nodes"]] == [tip]


def test_auto_merge_waits_for_what_blocks_and_can_be_switched_off(opened: Open) -> None:
    head = opened.pull["headRefOid"]
    assert opened.refusal(ENABLE)[1] == "Auto merge is not allowed for this repository"
    opened.rules(auto_merge=True)
    assert opened.refusal(ENABLE) == ("UNPROCESSABLE", "Pull request is in clean status")
    opened.rules(auto_merge=True, approvals=1)
    assert opened.refusal(ENABLE, head="f" * 40)[1].startswith("Head branch was modified")
    assert "errors" not in opened.api.graphql(ENABLE, id=opened.pull["id"], head=head)
    assert opened.pull["autoMergeRequest"]["enabledBy"]["login"] == "squire-demo"
    opened.act(not_merged="not yet")
    (event,) = opened.pull["timelineItems"]["nodes"]
    assert (event["actor"]["login"], event["reason"]) == ("mira", "not yet")
    opened.api.graphql(ENABLE, id=opened.pull["id"], head=head)
    assert "errors" not in opened.api.graphql(DISABLE, id=opened.pull["id"])
    opened.api.graphql(ENABLE, id=opened.pull["id"], head=head)
    opened.act(review="APPROVED")
    opened.forge.settle()
    assert opened.pull["state"] == "MERGED"


def test_a_merge_queue_merges_in_turn_or_drops(opened: Open) -> None:
    opened.rules(queue="paused")
    assert opened.merge().status_code == 405
    assert "errors" not in opened.api.graphql(ENQUEUE, id=opened.pull["id"], head=opened.pull["headRefOid"])
    assert opened.pull["mergeQueueEntry"]["enqueuer"]["login"] == "squire-demo"
    opened.act(not_merged="failed checks")
    assert not opened.pull["isInMergeQueue"]
    assert opened.pull["timelineItems"]["nodes"][0]["reason"] == "failed checks"
    opened.api.graphql(ENQUEUE, id=opened.pull["id"])
    assert "errors" not in opened.api.graphql(DEQUEUE, id=opened.pull["id"])
    opened.rules(queue="on")
    opened.api.graphql(ENQUEUE, id=opened.pull["id"])
    opened.forge.settle()
    assert opened.pull["state"] == "MERGED"


def test_a_merged_pull_request_is_taken_back_once_by_another(opened: Open) -> None:
    assert opened.refusal(REVERT)[1] == "Pull request is not merged"
    opened.merge()
    (made,) = (opened.api.graphql(REVERT, id=opened.pull["id"])["data"]["revertPullRequest"]["revertPullRequest"],)
    assert made == {
        "number": opened.number + 1,
        "title": 'Revert "A"',
        "body": f"Reverts demo/quiet#{opened.number}",
        "headRefName": f"revert-{opened.number}-{opened.branch}",
        "baseRefName": "main",
    }
    assert opened.refusal(REVERT)[0] == "UNPROCESSABLE"
    assert opened.api.rest("PUT", f"/repos/{QUIET}/pulls/{opened.number + 1}/merge").status_code == 200
    opened.clone.run("fetch", "--quiet", "origin")
    assert opened.clone.run("cat-file", "-e", f"origin/main:{opened.branch}.txt", check=False).returncode != 0


def test_commits_are_compared_as_github_compares_them(opened: Open) -> None:
    opened.clone.run("mv", "README.md", "MOVED.md")
    opened.clone.commit(opened.branch, {"b.txt": "b\nc\n"})
    opened.clone.push(opened.branch)
    answer = opened.api.rest("GET", f"/repos/{QUIET}/compare/main...{opened.pull['headRefOid']}")
    files = {one["filename"]: one for one in answer.json()["files"]}
    assert set(files) == {"MOVED.md", f"{opened.branch}.txt", "b.txt"}
    assert (files["MOVED.md"]["status"], files["MOVED.md"]["previous_filename"]) == ("renamed", "README.md")
    assert (files["b.txt"]["additions"], answer.json()["ahead_by"]) == (2, 2)
    assert opened.api.rest("GET", f"/repos/{QUIET}/compare/main...nowhere").status_code == 404
    conforms(answer, "GET", "/repos/{owner}/{repo}/compare/{basehead}")
