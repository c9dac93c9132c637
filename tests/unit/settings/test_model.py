"""Settings: defaults, the file, the environment over it, and messages that say what to do."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from squire_pipelines.domain.container_limits import parse_size
from squire_pipelines.errors import ConfigError, ExitCode
from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.settings.model import Settings, load_settings


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration file that `SQUIRE_CONFIG` names; a test writes it."""
    path = tmp_path / "config.toml"
    monkeypatch.setenv("SQUIRE_CONFIG", str(path))
    return path


def refused(config: Path, text: str) -> ConfigError:
    config.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert caught.value.hint
    assert caught.value.exit_code is ExitCode.CONFIGURATION
    return caught.value


def test_without_a_file_everything_has_a_default(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings.repositories == ()
    assert (settings.dispatch.max_concurrent, settings.dispatch.max_attempts) == (5, 3)
    assert settings.agent.limits.memory == 4 * 2**30
    assert (settings.webhooks.host, settings.webhooks.port) == ("127.0.0.1", 8471)
    assert settings.resolved_ledger_url == f"sqlite:///{tmp_path / 'home' / 'ledger.sqlite'}"
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("name", ["q?a=b", "q%20y"])
def test_a_home_that_a_ledgers_url_cannot_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("SQUIRE_HOME", str(tmp_path / name))
    with pytest.raises(ConfigError, match=r"has a sign that a ledger's URL cannot have") as caught:
        _ = load_settings().home
    assert caught.value.hint == "set SQUIRE_HOME to another folder"


def test_a_file_sets_what_it_names_and_nothing_else(config: Path) -> None:
    config.write_text(
        """
        repositories = ["acme/shop", "https://github.com/acme/other"]
        ledger_url = "postgresql://db/squire"
        [dispatch]
        max_concurrent = 7
        [agent.limits]
        memory = "8GiB"
        """
    )
    settings = load_settings()
    assert settings.repositories == ("acme/shop", "acme/other")
    assert settings.resolved_ledger_url == "postgresql://db/squire"
    assert (settings.dispatch.max_concurrent, settings.dispatch.max_attempts) == (7, 3)
    assert (settings.agent.limits.memory, settings.agent.limits.pids) == (8 * 2**30, 256)


def test_a_file_given_by_name_wins_over_the_variable(config: Path, tmp_path: Path) -> None:
    config.write_text("[dispatch]\nmax_concurrent = 7\n")
    other = tmp_path / "other.toml"
    other.write_text("[dispatch]\nmax_concurrent = 8\n")
    assert load_settings(other).dispatch.max_concurrent == 8


def test_the_file_in_the_home_is_read_when_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text("[dispatch]\nmax_concurrent = 9\n")
    assert load_settings().dispatch.max_concurrent == 9


def test_the_environment_wins_over_the_file_key_by_key(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('repositories = ["a/b"]\n[dispatch]\nmax_concurrent = 7\nmax_attempts = 2\n')
    monkeypatch.setenv("SQUIRE_DISPATCH__MAX_CONCURRENT", "9")
    monkeypatch.setenv("SQUIRE_AGENT__LIMITS__MEMORY", "6GiB")
    monkeypatch.setenv("SQUIRE_REPOSITORIES", '["c/d"]')
    monkeypatch.setenv("SQUIRE_LEDGER_URL", "sqlite:////x/y")
    settings = load_settings()
    assert (settings.dispatch.max_concurrent, settings.dispatch.max_attempts) == (9, 2)
    assert settings.agent.limits.memory == 6 * 2**30
    assert settings.repositories == ("c/d",)
    assert settings.resolved_ledger_url == "sqlite:////x/y"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("colour = 1", "unknown key 'colour'"),
        ("_cli_parse_args = true", "unknown key '_cli_parse_args'"),  # pydantic-settings has a parameter of this name
        ("[dispatch]\nmax_concurent = 1", "unknown key 'dispatch.max_concurent', which may stand for 'max_concurrent'"),
        ("[colection]\nttl_s = 1", "unknown key 'colection', which may stand for 'collection'"),
        ('[collection]\nschedule = "0 3 * * *"\nquiet_hours = "22:00-06:00"', "nothing would ever be read"),
        ('[collection]\ninterval_s = 86400\nquiet_hours = "22:00-06:00"', "nothing would ever be read"),
        ("[dispatch]\nmax_concurrent = 0", "dispatch.max_concurrent = 0: Input should be greater than or equal to 1"),
        ("[dispatch]\nmax_concurrent = 1001", "less than or equal to 1000"),
        ('[planner]\nkind = "magic"', "planner.kind = 'magic': Input should be 'auto', 'rules' or 'llm'"),
        ("[github]\ntimeout_s = 0", "github.timeout_s = 0: Input should be greater than 0"),
        ("[github]\ntimeout_s = inf", "github.timeout_s = inf: Input should be a finite number"),
        ("[github]\nmin_write_interval_s = nan", "github.min_write_interval_s = nan"),
        ('[agent.limits]\nmemory = "4 GB"', "agent.limits.memory = '4 GB': a size is a number of bytes"),
        ('[agent.limits]\nmemory = "much"', "for example 512MiB"),
        ('[agent.limits]\nmemory = "1MiB"', "greater than or equal to 67108864"),
        ("[agent.limits]\nworkspace = -1", "agent.limits.workspace = -1"),
        ('repositories = ["acme"]', "'acme' is not a repository name: expected owner/name"),
        ('[repository."acme"]', "'acme' is not a repository name"),
        ('[repository."a/b"]\ncolour = 1', "unknown key 'repository.a/b.colour'"),
        ("[dispatch]\nmax_concurrent = 0\nmax_attempts = 0", "(and 1 more)"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_bound_and_the_file(config: Path, text: str, says: str) -> None:
    error = refused(config, text)
    assert says in error.message
    assert error.message.startswith(f"{config}, line ")
    assert error.hint.startswith(("change it, as with `squire config set ", "rename ", "remove it; ", "change "))


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("SQUIRE_DISPATCH__MAX_CONCURRENT", "many", "environment variable SQUIRE_DISPATCH__MAX_CONCURRENT"),
        ("SQUIRE_DISPATCH__MAX_CONCURENT", "3", "unknown key"),
        ("SQUIRE_DISPACH__MAX_CONCURRENT", "3", "names the section 'dispach', which does not exist"),
        ("SQUIRE_REPOSITORIES", "a/b,c/d", "repositories"),
        ("SQUIRE_DISPATCH", "{", "dispatch"),
    ],
)
def test_a_wrong_variable_is_named_though_a_file_is_there(
    config: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    error = refused(config, "[planner]\nmax_tasks = 5\n")
    assert says in error.message
    assert error.message.startswith("environment") or name == "SQUIRE_DISPATCH__MAX_CONCURENT"


@pytest.mark.parametrize("name", ["SQUIRE_GITHUB_TOKEN", "SQUIRE_HOME", "SQUIRE_MODEL_KEY"])
def test_variables_that_are_no_settings_are_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "/somewhere")
    assert load_settings() == Settings()


@pytest.mark.parametrize("content", [b"[dispatch\nx = 1", b"x = ", b"\xff\xfe\x00"])
def test_a_file_that_is_no_toml_is_named_with_the_place(config: Path, content: bytes) -> None:
    config.write_bytes(content)
    with pytest.raises(ConfigError, match="is not valid TOML") as caught:
        load_settings()
    assert str(config) in caught.value.message
    assert "squire init" in caught.value.hint


def test_a_named_file_that_does_not_exist_is_an_error(config: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist") as caught:
        load_settings()
    assert str(config) in caught.value.message
    assert "SQUIRE_CONFIG" in caught.value.hint


def test_the_old_products_settings_are_named_with_the_page_about_them(config: Path, tmp_path: Path) -> None:
    steward = tmp_path / "steward.yaml"
    steward.write_text("signals:\n  files: [signals/tasks.md]\n")
    with pytest.raises(ConfigError, match="is not valid TOML") as named:
        load_settings(steward)
    config.with_name("steward.yml").write_text("signals: {}\n")
    with pytest.raises(ConfigError, match="does not exist") as beside:
        load_settings()
    for caught in (named, beside):
        assert "docs/guide/coming-from-the-old-squire.md" in caught.value.hint
        assert "steward.y" in caught.value.hint


def test_a_file_that_cannot_be_read_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.symlink_to("/proc/self/mem")  # is there, and gives an error to whoever reads it

    def is_file(_path: Path) -> bool:
        return True

    monkeypatch.setattr(Path, "is_file", is_file)
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        load_settings()
    assert "owner and mode" in caught.value.hint


def test_what_is_no_file_is_not_taken_for_settings_that_say_nothing(config: Path) -> None:
    config.mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        load_settings()
    config.rmdir()
    config.symlink_to("gone.toml")
    with pytest.raises(ConfigError, match=r"is a link to gone\.toml, which is not there"):
        load_settings()
    config.unlink()
    os.mkfifo(config)
    with pytest.raises(ConfigError, match="is no regular file"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("SQUIRE_REPOSITORIES", "acme/shop", "repositories"),
        ("SQUIRE_FILTERS__SOURCES", '["open_prs"', "filters.sources"),
    ],
)
def test_a_variable_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, key: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"environment variable {name}: {key} is no JSON") as caught:
        load_settings()
    assert "unset the variable" in caught.value.hint


def test_a_tilde_in_the_variable_is_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SQUIRE_CONFIG", "~/mine.toml")
    (tmp_path / "mine.toml").write_text("[dispatch]\nmax_concurrent = 4\n")
    assert load_settings().dispatch.max_concurrent == 4


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("512", 512),
        ("512b", 512),
        ("1k", 1024),
        ("1 KiB", 1024),
        ("2M", 2 * 2**20),
        ("1.5 GiB", 3 * 2**29),
        (" 4gib ", 4 * 2**30),
        (77, 77),
        (None, None),
    ],
)
def test_sizes_are_bytes_or_have_a_binary_unit(value: object, size: object) -> None:
    assert parse_size(value) == size


@pytest.mark.parametrize("value", ["", "GiB", "4GB", "4 TiB", "-1k", "1,5k", "1e3"])
def test_other_units_are_refused_with_an_example(value: str) -> None:
    with pytest.raises(ValueError, match="512MiB"):
        parse_size(value)


def test_one_repositorys_overrides_change_only_what_they_name(config: Path) -> None:
    config.write_text(
        """
        repositories = ["acme/shop", "acme/quiet"]
        [agent]
        model = "big"
        [repository."acme/shop"]
        issue_labels = ["robot"]
        [repository."acme/shop".agent]
        model = "small"
        [repository."acme/shop".agent.limits]
        memory = "5GiB"
        [repository."acme/shop".policy]
        max_files = 3
        [repository."acme/shop".follow]
        max_fixes = 1
        [repository."acme/quiet"]
        issue_labels = []
        """
    )
    settings = load_settings()
    shop, other = settings.agent_for("acme/shop"), settings.agent_for("acme/other")
    assert (shop.model, shop.limits.memory, shop.limits.pids) == ("small", 5 * 2**30, 256)
    assert other is settings.agent
    assert (other.model, other.limits.memory) == ("big", 4 * 2**30)
    assert settings.policy_for("acme/shop").max_files == 3
    assert settings.policy_for("acme/shop").max_changed_lines == settings.policy.max_changed_lines
    assert settings.policy_for("acme/other") is settings.policy
    assert [settings.follow_for(name).rules.max_fixes for name in ("acme/shop", "acme/other")] == [1, 3]
    labels = [settings.issue_labels_for(name) for name in ("acme/shop", "acme/quiet", "acme/other")]
    assert labels == [("robot",), (), ("squire",)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[repository."a/b".agent]\nmodell = "x"', "[repository.\"a/b\".agent]: unknown key 'modell'"),
        ('[repository."a/b".agent.limits]\nmemory = "4 GB"', "limits.memory = '4 GB'"),
        ('[repository."a/b".agent]\nlimits = 3', '[repository."a/b".agent]: limits = 3'),
        ('[repository."a/b".policy]\nmax_files = 0', '[repository."a/b".policy]: max_files = 0'),
        ('[repository."a/b".verification]\ntimeout_s = 0', '[repository."a/b".verification]: timeout_s = 0'),
        ('[repository."a/b".gateway]\negress = ["npm"]', "egress names 'npm', which is not among gateway.registries"),
        ('[repository."a/b".budgets.day]\nusd = 1', "repository.a/b.budgets: day is for all repositories together"),
        ('[repository."a/b".verification]\negress = ["npm"]', "[repository.\"a/b\".verification]: egress names 'npm'"),
        (
            '[verification]\negress = ["npm"]',
            "[verification]: egress names 'npm', which is not among gateway.registries",
        ),
    ],
)
def test_wrong_overrides_are_found_when_the_settings_are_read(config: Path, text: str, says: str) -> None:
    assert says in refused(config, f'repositories = ["a/b"]\n{text}').message


ALLOW = "[gateway]\nallow_private = true\n"
ALIAS = 'repository."a/b".gateway.aliases.b = "c"'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[agent]\nkind = "command"', '[agent]: kind = "command" needs a command'),
        (
            'repositories = ["a/b", "c/d"]\n[agent]\nkind = "command"\n[repository."a/b".agent]\ncommand = ["true"]',
            '[repository."c/d".agent]: kind = "command" needs a command',
        ),
        (
            'repositories = ["a/b"]\n[repository."a/b".agent]\nkind = "command"',
            '[repository."a/b".agent]: kind = "command" needs a command',
        ),
        ('[gateway.aliases]\nb = "c"', "[gateway]: aliases.b stands for 'c', which no agent may use"),
        (
            'repositories = ["a/b", "c/d"]\nrepository."c/d".agent.model = "c"\n' + ALIAS,
            "[repository.\"a/b\".gateway]: aliases.b stands for 'c'",
        ),
    ],
)
def test_what_sections_lack_together_is_found_when_the_settings_are_read(config: Path, text: str, says: str) -> None:
    assert says in refused(config, text).message


def test_what_each_repository_has_need_not_stand_in_the_general_sections(config: Path) -> None:
    config.write_text(
        """
        repositories = ["a/b", "c/d"]
        [agent]
        kind = "command"
        [gateway]
        models = ["m"]
        aliases = {small = "m", large = "n"}
        [repository."a/b".agent]
        command = ["true"]
        [repository."c/d".agent]
        kind = "opencode"
        model = "n"
        """
    )
    assert load_settings().agent_for("a/b").command == ("true",)


def test_a_setup_may_read_a_registry_that_is_named_for_its_repository_alone(config: Path) -> None:
    config.write_text(
        """
        repositories = ["a/b"]
        [repository."a/b".verification]
        egress = ["npm"]
        [repository."a/b".gateway.registries.npm]
        base_url = "https://registry.example.com"
        """
    )
    assert load_settings().gateway_settings_for("a/b").registries["npm"].base_url == "https://registry.example.com/"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('repositories = ["a/b", "c/d", "A/B"]', "repositories name the same repository twice: 'a/b' and 'A/B'"),
        ('repositories = ["a/b", "https://github.com/a/b"]', "repositories name the same repository twice"),
        ('[repository."a/b"]\n[repository."a/B"]', "the tables [repository] name the same repository twice"),
        ('[repository."c/d"]', "[repository.\"c/d\"] is for 'c/d', which is not among repositories"),
        ('repositories = ["a/b"]\n[repository."A/b"]', "is for 'A/b', which repositories spell 'a/b'"),
    ],
)
def test_a_repository_is_named_once_and_in_one_spelling(config: Path, text: str, says: str) -> None:
    assert says in refused(config, text).message


def test_a_repositorys_overrides_hold_however_its_name_is_written(config: Path) -> None:
    config.write_text('repositories = ["Acme/Shop"]\n[repository."Acme/Shop".agent]\nmodel = "small"\n')
    settings = load_settings()
    assert settings.agent_for("acme/shop").model == settings.agent_for("Acme/Shop").model == "small"
    assert (settings.spelling_of("ACME/shop"), settings.spelling_of("acme/other")) == ("Acme/Shop", None)


def test_the_planner_that_asks_a_model_needs_one(config: Path) -> None:
    assert 'kind = "llm" needs a model' in refused(config, '[planner]\nkind = "llm"').message
    config.write_text('[planner]\nkind = "llm"\nmodel = "openai:gpt-5"')
    assert load_settings().planner.model == "openai:gpt-5"


@pytest.mark.parametrize("model", ["gpt-5", ":gpt-5", "openai:"])
def test_the_planners_model_has_a_provider_or_an_endpoint(config: Path, model: str) -> None:
    assert "is no provider:model" in refused(config, f'[planner]\nmodel = "{model}"').message
    config.write_text(f'[planner]\nmodel = "{model}"\nbase_url = "http://127.0.0.1:11434/v1"')
    assert load_settings().planner.model == model


@pytest.mark.parametrize("section", ["gateway", "verification"])
@pytest.mark.parametrize("address", ["127.0.0.1:8080", "10.0.0.5", "[::1]", "169.254.169.254", "224.0.0.1"])
def test_a_registry_that_no_container_may_reach_is_refused(config: Path, section: str, address: str) -> None:
    registry = f'[gateway.registries.own]\nbase_url = "http://{address}/simple"\n'
    text = f'[{section}]\negress = ["own"]\n{registry}'
    assert "is not public" in refused(config, text).message
    allowed = text.replace("egress", "allow_private = true\negress") if section == "gateway" else f"{text}{ALLOW}"
    config.write_text(allowed)
    assert load_settings().gateway.allow_private


@pytest.mark.parametrize(
    ("api", "graphql"),
    [
        ("https://api.github.com", "https://api.github.com/graphql"),
        ("https://api.github.com/", "https://api.github.com/graphql"),
        ("https://ghe.example.org/api/v3", "https://ghe.example.org/api/graphql"),
        ("https://ghe.example.org/api/v3/", "https://ghe.example.org/api/graphql"),
        ("http://127.0.0.1:9", "http://127.0.0.1:9/graphql"),
    ],
)
def test_the_graphql_endpoint_follows_from_the_rest_one(api: str, graphql: str) -> None:
    assert GitHubSettings(api_url=api).graphql_url == graphql


def test_settings_cannot_be_changed() -> None:
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.repositories = ("a/b",)  # type: ignore[misc] # what must not be
