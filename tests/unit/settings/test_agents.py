"""The tables `[agents.NAME]` and the rules of `[agent]`: what they make of an agent, and what is refused."""

from pathlib import Path

import pytest

from squire_pipelines.domain.agent_choice import AgentOrder, TaskTraits, choose_agent
from squire_pipelines.errors import ConfigError
from squire_pipelines.settings.model import Settings, load_settings
from squire_pipelines.settings.provider_uses import provider_uses

SEVERAL = """
repositories = ["a/b", "a/c"]
[providers.claude]
protocol = "anthropic"
[providers.gpt]
protocol = "openai"
[agent]
provider = "gpt"
model = "mini"
image = "tools:1"
fallback = ["codex"]
[[agent.choose]]
labels = ["hard"]
agent = "claude-code"
model = "opus"
[[agent.choose]]
kinds = ["fix_ci"]
agent = { codex = 3, cheap = 1 }
[agents.claude-code]
provider = "claude"
model = "sonnet"
limits = { memory = "8GiB" }
[agents.cheap]
model = "nano"
[repository."a/c".agent]
choose = []
[repository."a/c".agents.codex]
model = "big"
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    monkeypatch.setenv("SQUIRE_CONFIG", str(path))
    return path


def agent(settings: Settings, repository: str, **traits: object) -> tuple[str, str | None, str | None, str]:
    """Return kind, model and provider of the agent that a task gets, and its image."""
    task = TaskTraits("t1", repository, **{"kind": "other", **traits})  # type: ignore[arg-type] # by name
    choice = choose_agent(task, settings.choice_rules(repository))
    settled = settings.agent_for(repository, choice)
    assert settings.agent_provider(repository, choice).name == settled.provider
    return settled.kind, settled.model, settled.provider, settled.worker_image


def test_each_task_has_the_agent_of_its_rule(config: Path) -> None:
    config.write_text(SEVERAL)
    settings = load_settings()
    assert agent(settings, "a/b") == ("opencode", "mini", "gpt", "tools:1")
    hard = agent(settings, "a/b", labels=frozenset({"hard"}))
    assert hard == ("claude-code", "opus", "claude", "squire-worker-claude-code:latest")
    assert agent(settings, "a/b", kind="fix_ci") in {
        ("codex", "mini", "gpt", "squire-worker-codex:latest"),
        ("opencode", "nano", "gpt", "tools:1"),
    }
    assert agent(settings, "a/b", agent_failures=2)[:2] == ("codex", "mini")
    assert agent(settings, "a/b", order=AgentOrder(agent="claude-code"))[:2] == ("claude-code", "sonnet")


def test_a_repository_has_rules_and_agents_of_its_own(config: Path) -> None:
    config.write_text(SEVERAL)
    settings = load_settings()
    assert agent(settings, "a/c", labels=frozenset({"hard"}))[:2] == ("opencode", "mini")
    assert agent(settings, "a/c", agent_failures=2)[:2] == ("codex", "big")
    assert {choice.agent for _, choice in settings.every_choice} == {"opencode", "claude-code", "codex", "cheap"}


def test_limits_of_an_agent_are_put_over_the_general_ones(config: Path) -> None:
    config.write_text(SEVERAL)
    settings = load_settings()
    (hard,) = (choice for choice in settings.possible_choices("a/b") if choice.agent == "claude-code")
    limits = settings.agent_for("a/b", hard).limits
    assert (limits.memory, limits.cpus) == (8 * 2**30, settings.agent.limits.cpus)


def test_the_table_of_the_default_agent_counts_for_it(config: Path) -> None:
    config.write_text('[agents.opencode]\nmodel = "own"\n[agents.codex]\nmodel = "gpt"\n')
    assert load_settings().agent_for("a/b").model == "own"
    config.write_text('[agent]\nkind = "codex"\n' + config.read_text())
    assert load_settings().agent_for("a/b").model == "gpt"


def test_every_model_that_a_task_may_get_is_known_before(config: Path) -> None:
    config.write_text(SEVERAL)
    uses = {(use.provider.name, use.model, use.repositories, use.kinds) for use in provider_uses(load_settings())}
    assert uses == {
        ("gpt", "mini", ("a/b", "a/c"), ("opencode", "codex")),
        ("claude", "opus", ("a/b",), ("claude-code",)),
        ("gpt", "nano", ("a/b", "a/c"), ("opencode",)),
        ("gpt", "big", ("a/c",), ("codex",)),
        ("claude", "sonnet", ("a/b", "a/c"), ("claude-code",)),
    }


def test_the_model_of_an_agent_that_only_an_order_names_is_known_before(config: Path) -> None:
    config.write_text(
        '[providers.gpt]\nprotocol = "openai"\n[providers.own]\nprotocol = "openai"\n'
        '[agent]\nprovider = "gpt"\nmodel = "mini"\n[agents.codex]\nprovider = "own"\nmodel = "big"\n'
        '[agents.lint]\nkind = "command"\ncommand = ["true"]\n'
    )
    uses = [(use.provider.name, use.model, use.kinds) for use in provider_uses(load_settings())]
    assert uses == [("gpt", "mini", ("opencode",)), ("own", "big", ("codex",))], "the command calls none"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '[[agent.choose]]\nagent = "codex"\n[[agent.choose]]\nagent = "claud-code"\n',
            "[agent] choose, rule 2: there is no agent 'claud-code'; 'claude-code' is like it",
        ),
        ('[agent]\nfallback = ["cheap"]\n', "[agent] fallback: there is no agent 'cheap'"),
        (
            'repositories = ["a/b"]\n[[repository."a/b".agent.choose]]\nagent = { codx = 1, pi = 2 }\n',
            "[repository.\"a/b\".agent] choose, rule 1: there is no agent 'codx'; 'codex' is like it",
        ),
        (
            '[[agent.choose]]\nagent = { codex = 1, pi = 2 }\nmodel = "m"\n',
            "model = 'm' is for one agent, and agent has 2: set the model of each in its table [agents.NAME]",
        ),
        ('[[agent.choose]]\nagent = "codex"\nkinds = ["fix"]\n', "agent.choose, rule 1: kinds = 'fix'"),
        ("[[agent.choose]]\nagent = { codex = 0 }\n", "agent.choose, rule 1: agent.codex = 0"),
        ("[[agent.choose]]\nagent = {}\n", "agent.choose, rule 1: agent"),
        (
            '[[agent.choose]]\nagent = "pi"\n[[agent.choose]]\nagent = "codex"\nkinds = "fix_ci"\n',
            "agent.choose, rule 2: kinds = 'fix_ci': kinds is a list: kinds = [\"fix_ci\"]",
        ),
        ('[[agent.choose]]\nagent = "codex"\nlabels = "hard"\n', "rule 1: labels = 'hard': labels is a list"),
        ('[agent.choose]\nagent = "codex"\n', "agent.choose: it is a list of rules: write [[agent.choose]] above each"),
        ('[[agent.choose]]\nagent = ["codex", "pi"]\n', "agent is a name, or weights like { codex = 3, opencode = 1 }"),
        ('[[agent.choose]]\nkinds = ["fix_ci"]\n', "agent.choose, rule 1 needs agent"),
        (
            'repositories = ["a/b"]\n[[repository."a/b".agent.choose]]\nmodel = "m"\n',
            '[repository."a/b".agent]: choose, rule 1 needs agent',
        ),
        ('[[agent.choose]]\nagent = "pi"\nmodl = "m"\n', "unknown key 'agent.choose, rule 1: modl'"),
        ('[agents.codex]\nkind = "pi"\n', "[agents.codex] has kind = 'pi', and codex is a kind of its own"),
        ('[agents.own]\nkind = "nothing"\n', "there is no agent of that name"),
        ('[agents.own]\nfallback = ["codex"]\n', "agents.own.fallback"),
        ('[agents.own]\nprovider = "none"\n', "[agents.own]: provider = 'none' names no table [providers.none]"),
        ('[agents.own]\nkind = "command"\n', '[agents.own]: kind = "command" needs a command'),
        ('[agents.own.limits]\nmemry = "8GiB"\n', "[agents.own]: unknown key 'limits.memry'"),
        (
            'repositories = ["a/b"]\n[repository."a/b".agents.own]\nmodl = "m"\n',
            '[repository."a/b".agents]: unknown key',
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(config: Path, text: str, says: str) -> None:
    config.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert says in str(caught.value)
    assert caught.value.hint
