"""`squire tasks new` asks a person at a terminal for what was not said, and shows the task before it is made."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from squire_pipelines.domain.endings import Cause
from squire_pipelines.ledger import tasks
from tests.support.cli import REPOSITORY, SampleData, Squire
from tests.support.terminal import Terminal, on_a_terminal

pytestmark = pytest.mark.slow
SETTINGS = f'repositories = ["{REPOSITORY}", "acme/api", "other/one"]\n[trust]\nrepository_files = false\n'
QUESTION = "Make this task? [Y/n/e] (e: edit its text): "
WHAT = "what is to be done (Enter: write it in your editor): "


@pytest.fixture
def editor(tmp_path: Path) -> Path:
    """An editor that writes what the file beside it has above what it is given, and keeps what it was given."""
    program = tmp_path / "editor"
    program.write_text(
        f'#!/bin/sh\ncp "$1" {tmp_path}/given\ncat {tmp_path}/written > "$1.new"\ncat "$1" >> "$1.new"\n'
        'mv "$1.new" "$1"\n'
    )
    program.chmod(0o755)
    return program


def bare(squire: Squire, *words: str, editor: Path | None = None) -> AbstractContextManager[Terminal]:
    environment = {"SQUIRE_HOME": str(squire.home), "EDITOR": str(editor or ""), "VISUAL": ""}
    return on_a_terminal("tasks", "new", *words, environment=environment)


@pytest.fixture
def configured(squire: Squire) -> Iterator[Squire]:
    squire.config(SETTINGS)
    yield squire
    assert list((squire.home / "run").glob("edit-*")) == [], "a draft was left"


def test_a_bare_command_asks_where_and_what_and_shows_it_before_it_is_made(
    configured: Squire, samples: SampleData, editor: Path
) -> None:
    with bare(configured, editor=editor) as terminal:
        terminal.expect("repository: ")
        terminal.type("ACME/s\t\r")
        terminal.expect("acme/shop")
        terminal.expect(WHAT)
        terminal.type("Speed up the parser.\r")
        summary = terminal.expect(QUESTION)
        assert configured.json("tasks", "list") == []
        terminal.type("\r")
        code, seen = terminal.end()
    assert code == 0, seen
    for line in (
        "repository:    acme/shop",
        "title:         Speed up the parser.",
        "into:          the default branch",
    ):
        assert line in summary
    assert "when there is a slot" in summary
    (row,) = configured.json("tasks", "list")
    assert f"{row['id']}: ready" in seen
    assert samples.read(tasks.get, row["id"]).spec.prompt == "Speed up the parser."


def test_a_text_is_written_in_the_persons_editor_and_can_be_edited_before_it_is_made(
    configured: Squire, samples: SampleData, editor: Path
) -> None:
    written = editor.parent / "written"
    written.write_text("# First\n\nWith *marks*, and no change to # lines.\n")
    with bare(configured, REPOSITORY, editor=editor) as terminal:
        terminal.expect(WHAT)
        terminal.type("\r")
        assert "With *marks*" in terminal.expect(QUESTION)
        written.write_text("Before: ")
        terminal.type("e\r")
        terminal.expect(QUESTION)
        terminal.type("y\r")
        code, seen = terminal.end()
    assert code == 0, seen
    assert (editor.parent / "given").read_text().startswith("# First\n\nWith *marks*")
    (row,) = configured.json("tasks", "list")
    assert samples.read(tasks.get, row["id"]).spec.prompt == (
        "Before: # First\n\nWith *marks*, and no change to # lines."
    )


def test_ctrl_c_at_any_question_and_a_no_write_nothing(configured: Squire, editor: Path) -> None:
    answers = (("repository: ", f"{REPOSITORY}\r"), (WHAT, "Tidy up\r"), (QUESTION, "n\r"))
    for stop_at in range(len(answers) + 1):
        with bare(configured, editor=editor) as terminal:
            for question, keys in answers[:stop_at]:
                terminal.expect(question)
                terminal.type(keys)
            if stop_at < len(answers):
                terminal.expect(answers[stop_at][0])
                code, seen = terminal.interrupt()
            else:
                code, seen = terminal.end()
        assert code == (130 if stop_at < len(answers) else 1), seen
        assert ("interrupted" if stop_at < len(answers) else "no task was made") in seen
        assert "Traceback" not in seen
        assert configured.json("tasks", "list") == []


def test_an_empty_text_and_an_editor_that_fails_make_no_task(configured: Squire, editor: Path) -> None:
    (editor.parent / "written").write_text("\n \n")
    with bare(configured, REPOSITORY, editor=editor) as terminal:
        terminal.expect(WHAT)
        terminal.type("\r")
        code, seen = terminal.end()
    assert (code, "the text is empty: no task was made" in seen) == (1, True)
    editor.write_text("#!/bin/sh\nexit 3\n")
    with bare(configured, REPOSITORY, editor=editor) as terminal:
        terminal.expect(WHAT)
        terminal.type("\r")
        code, seen = terminal.end()
    assert (code, "ended with 3" in seen) == (3, True)
    assert configured.json("tasks", "list") == []


def test_a_wrong_repository_is_asked_for_again_and_not_for_ever(configured: Squire) -> None:
    with bare(configured) as terminal:
        for answer in ("nonsense", "acme/none", "https://gitlab.test/acme/shop", "https://github.com/acme/none", "/"):
            terminal.expect("repository: ")
            terminal.type(f"{answer}\r")
        code, seen = terminal.end()
    assert code == 1, seen
    assert "is not a repository name" in seen
    assert "acme/none is not one of Squire's repositories" in seen
    assert "is on gitlab.test, and Squire works on the repositories of github.com" in " ".join(seen.split())


def test_what_a_template_needs_is_asked_for_and_what_it_resembles_is_said_before_it_is_made(
    configured: Squire, samples: SampleData
) -> None:
    finished = samples.ended(Cause.COMPLETED, "Upgrade httpx to version 2")
    with bare(configured, REPOSITORY, "--template", "upgrade-dependency", "--param", "version=2") as terminal:
        terminal.expect("package (line): The dependency's name, as the manifest has it: ")
        terminal.type("httpx\r")
        summary = terminal.expect(QUESTION)
        terminal.type("y\r")
        code, seen = terminal.end()
    assert code == 0, seen
    assert "title:         Upgrade httpx to 2" in summary
    assert "more lines" in summary
    assert finished in summary
    assert seen.count("says nearly the same as") == 1
    row = configured.json("tasks", "list")[0]
    assert samples.read(tasks.events, row["id"])[0].reason.startswith("asked for by the template squire:upgrade")


def test_a_templates_title_stays_when_its_text_is_edited(configured: Squire, samples: SampleData, editor: Path) -> None:
    (editor.parent / "written").write_text("Quickly. ")
    words = (REPOSITORY, "--template", "upgrade-dependency", "--param", "version=2")
    with bare(configured, *words, editor=editor) as terminal:
        terminal.expect("has it: ")
        terminal.type("httpx\r")
        terminal.expect(QUESTION)
        terminal.type("e\r")
        assert "title:         Upgrade httpx to 2" in terminal.expect(QUESTION)
        terminal.type("y\r")
        code, seen = terminal.end()
    assert code == 0, seen
    (row,) = configured.json("tasks", "list")
    task = samples.read(tasks.get, row["id"])
    assert (task.title, task.spec.prompt[:9]) == ("Upgrade httpx to 2", "Quickly. ")


def test_who_says_all_of_it_is_asked_nothing(configured: Squire) -> None:
    with bare(configured, REPOSITORY, "Tidy up") as terminal:
        code, seen = terminal.end()
    assert code == 0, seen
    assert "Make this task" not in seen


def test_nobody_is_asked_without_a_terminal_or_for_json(configured: Squire) -> None:
    assert "name the repository and say what is to be done" in configured.fails(2, "tasks", "new")
    with bare(configured, REPOSITORY, "--json") as terminal:
        code, seen = terminal.end()
    assert (code, "say what is to be done" in seen) == (2, True)
    with bare(configured, REPOSITORY, "--agent", "nope") as terminal:
        code, seen = terminal.end()
    assert (code, "there is no agent 'nope'" in seen) == (3, True), "it is said before a text is written"
    assert configured.json("tasks", "list") == []
