import json
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.init import config_text, init, write
from squire_pipelines.errors import ConfigError
from squire_pipelines.home import Home
from squire_pipelines.settings.file import toml_text
from squire_pipelines.settings.model import Settings, load_settings
from tests.support.cli import Squire

ROOT = Path(__file__).parents[3]
_OF_MERGING = ("enabled", "max_files", "max_lines")


def test_show_has_every_key_with_its_origin(squire: Squire, monkeypatch: pytest.MonkeyPatch) -> None:
    squire.config(
        'repositories = ["acme/shop"]\n[agent]\nkind = "command"\ncommand = ["true"]\n[agent.limits]\ncpus = 3\n'
    )
    monkeypatch.setenv("SQUIRE_DISPATCH__MAX_CONCURRENT", "9")
    rows = {row["key"]: row for row in squire.json("config", "show")}
    assert (rows["dispatch.max_concurrent"]["value"], rows["dispatch.max_concurrent"]["from"]) == (
        9,
        "SQUIRE_DISPATCH__MAX_CONCURRENT",
    )
    assert (rows["agent.limits.cpus"]["value"], rows["agent.limits.cpus"]["from"]) == (3, "file")
    assert rows["agent.limits.pids"]["from"] == "default"
    assert rows["repositories"]["value"] == ["acme/shop"]
    shown = squire.ok("config", "show")
    assert "SQUIRE_DISPATCH__MAX_CONCURRENT" in shown
    assert "not set" in shown


def test_show_of_a_repository_has_what_it_says_of_following_and_merging(squire: Squire) -> None:
    squire.config(
        'repositories = ["o/r"]\nagent.kind = "command"\nagent.command = ["true"]\n[follow.merge]\nmax_files = 7\n'
        '[repository."o/r".follow.merge]\nenabled = true\n'
    )
    rows = {row["key"]: row for row in squire.json("config", "show", "--repository", "o/r", "--origin")}
    shown = {key: (rows[f"follow.merge.{key}"]["value"], rows[f"follow.merge.{key}"]["from"]) for key in _OF_MERGING}
    assert shown == {"enabled": (True, "file"), "max_files": (7, "file"), "max_lines": (500, "default")}
    assert [rows[f"follow.merge.{key}"]["line"] for key in _OF_MERGING] == [7, 5, None]


def test_show_defaults_needs_no_settings_that_hold(squire: Squire) -> None:
    squire.config("bogus = 1\n")
    squire.fails(3, "config", "show")
    rows = {row["key"]: row["value"] for row in squire.json("config", "show", "--defaults")}
    assert rows["dispatch.max_concurrent"] == 5
    assert "not set" in squire.ok("config", "show", "--defaults")


def test_a_password_in_an_address_is_not_shown(squire: Squire, monkeypatch: pytest.MonkeyPatch) -> None:
    password = "hunter" + "22hunter"
    monkeypatch.setenv("SQUIRE_LEDGER_URL", f"postgresql://squire:{password}@host/db")
    assert password not in squire.ok("config", "show")
    assert password not in squire.ok("config", "show", "--json")


def test_validate_reads_the_repositories_own_settings_too(squire: Squire) -> None:
    named = (
        'repositories = ["acme/shop"]\n[agent]\nkind = "command"\ncommand = ["true"]\n[repository."acme/shop".policy]\n'
    )
    assert "the defaults and the environment" in squire.ok("config", "validate")
    squire.config(f"{named}max_files = 3\n")
    assert "ok: " in squire.ok("config", "validate")
    squire.config(f"{named}max_flies = 3\n")
    assert "max_flies" in squire.fails(3, "config", "validate")
    squire.config('ledger_url = "mysql://x"\n')
    assert "the ledger's URL looks like" in squire.fails(3, "config", "validate")


def test_validate_reads_the_files_of_the_planners_prompt(squire: Squire, tmp_path: Path) -> None:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    squire.config(f'[planner]\nprompts = "{prompts}"\n')
    squire.ok("config", "validate")
    (prompts / "question.md").write_text("Plan.", encoding="utf-8")
    assert "question.md cannot be used: it has no place {{signals}}" in squire.fails(3, "config", "validate")
    (prompts / "question.md").unlink()
    (prompts / "question.md").mkdir()
    assert "question.md cannot be used: it cannot be read: it is a folder" in squire.fails(3, "config", "validate")


def test_validate_reads_the_files_of_goals_and_names_the_line(squire: Squire, tmp_path: Path) -> None:
    own = '[repository."o/r"]\ngoals = ["own.md"]\n'
    path = squire.config(f'repositories = ["o/r"]\nagent.model = "m"\n[planner]\ngoals = ["./all.md"]\n{own}')
    assert "line 4: planner.goals: the file" in squire.fails(3, "config", "validate")
    (path.parent / "all.md").write_text("Ship it.", encoding="utf-8")
    refused = squire.fails(3, "config", "validate")
    assert (
        f'line 6: repository."o/r".goals: the file {path.parent}/own.md cannot be used: there is no such file'
        in refused
    )
    assert "correct the file" in refused
    (path.parent / "own.md").write_text("Be own.", encoding="utf-8")
    squire.ok("config", "validate")
    assert f"{path.parent}/own.md" in squire.ok("config", "show", "--repository", "o/r")
    assert f"{path.parent}/all.md" in squire.ok("config", "show", "--json")
    assert tmp_path in path.parents


def test_validate_says_what_step_containers_would_not_see(
    squire: Squire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_CONFIG", "")  # the command sets it, and it is put back
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    text = squire.config('[pipeline]\nexecutor = "docker"\n').read_text()
    squire.ok("config", "validate")
    (tmp_path / "elsewhere.toml").write_text(text)
    refused = squire.fails(3, "--config", str(tmp_path / "elsewhere.toml"), "config", "validate")
    assert "SQUIRE_CONFIG" in refused
    assert "is not in SQUIRE_HOME" in refused


def test_path_is_the_file_and_with_json_everything(
    squire: Squire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert squire.ok("config", "path").strip() == str(squire.home / "config.toml")
    places = squire.json("config", "path")
    assert places["attempts"] == str(squire.home / "attempts")
    assert places["ledger"] == str(squire.home / "ledger.sqlite")
    properties = {name for name, value in vars(Home).items() if isinstance(value, property)}
    assert set(places) == properties - {"config_file"} | {"config", "data", "state", "cache", "ledger"}
    squire.config("ledger_url = 'postgresql://db/squire'\n")
    assert squire.json("config", "path")["ledger"] is None
    squire.config("bogus = 1\n")
    assert squire.json("config", "path") == {**places, "ledger": None}
    monkeypatch.setenv("SQUIRE_CONFIG", str(tmp_path / "other.toml"))
    assert squire.ok("config", "path").strip() == str(tmp_path / "other.toml")
    assert squire.ok("--config", "mine.toml", "config", "path").strip() == "mine.toml"


def test_init_hears_the_repositories_that_a_pipe_names(squire: Squire) -> None:
    assert "wrote" in squire.ok("init", stdin="acme/shop\nacme/api\n\nacme/late\n")
    assert squire.json("config", "get", "repositories") == ["acme/shop", "acme/api"]
    assert "'nothing'" in squire.fails(2, "init", "--force", stdin="nothing\n")


def test_init_names_agent_provider_and_model(squire: Squire) -> None:
    options = ("--agent", "claude-code", "--provider", "anthropic", "--model", "claude-haiku-4-5")
    output = squire.ok("init", "--repository", "acme/shop", *options)
    assert "`squire secrets set anthropic-key`" in output
    assert "`squire agents build claude-code`" in output
    settings = load_settings(squire.home / "config.toml")
    provider = settings.agent_provider("acme/shop")
    assert (settings.agent.kind, settings.agent.model) == ("claude-code", "claude-haiku-4-5")
    assert (provider.name, provider.protocol, provider.secret) == ("anthropic", "anthropic", "anthropic-key")
    assert "there is no agent of that name" in squire("init", "--force", "--agent", "clod").stderr


@pytest.mark.parametrize(
    ("agent", "provider", "model"),
    [("claude-code", "anthropic", "claude-haiku-4-5"), ("codex", "openai", "gpt-5-codex")],
)
def test_the_readmes_first_command_of_each_user_makes_settings_that_are_whole(
    squire: Squire, agent: str, provider: str, model: str
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    command = f"squire init --repository owner/name --agent {agent} --provider {provider}"
    assert command in readme
    output = squire.ok(*command.split()[1:])
    for step in (f"squire secrets set {provider}-key", f"squire agents build {agent}"):
        assert f".venv/bin/{step}" in readme
        assert f"`{step}`" in output
    settings = load_settings(squire.home / "config.toml")
    assert (settings.agent_for("owner/name").kind, settings.agent_for("owner/name").model) == (agent, model)
    squire.ok("config", "validate")


@pytest.mark.parametrize(
    ("agent", "provider", "says"),
    [
        ("claude-code", "openai", "claude-code speaks anthropic, and openai is not that: --provider anthropic"),
        ("codex", "anthropic", "codex speaks openai, and anthropic is not that: --provider openai"),
        ("copilot", "gemini", "and gemini is not that: --provider openai or --provider anthropic"),
    ],
)
def test_init_refuses_a_provider_that_the_agent_cannot_ask(
    squire: Squire, agent: str, provider: str, says: str
) -> None:
    assert says in " ".join(squire.fails(2, "init", "--yes", "--agent", agent, "--provider", provider).split())
    assert not (squire.home / "config.toml").exists()


@pytest.mark.parametrize(("agent", "provider"), [("claude-code", "anthropic"), ("codex", "openai"), ("copilot", None)])
def test_init_takes_the_one_provider_whose_protocol_the_agent_speaks(
    squire: Squire, agent: str, provider: str | None
) -> None:
    squire.ok("init", "--yes", "--agent", agent)
    text = (squire.home / "config.toml").read_text()
    assert (f"\n[providers.{provider}]\n" in text) is (provider is not None)
    assert (f'\nprovider = "{provider}"' in text) is (provider is not None)


def test_init_writes_a_file_that_loads_with_the_repositories(squire: Squire) -> None:
    output = squire.ok("init", "--repository", "acme/shop", "--repository", "https://github.com/acme/api", "--yes")
    path = squire.home / "config.toml"
    assert "SQUIRE_GITHUB_TOKEN" in output
    assert "squire doctor" in output
    assert load_settings(path).repositories == ("acme/shop", "acme/api")
    assert path.stat().st_mode & 0o077 == 0
    assert "agent.model is not set" in squire.fails(3, "config", "validate")
    squire.ok("config", "set", "agent.model", "gpt-5-mini")
    squire.ok("config", "validate")


def test_init_writes_every_default_as_it_is(tmp_path: Path) -> None:
    text = config_text([])
    lines = [line.removeprefix("# ") if re.match(r"# \w+ = (?!\"?…)", line) else line for line in text.splitlines()]
    head = "\n".join(lines).split("# Settings of one repository")[0]
    path = tmp_path / "all.toml"
    path.write_text(head)
    assert load_settings(path) == Settings()
    written = tomllib.loads(head)
    for name, field in Settings.model_fields.items():
        keys = getattr(field.annotation, "model_fields", {})
        for key, inner in keys.items():
            if inner.get_default(call_default_factory=True) is None:
                assert re.search(rf'^# {key} = ("…"|…)  # not set', text, re.MULTILINE)
            else:
                assert key in written[name]


def test_init_shows_the_form_of_what_is_not_set() -> None:
    text = config_text([])
    assert "# interval_s = …  # not set" in text  # a number
    assert '# oom_retry_memory = "…"  # not set' in text  # a size, which is written as text
    assert '# quiet_hours = "…"  # not set' in text


def test_init_leaves_what_is_there_unless_forced(squire: Squire) -> None:
    path = squire.config("# mine\n")
    assert "--force" in squire.fails(3, "init", "--yes")
    assert path.read_text() == "# mine\n"
    output = squire.ok("init", "--yes", "--force")
    assert "It names no repository yet" in output
    assert "`squire config set agent.model NAME`" in output
    assert path.with_name("config.toml.bak").read_text() == "# mine\n"
    assert load_settings(path) == Settings()
    names = sorted(path.name for path in squire.home.iterdir())
    assert names == ["config.schema.json", "config.toml", "config.toml.bak", "run"]


def test_init_names_the_schema_that_it_writes_beside_the_file(squire: Squire, tmp_path: Path) -> None:
    squire.ok("--config", str(tmp_path / "squire.toml"), "init", "--yes")
    first_line = (tmp_path / "squire.toml").read_text().partition("\n")[0]
    assert first_line == "#:schema ./squire.schema.json"
    assert json.loads((tmp_path / "squire.schema.json").read_text()) == json.loads(squire.ok("config", "schema"))


def test_init_keeps_a_link_and_replaces_what_it_leads_to(squire: Squire, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles.toml"
    target.write_text("# mine\n")
    squire.home.mkdir(parents=True, exist_ok=True)
    link = squire.home / "config.toml"
    link.symlink_to(target)
    squire.ok("init", "--yes", "--force")
    assert link.readlink() == target
    assert load_settings(link) == Settings()
    assert target.with_name("dotfiles.toml.bak").read_text() == "# mine\n"


def test_init_never_replaces_what_somebody_else_wrote_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("theirs")
    with pytest.raises(ConfigError, match="exists already"):
        write(path, "ours", force=False)
    assert path.read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


def test_init_writes_where_config_says(squire: Squire, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "squire.toml"
    squire.ok("--config", str(target), "init", "--yes")
    assert target.is_file()
    (tmp_path / "file").write_text("")
    assert "cannot be written" in squire.fails(3, "--config", str(tmp_path / "file" / "x.toml"), "init", "--yes")
    assert "is not a repository name" in squire.fails(2, "init", "--repository", "nonsense")


def test_init_asks_for_repositories_on_a_terminal(squire: Squire) -> None:
    result = CliRunner().invoke(
        init, [], obj=CliContext(is_interactive=True), input="nonsense\nacme/shop\nAcme/Shop\n\n"
    )
    assert result.exit_code == 0, result.output
    assert "'nonsense' is not a repository name" in result.output
    assert load_settings(squire.home / "config.toml").repositories == ("Acme/Shop",)


@pytest.mark.parametrize("value", ['say "hi"\\', "two\nlines\tand tab", True, 3, 0.5, ("a", "b"), [1, 2], "é…"])
def test_values_survive_toml(value: object) -> None:
    read = tomllib.loads(f"x = {toml_text(value)}")["x"]
    assert json.dumps(read) == json.dumps(value)


def test_a_repositorys_own_file_is_checked_without_any_settings(squire: Squire, tmp_path: Path) -> None:
    squire.config("bogus = 1\n")
    path = tmp_path / "squire.toml"
    words = ("config", "validate", "--repository-file", str(path))
    path.write_text('extends = "acme/.github//squire/base.toml"\n[policy]\nmax_files = 10\n')
    output = squire.ok(*words)
    assert output == f"ok: {path}\nWhat it extends was not read.\n"
    path.write_text("[policy]\n\nmax_flies = 10\n")
    error = squire.fails(3, *words)
    assert f"{path}, line 3: unknown key policy.max_flies, which may stand for policy.max_files" in error
    path.write_bytes(b"#" * (5 * 2**20))
    assert "has 5242880 bytes, and may have 65536" in squire.fails(3, *words)
    path.write_bytes(b"x = 1\n\xff")
    assert "line 2: it is no text in UTF-8" in squire.fails(3, *words)


def test_init_writes_no_settings_for_an_agent_without_its_command(squire: Squire) -> None:
    refused = " ".join(squire.fails(2, "init", "--yes", "--agent", "command").split())
    assert "settings without one start no agent" in refused
    assert not (squire.home / "config.toml").exists()
