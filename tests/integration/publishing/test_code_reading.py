import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from squire_pipelines.domain.repository_facts import HotFile
from squire_pipelines.home import Home
from squire_pipelines.publishing import code_reading
from squire_pipelines.publishing.code_reading import committed_at, existing_paths, hot_files, list_files, read_texts
from squire_pipelines.publishing.git import GitLimits
from squire_pipelines.publishing.mirror import Mirror, fetch_mirror
from tests.support.git_repository import Checkout

MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def person(tmp_path: Path, upstream: Path) -> Checkout:
    return Checkout(tmp_path / "person", upstream)


def pushed(home: Home, upstream: Path, person: Checkout) -> tuple[Mirror, str]:
    head = person.commit()
    person.git("push", "--quiet", "origin", "main")
    mirror = fetch_mirror(home, "acme/app", str(upstream), None)
    assert mirror.resolve("main") == head
    return mirror, head


def test_files_are_listed_with_their_sizes_whatever_their_names(home: Home, upstream: Path, person: Checkout) -> None:
    person.write("a b/\u00e4\n.txt", "12345")
    (Path(os.fsdecode(bytes(person.path) + b"/\xff.bin"))).write_bytes(b"1")
    mirror, head = pushed(home, upstream, person)
    listing = list_files(mirror, head)
    assert listing.complete
    assert ("a b/\u00e4\n.txt", 5) in listing.files
    assert ("\ufffd.bin", 1) in listing.files
    assert len(listing.files) == 5


def test_of_a_list_that_is_too_long_the_first_files_are_known(
    home: Home, upstream: Path, person: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        person.write(f"many/{number:02}.txt", "x")
    mirror, head = pushed(home, upstream, person)
    monkeypatch.setattr(code_reading, "MAX_TREE_BYTES", 1_000)
    listing = list_files(mirror, head)
    assert not listing.complete
    assert 0 < len(listing.files) < 20
    assert all(path.endswith((".md", ".txt")) for path, _ in listing.files)


def test_texts_are_read_to_their_bound_and_links_are_not_followed(home: Home, upstream: Path, person: Checkout) -> None:
    (person.path / "CLAUDE.md").symlink_to("AGENTS.md")
    mirror, head = pushed(home, upstream, person)
    texts = read_texts(mirror, head, ("AGENTS.md", "CLAUDE.md", "none.md", "src"), max_bytes=4)
    assert texts == {"AGENTS.md": "Be k"}


def test_files_that_several_commits_changed_are_hot_and_those_of_long_ago_are_not(
    home: Home, upstream: Path, person: Checkout
) -> None:
    for text in ("1", "2", "3"):
        person.write("src/app.py", text)
        person.write("once.txt" if text == "3" else "twice.txt", text)
        person.commit()
    mirror, head = pushed(home, upstream, person)
    assert committed_at(mirror, head) == MADE
    assert hot_files(mirror, head, until=MADE) == (
        HotFile(path="src/app.py", commits=4),
        HotFile(path="twice.txt", commits=2),
    )
    assert hot_files(mirror, head, until=MADE.replace(year=2027)) == ()


def test_a_history_that_takes_too_long_is_not_known(
    home: Home, upstream: Path, person: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror, head = pushed(home, upstream, person)
    monkeypatch.setattr(code_reading, "HISTORY", GitLimits(timeout_s=0.000_001))
    assert hot_files(mirror, head, until=MADE) is None


def test_files_that_are_gone_are_not_hot(home: Home, upstream: Path, person: Checkout) -> None:
    for text in ("1", "2"):
        person.write("src/gone.py", text)
        person.write("kept.txt", text)
        person.commit()
    (person.path / "src/gone.py").unlink()
    mirror, head = pushed(home, upstream, person)
    there = {path for path, _ in list_files(mirror, head).files}
    assert hot_files(mirror, head, until=MADE, there=there) == (HotFile(path="kept.txt", commits=2),)


def test_paths_that_a_commit_has_are_told_from_others(home: Home, upstream: Path, person: Checkout) -> None:
    person.write("a [x]/*.txt", "1")
    (person.path / "link").symlink_to("src")
    person.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},modules/lib")
    person.write("many/deep/er/file", "1")
    person.git("add", "many", "link", "a [x]")
    person.git("commit", "--quiet", "-m", "More")
    person.git("push", "--quiet", "origin", "main")
    mirror = fetch_mirror(home, "acme/app", str(upstream), None)
    there = ["src", "src/app.py", "a [x]/*.txt", "many/deep", "many/deep/er/file", "link", "link/app.py"]
    there += ["modules/lib", "modules/lib/inside.c", "many"]
    gone = ["src/gone.py", "src/app.py/x", "a [x]/1.txt", "SRC", "modules/other", "many/file", ":(glob)**"]
    assert existing_paths(mirror, person.head(), [*there, *gone]) == set(there)
    assert mirror.heads() == {"main": person.head()}


def test_very_many_paths_are_asked_for(home: Home, upstream: Path, person: Checkout) -> None:
    mirror, head = pushed(home, upstream, person)
    paths = [f"some/folder-{number}/file.py" for number in range(700)]
    paths += ["/".join(["deep"] * 200 + [f"{number}.py"]) for number in range(20)]
    assert existing_paths(mirror, head, [*paths, "README.md"]) == {"README.md"}
