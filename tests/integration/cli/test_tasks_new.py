import pytest

from squire_pipelines.domain.agent_choice import AgentOrder
from squire_pipelines.domain.signals import ManualTask
from squire_pipelines.ledger import collections, deliveries
from tests.support.cli import REPOSITORY, SampleData, Squire


def test_a_request_is_recorded_as_a_signal_and_a_collection_is_asked_for(squire: Squire, samples: SampleData) -> None:
    squire.config(f'repositories = ["{REPOSITORY}"]\n')
    request = squire.json(
        "tasks", "new", "https://github.com/Acme/Shop", "--title", "Tidy", "--prompt", "Tidy \x1b[1mup"
    )
    (signal,) = samples.read(collections.active_signals, REPOSITORY)
    assert (signal.ref, signal.title) == (request["signal"], "Tidy")
    assert isinstance(signal.details, ManualTask)
    assert signal.details.body == "Tidy up"
    with samples.ledger.write() as tx:
        (delivery,) = deliveries.take_for_collection(tx, retry_after_s=60)
    assert (delivery.source, delivery.repository, delivery.trace_id) == ("cli", REPOSITORY, request["trace_id"])


def test_the_title_is_the_prompts_first_line(squire: Squire, samples: SampleData) -> None:
    samples.reading()
    squire.ok("tasks", "new", "ACME/shop", "--prompt", "-", stdin="\n  " + "long " * 40 + "\nmore\n")
    request = samples.read(collections.active_signals, REPOSITORY)[-1]
    assert request.title.endswith("…")
    assert len(request.title) == 80


def test_two_requests_of_the_same_words_are_two(squire: Squire, samples: SampleData) -> None:
    squire.config(f'repositories = ["{REPOSITORY}"]\n')
    for _ in range(2):
        squire.ok("tasks", "new", REPOSITORY, "--prompt", "Again")
    assert len(samples.read(collections.active_signals, REPOSITORY)) == 2


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("acme/none", "--prompt", "x"), 3, "not one of Squire's repositories"),
        (("nonsense", "--prompt", "x"), 2, "is not a repository name"),
        ((REPOSITORY, "--prompt", " \n"), 2, "the prompt is empty"),
        ((REPOSITORY, "--prompt", "x" * 50_001), 2, "more than 50000 characters"),
        ((REPOSITORY, "--prompt", "x", "--title", " "), 2, "the title is empty"),
        ((REPOSITORY, "--prompt", "x", "--title", "t" * 201), 2, "more than 200 characters"),
        ((REPOSITORY,), 2, "--prompt"),
    ],
)
def test_a_request_that_is_refused_leaves_the_ledger_as_it_was(
    squire: Squire, samples: SampleData, words: tuple[str, ...], code: int, reason: str
) -> None:
    squire.config(f'repositories = ["{REPOSITORY}"]\n')
    assert reason in squire.fails(code, "tasks", "new", *words)
    assert samples.read(collections.active_signals, REPOSITORY) == ()
    assert squire.json("webhooks", "list") == []


AGENTS = f"""
repositories = ["{REPOSITORY}"]
[providers.claude]
protocol = "anthropic"
models = ["opus"]
aliases = {{ best = "opus" }}
[providers.gpt]
protocol = "openai"
[agent]
provider = "gpt"
model = "mini"
[agents.claude-code]
provider = "claude"
model = "haiku"
[agents.fixer]
kind = "command"
command = ["true"]
"""


@pytest.mark.parametrize(
    ("words", "order"),
    [
        (("--agent", "claude-code"), AgentOrder(agent="claude-code")),
        (("--agent", "claude-code", "--model", "best"), AgentOrder(agent="claude-code", model="best")),
        (("--agent", "codex"), AgentOrder(agent="codex")),
        (("--model", "mini"), AgentOrder(agent="opencode", model="mini")),
        ((), None),
    ],
)
def test_an_ordered_agent_is_kept_with_the_request(
    squire: Squire, samples: SampleData, words: tuple[str, ...], order: AgentOrder | None
) -> None:
    squire.config(AGENTS)
    squire.ok("tasks", "new", REPOSITORY, "--prompt", "x", *words)
    (signal,) = samples.read(collections.active_signals, REPOSITORY)
    assert isinstance(signal.details, ManualTask)
    assert signal.details.agent == order


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--agent", "claud-code"), "there is no agent 'claud-code'; 'claude-code' is like it"),
        (("--agent", "claude-code", "--model", "gpt"), "may not call the model 'gpt'; it may call haiku, opus, best"),
        (("--model", "nano"), "write the model into models of [providers.gpt]"),
        (("--agent", "gemini"), "the agent gemini speaks gemini, and its provider openai"),
        (("--agent", "gemini", "--model", "any"), "the agent gemini speaks gemini, and its provider openai"),
        (("--agent", "fixer", "--model", "opus"), "the agent fixer calls no model"),
    ],
)
def test_an_agent_that_cannot_do_it_is_refused_at_once(
    squire: Squire, samples: SampleData, words: tuple[str, ...], reason: str
) -> None:
    squire.config(AGENTS)
    assert reason in squire.fails(3, "tasks", "new", REPOSITORY, "--prompt", "x", *words)
    assert samples.read(collections.active_signals, REPOSITORY) == ()


@pytest.mark.parametrize(
    ("tables", "step"),
    [
        ("", 'write [providers.openai] with protocol = "openai" and [agents.codex] with provider = "openai"'),
        ('[providers.gpt]\nprotocol = "openai"\n', 'write [agents.codex] with provider = "gpt"'),
    ],
)
def test_an_agent_beside_the_usual_one_gets_a_provider_of_its_own(squire: Squire, tables: str, step: str) -> None:
    squire.config(
        f'repositories = ["{REPOSITORY}"]\n[agent]\nkind = "claude-code"\nprovider = "anthropic"\n'
        f'[providers.anthropic]\nprotocol = "anthropic"\n{tables}'
    )
    refused = squire.fails(3, "tasks", "new", REPOSITORY, "--prompt", "x", "--agent", "codex")
    assert step in " ".join(refused.split())
    assert "agent.provider" not in refused
