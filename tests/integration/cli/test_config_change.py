"""`squire config get`, `set`, `edit`, `diff`: what they show and write, and that nothing wrong is ever written."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from squire_pipelines.cli.config_change import edit
from squire_pipelines.cli.context import CliContext
from squire_pipelines.settings.model import load_settings
from tests.support.cli import Squire

CONFIG = '# mine\nrepositories = ["acme/shop"]\n[dispatch] # how many\nmax_concurrent = 3 # at once\n'


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (("dispatch.max_concurrent", "7"), "dispatch.max_concurrent", 7),
        (("agent.model", "5"), "agent.model", "5"),  # a text, though it looks like a number
        (("github.app_id", "123456"), "github.app_id", "123456"),
        (("agent.limits.memory", "6GiB"), "agent.limits.memory", 6 * 2**30),
        (("planner.goals", "Keep it green."), "planner.goals", "Keep it green."),
        (("verification.enabled", "false"), "verification.enabled", False),
        (("repositories", "acme/shop", "acme/api"), "repositories", ["acme/shop", "acme/api"]),
        (("filters.labels", "one,two"), "filters.labels", ["one", "two"]),
        (("filters.labels", '["one", "t,wo"]'), "filters.labels", ["one", "t,wo"]),
        (('repository."acme/shop".agent.kind', "codex"), 'repository."acme/shop".agent.kind', "codex"),
        (("repository.acme/shop.policy.max_files", "4"), 'repository."acme/shop".policy.max_files', 4),
    ],
)
def test_set_writes_what_get_then_prints(squire: Squire, words: tuple[str, ...], key: str, value: object) -> None:
    path = squire.config(CONFIG)
    path.chmod(0o640)
    assert key in squire.ok("config", "set", *words)
    assert squire.json("config", "get", key) == value
    text = path.read_text()
    assert text.startswith("# mine\n")
    assert "[dispatch] # how many\n" in text
    assert path.stat().st_mode & 0o777 == 0o640
    squire.ok("config", "set", key, "--unset")
    assert path.read_text().startswith("# mine\n")
    assert squire.json("config", "get", key) != value


def test_a_wrong_value_is_refused_though_a_variable_hides_it(squire: Squire, monkeypatch: pytest.MonkeyPatch) -> None:
    path = squire.config(CONFIG)
    monkeypatch.setenv("SQUIRE_DISPATCH__MAX_CONCURRENT", "2")
    refusal = squire.fails(3, "config", "set", "dispatch.max_concurrent", "0")
    assert "the variable SQUIRE_DISPATCH__MAX_CONCURRENT hides this value" in refusal
    assert path.read_text() == CONFIG
    squire.ok("config", "set", "dispatch.max_concurrent", "4")
    path.write_text(CONFIG.replace("= 3", "= 0"))
    assert "line 4: dispatch.max_concurrent" in squire.fails(3, "config", "validate")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (
            ("dispatch.max_concurrent", "0"),
            3,
            "dispatch.max_concurrent = 0: Input should be greater than or equal to 1",
        ),
        (("dispatch.max_concurent", "1"), 3, "perhaps dispatch.max_concurrent is meant"),
        (("agent.provider", "none"), 3, "names no table [providers.none]"),
        (("repository.acme/shop.agent.kind", "codx"), 3, "there is no agent of that name"),
        (("repository.acme/other.agent.kind", "codex"), 3, "is not among repositories"),
        (("agent.kind", "command"), 3, "set one first, as with `squire config set repository.acme/shop.agent.command"),
        (("dispatch.max_concurrent",), 2, "name a VALUE, or say --unset"),
        (("dispatch.lease_s", "--unset"), 3, "dispatch.lease_s is not set"),
    ],
)
def test_set_writes_nothing_when_the_result_is_not_valid(
    squire: Squire, words: tuple[str, ...], code: int, says: str
) -> None:
    path = squire.config(CONFIG)
    assert says in " ".join(squire.fails(code, "config", "set", *words).split())
    assert path.read_text() == CONFIG


def test_a_change_that_leaves_an_agent_without_what_it_needs_is_written_and_told(squire: Squire) -> None:
    squire.config(CONFIG)
    result = squire("config", "set", "dispatch.max_concurrent", "4")
    assert (result.exit_code, load_settings().dispatch.max_concurrent) == (0, 4)
    assert "no task can start yet: " in result.stderr
    assert "agent.model is not set" in result.stderr
    assert "agent.model is not set" in squire.fails(3, "config", "validate")


def test_set_makes_a_file_and_repairs_a_wrong_one(squire: Squire, monkeypatch: pytest.MonkeyPatch) -> None:
    squire.ok("config", "set", "dispatch.max_concurrent", "2")
    assert (squire.home / "config.toml").stat().st_mode & 0o777 == 0o600
    squire.config("[dispatch]\nmax_concurrent = 0\n")
    squire.ok("config", "set", "dispatch.max_concurrent", "2")
    monkeypatch.setenv("SQUIRE_DISPATCH__MAX_CONCURRENT", "9")
    result = squire("config", "set", "dispatch.max_concurrent", "4")
    assert "SQUIRE_DISPATCH__MAX_CONCURRENT is set, and takes precedence" in result.stderr
    assert load_settings().dispatch.max_concurrent == 9


def test_a_secret_in_a_url_or_an_option_is_shown_by_no_command(squire: Squire) -> None:
    secret = "T" + "0a1B2c3D4e5" * 2
    url = f"https://hooks.example.com/services/{secret}?key={secret}"
    squire.config(
        f'[alerts]\nwebhook_url = "{url}"\n'
        f'[agent]\nkind = "command"\ncommand = ["run"]\n[agent.options]\napi_token = "{secret}"\nurl = "{url}"\n'
    )
    shown = [squire("config", *words).output for words in (["show"], ["show", "--json"], ["diff"], ["get", "alerts"])]
    shown += [squire("config", "get", "agent.options", "--json").output]
    shown += [squire("config", "set", "alerts.webhook_url", f"{url}2").output]
    shown += [squire("config", "set", "alerts.webhook_url", f"ftp://{secret}").output]
    assert [text for text in shown if secret in text] == []
    assert sum("https://hooks.example.com/[redacted]" in text for text in shown) >= 5


def test_show_has_the_line_of_each_key_and_the_model_that_is_taken_by_default(squire: Squire) -> None:
    squire.config(
        'repositories = ["acme/shop"]\n[agent]\nkind = "claude-code"\nprovider = "c"\n'
        '[providers.c]\nprotocol = "anthropic"\n[repository."acme/shop".agent.limits]\ncpus = 3\n'
    )
    rows = {row["key"]: row for row in squire.json("config", "show", "--origin")}
    assert rows["agent.kind"] == {"key": "agent.kind", "value": "claude-code", "from": "file", "line": 3}
    assert rows["dispatch.max_attempts"]["line"] is None
    for key in ("agent.model", 'repository."acme/shop".agent.model'):
        assert (rows[key]["value"], rows[key]["from"]) == ("claude-haiku-4-5", "default of [providers.c]")
    assert "file, line 3" in squire.ok("config", "show", "--origin")
    assert squire.ok("config", "get", "agent.model") == "claude-haiku-4-5\n"


def test_get_prints_a_value_plain_a_list_by_lines_and_a_table_as_toml(squire: Squire) -> None:
    squire.config('repositories = ["acme/shop", "acme/api"]\n')
    assert squire.ok("config", "get", "repositories") == "acme/shop\nacme/api\n"
    assert squire.ok("config", "get", "verification.enabled") == "true\n"
    assert squire.ok("config", "get", "agent.image") == "\n"
    assert "max_age_s = 3600" in squire.ok("config", "get", "agent.warm_pool")
    assert squire.json("config", "get", "agent.warm_pool") == {"size": 0, "max_age_s": 3600.0}


def test_diff_compares_the_file_with_the_defaults_or_with_another_file(
    squire: Squire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_DISPATCH__MAX_CONCURRENT", "9")
    squire.config(CONFIG)
    rows = {row["key"]: row for row in squire.json("config", "diff")}
    assert set(rows) == {"repositories", "dispatch.max_concurrent"}
    assert rows["dispatch.max_concurrent"] == {"key": "dispatch.max_concurrent", "default": 5, "file": 3}
    other = tmp_path / "other.toml"
    other.write_text(CONFIG.replace("3", "4"))
    assert squire.json("config", "diff", str(other)) == [{"key": "dispatch.max_concurrent", "other": 4, "file": 3}]
    other.write_text(CONFIG)
    assert "sets nothing otherwise" in squire.ok("config", "diff", str(other))
    hook = '[alerts]\nwebhook_url = "https://hooks.example.com/{}"\n'
    squire.config(hook.format("one"))
    other.write_text(hook.format("two"))
    (row,) = squire.json("config", "diff", str(other))
    assert row == dict.fromkeys(("other", "file"), "https://hooks.example.com/[redacted]") | {"key": row["key"]}


def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
    """Name an editor that puts one text after the other into the file."""
    script = tmp_path / "editor.py"
    script.write_text(
        "import pathlib, sys\n"
        f"texts, count = {list(texts)!r}, pathlib.Path({str(tmp_path / 'count')!r})\n"
        "number = int(count.read_text()) if count.exists() else 0\n"
        "count.write_text(str(number + 1))\n"
        "pathlib.Path(sys.argv[1]).write_text(texts[number])\n"
    )
    monkeypatch.setenv("VISUAL", f"{sys.executable} {script}")


def test_edit_writes_what_is_valid(squire: Squire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = squire.config(CONFIG)
    editor(tmp_path, monkeypatch, CONFIG.replace("3", "4"), CONFIG.replace("3", "4"))
    assert "wrote" in squire.ok("config", "edit")
    assert path.read_text() == CONFIG.replace("3", "4")
    assert "nothing was changed" in squire.ok("config", "edit")
    monkeypatch.setenv("VISUAL", "rm")
    assert "left no file at" in squire.fails(3, "config", "edit")
    assert path.read_text() == CONFIG.replace("3", "4")
    for folder in (squire.home / "run").glob("edit-*"):
        folder.rmdir()  # what that editor left
    monkeypatch.setenv("VISUAL", "false")
    assert "ended with 1, and nothing was written" in squire.fails(3, "config", "edit")
    assert [path.name for path in (squire.home / "run").iterdir() if path.name.startswith("edit-")] == []


def test_edit_takes_no_file_that_was_emptied(squire: Squire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = squire.config(CONFIG)
    editor(tmp_path, monkeypatch, "\n", "# the defaults\n")
    assert "left an empty file, and nothing was written" in squire.fails(3, "config", "edit")
    assert path.read_text() == CONFIG
    assert list((squire.home / "run").glob("edit-*")) == []
    assert "wrote" in squire.ok("config", "edit")


def test_edit_keeps_the_text_where_the_file_has_changed_meanwhile(
    squire: Squire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = squire.config(CONFIG)
    script = tmp_path / "editor.sh"
    script.write_text(f'#!/bin/sh\necho "# theirs" >> {path}\necho "# mine" >> "$1"\n')
    script.chmod(0o700)
    monkeypatch.setenv("VISUAL", str(script))
    error = squire.fails(3, "config", "edit")
    assert "has changed meanwhile, and nothing was written; your text is kept in " in error
    (draft,) = (squire.home / "run").glob("edit-*/config.toml")
    assert str(draft) in error
    assert draft.read_text().endswith("# mine\n")
    assert path.read_text().endswith("# theirs\n")


def test_edit_keeps_a_wrong_text_and_writes_nothing(
    squire: Squire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = squire.config(CONFIG)
    editor(tmp_path, monkeypatch, CONFIG.replace("3", "0"))
    error = squire.fails(3, "config", "edit")
    assert "line 4: dispatch.max_concurrent = 0" in error
    assert "nothing was written; your text is kept in " in error
    assert path.read_text() == CONFIG
    monkeypatch.setenv("VISUAL", "no-such-editor")
    assert "does not start" in squire.fails(3, "config", "edit")
    monkeypatch.delenv("VISUAL")
    monkeypatch.delenv("EDITOR", raising=False)
    assert "no editor is named" in squire.fails(3, "config", "edit")


def test_edit_offers_a_person_to_edit_again(squire: Squire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = squire.config(CONFIG)
    editor(tmp_path, monkeypatch, CONFIG.replace("3", "0"), CONFIG.replace("3", "4"))
    context = CliContext(is_interactive=True)
    result = CliRunner().invoke(edit, [], obj=context, input="y\n")
    assert result.exit_code == 0, result.output
    assert "dispatch.max_concurrent = 0" in result.output
    assert path.read_text() == CONFIG.replace("3", "4")


def test_validate_finds_what_the_doctor_finds_in_the_settings(squire: Squire) -> None:
    squire.config(
        'repositories = ["acme/shop"]\n[agent]\nkind = "command"\ncommand = ["true"]\n'
        '[providers.gpt]\nprotocol = "openai"\n[agents.claude-code]\nprovider = "gpt"\n'
        '[[agent.choose]]\nagent = "claude-code"\n'
    )
    refused = squire.fails(3, "config", "validate")
    assert "line 7: " in refused
    assert ".agents.claude-code]: the agent claude-code speaks anthropic, and its provider openai" in refused
    assert any("claude-code speaks anthropic" in row["message"] for row in _doctor(squire))


def test_the_doctor_names_a_file_of_goals_that_cannot_be_used(squire: Squire) -> None:
    squire.config('repositories = ["acme/api"]\n[planner]\ngoals = ["./goals.md"]\n')
    (row,) = (row for row in _doctor(squire) if row["name"] == "settings")
    assert row["status"] == "fail"
    assert row["message"].endswith("goals.md cannot be used: there is no such file")


def _doctor(squire: Squire) -> list[dict[str, str]]:
    import json  # noqa: PLC0415 - the doctor exits with 1, so that `squire.json` does not read it

    rows: list[dict[str, str]] = json.loads(squire("doctor", "--json").stdout)
    return rows
