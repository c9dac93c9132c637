"""What is wrong in the settings is told with the key, the file's line or the variable, and what to do."""

import os
import re
from pathlib import Path

import pytest

from squire_pipelines.cli.config_values import find_source
from squire_pipelines.errors import SettingError
from squire_pipelines.settings.model import Settings, load_settings
from squire_pipelines.settings.variables import RENAMED, WITHOUT_SETTING, unknown_variables

ROOT = Path(__file__).parents[3]
REPOSITORY = 'repositories = ["a/b"]\n'


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setenv("SQUIRE_CONFIG", str(path))
    return path


def refused(config: Path, text: str) -> SettingError:
    config.write_text(text)
    with pytest.raises(SettingError) as caught:
        load_settings()
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "key", "hint"),
    [
        (
            "[dispatch]\n\nmax_concurrent = 0\n",
            3,
            "dispatch.max_concurrent",
            "change it, as with `squire config set dispatch.max_concurrent VALUE`, or remove it for the default, 5",
        ),
        ("[dispatch]\nmax_concurent = 1\n", 2, "dispatch.max_concurent", "rename it to dispatch.max_concurrent, or"),
        ('repositories = [\n  "a/b",\n  "c",\n]\n', 3, "repositories[1]", "change it; repositories is a list"),
        ('[providers.c]\nbase_url = "https://x"\n', 1, "providers.c.protocol", "add protocol to [providers.c]"),
        ('[agents.codex]\n\nmodle = "x"\n', 3, "agents.codex.modle", "rename it to agents.codex.model, or"),
        (
            f'{REPOSITORY}[repository."a/b".agent]\nmodle = "x"\n',
            3,
            'repository."a/b".agent.modle',
            'rename it to repository."a/b".agent.model, or',
        ),
        (
            f'{REPOSITORY}[repository."a/b".agents.codex]\nmodle = "x"\n',
            3,
            'repository."a/b".agents.codex.modle',
            'rename it to repository."a/b".agents.codex.model, or',
        ),
        (
            f'{REPOSITORY}[repository."a/b".policy]\nmax_files = 0\n',
            3,
            'repository."a/b".policy.max_files',
            "change it, as with `squire config set 'repository.\"a/b\".policy.max_files' VALUE`",
        ),
        ('[[agent.choose]]\nagent = "codx"\n', 2, "agent.choose[0].agent", "name one of opencode"),
        ('[agent]\nmodel = "m"\nprovider = "x"\n', 3, "agent.provider", "write the table"),
        ('[verification]\ntests = "t"\negress = ["npm"]\n', 3, "verification.egress", "set gateway.registries.npm"),
        (f'{REPOSITORY}[repository."A/b"]\n', 2, 'repository."A/b"', "change repository"),
        *(
            (f'[collection]\nschedule = "{text}"\n', 2, "collection.schedule", "change it, as with `squire config set")
            for text in ("61 * * * *", "0 0 31 2 *", "@reboot", "* * * * * *")
        ),
        ("[sources.jira]\n", 1, "sources.jira", "rename or remove sources.jira"),
        ("[webhooks]\nport = 3000\n", 2, "webhooks.port", "change webhooks.port"),
    ],
)
def test_the_key_its_line_and_what_to_do_are_told(config: Path, text: str, line: int, key: str, hint: str) -> None:
    error = refused(config, text)
    assert error.message.startswith(f"{config}, line {line}: ")
    assert error.context["key"] == key
    assert error.hint.startswith(hint)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("dispatch = 3\n", "dispatch = 3: a table belongs here"),
        ('repositories = "a/b"\n', "repositories = 'a/b': a list belongs here"),
        ("[agent]\nmodel = 3\n", "agent.model = 3: a text belongs here, in quotes"),
        ('[dispatch]\nmax_attempts = "many"\n', "dispatch.max_attempts = 'many': a whole number belongs here"),
        ('[verification]\nenabled = "perhaps"\n', "verification.enabled = 'perhaps': true or false belongs here"),
    ],
)
def test_a_value_of_another_type_is_told_in_tomls_words(config: Path, text: str, says: str) -> None:
    assert says in refused(config, text).message


def test_of_several_problems_each_is_told(config: Path) -> None:
    error = refused(config, "[dispatch]\nmax_concurrent = 0\nmax_attempts = 99\n")
    assert error.message.endswith("(and 1 more)")
    assert error.place == "also: dispatch.max_attempts = 99: Input should be less than or equal to 10"


def test_a_variable_that_is_wrong_is_named_and_no_line_of_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_DISPATCH__MAX_CONCURRENT", "many")
    error = refused(config, "[dispatch]\nmax_concurrent = 3\n")
    assert error.message.startswith("environment variable SQUIRE_DISPATCH__MAX_CONCURRENT: ")
    assert error.hint == "change or unset the variable SQUIRE_DISPATCH__MAX_CONCURRENT"


@pytest.mark.parametrize(
    ("name", "similar"),
    [
        ("SQUIRE_DISPATCH_MAX_CONCURRENT", "SQUIRE_DISPATCH__MAX_CONCURRENT"),
        ("SQUIRE_LEDGER_ULR", "SQUIRE_LEDGER_URL"),
        ("SQUIRE_GITHUB_TOKN", "SQUIRE_GITHUB_TOKEN"),
        ("SQUIRE_HOMES", "SQUIRE_HOME"),
    ],
)
def test_a_variable_that_sets_nothing_is_told_with_the_one_that_it_is_like(
    monkeypatch: pytest.MonkeyPatch, name: str, similar: str
) -> None:
    monkeypatch.setenv(name, "1")
    sentence = f"the variable {name} sets nothing, since no setting has this name; {similar} is like it"
    assert list(unknown_variables(Settings)) == [sentence]


def test_every_variable_that_our_code_names_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [
        path
        for folder in ("squire_pipelines", "scripts", "worker-image", "deploy")
        for path in (ROOT / folder).rglob("*")
    ]
    texts = (
        path.read_text(encoding="utf-8", errors="replace") for path in files if path.suffix in {".py", ".sh", ".yaml"}
    )
    names = {name for text in texts for name in re.findall(r"\bSQUIRE_[A-Z0-9_]*[A-Z0-9]\b(?!_)", text)}
    assert len(names) > 30
    for name in names - {"SQUIRE_EGRESS", "SQUIRE_TEST", *RENAMED, *WITHOUT_SETTING}:
        monkeypatch.setenv(name, "1")
    assert list(unknown_variables(Settings)) == []


def test_a_variable_of_the_old_product_still_works_and_its_new_name_is_told(
    monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    monkeypatch.setenv("SQUIRE_MAX_CONCURRENT", "7")
    monkeypatch.setenv("SQUIRE_MODEL", "openai/gpt-5")
    monkeypatch.setenv("SQUIRE_AUTO_CLEANUP", "false")
    config.write_text("[dispatch]\nmax_concurrent = 3\nmax_attempts = 2\n")
    settings = load_settings(config)
    assert (settings.dispatch.max_concurrent, settings.dispatch.max_attempts) == (7, 2)
    assert (settings.agent.model, settings.agent.keep_failed_containers) == ("gpt-5", True)
    assert find_source(("dispatch", "max_concurrent"), {"dispatch": {"max_concurrent": 3}}, os.environ) == (
        "SQUIRE_MAX_CONCURRENT"
    )
    sentences = list(unknown_variables(Settings))
    assert len(sentences) == 3
    assert "SQUIRE_MAX_CONCURRENT is now called SQUIRE_DISPATCH__MAX_CONCURRENT; the old name still works" in (
        " ".join(sentences)
    )
    monkeypatch.setenv("SQUIRE_DISPATCH__MAX_CONCURRENT", "4")
    assert load_settings(config).dispatch.max_concurrent == 4
    assert any("SQUIRE_MAX_CONCURRENT sets nothing, since its new name" in text for text in unknown_variables(Settings))


def test_a_variable_of_the_old_product_that_is_wrong_or_sets_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    monkeypatch.setenv("SQUIRE_MAX_CONCURRENT", "many")
    assert refused(config, "").message.startswith("environment variable SQUIRE_MAX_CONCURRENT: dispatch.max_concurrent")
    monkeypatch.delenv("SQUIRE_MAX_CONCURRENT")
    for name in (*WITHOUT_SETTING, "SQUIRE_SKILLS_DIR", "SQUIRE_MODEL"):
        monkeypatch.setenv(name, "opencode/glm-4.7-free")
    assert load_settings(config).agent.model is None
    sentences = list(unknown_variables(Settings))
    assert len(sentences) == len(WITHOUT_SETTING) + 2
    assert all("sets nothing" in sentence for sentence in sentences)


@pytest.mark.parametrize(
    "name",
    [
        *("SQUIRE_HOME", "SQUIRE_CONFIG", "SQUIRE_LEDGER_URL", "SQUIRE_DISPATCH__MAX_CONCURRENT", "SQUIRE_REPOSITORY"),
        *("SQUIRE_GITHUB_TOKEN", "SQUIRE_GITHUB_TOKEN_FILE", "SQUIRE_CLAUDE_KEY", "SQUIRE_CLAUDE_KEY_FILE"),
        *("SQUIRE_WEBHOOK_SECRET", "SQUIRE_WEBHOOK_SECRET_FILE", "SQUIRE_TEST_WORKERS", "SQUIRE_STEP_CONTAINER"),
        *("SQUIRE_GITHUB_APP_KEY", "SQUIRE_BUILD_NETWORK", "SQUIREL", "squire_logging"),
    ],
)
def test_variables_that_are_ours_are_no_matter(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")
    assert list(unknown_variables(Settings)) == []


@pytest.mark.parametrize(
    "text",
    [
        '[alerts]\nwebhook_url = ["https://hooks.test/hunter2"]',
        '[alerts]\nwebhook_url = "hooks.test/hunter2"',
        '[alerts]\napprise = "slack://hunter2/a"',
        '[alerts]\napprise = ["slack://hunter2/a"]',
        '[tracing]\nendpoint = "https:///hunter2"',
        '[tracing]\nendpoint = "https://traces.test:hunter2"',
        'ledger_url = ["hunter2"]',
        '[providers.c]\nprotocol = "openai"\nsecret = ["hunter2"]',
        '[hooks.ci]\nsecrets = "hunter2 "',
    ],
)
def test_a_value_that_may_be_a_secret_is_repeated_by_no_error(config: Path, text: str) -> None:
    error = refused(config, text)
    assert "hunter2" not in f"{error.message} {error.hint} {error.place} {error.context}"
    assert ", line " in error.message


def test_a_long_value_is_cut(config: Path) -> None:
    error = refused(config, f'[logging]\nlevel = "{"x" * 200_000}"')
    assert len(error.message) < 1000
    assert "200002 characters" in error.message


@pytest.mark.parametrize("key", ["alerts.keep_s", "alerts.max_queued", "alerts.rules.budget.after_s"])
def test_a_boolean_is_no_number(config: Path, key: str) -> None:
    assert "a number belongs here" in refused(config, f"{key} = true").message
