"""The old product's command lines, as the guide has them: each is typed, and does what its row says."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import click
import pytest
from click.testing import CliRunner, Result

from squire_pipelines.cli.main import ALIASES, cli
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger import tasks as task_rows
from tests.support.cli import REPOSITORY, SampleData, Squire
from tests.support.house import ROOT

GUIDE = ROOT / "docs" / "guide" / "coming-from-the-old-squire.md"
ROW = re.compile(r"^\| `((?:squire|steward) [^`]*)` \|(?: `([^`]*)`)? \| ?(.*?) ?\|$", re.MULTILINE)
VALUES = {"REPO": REPOSITORY, "TEXT": "Tidy up", "ID": "t0m1e2x3a4m5p6l", "SECRET": "hush", "TOKEN": "hush"}
OLD_REFERENCE = {
    # packages/cli/src/commands and packages/steward/src/index.ts of privaspeech-org/squire-monorepo, all of it.
    "squire": ("-V|--version", "-v|--verbose"),
    "squire help": (),
    "squire new": ("-b|--branch", "--base", "-m|--model", "--no-start", "-v|--verbose"),
    "squire list": ("-s|--status", "-n|--limit"),
    "squire ls": (),
    "squire status": (),
    "squire logs": ("-n", "--tail", "-f|--follow"),
    "squire start": ("-m|--model", "-v|--verbose"),
    "squire stop": (),
    "squire retry": ("-m|--model", "--new-branch", "-v|--verbose"),
    "squire followup": ("--no-start", "-v|--verbose"),
    "squire fu": ("-m|--model",),
    "squire ps": ("-a", "--all"),
    "squire watch": ("-i|--interval", "--no-auto-start", "--once", "-v|--verbose"),
    "squire webhook": (
        "-p|--port",
        "-s|--secret",
        "--auto-fix-ci",
        "--auto-fix-reviews",
        "--review-bots",
        "-v|--verbose",
    ),
    "squire clean": ("--all", "--containers", "--dry-run"),
    "squire config": ("--list", "--path", "githubToken", "model", "tasksDir", "workerImage"),
    "steward": ("-V|--version",),
    "steward init": (),
    "steward run": ("--dry-run", "--verbose"),
    "steward watch": ("--interval",),
    "steward status": (),
    "steward signals": (),
    "steward tasks": (),
}


@dataclass(frozen=True)
class GuideRow:
    """A row of the guide: what was typed, what it is now (empty where the line is new, too), and its remark."""

    old: str
    new: str
    remark: str

    @property
    def is_refused(self) -> bool:
        return self.remark.startswith("refused: ")


ROWS = [GuideRow(*row) for row in ROW.findall(GUIDE.read_text(encoding="utf-8"))]


def words_of(old: str) -> list[str]:
    words = [VALUES.get(word, word) for word in shlex.split(old)]
    return words[1:] if words[0] == "squire" or words[1:] == ["--version"] else words


def parse(words: list[str]) -> None:
    """Parse a new command line as the command itself does, and run nothing."""
    command: click.Command = cli
    context = click.Context(cli, info_name="squire")
    while isinstance(command, click.Group):
        inner = command.get_command(context, words.pop(0))
        assert inner is not None
        command = inner
    command.make_context(command.name, words, parent=context)


def new_lines(result: Result) -> Iterator[str]:
    yield from re.findall(r"^hint: `squire [^`]*` is now `([^`]*)`$", result.stderr, re.MULTILINE)


def test_the_guide_has_every_command_and_option_of_the_old_product() -> None:
    assert len(ROWS) > 70
    typed: dict[str, set[str]] = {}
    for row in ROWS:
        program, *words = shlex.split(row.old)
        name = f"{program} {words[0]}" if words and not words[0].startswith("-") else program
        typed.setdefault(name, set()).update(words)
    missing = [
        f"{name} {option}"
        for name, options in OLD_REFERENCE.items()
        for option in options
        if not typed.get(name, set()).intersection(option.split("|"))
    ]
    assert (set(OLD_REFERENCE) - set(typed), missing) == (set(), [])


@pytest.mark.parametrize("row", [row for row in ROWS if row.is_refused], ids=lambda row: row.old)
def test_what_nothing_does_any_more_is_refused_in_one_line_with_what_does_it(squire: Squire, row: GuideRow) -> None:
    error, *rest = squire.fails(2, *words_of(row.old)).splitlines()
    assert error.startswith("error: ")
    assert all(line.startswith("hint: see `squire ") for line in rest)
    for command in re.findall(r"`(squire [^`]*)`", row.remark):
        assert command in error
    assert "hush" not in error


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if row.new and words_of(row.old)[0] in ALIASES and "retry ID -m" not in row.old
     and "new-branch" not in row.old],
    ids=lambda row: row.old,
)  # fmt: skip
def test_an_old_line_is_the_new_one_of_the_guide(squire: Squire, row: GuideRow) -> None:
    squire.config(f'repositories = ["{REPOSITORY}"]\n')
    words = words_of(row.old)
    result = squire(*words, "--help")  # what it would do is not done
    assert result.exit_code == 0, result.output
    assert [row.new] == list(new_lines(result))
    _, _, new = row.new.partition("squire ")
    assert f"Usage: squire {shlex.split(new)[0]}" in result.stdout
    parse([*shlex.split(new), *[VALUES[word] for word in row.old.split() if word in {"REPO", "TEXT", "ID"}]])


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if not row.is_refused and words_of(row.old)[0] in {"logs", "status", "config"}],
    ids=lambda row: row.old,
)  # fmt: skip
def test_commands_that_are_still_there_take_old_lines(squire: Squire, samples: SampleData, row: GuideRow) -> None:
    task_id = samples.ended(Cause.AGENT_ERROR)
    squire.config(f'repositories = ["{REPOSITORY}"]\n')
    words = [task_id if word == VALUES["ID"] else word for word in words_of(row.old) if word != "-f"]
    result = squire(*words)
    assert result.exit_code == 0, result.output
    assert "Traceback" not in result.output
    shown = [line.partition(" --tail")[0] for line in new_lines(result)]
    assert [line.replace("TASK", "ID") for line in shown] == ([row.new] if row.new else [])


def test_old_changes_change(squire: Squire, samples: SampleData) -> None:
    proposed, failed = samples.task(approved=False), samples.ended(Cause.AGENT_ERROR)
    assert squire("start", proposed).exit_code == 0
    assert samples.read(task_rows.get, proposed).status is TaskStatus.READY
    assert squire("stop", proposed).exit_code == 0
    assert samples.read(task_rows.get, proposed).status is TaskStatus.CANCELLED
    assert squire("retry", failed).exit_code == 0
    assert "Specification" in squire("status", failed).stdout
    assert squire("steward", "signals").exit_code == 0
    assert "is now `squire status`" in squire("steward", "status").stderr


def test_old_states_of_a_list_are_the_new_ones(squire: Squire, samples: SampleData) -> None:
    samples.ended(Cause.AGENT_ERROR, "Failed")
    samples.task("Proposed", approved=False)
    samples.task("Ready")

    def titles(*words: str) -> list[str]:
        return [row["title"] for row in squire.json(*words)]

    assert titles("list", "-s", "pending") == ["Ready", "Proposed"]
    assert titles("ls", "-s", "failed") == ["Failed"]
    assert titles("list", "-n1") == ["Ready"]
    assert titles("ps") == ["Ready", "Proposed"]
    assert titles("ps", "-a") == ["Ready", "Proposed", "Failed"]
    assert titles("steward", "tasks") == ["Ready", "Proposed"]


@pytest.mark.parametrize("option", [("-m", "gpt-5"), ("--new-branch",)])
def test_a_retry_on_another_branch_asks_for_the_same_words_again(
    squire: Squire, samples: SampleData, option: tuple[str, ...]
) -> None:
    squire.config(f'repositories = ["{REPOSITORY}"]\n[agent]\nmodel = "gpt-5"\n')
    failed, ready = samples.ended(Cause.AGENT_ERROR, "Fix it"), samples.task("Wait")
    (row,) = (row for row in ROWS if shlex.split(row.old)[3:4] == list(option[:1]) and " retry " in row.old)
    result = squire("retry", failed, *option)
    assert list(new_lines(result)) == [row.new.replace("NAME", "gpt-5")]
    if option == ("--new-branch",):
        assert result.exit_code == 0, result.output
        again = squire.json("tasks", "list")[0]
        assert (again["title"], again["branch"] != f"squire/{failed}") == ("Fix it", True)
        assert samples.read(task_rows.get, again["id"]).spec.prompt == "Do it well."
    else:
        assert "model" in result.stderr  # which a provider has to allow
    refused = squire.fails(5, "retry", ready, *option)
    assert f"`squire tasks followup {ready}`" in refused
    assert f"`squire tasks new {REPOSITORY}`" in refused


def test_the_old_new_takes_the_prompt_as_its_second_word(squire: Squire) -> None:
    path = squire.config(f'repositories = ["{REPOSITORY}"]\n')
    assert squire("--config", str(path), "-v", "new", REPOSITORY, "Tidy up").exit_code == 0
    assert squire("new", REPOSITORY, "--prompt", "Again").exit_code == 0
    assert squire("new", REPOSITORY, "--no-start", "--", "-m is not an option").exit_code == 0
    assert squire("new", REPOSITORY).exit_code == 2
    titles = [row["title"] for row in squire.json("tasks", "list", "--order", "oldest")]
    assert titles == ["Tidy up", "Again", "-m is not an option"]


def test_a_wrong_interval_is_a_usage_error(squire: Squire) -> None:
    assert "minutes" in squire.fails(2, "steward", "watch", "--interval", "soon")


def test_old_names_are_not_in_the_help(squire: Squire) -> None:
    shown = squire.ok("--help")
    assert "followup" not in shown
    assert "steward" not in shown


def test_the_versions_old_letter_works() -> None:
    assert CliRunner().invoke(cli, ["-V"]).stdout.startswith("squire ")
