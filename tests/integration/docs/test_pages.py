"""What the pages have in fenced blocks works: each query is answered, and each `squire` command does what it says.

The commands are typed in a home that is put back after each. One that cannot be typed here is in `NOT_TYPED`, with the
reason, and has to be one that the command's parser takes.
"""

import ast
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click
import pytest
import yaml  # type: ignore[import-untyped] # no stubs are installed

from squire_pipelines.errors import SquireError
from squire_pipelines.warehouse.query import run_query
from tests.support.cli import Squire
from tests.support.page_commands import (
    SHELL,
    TypedCommand,
    blocks,
    commands,
    named_commands,
    pages,
    parse,
    without_program_options,
)
from tests.support.page_home import PageHome, make_page_home
from tests.support.secret_store_faults import passphrase

GITHUB = "asks GitHub: "
ENGINE = "asks a container engine: "
SERVES = "goes on until Ctrl-C: "
STORE = "needs a store of files: "
NOT_TYPED: Mapping[str, str] = {
    "agents build": ENGINE + "tests/integration/cli/test_agents_build.py",
    "agents check": ENGINE + "tests/integration/cli/test_agents.py",
    "agents probe": ENGINE + "tests/integration/cli/test_agents.py",
    "agents sbom": ENGINE + "tests/docker",
    "alerts test": "sends messages: tests/integration/cli/test_alerts.py",
    "backup catch-up": STORE + "tests/integration/execution/test_restored_cluster.py",
    "backup fetch": STORE + "tests/integration/cli/test_backup.py",
    "backup list --store": STORE + "tests/integration/cli/test_backup.py",
    "board": SERVES + "tests/integration/board",
    "config validate --repository": GITHUB + "tests/integration/cli/test_config.py",
    "config edit": "opens an editor: tests/unit/cli/test_editor.py",
    "demo": "starts processes: tests/integration/demo",
    "dev": SERVES + "tests/integration/runtime/test_services.py",
    "doctor": "asks GitHub, the engine and the models: tests/integration/cli/test_doctor_forge.py",
    "history export gs:": "writes to a cloud: tests/integration/warehouse",
    "history export s3:": "writes to a cloud: tests/integration/warehouse",
    "history publish": "takes its time, and made the warehouse of these commands: tests/integration/warehouse",
    "history report --open": "opens a browser: tests/integration/cli/test_history.py",
    "init --github-app": GITHUB + "tests/integration/cli/test_init_app.py",
    "init --pull-request": GITHUB + "tests/integration/cli/test_config_change.py",
    "ledger move": "needs another database: tests/integration/cli/test_ledger_move.py",
    "logs --follow": SERVES + "tests/integration/cli/test_all_logs.py",
    "metrics serve": SERVES + "tests/integration/endpoint",
    "migrate": "needs a home of the old product: tests/integration/cli/test_migrate.py",
    "plans context": GITHUB + "tests/integration/cli/test_plans_context.py",
    "plans make": GITHUB + "tests/integration/runtime/test_make_plans.py",
    "plans replay": "asks a model: tests/integration/planning",
    "run": GITHUB + "tests/integration/runtime/test_one_cycle.py",
    "secrets passphrase": "asks on a terminal: tests/integration/cli/test_secrets.py",
    "signals collect": GITHUB + "tests/integration/runtime/test_reading.py",
    "status --now": "asks GitHub, the engine and the models: tests/integration/cli/test_status.py",
    "status --watch": SERVES + "tests/integration/cli/test_status.py",
    "tasks clean --home": "needs runs of Dagster: tests/integration/jobs/test_maintenance.py",
    "tasks logs -f": SERVES + "tests/integration/cli/test_logs.py",
    "tasks new --plan": "asks a model: tests/integration/cli/test_request_plan.py",
    "tasks new --template": GITHUB + "tests/integration/cli/test_tasks_templates.py",
    "tasks new --wait": "waits for an agent: tests/integration/cli/test_tasks_new.py",
    "tasks templates list --repository": GITHUB + "tests/integration/cli/test_tasks_templates.py",
    "tasks watch": SERVES + "tests/integration/cli/test_tasks.py",
    "webhooks repair": GITHUB + "tests/integration/webhooks",
    "webhooks rotate": GITHUB + "tests/integration/cli/test_webhooks_rotate.py",
    "webhooks serve": SERVES + "tests/integration/webhooks",
    "webhooks tail": SERVES + "tests/unit/cli/test_webhooks_tail.py",
    "worker": SERVES + "tests/integration/work_queue",
    "workers drain": "needs a worker of that name: tests/integration/cli/test_workers.py",
    "workers show": "likewise",
}
EXIT_CODES: Mapping[str, int] = {
    "status --json --fail-on degraded": 1,  # the home of these commands has no engine that it knows of
    "tasks new": 2,  # it asks on a terminal
}
STDIN: Mapping[str, str] = {
    "history shell": "FROM tasks LIMIT 3;\n",
    "init": "owner/name\n",
    "ledger restore": "yes\n",
    "tasks": "yes\n",
}
"""What a person or another program writes, by the beginning of the command; else a secret."""
ALWAYS_RUN = ("history sql", "config set")
"""Of these each line is run; of others one for each set of options, whatever their values are."""


CHECKED: Mapping[str, Callable[[str], object] | None] = {
    "": None,
    "console": None,
    "json": json.loads,
    "markdown": None,
    "nginx": None,
    "postgresql": None,
    "python": ast.parse,
    "sh": None,
    "sql": None,
    "text": None,
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
}
"""How the text of each language is checked as it stands; commands and queries are run, and the rest is for people."""

BLOCKS = [block for page in pages() for block in blocks(page)]
COMMANDS = list(
    {
        (typed.words, typed.stdin): typed for block in BLOCKS if block.language in SHELL for typed in commands(block)
    }.values()
)


def reason_not_to_type(words: tuple[str, ...]) -> str | None:
    """The entry of `NOT_TYPED` that a command line falls under."""
    for entry in NOT_TYPED:
        named = [word for word in entry.split() if not word.startswith("-") and not word.endswith(":")]
        more = [word for word in entry.split() if word not in named]
        if list(words[: len(named)]) == named and all(
            any(word == one or (one.endswith(":") and word.startswith(one)) for word in words) for one in more
        ):
            return entry
    return None


def _one_of_each_shape() -> Iterator[TypedCommand]:
    shapes = set()
    for typed in COMMANDS:
        if reason_not_to_type(typed.words) is not None:
            continue
        path, _ = named_commands(*without_program_options(typed.words))
        options = frozenset(word for word in typed.words if word.startswith("-")) - {"--json"}
        shape: object = (tuple(path), options, typed.stdin)
        if " ".join(typed.words[:2]) in ALWAYS_RUN:
            shape = typed.words
        if shape not in shapes:
            shapes.add(shape)
            yield typed


def _group(typed: TypedCommand) -> str:
    return without_program_options(typed.words)[0]


TYPED = list(_one_of_each_shape())


def _answer(typed: TypedCommand) -> str:
    """What standard input has where the page names no file."""
    words = " ".join(without_program_options(typed.words))
    return next((text for command, text in STDIN.items() if words.startswith(command)), "s3cret-of-pages\n")


@pytest.fixture(scope="module")
def page_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageHome]:
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SQUIRE_HOME", str(folder / "home"))
        yield make_page_home(folder)


@pytest.mark.slow
@pytest.mark.parametrize("group", sorted({_group(typed) for typed in TYPED}))
def test_each_command_of_the_pages_does_what_it_says(
    page_home: PageHome, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    passphrase_file = page_home.folder / "passphrase"
    passphrase_file.write_text(passphrase().reveal(), encoding="utf-8")
    monkeypatch.setenv("SQUIRE_SECRETS_PASSPHRASE_FILE", str(passphrase_file))
    squire, wrong = Squire(page_home.home), []
    for typed in (one for one in TYPED if _group(one) == group):
        page_home.restore()
        monkeypatch.chdir(page_home.typed_in)
        home = page_home.typed_in / "empty" if "init" in typed.words else page_home.home
        monkeypatch.setenv("SQUIRE_HOME", str(home))  # `--home` and `--config` set these of the process
        monkeypatch.delenv("SQUIRE_CONFIG", raising=False)
        typed_stdin = Path(typed.stdin).read_text(encoding="utf-8") if typed.stdin not in {None, "-"} else None
        result = squire(*page_home.words(typed.words), stdin=typed_stdin or _answer(typed))
        code = EXIT_CODES.get(" ".join(typed.words), 0)
        if typed.refusal is not None:
            code = result.exit_code if result.exit_code and typed.refusal in result.stderr else -1
        if result.exit_code != code:
            wrong.append(f"{typed.place}: squire {' '.join(typed.words)}: {result.exit_code}: {result.stderr[-300:]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_each_command_of_the_pages_is_parsed(page_home: PageHome, monkeypatch: pytest.MonkeyPatch) -> None:
    page_home.restore()
    monkeypatch.chdir(page_home.typed_in)
    wrong = []
    for typed in COMMANDS:
        try:
            parse(page_home.words(typed.words))
        except click.ClickException as error:
            wrong.append(f"{typed.place}: squire {' '.join(typed.words)}: {error.format_message()}")
    assert not wrong, "\n".join(wrong)


def test_what_is_not_typed_is_on_a_page() -> None:
    assert {reason_not_to_type(typed.words) for typed in COMMANDS} - {None} == set(NOT_TYPED)
    assert EXIT_CODES.keys() <= {" ".join(typed.words) for typed in COMMANDS}


@pytest.mark.slow
def test_each_query_of_the_pages_is_answered(page_home: PageHome) -> None:
    wrong = []
    for block in BLOCKS:
        if block.language == "sql":
            try:
                assert run_query(page_home.folder / "home.made" / "warehouse.duckdb", block.text).columns
            except SquireError as error:
                wrong.append(f"{block.place}: {error}")
    assert not wrong, "\n".join(wrong)


def test_each_block_is_of_its_language() -> None:
    assert len(BLOCKS) > 300
    wrong = []
    for block in BLOCKS:
        if (check := CHECKED[block.language]) is not None:
            try:
                check(block.text)
            except (ValueError, SyntaxError, yaml.YAMLError) as error:
                wrong.append(f"{block.place}: {error}")
    assert not wrong, "\n".join(wrong)
