"""Merges of the base, by real git: which it makes by itself, and which commits are such merges and nothing else."""

from pathlib import Path

import pytest

from squire_pipelines.errors import GitError
from squire_pipelines.publishing.author import CommitAuthor
from squire_pipelines.publishing.git_merges import (
    MergeOfBase,
    automatic_merge,
    commit_merge,
    merges_of_base,
    parents_of,
    updates_of_branch,
)
from tests.support.git_repository import Checkout

BOT = CommitAuthor("squire", "squire@noreply.invalid")


@pytest.fixture
def person(tmp_path: Path, upstream: Path) -> Checkout:
    """A topic that changes one file, on a base that has moved on in another."""
    checkout = Checkout(tmp_path / "person", upstream)
    checkout.git("checkout", "--quiet", "-b", "topic")
    checkout.write("src/app.py", "def add(a, b):\n    return a + b\n")
    checkout.commit("Mend add")
    checkout.git("checkout", "--quiet", "main")
    checkout.write("README.md", "# Elsewhere\n")
    checkout.commit("The base moves on")
    checkout.git("checkout", "--quiet", "topic")
    return checkout


def conflict(person: Checkout) -> None:
    person.git("checkout", "--quiet", "main")
    person.write("src/app.py", "def add(a, b):\n    return sum((a, b))\n")
    person.write("ä b.txt", "x\n")
    person.commit("The base changes the same line")
    person.git("checkout", "--quiet", "topic")


def test_a_merge_without_conflict_is_a_commit_of_two_parents_and_the_same_at_every_call(person: Checkout) -> None:
    git_dir, topic_head, base_head = person.path / ".git", person.head(), person.git("rev-parse", "main")
    merge = automatic_merge(git_dir, topic_head, base_head)
    assert merge.conflicts == ()
    commits = {commit_merge(git_dir, merge, message="Merge main\n", author=BOT) for _ in range(2)}
    (commit,) = commits
    assert parents_of(git_dir, commit) == (topic_head, base_head)
    assert person.git("show", f"{commit}:README.md") == "# Elsewhere"
    assert merges_of_base(git_dir, commit, own_heads=[topic_head], base_head=base_head) == (
        MergeOfBase(commit, topic_head, base_head),
    )


def test_a_conflict_names_its_files_and_marks_them(person: Checkout) -> None:
    conflict(person)
    git_dir, topic_head, base_head = person.path / ".git", person.head(), person.git("rev-parse", "main")
    merge = automatic_merge(git_dir, topic_head, base_head)
    assert merge.conflicts == ("src/app.py",)
    assert merge.messages == ("CONFLICT (content): Merge conflict in src/app.py",)
    text = person.git("show", f"{merge.tree}:src/app.py").encode()
    assert all(mark in text for mark in merge.marks)


def test_bringing_a_branch_up_to_date_twice_adds_nothing_of_a_persons(person: Checkout) -> None:
    git_dir, topic_head = person.path / ".git", person.head()
    person.git("merge", "--quiet", "--no-edit", "main")
    person.git("checkout", "--quiet", "main")
    person.write("README.md", "# Elsewhere again\n")
    person.commit("The base moves on again")
    person.git("checkout", "--quiet", "topic")
    person.git("merge", "--quiet", "--no-edit", "main")
    base = person.git("rev-parse", "main")
    merges = merges_of_base(git_dir, person.head(), own_heads=[topic_head], base_head=base)
    assert merges is not None
    assert [merge.branch_head for merge in merges] == [topic_head, merges[0].head]
    assert merges[-1].head == person.head()


@pytest.mark.parametrize("how", ["commit", "evil", "resolved", "other", "unknown"])
def test_anything_else_is_somebodys_own_work(person: Checkout, how: str) -> None:
    git_dir, topic_head = person.path / ".git", person.head()
    own_heads = [topic_head]
    if how == "commit":
        person.write("more.py", "x = 1\n")
        person.commit("More")
    elif how == "evil":  # a merge that brings something of its own
        person.git("merge", "--quiet", "--no-commit", "main")
        person.write("more.py", "x = 1\n")
        person.commit("Merge main")
    elif how == "resolved":
        conflict(person)
        person.git("merge", "--quiet", "--strategy-option=ours", "--no-edit", "main")
    elif how == "other":  # a merge of another branch than the base
        person.git("checkout", "--quiet", "-b", "other", "main")
        person.write("more.py", "x = 1\n")
        person.commit("More")
        person.git("checkout", "--quiet", "topic")
        person.git("merge", "--quiet", "--no-edit", "other")
    else:
        person.git("merge", "--quiet", "--no-edit", "main")
        own_heads = ["f" * 40]
    base = person.git("rev-parse", "main")
    assert merges_of_base(git_dir, person.head(), own_heads=own_heads, base_head=base) is None


def test_commits_that_have_nothing_in_common_are_no_merge(person: Checkout) -> None:
    topic_head = person.head()
    person.git("checkout", "--quiet", "--orphan", "new")
    base_head = person.commit("A history of its own")
    with pytest.raises(GitError, match="unrelated histories"):
        automatic_merge(person.path / ".git", topic_head, base_head)


def test_a_rebase_of_ours_on_the_base_adds_nothing_of_a_persons(person: Checkout) -> None:
    git_dir, topic_head, base_head = person.path / ".git", person.head(), person.git("rev-parse", "main")
    person.git("rebase", "--quiet", "main")
    rebased = person.head()
    heads = [topic_head, "f" * 40]
    assert updates_of_branch(git_dir, rebased, own_heads=heads, base_head=base_head) == (
        MergeOfBase(rebased, topic_head, base_head),
    )
    assert updates_of_branch(git_dir, rebased, own_heads=["f" * 40], base_head=base_head) == ()


@pytest.mark.parametrize("how", ["more", "amended", "dropped", "in place"])
def test_a_rebase_with_anything_else_is_somebodys_own_work(person: Checkout, how: str) -> None:
    git_dir, base_head = person.path / ".git", person.git("rev-parse", "main")
    person.write("more.py", "x = 1\n")
    person.commit("More")
    topic_head = person.head()
    if how != "in place":
        person.git("rebase", "--quiet", "main")
    if how == "more":
        person.write("most.py", "x = 1\n")
        person.commit("Most")
    elif how == "dropped":
        person.git("reset", "--quiet", "--hard", "HEAD^")
    else:  # the same author, time and subject, with another tree
        person.write("more.py", "x = 2\n")
        person.git("commit", "--quiet", "--all", "--amend", "--no-edit")
    assert updates_of_branch(git_dir, person.head(), own_heads=[topic_head], base_head=base_head) == ()
