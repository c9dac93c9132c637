"""The tables `[providers.NAME]`: who uses which, what is refused, and what goes on without any."""

import tomllib
from pathlib import Path

import pytest

from squire_pipelines.domain.provider_faults import FaultKind
from squire_pipelines.errors import ConfigError
from squire_pipelines.gateway.clouds.cloud import Cloud, Platform
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.settings.model import load_settings
from squire_pipelines.settings.provider_uses import provider_uses

TWO = """
repositories = ["a/b", "a/c"]
[providers.claude]
protocol = "anthropic"
[providers.gpt]
protocol = "openai"
secret = "work-token"
models = ["small"]
aliases = {fast = "small"}
prices = {small = {input = 1, output = 2}}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setenv("SQUIRE_CONFIG", str(path))
    return path


def refusal(config: Path, text: str) -> str:
    config.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert caught.value.hint
    return str(caught.value)


def test_planner_and_each_repositorys_agent_name_their_own(config: Path) -> None:
    config.write_text(
        TWO
        + '[planner]\nprovider = "gpt"\nmodel = "big"\n[agent]\nprovider = "claude"\nmodel = "haiku"\n'
        + '[repository."a/c".agent]\nprovider = "gpt"\nmodel = "big"\n'
    )
    settings = load_settings()
    planner, agent, other = (
        settings.planner_providers()[0],
        settings.agent_provider("a/b"),
        settings.agent_provider("a/c"),
    )
    assert (agent.name, agent.protocol, agent.base_url) == (
        "claude",
        Protocol.ANTHROPIC,
        "https://api.anthropic.com/v1",
    )
    assert (agent.secret, planner.secret) == ("claude-key", "work-token")
    assert other == planner
    assert (other.models, other.aliases, other.prices["small"].output) == (("small",), {"fast": "small"}, 2)
    assert agent.models == ()
    assert set(settings.provider_secrets) == {"model-key", "claude-key", "work-token"}
    uses = [(use.user, use.provider.name, use.model, use.repositories) for use in provider_uses(settings)]
    assert uses == [
        ("planner", "gpt", "big", ()),
        ("agent", "claude", "haiku", ("a/b",)),
        ("agent", "gpt", "big", ("a/c",)),
    ]


def test_without_a_table_everything_is_as_it_was(config: Path) -> None:
    config.write_text('[planner]\nbase_url = "http://127.0.0.1:1/v1"\n[gateway]\nmodels = ["m"]\n')
    settings = load_settings()
    agent, planner = settings.agent_provider("a/b"), settings.planner_providers()[0]
    assert (agent.name, agent.protocol, agent.secret) == ("default", None, "model-key")
    assert agent.base_url == planner.base_url == "http://127.0.0.1:1/v1"
    assert agent.models == ("m",)
    assert not agent.needs_key
    config.write_text("")
    assert load_settings().agent_provider("a/b").base_url == "https://api.openai.com/v1"
    assert load_settings().agent_provider("a/b").needs_key
    assert load_settings().planner_providers()[0].base_url is None


def test_a_key_is_needed_at_a_company_and_where_it_is_named(config: Path) -> None:
    config.write_text(
        '[providers.a]\nprotocol = "gemini"\n[providers.b]\nprotocol = "openai"\nbase_url = "http://127.0.0.1:1/v1"\n'
        '[providers.c]\nprotocol = "openai"\nbase_url = "http://127.0.0.1:1/v1"\nsecret = "c-key"\n[planner]\n'
    )
    needed = {}
    for name in ("a", "b", "c"):
        config.write_text(config.read_text().partition("[planner]")[0] + f'[planner]\nprovider = "{name}"\n')
        needed[name] = load_settings().planner_providers()[0].needs_key
    assert needed == {"a": True, "b": False, "c": True}


def test_a_repositorys_own_word_on_where_the_model_is_replaces_the_general_one(config: Path) -> None:
    own = '[repository."a/c".agent]\n'
    config.write_text(TWO + f'[agent]\nprovider = "claude"\n{own}base_url = "http://127.0.0.1:1/v1"\n')
    assert load_settings().agent_provider("a/c").base_url == "http://127.0.0.1:1/v1"
    assert load_settings().agent_provider("a/c").name == "default"
    config.write_text(TWO + f'[agent]\nbase_url = "http://127.0.0.1:1/v1"\n{own}provider = "claude"\n')
    assert load_settings().agent_provider("a/c").name == "claude"


def test_the_environment_sets_a_provider(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("")
    monkeypatch.setenv("SQUIRE_PROVIDERS__CLAUDE__PROTOCOL", "anthropic")
    monkeypatch.setenv("SQUIRE_AGENT__PROVIDER", "claude")
    monkeypatch.setenv("SQUIRE_CLAUDE_KEY", "k" * 20)
    assert load_settings().agent_provider("a/b").secret == "claude-key"


CLOUDS = """
[providers.aws]
protocol = "anthropic"
platform = "bedrock"
region = "eu-central-1"
profile = "work"
[providers.google]
protocol = "gemini"
platform = "vertex"
region = "global"
project = "my-project"
"""


def test_a_platforms_provider_has_an_address_and_no_key(config: Path) -> None:
    config.write_text(CLOUDS + '[agent]\nprovider = "aws"\nmodel = "a"\n[planner]\nprovider = "google"\nmodel = "g"\n')
    settings = load_settings()
    agent, planner = settings.agent_provider("a/b"), settings.planner_providers()[0]
    assert agent.base_url == "https://bedrock-runtime.eu-central-1.amazonaws.com"
    place = "https://aiplatform.googleapis.com/v1/projects/my-project/locations/global/publishers/google"
    assert planner.base_url == place
    assert agent.cloud == Cloud(Platform.BEDROCK, "eu-central-1", profile="work")
    assert not agent.needs_key
    assert not planner.needs_key
    assert settings.provider_secrets == ("model-key",)
    assert "the AWS credentials of the profile work" in agent.words.describe(FaultKind.KEY, "403", "a").message


def test_an_address_of_the_users_may_stand_for_a_platform(config: Path) -> None:
    config.write_text(CLOUDS.replace('region = "eu', 'base_url = "https://vpce.example"\nregion = "eu'))
    assert load_settings().providers["aws"].base_url == "https://vpce.example"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[providers.a]\nprotocol = "anthropic"\nplatform = "bedrock"\n', 'needs region, like region = "eu-central-1"'),
        ('[providers.a]\nprotocol = "gemini"\nplatform = "vertex"\nregion = "eu"\n', "needs project"),
        (
            '[providers.a]\nprotocol = "gemini"\nplatform = "bedrock"\nregion = "eu-central-1"\n',
            'platform = "bedrock" is served with protocol = "anthropic"',
        ),
        (
            '[providers.a]\nprotocol = "anthropic"\nplatform = "bedrock"\nregion = "eu-central-1"\nsecret = "a-key"\n',
            "remove `secret`",
        ),
        ('[providers.a]\nprotocol = "anthropic"\nregion = "eu"\n', 'region = "eu" is of no use with platform = none'),
        ('[providers.a]\nprotocol = "anthropic"\nplatform = "bedrock"\nregion = "EU 1"\n', "not a region of a cloud"),
        ('[agent]\nprovider = "claud"\n', "[agent]: provider = 'claud' names no table [providers.claud]"),
        ('[planner]\nprovider = "none"\n', "[planner]: provider = 'none' names no table"),
        ('[repository."a/b".agent]\nprovider = "x"\n', "[repository.\"a/b\".agent]: provider = 'x' names no table"),
        (
            '[agent]\nprovider = "claude"\nbase_url = "http://127.0.0.1:1/v1"\n',
            "both say where the model is (remove one of them; the address of a provider is base_url in [providers.c",
        ),
        ('[planner]\nprovider = "gpt"\nmodel = "openai:big"\n', 'set model = "big"'),
        ('[agent]\nprovider = "default"\n', "stands for agent.base_url and planner.base_url"),
        ('[providers.Big]\nprotocol = "openai"\n', "small letters, digits and single hyphens"),
        ('[providers."a--b"]\nprotocol = "openai"\n', "small letters, digits and single hyphens"),
        ('[providers.default]\nprotocol = "openai"\n', "choose another"),
        ("[providers.x]\n", "providers.x needs protocol"),
        ('[providers.x]\nprotocol = "grpc"\n', "'openai', 'anthropic' or 'gemini'"),
        (
            '[providers.x]\nprotocol = "openai"\nbase_url = "https://api.anthropic.com/v1"\n',
            'https://api.anthropic.com/v1 speaks anthropic, and protocol = "openai"',
        ),
        (
            '[providers.x]\nprotocol = "anthropic"\nbase_url = "https://api.openai.com/v1"\n',
            'speaks openai, and protocol = "anthropic"',
        ),
        (
            '[providers.x]\nprotocol = "anthropic"\nbase_url = "https://models.test/anthropic"\n',
            "ends with /v1, since requests go to the paths below it: https://models.test/anthropic/v1",
        ),
        ('[providers.x]\nprotocol = "gemini"\nbase_url = "https://models.test/v1"\n', "ends with /v1beta"),
        ('[providers.x]\nprotocol = "openai"\nsecret = "github-token"\n', "would be sent to the provider"),
        ('[providers.x]\nprotocol = "openai"\nsecret = "SQUIRE_KEY"\n', "ends with -key or -token"),
        ('[providers.model]\nprotocol = "openai"\n', "the secret model-key is another's"),
        ('[providers.github-app]\nprotocol = "openai"\n', "the secret github-app-key is another's"),
        ('[providers.x]\nprotocol = "openai"\naliases = {a = "b"}\n', "[providers.x]: aliases.a stands for 'b'"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(config: Path, text: str, says: str) -> None:
    assert says in refusal(config, TWO + text)


@pytest.mark.parametrize("key", ["sk-ant-api03-" + "Ab1" * 20, "0f" * 16])
def test_a_key_that_stands_where_its_name_belongs_is_not_repeated(config: Path, key: str) -> None:
    text = refusal(config, f'[providers.x]\nprotocol = "openai"\nsecret = "{key}"\n')
    assert key not in text
    assert "providers.x.secret: this is the name of a secret, not the secret itself" in text
    assert "`squire secrets set claude-key`" in text


def test_a_key_that_stands_in_another_setting_is_hidden(config: Path) -> None:
    key = "sk-ant-api03-" + "Ab1" * 20
    for line in (f'provider = "{key}"', f'kind = "{key}"', f"model = ['{key}']"):
        assert key not in refusal(config, f"[agent]\n{line}\n")


def test_googles_endpoint_for_openais_protocol_is_taken(config: Path) -> None:
    config.write_text(
        '[providers.x]\nprotocol = "openai"\nbase_url = "https://generativelanguage.googleapis.com/v1beta/openai"\n'
    )
    assert load_settings().providers["x"].protocol is Protocol.OPENAI


SEVERAL = """
repositories = ["a/b", "a/c"]
[providers.claude]
protocol = "anthropic"
aliases = {sonnet = "claude-sonnet-4-5"}
models = ["claude-sonnet-4-5"]
[providers.claude-eu]
protocol = "anthropic"
base_url = "http://127.0.0.1:9/v1"
aliases = {sonnet = "eu.sonnet"}
models = ["eu.sonnet"]
[providers.gpt]
protocol = "openai"
[agent]
kind = "claude-code"
model = "sonnet"
"""


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ('"claude-eu"', ["claude-eu"]),
        ('["claude-eu", "claude"]', ["claude-eu", "claude"]),
        ("{claude = 1, claude-eu = 3}", ["claude-eu", "claude"]),
    ],
)
def test_an_agent_names_one_provider_or_several(config: Path, choice: str, names: list[str]) -> None:
    config.write_text(f"{SEVERAL}provider = {choice}\n")
    settings = load_settings()
    assert [provider.name for provider in settings.agent_providers("a/b")] == names
    assert settings.agent.model_dump(mode="json")["provider"] == tomllib.loads(f"a = {choice}")["a"]
    assert settings.agent_provider("a/b").name == names[0]
    assert {use.provider.name for use in provider_uses(settings)} == set(names)
    orders = {tuple(p.name for p in settings.agent_providers("a/b", f"t{number}-1")) for number in range(50)}
    assert orders == ({("claude", "claude-eu"), ("claude-eu", "claude")} if "{" in choice else {tuple(names)})
    aliases = {provider.name: provider.aliases["sonnet"] for provider in settings.agent_providers("a/b")}
    assert aliases["claude-eu"] == "eu.sonnet"


def test_a_repositorys_weights_replace_those_of_all(config: Path) -> None:
    config.write_text(
        f'{SEVERAL}provider = {{claude = 1, claude-eu = 3}}\n[repository."a/c".agent]\nprovider = {{claude = 2}}\n'
    )
    assert [provider.name for provider in load_settings().agent_providers("a/c")] == ["claude"]


def test_a_variable_names_one_or_several(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text(SEVERAL)
    monkeypatch.setenv("SQUIRE_AGENT__PROVIDER", "claude")
    assert load_settings().agent.provider == "claude"
    monkeypatch.setenv("SQUIRE_AGENT__PROVIDER", '["claude", "claude-eu"]')
    assert load_settings().agent.provider == ("claude", "claude-eu")


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ('["claude", "gpt"]', "the providers claude and gpt speak anthropic and openai"),
        ('["claude", "claude"]', "agent.provider = ['claude', 'claude']: it names the same provider twice"),
        ('["claude", "other"]', "provider = 'other' names no table [providers.other]"),
        ("[]", 'several as ["first", "second"]'),
        ("3", 'agent.provider = 3: name a provider, several as ["first", "second"]'),
        ("{claude = 0}", "the weight of claude is no whole number from 1 to 1000"),
        ("{claude = true}", "the weight of claude is no whole number"),
        ('["default"]', "this name stands for agent.base_url"),
    ],
)
def test_what_is_wrong_with_several_is_told(config: Path, choice: str, message: str) -> None:
    assert message in refusal(config, f"{SEVERAL}provider = {choice}\n")
