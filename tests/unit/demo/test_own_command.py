"""How the demo's closing lines call the command, so that they work where the demo was started."""

import io
import shlex
from pathlib import Path

import pytest

from squire_pipelines.cli.demo import own_command, print_whole, serving_line, stay_words
from squire_pipelines.demo.options import DemoOptions
from squire_pipelines.terminal.console import CleanConsole


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", "/nowhere")
    binaries = tmp_path / "a clone" / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "squire").write_text("#!/bin/sh\n")
    (binaries / "squire").chmod(0o755)
    return binaries / "python"


def test_it_is_called_by_its_path_from_the_clone(python: Path, tmp_path: Path) -> None:
    assert own_command(python, tmp_path / "a clone") == ".venv/bin/squire"
    assert own_command(python, Path("/elsewhere")) == f"'{python.with_name('squire')}'"


def test_it_is_called_by_its_name_where_a_shell_finds_it(python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"/nowhere:{python.parent}")
    assert own_command(python, Path("/")) == "squire"


def test_an_installation_without_the_script_has_the_name_alone(python: Path) -> None:
    python.with_name("squire").unlink()
    assert own_command(python, Path("/")) == "squire"


def test_the_words_that_serve_a_demo_name_its_folder_and_what_was_asked_of_it() -> None:
    options = DemoOptions(home=Path("/a b"), repository=Path("/api"), issue="It's", command="sort x", runner="local")
    words = ["demo", "--stay", "--home", "/a b", "--runner", "local", "--repo", "/api"]
    assert shlex.split(stay_words(options)) == [*words, "--issue", "It's", "--command", "sort x"]
    assert stay_words(DemoOptions(home=Path("/x"))) == "demo --stay --home /x --runner auto"


def test_dagsters_ui_is_named_only_while_its_secrets_have_a_key() -> None:
    ended, served = (serving_line(DemoOptions(home=Path("/x"), stay=stay), "squire") for stay in (False, True))
    assert ended.startswith(f"squire {stay_words(DemoOptions(home=Path('/x')))} ")
    assert "squire dev" not in ended
    assert served.startswith("squire dev --no-webhooks ")


def test_a_line_to_be_copied_is_one_line_on_a_narrow_terminal() -> None:
    shown = io.StringIO()
    print_whole(CleanConsole(file=shown, width=40, force_terminal=True, markup=False), "word " * 30 + "# end")
    assert shown.getvalue() == "word " * 30 + "# end\n"
