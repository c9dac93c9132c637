import os
from pathlib import Path

import pytest

from squire_pipelines.errors import ConfigError
from squire_pipelines.planning.digest import settings_digest
from squire_pipelines.planning.goal_files import read_goals
from squire_pipelines.sections.goals import MAX_GOALS_CHARS
from squire_pipelines.settings.file import parse_settings
from squire_pipelines.settings.goals import all_goals, goals_for
from squire_pipelines.settings.model import Settings, settings_of

LOCAL = 'model = "m"\nbase_url = "http://127.0.0.1:1/v1"\n'


def settings_in(folder: Path, goals: str, further: str = "") -> Settings:
    text = f'repositories = ["o/r", "o/s"]\n[planner]\n{LOCAL}goals = {goals}\n{further}'
    return settings_of(parse_settings(folder / "config.toml", text))


def test_files_are_read_from_the_settings_folder_and_joined(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("\ufeffShip it.\n\n", encoding="utf-8")
    (tmp_path / "b.md").write_text("Keep it green.", encoding="utf-8")
    settings = settings_in(tmp_path, f'["./a.md", "{tmp_path}/b.md"]')
    assert read_goals(goals_for(settings, "o/r")) == "Ship it.\n\nKeep it green."


def test_a_repository_has_its_own_goals_or_none(tmp_path: Path) -> None:
    (tmp_path / "own.md").write_text("Be own.", encoding="utf-8")
    further = '[repository."o/r"]\ngoals = ["own.md"]\n[repository."o/s"]\ngoals = ""\n'
    settings = settings_in(tmp_path, '"For all."', further)
    assert [read_goals(goals_for(settings, name)) for name in ("O/R", "o/s", "o/t")] == ["Be own.", "", "For all."]
    assert [source.key[0] for source in all_goals(settings)] == ["planner", "repository", "repository"]


def test_an_edited_file_changes_the_digest(tmp_path: Path) -> None:
    file = tmp_path / "goals.md"
    settings = settings_in(tmp_path, '["goals.md"]')
    digests = []
    for text in ("Write docs.", "Write docs.\n", "Write tests.", ""):
        file.write_text(text, encoding="utf-8")
        digests.append(settings_digest(settings, "o/r"))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "there is no such file"),
        (b"\xff\xfe", "it is no UTF-8"),
        (b" \n", "it is empty"),
        ("goals".encode("utf-16-le"), "it is no text: it has a NUL, as files have that are no UTF-8"),
        (b"x" * 5 * 2**20, "it has more than 80,000 bytes"),
        (b"x" * (MAX_GOALS_CHARS + 1), "with it the goals have 20,001 characters; the limit is 20,000"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    if content is not None:
        (tmp_path / "goals.md").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_goals(goals_for(settings_in(tmp_path, '["goals.md"]'), "o/r"))
    assert caught.value.message == f"planner.goals: the file {tmp_path}/goals.md cannot be used: {reason}"
    assert "take it out of planner.goals" in (caught.value.hint or "")


def test_neither_a_folder_nor_a_pipe_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("folder", "it is a folder"), ("pipe", "it is no regular file")):
        with pytest.raises(ConfigError, match=reason):
            read_goals(goals_for(settings_in(tmp_path, f'["{name}"]'), "o/r"))


@pytest.mark.parametrize(
    ("goals", "reason"),
    [
        ('"./goals.md"', r'a file stands in a list: \["./goals.md"\]'),
        ('["a.md", "./a.md"]', "it names the same file twice"),
        ('[""]', "not blank"),
        ('["a\\u0000b"]', "NUL"),
        (r'"a\u0000b"', "NUL"),
        ("[1]", "goals are a text, or a list of files"),
        ("7", "goals are a text, or a list of files"),
        (f"{['f.md' for _ in range(21)]}", "more than 20 files"),
        (f'"{"g" * (MAX_GOALS_CHARS + 1)}"', "it has 20,001 characters, and may have 20,000"),
    ],
)
def test_goals_of_another_form_are_refused_with_their_line(tmp_path: Path, goals: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        settings_in(tmp_path, goals)
    assert "line 5: planner.goals" in str(caught.value)


def test_a_variable_names_files_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "goals.md").write_text("By variable.", encoding="utf-8")
    monkeypatch.setenv("SQUIRE_PLANNER__GOALS", f'["{tmp_path}/goals.md"]')
    assert read_goals(goals_for(settings_in(tmp_path, '"Of the file."'), "o/r")) == "By variable."
    monkeypatch.setenv("SQUIRE_PLANNER__GOALS", "Keep it green.")
    assert read_goals(goals_for(settings_in(tmp_path, '"Of the file."'), "o/r")) == "Keep it green."
    monkeypatch.setenv("SQUIRE_PLANNER__GOALS", '["goals.md"]')
    with pytest.raises(ConfigError, match="from the root"):
        settings_in(tmp_path, '"Of the file."')
