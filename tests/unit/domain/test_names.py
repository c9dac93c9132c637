import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.domain.names import collisions, folders_and_files, leads_to, unportable
from tests.support.planted_names import UNPORTABLE_NAMES

TREE = ("README.md", "src/app.py", "src/caf\u00e9.py", "docs/Guide/index.md", "stra\u00dfe.txt")


@pytest.mark.parametrize(
    "path", [*UNPORTABLE_NAMES, *(f"a/{name}" for name in UNPORTABLE_NAMES), "a-name/" * 36 + "x.py"]
)
def test_a_name_that_some_machine_cannot_hold_is_told(path: str) -> None:
    assert unportable(path)


@pytest.mark.parametrize(
    "path",
    [
        "src/app.py",
        "console.py",
        "auxiliary/x",
        "a-b/c",
        ".hidden",
        "a b.md",
        "[id].tsx",
        "(group)/$x.ts",
        "日本/ü.md",
        "a+b@2x.png",
    ],
)
def test_ordinary_names_are_portable(path: str) -> None:
    assert unportable(path) is None


@pytest.mark.parametrize(
    ("path", "other"),
    [
        ("readme.MD", "README.md"),
        ("SRC/new.py", "src"),
        ("src/cafe\u0301.py", "src/caf\u00e9.py"),
        ("docs/guide/new.md", "docs/Guide"),
        ("STRASSE.txt", "stra\u00dfe.txt"),
    ],
)
def test_a_path_that_macos_or_windows_take_for_another_is_told(path: str, other: str) -> None:
    assert list(collisions([path], folders_and_files((*TREE, path)))) == [(path, other)]


def test_two_new_paths_collide_with_each_other_and_an_ordinary_one_with_none() -> None:
    both = ("new/A.md", "new/a.md")
    assert {path for path, _ in collisions(both, folders_and_files((*TREE, *both)))} == set(both)
    assert list(collisions(["src/other.py"], folders_and_files((*TREE, "src/other.py")))) == []


@given(st.text(min_size=1, max_size=20).filter(lambda name: "/" not in name))
def test_each_other_form_of_a_name_collides_with_it(name: str) -> None:
    for other in (unicodedata.normalize("NFD", name), unicodedata.normalize("NFC", name)):
        if other != name:
            assert list(collisions([other], folders_and_files((name, other)))) == [(other, name)]


def test_a_links_target_is_a_path_of_the_repository() -> None:
    assert leads_to("a/b/link", "../c") == "a/c"
    assert leads_to("link", "docs/") == "docs"
    assert leads_to("link", ".") == "."
