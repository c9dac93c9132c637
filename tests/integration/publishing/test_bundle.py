import hashlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from squire_pipelines.domain.change import Decision, JudgedTask
from squire_pipelines.domain.policy import Policy, judge
from squire_pipelines.domain.protected import DEFAULT_PROTECTED
from squire_pipelines.errors import BundleError, GitError
from squire_pipelines.publishing.bundle import BundleProblem, parse_header, verify_bundle
from squire_pipelines.publishing.mirror import fetch_mirror
from squire_pipelines.publishing.publish_change import policy_from
from squire_pipelines.sections.tasks import PolicySettings, PublishingSettings
from tests.support.git_repository import Checkout, git, make_upstream
from tests.support.workshop import Workshop, bounds

POLICY = policy_from(PolicySettings())
KNOWN = "correct-horse-battery-42"
KNOWING = JudgedTask(known_secrets=(KNOWN,))


def test_a_sound_bundle_becomes_a_verified_change(workshop: Workshop) -> None:
    workshop.agent.write("src/app.py", "def add(a, b):\n    return a + b\n")
    workshop.agent.write("docs/new file.md", "one\ntwo\n")
    (workshop.agent.path / "README.md").unlink()
    head = workshop.agent.commit("Mend add")
    change = workshop.verify()
    assert (change.head_sha, change.base_sha) == (head, workshop.base_sha)
    assert [(c.sha, c.parents, c.message.strip()) for c in change.commits] == [(head, (workshop.base_sha,), "Mend add")]
    assert len(change.pieces) == 6
    files = {file.path: file for file in change.files}
    assert {path: (f.status, f.added, f.deleted, f.bytes) for path, f in files.items()} == {
        "README.md": ("D", 0, 1, 0),
        "docs/new file.md": ("A", 2, 0, 8),
        "src/app.py": ("M", 1, 1, 32),
    }
    assert files["src/app.py"].added_lines == ((2, "    return a + b"),)
    assert files["docs/new file.md"].added_lines == ((1, "one"), (2, "two"))
    assert judge(change.files, POLICY).decision is Decision.ALLOW


def test_nothing_of_the_agents_runs_on_the_host(workshop: Workshop, sentinel: Callable[[], bool]) -> None:
    script = f"#!/bin/sh\necho ran >> {workshop.root / 'ran'}\n"
    agent = workshop.agent
    for hook in ("post-checkout", "pre-push", "post-merge", "reference-transaction", "post-index-change"):
        (agent.path / ".git" / "hooks").mkdir(exist_ok=True)
        file = agent.path / ".git" / "hooks" / hook
        file.write_text(script)
        agent.write(f"hooks/{hook}", script).chmod(0o755)
    evil = agent.write("evil.sh", script)
    evil.chmod(0o755)
    agent.write(".gitattributes", "* filter=evil diff=evil merge=evil\n*.py -diff -text\n")
    agent.write(".gitconfig", f"[core]\n\tfsmonitor = {evil}\n[diff]\n\texternal = {evil}\n")
    agent.write("src/app.py", "print('hidden from a diff that believes in attributes')\n")
    agent.commit()
    for key in ("filter.evil.clean", "filter.evil.smudge", "diff.evil.textconv", "diff.external", "core.fsmonitor"):
        agent.git("config", key, str(evil))
    change = workshop.verify()
    lines = {file.path: file.added_lines for file in change.files}
    assert lines["src/app.py"] == ((1, "print('hidden from a diff that believes in attributes')"),)
    verdict = judge(change.files, POLICY)
    assert verdict.decision is Decision.REJECT
    assert {finding.path for finding in verdict.findings} == {".gitattributes", ".gitconfig"}
    assert not sentinel()
    assert not any((change.git_dir / "hooks").glob("*"))
    assert "evil" not in (change.git_dir / "config").read_text()


def test_a_symbolic_link_out_of_the_tree_is_rejected(workshop: Workshop) -> None:
    (workshop.agent.path / "loot").symlink_to("../../../etc/passwd")
    (workshop.agent.path / "src" / "fine").symlink_to("../README.md")
    workshop.agent.commit()
    change = workshop.verify()
    assert {f.path: f.symlink_target for f in change.files} == {
        "loot": "../../../etc/passwd",
        "src/fine": "../README.md",
    }
    assert [(f.rule, f.path) for f in judge(change.files, POLICY).findings] == [("symlink", "loot")]
    assert change.links == (("loot", "../../../etc/passwd"), ("src/fine", "../README.md"))


def test_a_link_that_gives_ordinary_files_a_protected_name_is_rejected(workshop: Workshop) -> None:
    workshop.agent.write("packaging/rules", "all:\n")
    (workshop.agent.path / "debian").symlink_to("packaging")
    workshop.agent.commit()
    change = workshop.verify()
    policy = Policy(DEFAULT_PROTECTED, 100, 500, 10_000, 10_000)
    verdict = judge(change.files, policy, tree=change.tree, links=change.links)
    assert [(f.rule, f.path) for f in verdict.findings] == [
        ("protected_path", "debian"),
        ("protected_path", "packaging/rules"),
    ]


def test_a_file_that_becomes_a_link_is_read_as_such(workshop: Workshop) -> None:
    file = workshop.agent.path / "README.md"
    file.unlink()
    file.symlink_to("/etc/passwd")
    workshop.agent.write("zz.txt", "after\n")
    workshop.agent.commit()
    change = workshop.verify()
    files = {f.path: f for f in change.files}
    assert (files["README.md"].status, files["README.md"].symlink_target) == ("T", "/etc/passwd")
    assert files["zz.txt"].added_lines == ((1, "after"),)


def test_a_submodule_is_rejected(workshop: Workshop) -> None:
    workshop.agent.git("update-index", "--add", "--cacheinfo", f"160000,{workshop.base_sha},vendor/lib")
    workshop.agent.git("commit", "--quiet", "-m", "Submodule")
    change = workshop.verify()
    verdict = judge(change.files, POLICY)
    assert (verdict.decision, verdict.findings[0].rule) == (Decision.REJECT, "submodule")


@pytest.mark.parametrize("name", ['a\tb"c.txt', "new\nline", "ünï.txt", "-rf", "a b"])
def test_unusual_file_names_are_read_exactly(workshop: Workshop, name: str) -> None:
    workshop.agent.write(name, "text\n")
    workshop.agent.commit()
    (file,) = workshop.verify().files
    assert (file.path, file.added_lines) == (name, ((1, "text"),))


def test_a_file_name_that_is_no_utf8_is_rejected_by_the_policy(workshop: Workshop) -> None:
    Path(os.fsdecode(os.fsencode(workshop.agent.path) + b"/\xff.txt")).write_text("x\n")
    workshop.agent.commit()
    change = workshop.verify()
    assert change.files[0].path == "\\xff.txt"
    assert judge(change.files, POLICY).decision is Decision.REJECT


def test_a_binary_file_is_told_as_such_and_still_searched(workshop: Workshop) -> None:
    token = "ghp_" + "a1B2" * 9
    workshop.agent.write("blob.bin", b"\0\1\2\n" + token.encode() + b"\n\0")
    workshop.agent.commit()
    change = workshop.verify()
    assert (change.files[0].binary, change.files[0].bytes) == (True, 4 + 41 + 1)
    assert judge(change.files, POLICY).findings[0].rule == "secret"


def test_what_was_added_and_taken_away_again_is_among_the_pieces(workshop: Workshop) -> None:
    workshop.agent.write("leak.env", f"SECRET={KNOWN}\n")
    workshop.agent.commit("Leak")
    (workshop.agent.path / "leak.env").unlink()
    workshop.agent.write("src/app.py", "x = 1\n")
    workshop.agent.commit("Hide")
    change = workshop.verify()
    assert [file.path for file in change.files] == ["src/app.py"]
    assert judge(change.files, POLICY).decision is Decision.ALLOW
    (finding,) = judge(change.files, POLICY, task=KNOWING, pieces=change.pieces).findings
    assert (finding.decision, finding.message[:34]) == (Decision.REJECT, "a file of a commit on the way cont")


def test_a_merged_orphan_history_is_looked_at_too(workshop: Workshop) -> None:
    agent = workshop.agent
    agent.git("checkout", "--quiet", "--orphan", "other")
    agent.write("leak.env", f"SECRET={KNOWN}\n")
    agent.commit("Leak")
    agent.git("rm", "--quiet", "leak.env")
    agent.commit("Hide")
    agent.git("checkout", "--quiet", workshop.branch)
    agent.git("merge", "--quiet", "--allow-unrelated-histories", "-m", "Merge", "other")
    agent.write("src/new.py", "x = 1\n")
    agent.commit("Work")
    change = workshop.verify()
    assert len(change.commits) == 4
    assert judge(change.files, POLICY, task=KNOWING, pieces=change.pieces).decision is Decision.REJECT


def test_an_entry_whose_mode_git_would_show_as_another_is_refused(workshop: Workshop) -> None:
    agent = workshop.agent
    blob = bytes.fromhex(agent.git("hash-object", "-w", "--stdin", stdin=b"x"))
    tree = agent.git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", stdin=b"104755 run.sh\0" + blob)
    commit = agent.git("commit-tree", tree, "-p", "HEAD", "-m", "Mend it")
    agent.git("update-ref", f"refs/heads/{workshop.branch}", commit)
    with pytest.raises(BundleError, match="104755") as caught:
        workshop.verify()
    assert caught.value.problem == BundleProblem.FSCK


def _problem(workshop: Workshop, bundle: Path | None = None, settings: PublishingSettings | None = None) -> str:
    with pytest.raises(BundleError) as caught:
        workshop.verify(bundle, settings)
    return caught.value.problem


def test_another_ref_is_refused(workshop: Workshop) -> None:
    workshop.agent.git("checkout", "--quiet", "-b", "main2")
    workshop.agent.write("a", "b")
    workshop.agent.commit()
    bundle = workshop.agent.bundle(workshop.root / "b", workshop.base_sha, "main2")
    assert _problem(workshop, bundle) == BundleProblem.WRONG_REF


def test_a_second_ref_is_refused(workshop: Workshop) -> None:
    workshop.agent.write("a", "b")
    workshop.agent.commit()
    workshop.agent.git("branch", "extra")
    out = workshop.root / "b"
    workshop.agent.git("bundle", "create", str(out), f"{workshop.base_sha}..{workshop.branch}", "extra")
    assert _problem(workshop, out) == BundleProblem.WRONG_REF


def test_a_bundle_on_another_base_is_refused(workshop: Workshop) -> None:
    workshop.agent.write("a", "b")
    middle = workshop.agent.commit()
    workshop.agent.write("a", "c")
    workshop.agent.commit()
    bundle = workshop.agent.bundle(workshop.root / "b", middle, workshop.branch)
    assert _problem(workshop, bundle) == BundleProblem.WRONG_PREREQUISITE


def _older_history(workshop: Workshop) -> str:
    """Give the repository two commits more, on which the agent begins; return the one at which it began before."""
    first, agent = workshop.base_sha, workshop.agent
    agent.git("checkout", "--quiet", "-B", "main", "origin/main")
    for number in (1, 2):
        agent.write(f"more/{number}.txt", f"{number}\n")
        agent.commit(f"More {number}")
    agent.git("push", "--quiet", "origin", "main")
    workshop.mirror = fetch_mirror(workshop.home, "acme/app", str(workshop.upstream), None)
    workshop.base_sha = agent.head()
    agent.git("checkout", "--quiet", "-B", workshop.branch)
    return first


def _prerequisites(bundle: Path) -> set[str]:
    return set(parse_header(bundle.read_bytes()[:4096]).prerequisites)


def test_a_merged_branch_that_began_below_the_base_is_taken(workshop: Workshop) -> None:
    first, agent = _older_history(workshop), workshop.agent
    agent.git("checkout", "--quiet", "-b", "side", first)
    agent.write("side.py", "x = 1\n")
    agent.commit("Side")
    agent.git("checkout", "--quiet", workshop.branch)
    agent.git("merge", "--quiet", "--no-ff", "-m", "Merge side", "side")
    bundle = workshop.bundle()
    assert _prerequisites(bundle) == {workshop.base_sha, first}
    change = workshop.verify(bundle)
    assert [file.path for file in change.files] == ["side.py"]
    assert len(change.commits) == 2


def test_a_merged_old_tag_and_a_reverted_merge_are_taken(workshop: Workshop) -> None:
    first, agent = _older_history(workshop), workshop.agent
    agent.git("tag", "v1", first)
    agent.git("checkout", "--quiet", "-b", "old", "v1")
    agent.write("old.py", "x = 1\n")
    agent.commit("Old")
    agent.git("checkout", "--quiet", workshop.branch)
    agent.git("merge", "--quiet", "--no-ff", "-m", "Merge old", "old")
    agent.git("revert", "--no-edit", "-m", "1", "HEAD")
    agent.write("new.py", "y = 1\n")
    agent.commit("New")
    bundle = workshop.bundle()
    assert first in _prerequisites(bundle)
    assert [file.path for file in workshop.verify(bundle).files] == ["new.py"]


def test_a_prerequisite_of_another_branch_of_the_repository_is_refused(workshop: Workshop) -> None:
    agent = workshop.agent
    agent.git("checkout", "--quiet", "-b", "theirs")
    agent.write("theirs.py", "x = 1\n")
    of_others = agent.commit("Theirs")
    agent.git("push", "--quiet", "origin", "theirs")
    workshop.mirror = fetch_mirror(workshop.home, "acme/app", str(workshop.upstream), None)
    agent.git("checkout", "--quiet", workshop.branch)
    agent.git("merge", "--quiet", "--no-ff", "-m", "Merge theirs", "theirs")
    out = workshop.root / "b"
    agent.git("bundle", "create", "--quiet", str(out), f"refs/heads/{workshop.branch}", f"^{of_others}")
    assert _problem(workshop, out) == BundleProblem.WRONG_PREREQUISITE


def test_an_unrelated_history_is_refused(workshop: Workshop) -> None:
    workshop.agent.git("checkout", "--quiet", "--orphan", "fresh")
    workshop.agent.commit("Unrelated")
    workshop.agent.git("branch", "-f", workshop.branch, "fresh")
    out = workshop.root / "b"
    workshop.agent.git("bundle", "create", str(out), f"refs/heads/{workshop.branch}")
    assert _problem(workshop, out) == BundleProblem.NOT_DESCENDANT


def test_a_bundle_with_the_whole_history_is_taken(workshop: Workshop) -> None:
    workshop.agent.write("a", "b")
    head = workshop.agent.commit()
    out = workshop.root / "b"
    workshop.agent.git("bundle", "create", str(out), f"refs/heads/{workshop.branch}")
    assert workshop.verify(out).head_sha == head


def test_every_truncation_is_refused(workshop: Workshop) -> None:
    workshop.agent.write("a", "some text\n" * 20)
    workshop.agent.commit()
    whole = workshop.bundle().read_bytes()
    cut = workshop.root / "cut"
    for length in [0, 5, 15, 40, 150, *range(200, len(whole), 29), len(whole) - 1]:
        cut.write_bytes(whole[:length])
        assert _problem(workshop, cut) in {BundleProblem.TRUNCATED, BundleProblem.FSCK}, length


def test_a_flipped_bit_is_refused(workshop: Workshop) -> None:
    workshop.agent.write("a", "some text\n")
    workshop.agent.commit()
    whole = bytearray(workshop.bundle().read_bytes())
    whole[-30] ^= 4
    broken = workshop.root / "broken"
    broken.write_bytes(whole)
    assert _problem(workshop, broken) in {BundleProblem.TRUNCATED, BundleProblem.FSCK}


def test_a_branch_at_the_base_is_empty(workshop: Workshop) -> None:
    out = workshop.root / "b"
    header = f"# v2 git bundle\n-{workshop.base_sha} x\n{workshop.base_sha} refs/heads/{workshop.branch}\n\n"
    pack = b"PACK" + (2).to_bytes(4, "big") + bytes(4)
    out.write_bytes(header.encode() + pack + hashlib.sha1(pack, usedforsecurity=False).digest())
    assert _problem(workshop, out) == BundleProblem.EMPTY


def test_commits_that_change_nothing_are_empty(workshop: Workshop) -> None:
    workshop.agent.commit("Nothing")
    assert _problem(workshop) == BundleProblem.EMPTY


def test_a_bundle_over_the_limit_is_refused_unread(workshop: Workshop) -> None:
    workshop.agent.write("a", os.urandom(50_000))
    workshop.agent.commit()
    assert _problem(workshop, settings=bounds(max_bundle=10_000)) == BundleProblem.TOO_LARGE


def test_an_object_that_inflates_beyond_the_limit_is_refused_before_git_sees_it(workshop: Workshop) -> None:
    workshop.agent.write("zeros", bytes(20 * 2**20))
    workshop.agent.commit()
    bundle = workshop.bundle()
    assert bundle.stat().st_size < 100_000
    assert _problem(workshop, bundle, bounds(max_object=2**20)) == BundleProblem.TOO_LARGE
    assert not (workshop.root / "scratch" / "repository.git").exists()


def test_many_objects_that_are_too_large_together_are_refused(workshop: Workshop) -> None:
    for index in range(10):
        workshop.agent.write(f"zeros{index}", bytes([index]) * 100_000)
    workshop.agent.commit()
    assert _problem(workshop, settings=bounds(max_unpacked=500_000)) == BundleProblem.TOO_LARGE
    assert _problem(workshop, settings=bounds(max_objects=5)) == BundleProblem.TOO_LARGE


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def test_a_small_delta_with_a_giant_result_is_refused(workshop: Workshop) -> None:
    blob = workshop.agent.git("rev-parse", "HEAD:README.md")
    delta = _varint(8) + _varint(4 * 2**30) + b"\x90\x08" * 10
    pack = b"PACK" + (2).to_bytes(4, "big") + (1).to_bytes(4, "big")
    size = len(delta)
    pack += bytes([0x80 | 7 << 4 | size & 15]) + _varint(size >> 4) + bytes.fromhex(blob) + zlib.compress(delta)
    pack += hashlib.sha1(pack, usedforsecurity=False).digest()
    out = workshop.root / "b"
    header = f"# v2 git bundle\n-{workshop.base_sha} x\n{'a' * 40} refs/heads/{workshop.branch}\n\n"
    out.write_bytes(header.encode() + pack)
    assert _problem(workshop, out) == BundleProblem.TOO_LARGE


def test_too_many_commits_are_refused(workshop: Workshop) -> None:
    for index in range(4):
        workshop.agent.write("a", str(index))
        workshop.agent.commit()
    assert _problem(workshop, settings=bounds(max_commits=3)) == BundleProblem.TOO_LARGE


def test_a_difference_too_long_to_look_at_is_refused(workshop: Workshop) -> None:
    workshop.agent.write("a", "line\n" * 10_000)
    workshop.agent.commit()
    assert _problem(workshop, settings=bounds(max_patch=1000)) == BundleProblem.TOO_LARGE


def test_a_tree_with_a_git_folder_is_refused_by_git_itself(workshop: Workshop) -> None:
    blob = workshop.agent.git("rev-parse", "HEAD:README.md")
    inner = workshop.agent.git("mktree", stdin=f"100644 blob {blob}\tconfig\n".encode())
    entry = b"40000 .git\0" + bytes.fromhex(inner)
    tree = workshop.agent.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=entry)
    commit = workshop.agent.git("commit-tree", tree, "-p", workshop.base_sha, "-m", "Evil")
    workshop.agent.git("update-ref", f"refs/heads/{workshop.branch}", commit)
    assert _problem(workshop) == BundleProblem.FSCK


def test_a_head_that_is_no_commit_or_not_in_the_bundle_is_refused(workshop: Workshop) -> None:
    workshop.agent.write("a", "b")
    head = workshop.agent.commit()
    whole = workshop.bundle().read_bytes()
    out = workshop.root / "b"
    tree = workshop.agent.git("rev-parse", "HEAD^{tree}")
    for other in (tree, "a" * 40):
        out.write_bytes(whole.replace(head.encode(), other.encode(), 1))
        assert _problem(workshop, out) == BundleProblem.FSCK


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"hello world\n\n", BundleProblem.UNREADABLE),
        (b"# v2 git bu", BundleProblem.TRUNCATED),
        (b"# v9 git bundle\n\nPACK", BundleProblem.UNREADABLE),
        (b"# v2 git bundle\n" + b"x" * 70_000, BundleProblem.TRUNCATED),
        (b"# v3 git bundle\n@filter=blob:none\n\n", BundleProblem.UNREADABLE),
        (b"# v2 git bundle\n-zzz\n\n", BundleProblem.UNREADABLE),
        (b"# v2 git bundle\n\n", BundleProblem.WRONG_REF),
    ],
)
def test_other_headers_are_refused(workshop: Workshop, data: bytes, problem: BundleProblem) -> None:
    out = workshop.root / "b"
    out.write_bytes(data)
    assert _problem(workshop, out) == problem


def test_links_pipes_and_missing_files_are_not_read(workshop: Workshop) -> None:
    workshop.agent.write("a", "b")
    workshop.agent.commit()
    real = workshop.bundle()
    link = workshop.root / "link"
    link.symlink_to(real)
    pipe = workshop.root / "pipe"
    os.mkfifo(pipe)
    for bad in (link, pipe, workshop.root / "missing", workshop.root):
        assert _problem(workshop, bad) == BundleProblem.UNREADABLE


def test_a_base_that_its_branch_has_left_is_still_found(workshop: Workshop) -> None:
    workshop.agent.write("a", "b")
    head = workshop.agent.commit()
    bundle = workshop.bundle()
    git(workshop.mirror.path, "update-ref", "-d", "refs/heads/main")
    assert workshop.verify(bundle).head_sha == head


def test_a_base_unknown_to_the_mirror_is_no_fault_of_the_agents(workshop: Workshop, tmp_path: Path) -> None:
    other = Checkout(tmp_path / "other", make_upstream(tmp_path / "other.git"))
    other.write("x", "y")
    base = other.commit("Elsewhere")
    other.git("checkout", "--quiet", "-b", workshop.branch)
    other.write("x", "z")
    other.commit()
    bundle = other.bundle(tmp_path / "b", base, workshop.branch)
    with pytest.raises(GitError) as caught:
        verify_bundle(bundle, workshop.mirror, branch=workshop.branch, base_sha=base, scratch=tmp_path / "s")
    assert not isinstance(caught.value, BundleError)


def test_verifying_again_starts_from_nothing(workshop: Workshop) -> None:
    workshop.agent.write("a", "b")
    workshop.agent.commit()
    first = workshop.verify()
    assert workshop.verify() == first


@pytest.mark.slow
def test_a_tree_that_would_unfold_without_end_is_too_large(workshop: Workshop) -> None:
    agent = workshop.agent
    sha, kind = agent.git("hash-object", "-w", "--stdin", stdin=b"x"), "100644 blob"
    for _ in range(10):
        entries = "".join(f"{kind} {sha}\tf{number}\n" for number in range(10))
        sha, kind = agent.git("mktree", stdin=entries.encode()), "040000 tree"
    commit = agent.git("commit-tree", sha, "-p", "HEAD", "-m", "Bomb")
    agent.git("update-ref", f"refs/heads/{workshop.branch}", commit)
    with pytest.raises(BundleError) as caught:
        workshop.verify()
    assert caught.value.problem == BundleProblem.TOO_LARGE


def test_a_message_of_nine_megabytes_is_too_large(workshop: Workshop) -> None:
    workshop.agent.write("a.txt", "x")
    workshop.agent.git("add", "--all")
    workshop.agent.git("commit", "--quiet", "-F", "-", stdin=b"word " * (9 * 2**20 // 5))
    with pytest.raises(BundleError) as caught:
        workshop.verify()
    assert caught.value.problem == BundleProblem.TOO_LARGE


def test_what_needs_more_memory_than_git_may_have_is_too_large(workshop: Workshop) -> None:
    workshop.agent.write("a.txt", "line\n" * (6 * 2**20))
    workshop.agent.commit()
    with pytest.raises(BundleError, match="memory") as caught:
        workshop.verify(settings=bounds(git_memory=64 * 2**20))
    assert caught.value.problem == BundleProblem.TOO_LARGE


def test_a_commit_is_read_as_its_object_says_it(workshop: Workshop) -> None:
    workshop.agent.write("a.txt", "x")
    workshop.agent.git("add", "--all")
    workshop.agent.git("commit", "--quiet", "-m", "Mend\n\nBody", "--author", "The CEO <ceo@example.org>")
    (commit,) = workshop.verify().commits
    assert commit.message == "Mend\n\nBody\n"
    assert commit.parents == (workshop.base_sha,)


def test_grafts_replacements_and_alternates_of_the_agent_stay_with_it(workshop: Workshop) -> None:
    workshop.agent.write("a.txt", "x")
    workshop.agent.commit()
    workshop.agent.git("replace", workshop.base_sha, "HEAD")
    (workshop.agent.path / ".git/objects/info").mkdir(exist_ok=True)
    (workshop.agent.path / ".git/objects/info/alternates").write_text("/nonexistent\n")
    change = workshop.verify()
    assert not (change.git_dir / "objects/info/alternates").exists()
    assert git(change.git_dir, "for-each-ref") == ""
    assert not list((change.git_dir / "hooks").glob("*")) if (change.git_dir / "hooks").exists() else True
    assert "hooksPath" not in (change.git_dir / "config").read_text()
