"""What others did to a pull request of ours, by real git."""

from pathlib import Path

import pytest

from squire_pipelines.domain.pull_endings import judge_merge
from squire_pipelines.home import Home
from squire_pipelines.publishing.merged_changes import (
    MergedBranch,
    read_commits_of_others,
    read_reverts,
    ways_to_revert,
)
from squire_pipelines.publishing.mirror import Mirror, fetch_mirror
from tests.support.git_repository import Checkout


@pytest.fixture
def person(tmp_path: Path, upstream: Path) -> Checkout:
    return Checkout(tmp_path / "person", upstream)


def commit(person: Checkout, name: str, text: str) -> str:
    person.write(name, text)
    return person.commit(f"Write {name}")


def mirrored(home: Home, upstream: Path, person: Checkout) -> Mirror:
    person.git("push", "--quiet", "--force", "origin", "main", "topic")
    return fetch_mirror(home, "acme/app", str(upstream), None)


def test_commits_of_others_are_counted_without_what_merges_of_the_base_brought(
    home: Home, upstream: Path, person: Checkout
) -> None:
    base = person.head()
    person.git("checkout", "--quiet", "-b", "topic")
    commit(person, "one.py", "one = 1\n")
    ours = commit(person, "two.py", "two = 2\n")
    hers = commit(person, "two.py", "two = 3\nthree = 4\n")
    person.git("checkout", "--quiet", "main")
    commit(person, "base.py", "much = 1\n" * 50)
    person.git("checkout", "--quiet", "topic")
    person.git("merge", "--quiet", "--no-edit", "main")
    merged = person.head()
    person.git("checkout", "--quiet", "main")
    person.git("merge", "--quiet", "--squash", "topic")
    person.git("commit", "--quiet", "-m", "Squashed")
    mirror = mirrored(home, upstream, person)
    branch = MergedBranch(base, merged, (ours,), None, person.head())
    others = read_commits_of_others(mirror, branch)
    assert others is not None
    assert [(one.sha, one.added, one.removed) for one in others] == [(hers, 2, 1)]
    assert read_commits_of_others(mirror, MergedBranch(base, ours, (ours,))) == ()


def test_a_rebased_branch_is_compared_by_its_patches(home: Home, upstream: Path, person: Checkout) -> None:
    base = person.head()
    person.git("checkout", "--quiet", "-b", "topic")
    ours = commit(person, "one.py", "one = 1\n")
    person.git("push", "--quiet", "origin", f"{ours}:refs/heads/kept")
    person.git("checkout", "--quiet", "main")
    commit(person, "base.py", "base = 1\n")
    person.git("checkout", "--quiet", "topic")
    person.git("rebase", "--quiet", "main")
    hers = commit(person, "hers.py", "hers = 1\n")
    person.git("checkout", "--quiet", "main")
    person.git("merge", "--quiet", "--no-ff", "--no-edit", "topic")
    mirror = mirrored(home, upstream, person)
    others = read_commits_of_others(mirror, MergedBranch(base, hers, (ours,), None, person.head()))
    assert others is not None
    assert [one.sha for one in others] == [hers]
    gone = read_commits_of_others(mirror, MergedBranch(base, hers, ("f" * 40,), None, person.head()))
    assert judge_merge(gone).people_commits is None


def test_a_revert_in_the_base_names_what_it_takes_back(home: Home, upstream: Path, person: Checkout) -> None:
    merged = commit(person, "one.py", "one = 1\n")
    person.git("branch", "topic")
    commit(person, "two.py", "two = 1\n")
    person.git("revert", "--no-edit", merged)
    revert = person.head()
    assert read_reverts(mirrored(home, upstream, person), "main", merged).effective == {merged: revert}
    person.git("revert", "--no-edit", revert)
    assert read_reverts(mirrored(home, upstream, person), "main", merged).undone == {merged}


def test_a_merge_is_taken_back_with_its_commit_or_with_its_whole_series(
    home: Home, upstream: Path, person: Checkout
) -> None:
    person.git("checkout", "--quiet", "-b", "topic")
    commit(person, "one.py", "one = 1\n")
    head = commit(person, "two.py", "two = 2\n")
    person.git("checkout", "--quiet", "main")
    commit(person, "base.py", "base = 1\n")
    person.git("cherry-pick", "main..topic")  # as "Rebase and merge" does
    rebased = person.head()
    person.git("merge", "--quiet", "--no-ff", "--no-edit", "-s", "ours", "topic")
    merge = person.head()
    person.git("commit", "--quiet", "--allow-empty", "-m", "Squashed (#7)")
    squash = person.head()
    mirror = mirrored(home, upstream, person)
    assert ways_to_revert(mirror, rebased, head) == ((rebased, person.git("rev-parse", f"{rebased}^").strip()),)
    assert ways_to_revert(mirror, merge, head) == ((merge,), (head, person.git("rev-parse", f"{head}^").strip()))
    assert ways_to_revert(mirror, squash, head) == ((squash,),)
    assert ways_to_revert(mirror, rebased, "f" * 40) == ((rebased,),), "its commits are gone"
