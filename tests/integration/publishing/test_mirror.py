import fcntl
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.errors import GitError, GitHubNotFoundError, RepositoryError
from squire_pipelines.home import Home
from squire_pipelines.publishing.mirror import Mirror, fetch_mirror, mirror_path
from squire_pipelines.publishing.push import remote_head
from squire_pipelines.publishing.remote import Remote
from tests.support.branches import UNUSUAL
from tests.support.git_repository import Checkout, git


@pytest.fixture
def person(tmp_path: Path, upstream: Path) -> Checkout:
    return Checkout(tmp_path / "person", upstream)


def fetch(home: Home, upstream: Path, **more: Any) -> Mirror:
    return fetch_mirror(home, "acme/app", str(upstream), None, **more)


def test_a_mirror_follows_its_repository(home: Home, upstream: Path, person: Checkout) -> None:
    mirror = fetch(home, upstream)
    assert mirror.path == home.mirrors / "acme+app.git" == mirror_path(home, "acme/app")
    assert mirror.resolve("main") == person.head()
    person.git("checkout", "--quiet", "-b", "topic/one")
    person.write("x", "y")
    head = person.commit()
    person.git("tag", "v1")
    person.git("push", "--quiet", "--tags", "origin", "topic/one")
    assert fetch(home, upstream).resolve("topic/one") == head
    assert git(mirror.path, "tag") == ""
    person.git("push", "--quiet", "--delete", "origin", "topic/one")
    person.git("push", "--quiet", "origin", "main:topic")
    assert fetch(home, upstream).branches() == ("main", "topic")


@pytest.mark.slow
@pytest.mark.parametrize("name", UNUSUAL)
def test_a_branch_may_have_every_name_that_git_takes(
    home: Home, upstream: Path, person: Checkout, tmp_path: Path, name: str
) -> None:
    person.git("push", "--quiet", "origin", f"main:refs/heads/{name}")
    mirror = fetch(home, upstream)
    assert sorted(mirror.branches()) == sorted(["main", name])
    assert mirror.write_bundle(name, tmp_path / "one.bundle") == mirror.resolve(name) == person.head()
    assert remote_head(Remote.parse(str(upstream)), name) == person.head()


def test_an_unknown_branch_names_those_that_there_are(home: Home, upstream: Path) -> None:
    mirror = fetch(home, upstream)
    for bad in ("nope", "main^", "main~0", "--all", "", "../main"):
        with pytest.raises(GitError, match="its branches are main"):
            mirror.resolve(bad)


def test_no_hook_and_no_template_is_in_a_mirror(home: Home, upstream: Path) -> None:
    assert not (fetch(home, upstream).path / "hooks").exists()


def test_an_empty_repository_says_so(home: Home, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "empty.git")
    with pytest.raises(RepositoryError, match="acme/app has no commits"):
        fetch(home, tmp_path / "empty.git")


def test_a_repository_that_is_not_there_says_so_and_leaves_nothing(home: Home, tmp_path: Path) -> None:
    with pytest.raises(GitHubNotFoundError) as caught:
        fetch(home, tmp_path / "missing.git")
    assert caught.value.context["repository"] == "acme/app"
    assert [entry.name for entry in home.mirrors.iterdir()] == ["acme+app.lock"]


def test_a_half_written_mirror_and_stale_locks_are_recovered(home: Home, upstream: Path, person: Checkout) -> None:
    fresh = home.mirrors / "acme+app.new"
    (fresh / "objects").mkdir(parents=True)
    mirror = fetch(home, upstream)
    assert not fresh.exists()
    person.write("x", "y")
    person.commit()
    person.git("push", "--quiet", "origin", "main")
    for name in ("packed-refs.lock", "config.lock", "refs/heads/main.lock", "objects/pack/tmp_pack_abc"):
        (mirror.path / name).parent.mkdir(parents=True, exist_ok=True)
        (mirror.path / name).write_text("")
    assert fetch(home, upstream).resolve("main") == person.head()
    assert not list(mirror.path.rglob("tmp_pack_*"))


@pytest.mark.parametrize("damage", ["objects", "HEAD", "refs"])
def test_a_damaged_mirror_is_made_anew(home: Home, upstream: Path, person: Checkout, damage: str) -> None:
    mirror = fetch(home, upstream)
    if damage == "objects":
        shutil.rmtree(mirror.path / "objects")
        (mirror.path / "objects").mkdir()
    elif damage == "HEAD":
        (mirror.path / "HEAD").write_bytes(b"\0\0\0")
    else:
        (mirror.path / "refs" / "heads" / "main").write_bytes(b"\0" * 41)
    assert fetch(home, upstream).resolve("main") == person.head()
    git(mirror.path, "fsck", "--strict")


@pytest.mark.parametrize(
    "lines",
    [
        "author A <a@b> 99999999999999999999 +0000",
        "author A a@b 1 +0000",
        "author A <a@b> 1 +51800",
        "author A <a@b> 007 +0000",
        "author A <a@b 1 +0000",
        "author A<a@b> 1 +0000",
        "author A <a@b> 1 +0000\nauthor B <a@b> 1 +0000",
    ],
)
@pytest.mark.usefixtures("person")
def test_a_history_with_flaws_that_a_server_serves_is_taken_as_it_is(
    home: Home, upstream: Path, tmp_path: Path, lines: str
) -> None:
    tree = git(upstream, "rev-parse", "main^{tree}").strip()
    flawed = tmp_path / "commit"
    flawed.write_text(f"tree {tree}\n{lines}\ncommitter A <a@b> 1 +0000\n\nold\n")
    sha = git(upstream, "hash-object", "-t", "commit", "-w", "--literally", str(flawed)).strip()
    git(upstream, "update-ref", "refs/heads/main", sha)
    mirror = fetch(home, upstream)
    assert mirror.resolve("main") == sha
    assert mirror.write_bundle("main", tmp_path / "repo.bundle") == sha


def test_a_fault_of_the_other_side_does_not_cost_the_mirror(home: Home, upstream: Path, tmp_path: Path) -> None:
    mirror = fetch(home, upstream)
    inode = mirror.path.stat().st_ino
    with pytest.raises(GitHubNotFoundError):
        fetch(home, tmp_path / "missing.git")
    assert mirror.path.stat().st_ino == inode
    assert mirror.branches() == ("main",)


def test_waiting_for_the_lock_is_bounded_and_readers_share_it(home: Home, upstream: Path) -> None:
    mirror = fetch(home, upstream)
    with mirror.shared(), mirror.shared(timeout_s=0), pytest.raises(GitError, match=r"held the mirror's lock"):
        fetch(home, upstream, lock_timeout_s=0.1)
    descriptor = os.open(mirror.lock_path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(GitError, match="try again later"), mirror.shared(timeout_s=0):
        pass
    os.close(descriptor)
    fetch(home, upstream)


def test_many_packs_are_packed_into_one(home: Home, upstream: Path, person: Checkout) -> None:
    mirror = fetch(home, upstream)
    git(mirror.path, "config", "fetch.unpackLimit", "1")
    for index in range(4):
        person.write("x", str(index))
        person.commit()
        person.git("push", "--quiet", "origin", "main")
        fetch(home, upstream, max_packs=2)
    assert len(list((mirror.path / "objects" / "pack").glob("*.pack"))) <= 3
    assert mirror.resolve("main") == person.head()


def test_a_bundle_holds_one_branch_whole(home: Home, upstream: Path, person: Checkout, tmp_path: Path) -> None:
    mirror = fetch(home, upstream)
    out = tmp_path / "repo.bundle"
    assert mirror.write_bundle("main", out) == person.head()
    git(tmp_path, "clone", "--quiet", "--branch", "main", str(out), "clone")
    assert (tmp_path / "clone" / "README.md").read_text() == "# Hello\n"
    assert git(tmp_path, "bundle", "list-heads", str(out)).endswith(" refs/heads/main")
    with pytest.raises(GitError, match="no branch"):
        mirror.write_bundle("nope", out)
    assert sorted(p.name for p in tmp_path.glob("repo*")) == ["repo.bundle"]


def test_files_are_read_at_a_commit_and_bounded(home: Home, upstream: Path, person: Checkout) -> None:
    person.write("src/[x]*", "glob\n")
    (person.path / "link").symlink_to("AGENTS.md")
    person.commit()
    person.git("push", "--quiet", "origin", "main")
    mirror = fetch(home, upstream)
    sha = mirror.resolve("main")
    assert mirror.read_file(sha, "AGENTS.md", 1000) == b"Be kind.\n"
    assert mirror.read_file(sha, "AGENTS.md", 2) == b"Be"
    assert mirror.read_file(sha, "src/[x]*", 100) == b"glob\n"
    for nothing in ("nope", "src", "link", "src/*", "../x"):
        assert mirror.read_file(sha, nothing, 100) is None


def test_submodules_and_lfs_are_noticed(home: Home, upstream: Path, person: Checkout) -> None:
    mirror = fetch(home, upstream)
    before = mirror.resolve("main")
    assert mirror.notes(before) == ()
    person.write(".gitmodules", '[submodule "x"]\n\tpath = x\n\turl = https://example.com/x\n')
    person.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    person.commit()
    person.git("push", "--quiet", "origin", "main")
    after = fetch(home, upstream).resolve("main")
    submodules, lfs = mirror.notes(after)
    assert "not fetched: their folders are empty" in submodules
    assert "small pointer file" in lfs


def test_a_repository_whose_objects_are_not_sound_is_refused(home: Home, upstream: Path, person: Checkout) -> None:
    blob = person.git("rev-parse", "HEAD:README.md")
    inner = person.git("mktree", stdin=f"100644 blob {blob}\tconfig\n".encode())
    entry = b"40000 .git\0" + bytes.fromhex(inner)
    tree = person.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=entry)
    commit = person.git("commit-tree", tree, "-p", "HEAD", "-m", "Evil")
    person.git("push", "--quiet", "origin", f"{commit}:refs/heads/evil")
    with pytest.raises(GitError, match="git fetch failed"):
        fetch(home, upstream)
