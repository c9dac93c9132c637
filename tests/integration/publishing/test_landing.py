"""Whether a change is in the base although GitHub calls its pull request closed, by real git."""

from pathlib import Path

import pytest

from squire_pipelines.errors import GitError
from squire_pipelines.home import Home
from squire_pipelines.publishing.landing import fetch_pull_head, has_landed
from squire_pipelines.publishing.mirror import fetch_mirror
from squire_pipelines.publishing.remote import Remote
from tests.support.git_repository import Checkout, git


@pytest.fixture
def person(tmp_path: Path, upstream: Path) -> Checkout:
    return Checkout(tmp_path / "person", upstream)


def change(person: Checkout) -> tuple[str, str]:
    """Two commits on a branch, which is pushed as a pull request's head alone; base and head."""
    base = person.head()
    person.git("checkout", "--quiet", "-b", "topic")
    person.write("one.py", "one = 1\n")
    person.commit("One")
    person.write("two.py", "two = 2\n")
    head = person.commit("Two")
    person.git("push", "--quiet", "origin", f"{head}:refs/pull/7/head")
    person.git("checkout", "--quiet", "main")
    person.write("README.md", "# Elsewhere\n")
    person.commit("The base moves on")
    return base, head


def landed(home: Home, upstream: Path, base: str, head: str) -> bool:
    mirror = fetch_mirror(home, "acme/app", str(upstream), None)
    fetch_pull_head(mirror, Remote.parse(str(upstream), None), 7)
    return has_landed(mirror, base_branch="main", base_sha=base, head_sha=head)


@pytest.mark.parametrize(
    "commands",
    [
        ("merge --quiet --no-edit topic",),
        ("merge --quiet --squash topic", "commit --quiet -m Squashed"),
        ("cherry-pick topic~1", "cherry-pick topic"),
    ],
)
def test_a_change_is_known_however_it_came_into_the_base(
    home: Home, upstream: Path, person: Checkout, commands: tuple[str, ...]
) -> None:
    base, head = change(person)
    person.git("push", "--quiet", "origin", "main")
    assert not landed(home, upstream, base, head)
    for command in commands:
        person.git(*command.split())
    person.git("push", "--quiet", "origin", "main")
    assert landed(home, upstream, base, head)


def test_a_change_is_known_though_the_base_was_merged_into_it(home: Home, upstream: Path, person: Checkout) -> None:
    base, _ = change(person)
    person.git("checkout", "--quiet", "topic")
    person.git("merge", "--quiet", "--no-edit", "main")
    head = person.head()
    person.git("push", "--quiet", "origin", f"{head}:refs/pull/7/head")
    person.git("checkout", "--quiet", "main")
    person.git("merge", "--quiet", "--squash", "topic")
    person.commit("Squashed")
    person.git("push", "--quiet", "origin", "main")
    assert landed(home, upstream, base, head)


def test_a_part_of_it_or_another_change_is_not_the_change(home: Home, upstream: Path, person: Checkout) -> None:
    base, head = change(person)
    person.git("cherry-pick", "topic~1")
    person.write("two.py", "two = 3\n")
    person.commit("Two, otherwise")
    person.git("push", "--quiet", "origin", "main")
    assert not landed(home, upstream, base, head)


def test_commits_that_are_gone_are_an_error(home: Home, upstream: Path, person: Checkout) -> None:
    base, _ = change(person)
    person.git("push", "--quiet", "origin", "main")
    with pytest.raises(GitError):
        landed(home, upstream, base, "f" * 40)
    git(upstream, "update-ref", "-d", "refs/pull/7/head")
    with pytest.raises(GitError):
        landed(home, upstream, base, base)
