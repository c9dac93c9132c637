"""Skills: what is taken, what is refused, and what the agent gets."""

import os
from pathlib import Path

import pytest

from squire_pipelines.agents.adapters.skills import MAX_BYTES, MAX_FILES, read_skills, write_skills
from squire_pipelines.errors import ConfigError


def make(folder: Path, name: str = "review", text: str = "# Review\n\nHow we review.\n") -> Path:
    skill = folder / name
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text(text, encoding="utf-8")
    return skill


def test_a_skill_is_read_whole_and_written_for_anybody_to_read(tmp_path: Path) -> None:
    skill = make(tmp_path / "skills")
    (skill / "more").mkdir(mode=0o700)
    (skill / "more" / "list.txt").write_bytes(b"\xff")
    (loaded,) = read_skills((skill,))
    assert (loaded.name, loaded.description) == ("review", "How we review.")
    assert [name for name, _ in loaded.files] == ["SKILL.md", "more/list.txt"]
    for _ in range(2):
        write_skills(tmp_path / "in", (loaded,))
    copied = tmp_path / "in" / "skills" / "review"
    assert (copied / "more" / "list.txt").read_bytes() == b"\xff"
    assert (copied / "more").stat().st_mode & 0o777 == 0o755
    assert (copied / "SKILL.md").stat().st_mode & 0o777 == 0o644


def test_without_skills_nothing_is_written(tmp_path: Path) -> None:
    write_skills(tmp_path, ())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("---\nname: x\ndescription: 'For reviews.'\n---\nText", "For reviews."),
        ("---\nname: x\n---\n# Title\nFirst line.", "First line."),
        ("---\nnever closed", "never closed"),
        ("", ""),
        ("# Only a heading", ""),
        ("x" * 1000, "x" * 300),
    ],
)
def test_its_description_is_the_front_matters_or_the_first_line(tmp_path: Path, text: str, description: str) -> None:
    assert read_skills((make(tmp_path, text=text),))[0].description == description


def _link(skill: Path) -> None:
    (skill / "passwd").symlink_to("/etc/passwd")


def _linked_folder(skill: Path) -> None:
    (skill / "etc").symlink_to("/etc")


def _pipe(skill: Path) -> None:
    os.mkfifo(skill / "pipe")


def _large(skill: Path) -> None:
    (skill / "a").write_bytes(b"x" * MAX_BYTES)


def _many(skill: Path) -> None:
    for number in range(MAX_FILES):
        (skill / str(number)).touch()


def _deep(skill: Path) -> None:
    (skill / "a/b/c/d/e").mkdir(parents=True)


def _headless(skill: Path) -> None:
    (skill / "SKILL.md").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_link, "passwd, which is a link"),
        (_linked_folder, "etc, which is a link"),
        (_pipe, "pipe, which is a link or no regular file"),
        (_large, "more than 1048576 bytes"),
        (_many, "more than 200 files"),
        (_deep, "deeper than 4"),
        (_headless, "no SKILL.md"),
    ],
)
def test_what_is_no_plain_bounded_folder_is_refused(tmp_path: Path, spoil: object, message: str) -> None:
    skill = make(tmp_path)
    assert callable(spoil)
    spoil(skill)
    with pytest.raises(ConfigError, match=message) as caught:
        read_skills((skill,))
    assert caught.value.hint


def test_a_missing_a_linked_and_an_odd_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(make(tmp_path))
    for folder, message in (
        (tmp_path / "none", "no such folder"),
        (tmp_path / "link", "is a link"),
        (make(tmp_path, "a b"), "has a name with more"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_skills((folder,))
