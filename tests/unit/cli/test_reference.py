import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest

from squire_pipelines.cli.lazy import LazyGroup
from squire_pipelines.cli.main import cli

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "cli_reference.py"


def _walk(group: LazyGroup, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    for name in group.list_commands(context):
        if name in group.lazy and group.lazy[name].hidden:
            continue
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, parent=context, info_name=name)
        yield inner.command_path, command, inner
        if isinstance(command, LazyGroup):
            yield from _walk(command, inner)


COMMANDS = {path: (command, context) for path, command, context in _walk(cli, click.Context(cli, info_name="squire"))}
PAGE = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return _loaded(SCRIPT)


def test_the_index_of_completion_is_up_to_date() -> None:
    index = _loaded(SCRIPT.with_name("completion_index.py"))
    assert index.FILE.read_text(encoding="utf-8") == index.index(), "run scripts/completion_index.py"


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_every_command_has_help_and_is_documented(path: str) -> None:
    command, _ = COMMANDS[path]
    assert command.help
    assert f"`{path}`\n" in PAGE


@pytest.mark.parametrize(
    "path", sorted(path for path, (command, _) in COMMANDS.items() if not isinstance(command, LazyGroup))
)
def test_every_command_has_an_example_that_names_it(path: str) -> None:
    command, context = COMMANDS[path]
    shown = command.get_help(context)
    _, heading, examples = shown.partition("Example")
    assert heading
    assert path.removeprefix("squire") in examples


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_every_list_and_show_has_json(path: str) -> None:
    command, _ = COMMANDS[path]
    if path.rsplit(maxsplit=1)[-1] in {"list", "show", "collections", "check", "status", "doctor"}:
        assert any("--json" in parameter.opts for parameter in command.params)


@pytest.mark.parametrize(
    "path", sorted(path for path, (command, _) in COMMANDS.items() if not isinstance(command, LazyGroup))
)
def test_the_short_help_in_a_group_is_the_commands_own(path: str) -> None:
    command, context = COMMANDS[path]
    assert context.parent
    group = context.parent.command
    assert isinstance(group, LazyGroup)
    assert context.info_name
    if entry := group.lazy.get(context.info_name):
        assert entry.help.endswith(".")
        assert command.name == context.info_name


def test_the_page_is_up_to_date(script: ModuleType) -> None:
    assert script.page() == PAGE, "run scripts/cli_reference.py"


@pytest.mark.slow
def test_the_script_runs_from_anywhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--check"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
