import tomllib
from pathlib import Path

import pytest

from squire_pipelines.demo.options import DemoOptions, config_text, shell_command
from squire_pipelines.errors import ConfigError
from squire_pipelines.settings.model import load_settings


def test_the_settings_of_the_demo_are_settings(tmp_path: Path) -> None:
    commands = {"demo/a": ("python3", "fix.py"), "local/b": ("sh", "-c", 'echo "a\\b" | sort\n\ttrue')}
    options = DemoOptions(home=tmp_path, runner="local", executor="docker")
    path = tmp_path / "config.toml"
    path.write_text(config_text(options, commands, forge_port=4001, receiver_port=4002), encoding="utf-8")
    settings = load_settings(path)
    assert settings.repositories == ("demo/a", "local/b")
    assert {name: settings.agent_for(name).command for name in commands} == commands
    assert settings.agent_for("demo/a").runner == "local"
    assert settings.github.graphql_url == "http://127.0.0.1:4001/api/graphql"
    assert settings.webhooks.port == 4002
    assert settings.pipeline.executor == "docker"


@pytest.mark.parametrize("text", ['"', "\\", "\n", "\t", "ä ✓", "'", "#"])
def test_every_command_survives_the_file(tmp_path: Path, text: str) -> None:
    settings = tomllib.loads(
        config_text(DemoOptions(home=tmp_path), {"local/x": ("echo", text)}, forge_port=1, receiver_port=2)
    )
    assert settings["repository"]["local/x"]["agent"]["command"] == ["echo", text]


@pytest.mark.parametrize(
    ("line", "argv"),
    [
        ("ruff check --fix .", ("ruff", "check", "--fix", ".")),
        ("sed -i 's/a b/c/' x", ("sed", "-i", "s/a b/c/", "x")),
        ("a | b", ("sh", "-c", "a | b")),
        ("echo $HOME", ("sh", "-c", "echo $HOME")),
        ("rm *.pyc", ("sh", "-c", "rm *.pyc")),
        ("cd x && make", ("sh", "-c", "cd x && make")),
    ],
)
def test_a_line_with_shell_syntax_runs_in_a_shell(line: str, argv: tuple[str, ...]) -> None:
    assert shell_command(line) == argv


@pytest.mark.parametrize("line", ["echo 'x", "  "])
def test_a_line_that_names_no_command_is_the_persons_error(line: str) -> None:
    with pytest.raises(ConfigError, match="--command"):
        shell_command(line)
