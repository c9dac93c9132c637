"""The merges of green pull requests whose branch has the configured prefix."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from squire_forge import settling
from squire_forge.client import ForgeClient
from squire_forge.errors import GitError
from squire_forge.git import GitDirectory
from squire_forge.world import ForgeConfig, World

FIXED = "    share, left = divmod(total, parts)\n    return [share + 1] * left + [share] * (parts - left)\n"


def _repository(state: dict[str, Any], name: str) -> dict[str, Any]:
    repository: dict[str, Any] = next(item for item in state["repositories"] if item["name"] == name)
    return repository


def _fix(clone: Any) -> str:
    source = (clone.path / "ledgerlib/money.py").read_text()
    fixed = source.replace("    share = total // parts\n    return [share] * parts\n", FIXED)
    made: str = clone.commit("squire/t1-fix", {"ledgerlib/money.py": fixed})
    return made


def _open(api: Any, name: str, head: str, base: str = "main", **more: Any) -> None:
    response = api.rest("POST", f"/repos/{name}/pulls", {"title": "Fix", "head": head, "base": base, **more})
    assert response.status_code == 201, response.text


@pytest.mark.slow
def test_a_green_pull_request_is_merged_and_the_default_branch_turns_green(
    serve_forge: Callable[..., ForgeClient], receiver: Any, samples: Any, api_of: Any, clone_of: Callable[..., Any]
) -> None:
    forge = serve_forge(webhook_url=receiver.url)
    forge.host_repository(samples[0])
    forge.settle()
    receiver.all()
    clone = clone_of(forge, "demo/ledgerlib")
    head = _fix(clone)
    clone.push("squire/t1-fix")
    _open(api_of(forge), "demo/ledgerlib", "squire/t1-fix", labels=["ignored"])
    ledgerlib = _repository(forge.settle(), "demo/ledgerlib")
    (pull,) = ledgerlib["pull_requests"]
    assert pull["state"] == "merged"
    assert ledgerlib["branches"]["main"] == pull["merge_sha"]
    assert ledgerlib["ci"]["main"] == "success"
    clone.run("fetch", "--quiet", "origin")
    parents = clone.run("log", "-1", "--format=%P", "origin/main").stdout.split()
    assert parents[1] == head
    # The merge is announced before its push; the list has the newest first.
    sent = [(delivery["event"], delivery["action"]) for delivery in forge.state()["deliveries"]]
    assert sent.index(("pull_request", "closed")) > sent.index(("push", None))
    received = receiver.all()
    (closed,) = [webhook for webhook in received if webhook.payload.get("action") == "closed"]
    assert closed.payload["pull_request"]["merged"] is True
    assert closed.payload["pull_request"]["merge_commit_sha"] == pull["merge_sha"]
    assert closed.payload["sender"]["login"] == "forge-keeper[bot]"
    pushes = [webhook.payload for webhook in received if webhook.event == "push"]
    assert {push["ref"] for push in pushes} == {"refs/heads/main", "refs/heads/squire/t1-fix"}
    conclusions = [
        webhook.payload["check_suite"]["conclusion"] for webhook in received if webhook.event == "check_suite"
    ]
    assert conclusions == ["success", "success"]


@pytest.mark.slow
def test_a_red_pull_request_stays_open(local_forge: ForgeClient, api: Any, clone_of: Callable[..., Any]) -> None:
    clone = clone_of(local_forge, "demo/ledgerlib")
    clone.commit("squire/t2-nothing", {"NOTES.md": "no change of the defect\n"})
    clone.push("squire/t2-nothing")
    _open(api, "demo/ledgerlib", "squire/t2-nothing")
    ledgerlib = _repository(local_forge.settle(), "demo/ledgerlib")
    assert (ledgerlib["pull_requests"][0]["state"], ledgerlib["ci"]["squire/t2-nothing"]) == ("open", "failure")
    _mend_on = (
        (clone.path / "ledgerlib/money.py")
        .read_text()
        .replace("    share = total // parts\n    return [share] * parts\n", FIXED)
    )
    clone.commit("squire/t2-nothing", {"ledgerlib/money.py": _mend_on})
    clone.push("squire/t2-nothing")
    assert _repository(local_forge.settle(), "demo/ledgerlib")["pull_requests"][0]["state"] == "merged"


@pytest.mark.parametrize(("branch", "more"), [("ada/topic", {}), ("squire/t3", {"draft": True})])
def test_people_and_drafts_are_left_alone(
    local_forge: ForgeClient, api: Any, clone_of: Callable[..., Any], branch: str, more: dict[str, Any]
) -> None:
    clone = clone_of(local_forge, "demo/quiet")
    clone.commit(branch, {"a.txt": "a"})
    clone.push(branch)
    _open(api, "demo/quiet", branch, **more)
    assert _repository(local_forge.settle(), "demo/quiet")["pull_requests"][0]["state"] == "open"


@pytest.mark.slow
def test_a_forge_that_does_not_merge_leaves_them_open(
    serve_forge: Any, api_of: Any, samples: Any, clone_of: Callable[..., Any]
) -> None:
    forge = serve_forge(merge_prefix=None)
    forge.host_repository(samples[0])
    clone = clone_of(forge, "demo/ledgerlib")
    _fix(clone)
    clone.push("squire/t1-fix")
    _open(api_of(forge), "demo/ledgerlib", "squire/t1-fix")
    assert _repository(forge.settle(), "demo/ledgerlib")["pull_requests"][0]["state"] == "open"
    serve_forge.stop_all()
    # The next forge on the same home merges what was left.
    assert _repository(serve_forge().settle(), "demo/ledgerlib")["pull_requests"][0]["state"] == "merged"


@pytest.mark.slow
def test_a_conflict_leaves_the_pull_request_open_and_says_so(
    local_forge: ForgeClient, api: Any, clone_of: Callable[..., Any]
) -> None:
    clone = clone_of(local_forge, "demo/quiet")
    clone.commit("squire/t4", {"README.md": "one\n"}, start="origin/main")
    clone.commit("squire/t5", {"README.md": "two\n"}, start="origin/main")
    clone.push("squire/t4", "squire/t5")
    _open(api, "demo/quiet", "squire/t4")
    local_forge.settle()
    _open(api, "demo/quiet", "squire/t5")
    pulls = _repository(local_forge.settle(), "demo/quiet")["pull_requests"]
    assert [(pull["state"], pull["mergeable"]) for pull in pulls] == [("merged", None), ("open", False)]
    query = '{ repository(owner: "demo", name: "quiet") { pullRequest(number: 2) { mergeable state } } }'
    pull = api.graphql(query)["data"]["repository"]["pullRequest"]
    assert pull == {"mergeable": "CONFLICTING", "state": "OPEN"}
    assert api.rest("GET", "/repos/demo/quiet/pulls/2").json()["mergeable_state"] == "dirty"
    assert api.rest("PUT", "/repos/demo/quiet/pulls/2/merge").status_code == 405


def test_a_pull_request_into_a_persons_branch_is_merged_there(
    local_forge: ForgeClient, api: Any, clone_of: Callable[..., Any]
) -> None:
    clone = clone_of(local_forge, "demo/webshop")
    clone.commit("squire/t6", {"data/discounts.json": "[]\n"}, start="origin/noor/discount-codes")
    clone.push("squire/t6")
    _open(api, "demo/webshop", "squire/t6", base="noor/discount-codes")
    webshop = _repository(local_forge.settle(), "demo/webshop")
    person, ours = webshop["pull_requests"]
    assert (person["state"], ours["state"]) == ("open", "merged")
    assert person["head_sha"] == ours["merge_sha"] == webshop["branches"]["noor/discount-codes"]


@pytest.mark.slow
def test_a_merge_pushed_by_hand_is_recognised(local_forge: ForgeClient, api: Any, clone_of: Callable[..., Any]) -> None:
    clone = clone_of(local_forge, "demo/handbook")
    clone.run("merge", "--quiet", "--no-ff", "-m", "By hand", "origin/tomas/holidays")
    clone.push("trunk")
    (pull,) = _repository(local_forge.settle(), "demo/handbook")["pull_requests"]
    assert pull["state"] == "merged"
    assert pull["merge_sha"] == clone.run("rev-parse", "HEAD").stdout.strip()
    assert api.rest("GET", "/repos/demo/handbook/pulls/3").json()["merged_by"]["login"] == "squire-demo"


class _Stop(BaseException):
    """Stands for the end of the process at this line."""


class _FaultyGit(GitDirectory):
    """Git during which the process ends."""

    def __init__(self, path: Path, step: str) -> None:
        super().__init__(path)
        self._step = step

    def commit_tree(self, *arguments: Any) -> str:
        made = super().commit_tree(*arguments)
        if self._step == "after_commit":
            raise _Stop
        return made

    def update_ref(self, ref: str, new: str, old: str | None = None) -> None:
        if self._step == "before_update":
            raise _Stop
        super().update_ref(ref, new, old)
        raise _Stop


@pytest.mark.slow
@pytest.mark.parametrize("step", ["after_commit", "before_update", "after_update"])
def test_a_merge_that_was_cut_off_is_finished_once(
    serve_forge: Any, api_of: Any, samples: Any, clone_of: Callable[..., Any], step: str
) -> None:
    forge = serve_forge(merge_prefix=None)
    forge.host_repository(samples[0])
    clone = clone_of(forge, "demo/ledgerlib")
    head = _fix(clone)
    clone.push("squire/t1-fix")
    _open(api_of(forge), "demo/ledgerlib", "squire/t1-fix")
    forge.settle()
    serve_forge.stop_all()

    world = World(ForgeConfig(home=forge.home, web_url=forge.url, token="t", webhook_secret="s"))
    with world.database.reading() as con:
        repository_id = con.execute("SELECT id FROM repositories").fetchone()["id"]
    world._directories[repository_id] = _FaultyGit(world.git_path("demo", "ledgerlib"), step)
    with pytest.raises(_Stop):
        settling.settle(world, repository_id)
    world.database.close()

    again = serve_forge()
    (pull,) = _repository(again.settle(), "demo/ledgerlib")["pull_requests"]
    assert pull["state"] == "merged"
    clone.run("fetch", "--quiet", again.git_url("demo/ledgerlib"), "main")
    (merge,) = clone.run("log", "--merges", "--format=%H %P", "FETCH_HEAD").stdout.splitlines()
    assert merge.split()[0] == pull["merge_sha"]
    assert merge.split()[2] == head


class _BusyGit(GitDirectory):
    """Git that finds the branch moved, once."""

    failures = 1

    def update_ref(self, ref: str, new: str, old: str | None = None) -> None:
        if self.failures and ref.startswith("refs/heads/"):
            self.failures -= 1
            raise GitError(f"cannot lock ref {ref}")
        super().update_ref(ref, new, old)


@pytest.mark.slow
def test_a_merge_that_failed_is_tried_again_without_being_asked(
    local_forge: ForgeClient, serve_forge: Any, api: Any, clone_of: Callable[..., Any]
) -> None:
    world = serve_forge.worlds[-1]
    with world.database.reading() as con:
        repository_id = con.execute("SELECT id FROM repositories WHERE name = 'quiet'").fetchone()["id"]
    busy = _BusyGit(world.git_path("demo", "quiet"))
    world._directories[repository_id] = busy
    clone = clone_of(local_forge, "demo/quiet")
    clone.commit("squire/t7", {"a.txt": "a"})
    clone.push("squire/t7")
    _open(api, "demo/quiet", "squire/t7")
    deadline = time.monotonic() + 30
    while _repository(local_forge.state(), "demo/quiet")["pull_requests"][0]["state"] != "merged":
        assert time.monotonic() < deadline
    assert busy.failures == 0


def test_two_merges_at_once_make_one(local_forge: ForgeClient, api: Any, clone_of: Callable[..., Any]) -> None:
    clone = clone_of(local_forge, "demo/quiet")
    clone.commit("ada/topic", {"a.txt": "a"})
    clone.push("ada/topic")
    _open(api, "demo/quiet", "ada/topic")
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(api.rest("PUT", "/repos/demo/quiet/pulls/1/merge").status_code))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 405, 405, 405]


def test_git_refuses_a_base_that_moved(local_forge: ForgeClient, serve_forge: Any) -> None:
    world = serve_forge.worlds[-1]
    git = GitDirectory(world.git_path("demo", "quiet"))
    tip = git.branch("main")
    assert tip
    assert local_forge.url
    with pytest.raises(GitError):
        git.update_ref("refs/heads/main", tip, "1" * 40)
