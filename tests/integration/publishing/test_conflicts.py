"""A conflict that an agent resolves: what it begins with, what counts as its change, and what is published of it."""

import asyncio
from pathlib import Path

import pytest

from squire_pipelines.domain.change import Decision
from squire_pipelines.domain.policy import Policy, judge
from squire_pipelines.errors import GitError
from squire_pipelines.execution.conflicts import START_FILE, bring_start, has_commit, keep_start
from squire_pipelines.home import Home
from squire_pipelines.publishing.conflict_marks import leftover_marks
from squire_pipelines.publishing.conflict_start import (
    ConflictStart,
    begun_merge,
    conflict_start,
    write_start_bundle,
)
from squire_pipelines.publishing.git import GitLimits
from squire_pipelines.publishing.mirror import fetch_mirror
from squire_pipelines.publishing.publish_change import Published, Rejected, policy_from, publish_change
from squire_pipelines.sections.tasks import PolicySettings
from tests.support.fake_pulls import FakePulls
from tests.support.git_repository import Checkout, git
from tests.support.workshop import Workshop

TOPIC = "squire/t0-topic"


@pytest.fixture
def begun(workshop: Workshop, tmp_path: Path) -> ConflictStart:
    """A topic and its base that change the same line; the base has more, also in a protected place."""
    person = Checkout(tmp_path / "person", workshop.upstream)
    person.git("checkout", "--quiet", "-b", TOPIC)
    person.write("src/app.py", "def add(a, b):\n    return a + b\n")
    person.commit("Mend add")
    person.git("checkout", "--quiet", "main")
    person.write("src/app.py", "def add(a, b):\n    return sum((a, b))\n")
    person.write(".github/workflows/ci.yml", "on: push\n")
    person.write("much.txt", "a line\n" * 5000)
    person.commit("The base moves on")
    person.git("push", "--quiet", "origin", "main", TOPIC)
    workshop.fetch()
    start = conflict_start(workshop.mirror, branch=TOPIC, base="main")
    assert start is not None
    assert start == conflict_start(workshop.mirror, branch=TOPIC, base="main")
    assert begun_merge(workshop.mirror, start.sha) == start.merge
    workshop.base_sha = start.sha
    return start


def resolve(workshop: Workshop, start: ConflictStart, files: dict[str, str]) -> None:
    """As a worker clones the bundle and commits what the agent left."""
    bundle = workshop.root / "start.bundle"
    write_start_bundle(workshop.mirror, start, branch=TOPIC, out=bundle)
    workshop.agent.git("fetch", "--quiet", "--no-tags", str(bundle), f"refs/heads/{TOPIC}:refs/squire/base")
    workshop.agent.git("checkout", "--quiet", "-B", workshop.branch, start.sha)
    for name, text in files.items():
        workshop.agent.write(name, text)
    workshop.agent.commit("Resolve")
    workshop.bundle()


def publish(workshop: Workshop, start: ConflictStart, policy: Policy | None = None) -> Published | Rejected:
    pulls = FakePulls(workshop.root / "pulls.json", lambda branch: git(workshop.upstream, "rev-parse", branch))
    asyncio.run(pulls.create("acme/app", title="t", body="b", head=TOPIC, base="main", draft=False))
    request = workshop.request(follow_up=TOPIC, merge=start.merge, base_ref=TOPIC)
    policy = policy or policy_from(PolicySettings())
    return asyncio.run(publish_change(request, mirror=workshop.mirror, pulls=pulls, token=None, policy=policy))


def test_a_resolved_conflict_is_published_as_a_merge_and_only_what_the_agent_did_is_judged(
    workshop: Workshop, begun: ConflictStart
) -> None:
    resolve(workshop, begun, {"src/app.py": "def add(a, b):\n    return sum([a, b])\n"})
    small = policy_from(PolicySettings(max_changed_lines=20, max_files=1))
    result = publish(workshop, begun, small)
    assert isinstance(result, Published), result.verdict
    assert result.verdict.decision is Decision.ALLOW
    head = git(workshop.upstream, "rev-parse", TOPIC)
    assert head == result.head_sha
    assert git(workshop.upstream, "log", "-1", "--format=%P", head).split() == [
        begun.merge.branch_head,
        begun.merge.base_head,
    ]
    assert git(workshop.upstream, "show", f"{head}:.github/workflows/ci.yml") == "on: push"
    assert git(workshop.upstream, "rev-parse", "main") == begun.merge.base_head
    unseen = git(workshop.upstream, "rev-list", "--all")
    assert begun.sha not in unseen, "the commit that the agent began with stays here"


def test_a_merge_with_marks_of_a_conflict_is_refused(workshop: Workshop, begun: ConflictStart) -> None:
    resolve(workshop, begun, {"other.py": "x = 1\n"})
    result = publish(workshop, begun)
    assert isinstance(result, Rejected)
    (finding,) = result.verdict.findings
    assert (finding.rule, finding.path) == ("conflict_marks", "src/app.py")
    assert git(workshop.upstream, "rev-parse", TOPIC) == begun.merge.branch_head


def test_what_the_agent_changes_beside_the_conflict_is_judged_as_ever(workshop: Workshop, begun: ConflictStart) -> None:
    files = {"src/app.py": "def add(a, b):\n    return a + b\n", ".github/workflows/ci.yml": "on: pull_request\n"}
    resolve(workshop, begun, files)
    change = workshop.verify()
    verdict = judge(change.files, policy_from(PolicySettings()), pieces=change.pieces, tree=change.tree)
    assert verdict.decision is not Decision.ALLOW
    assert {finding.path for finding in verdict.findings} == {".github/workflows/ci.yml"}
    assert leftover_marks(change.git_dir, change.head_sha, begun.merge, change.files, GitLimits()) == ()


@pytest.fixture
def unmarked(workshop: Workshop, tmp_path: Path) -> ConflictStart:
    """A topic and its base that change the same image, and a file that the base deletes: git leaves no marks."""
    person = Checkout(tmp_path / "person", workshop.upstream)
    (person.path / "logo.png").write_bytes(b"\x89PNG\0first")
    person.write("old.py", "x = 1\n")
    person.commit("Begin")
    person.git("checkout", "--quiet", "-b", TOPIC)
    (person.path / "logo.png").write_bytes(b"\x89PNG\0ours")
    person.write("old.py", "x = 2\n")
    person.commit("Change both")
    person.git("checkout", "--quiet", "main")
    (person.path / "logo.png").write_bytes(b"\x89PNG\0theirs")
    person.git("rm", "--quiet", "old.py")
    person.commit("Change one, delete the other")
    person.git("push", "--quiet", "origin", "main", TOPIC)
    workshop.fetch()
    start = conflict_start(workshop.mirror, branch=TOPIC, base="main")
    assert start is not None
    assert set(start.merge.conflicts) == {"logo.png", "old.py"}
    workshop.base_sha = start.sha
    return start


def test_a_commit_without_a_change_keeps_gits_merge_where_it_has_no_marks(
    workshop: Workshop, unmarked: ConflictStart
) -> None:
    resolve(workshop, unmarked, {})
    result = publish(workshop, unmarked)
    assert isinstance(result, Published), result.verdict
    head = git(workshop.upstream, "rev-parse", TOPIC)
    parents = git(workshop.upstream, "log", "-1", "--format=%P", head).split()
    assert parents == [unmarked.merge.branch_head, unmarked.merge.base_head]
    assert git(workshop.upstream, "show", f"{head}:old.py") == "x = 2"


def test_what_is_left_as_the_base_has_it_is_not_the_agents_change(workshop: Workshop, unmarked: ConflictStart) -> None:
    strict = policy_from(PolicySettings(max_binary_bytes=1, protected_paths=("old.py",), max_files=1))
    resolve(workshop, unmarked, {})
    workshop.agent.git("checkout", "--quiet", unmarked.merge.base_head, "--", "logo.png")
    workshop.agent.git("rm", "--quiet", "--force", "old.py")
    workshop.agent.commit("Take what the base has")
    workshop.bundle()
    result = publish(workshop, unmarked, strict)
    assert isinstance(result, Published), result.verdict
    assert result.verdict.decision is Decision.ALLOW
    names = git(workshop.upstream, "diff", "--name-only", unmarked.merge.base_head, result.head_sha)
    assert names == "", "it has what the base has"


def test_a_commit_without_a_change_resolves_no_marks(workshop: Workshop, begun: ConflictStart) -> None:
    resolve(workshop, begun, {})
    result = publish(workshop, begun)
    assert isinstance(result, Rejected)
    assert [finding.rule for finding in result.verdict.findings] == ["conflict_marks"]


def test_another_machine_makes_the_same_start_from_its_two_sides(
    workshop: Workshop, begun: ConflictStart, tmp_path: Path
) -> None:
    other = fetch_mirror(
        Home(**dict.fromkeys(("config", "data", "cache", "state"), tmp_path / "other")),
        workshop.mirror.repository,
        str(workshop.upstream),
        None,
    )
    with pytest.raises(GitError):
        begun_merge(other, begun.sha)
    keep = tmp_path / "keep"
    keep.mkdir()
    bring_start(other, begun.sha, keep)  # nothing is known of where the work began
    assert not has_commit(other, begun.sha)
    keep_start(begun, keep)
    bring_start(other, begun.sha, keep)
    assert begun_merge(other, begun.sha) == begun.merge
    (keep / START_FILE).write_text('{"branch_head": "aa", "base_head": "bb", "message": "m"}', "utf-8")
    bring_start(other, "0" * 40, keep)  # the branches were rewritten: whoever needs the commit finds that out
    assert not has_commit(other, "0" * 40)
