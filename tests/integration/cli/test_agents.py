"""`squire agents show` and `squire agents transcript`."""

import json

import pytest

from squire_pipelines.agents.adapters.session import FILE
from squire_pipelines.agents.adapters.transcript import (
    Entry,
    ModelStep,
    ModelText,
    SessionError,
    SessionNote,
    ToolCall,
    dump,
)
from squire_pipelines.domain.endings import Cause
from tests.support.cli import REPOSITORY, SampleData, Squire

ENTRIES: tuple[Entry, ...] = (
    SessionNote(text="the model was asked", session="ses_1"),
    ModelStep(input_tokens=100, output_tokens=10, cost_usd=0.25),
    ToolCall(
        tool="bash", status="completed", input='{"command": "ls"}', output="a\n\x1b[31mb" + "\nmore" * 50, seconds=1.5
    ),
    ToolCall(tool="edit", status="error", error="denied"),
    ModelText(text="Done."),
    SessionError(name="APIError", message="503", provider=True),
)


def test_an_agents_permissions_are_shown(squire: Squire) -> None:
    text = squire.ok("agents", "show")
    assert "opencode (built in)" in text
    assert "git push *" in text
    assert "--title squire" in text
    text = squire.ok("agents", "show", "qwen")
    assert "model: through the gateway, by openai or anthropic" in text
    assert "image: its own, which `squire agents build qwen` makes" in text
    assert "prompt: standard input" in text
    assert "taken out of the clone: .qwen/settings.json, .qwen/.env" in text
    assert "never committed: .qwen/settings.json.orig" in text
    assert "prompt: standard input" in squire.ok("agents", "show", "claude-code")
    launch = squire.json("agents", "show", "gemini")["launch"]
    assert ".gemini/settings.json" in launch["home"]
    document = squire.json("agents", "show", "command")
    assert (document["name"], document["protocols"], document["origin"]) == ("command", [], "built in")
    assert {"subject", "pattern", "allow", "why"} == set(document["permissions"][0])
    assert "there is no agent 'magic'" in squire.fails(3, "agents", "show", "magic")


@pytest.fixture
def attempted(squire: Squire, samples: SampleData) -> str:
    """A task whose one attempt has a transcript."""
    attempt = samples.running()
    keep = squire.home / "attempts" / attempt.id / "keep"
    keep.mkdir(parents=True)
    (keep / FILE).write_text("".join(dump(entry) + "\n" for entry in ENTRIES), encoding="utf-8")
    return str(attempt.task_id)


def test_a_transcript_is_shown_with_its_sums(squire: Squire, attempted: str) -> None:
    text = squire.ok("agents", "transcript", attempted)
    assert "tool   bash: completed in 1.5 s" in text
    assert "\x1b" not in text
    assert "more lines: --json has them" in text
    assert "error  APIError (provider): 503" in text
    assert "1 step, 2 tool calls (1 failed); tokens: 100 in, 10 out, $0.2500" in text
    document = squire.json("agents", "transcript", attempted, "--attempt", "1")
    assert document["totals"]["session_id"] == "ses_1"
    assert [entry["kind"] for entry in document["entries"]] == ["note", "step", "tool", "tool", "text", "error"]
    assert json.dumps(document).count("more") >= 50


def test_an_attempt_without_a_transcript_says_where_its_log_is(squire: Squire, samples: SampleData) -> None:
    attempt = samples.running()
    assert "left no transcript" in squire.fails(1, "agents", "transcript", attempt.task_id)


SEVERAL = f"""
repositories = ["{REPOSITORY}"]
[providers.gpt]
protocol = "openai"
[agent]
provider = "gpt"
model = "mini"
fallback = ["codex"]
[[agent.choose]]
kinds = ["fix_ci"]
agent = {{ pi = 3, opencode = 1 }}
"""


def test_the_list_says_which_agents_tasks_get_and_how_they_did(squire: Squire, samples: SampleData) -> None:
    squire.config(SEVERAL)
    samples.ended(Cause.AGENT_ERROR)
    assert "No history: the warehouse has not been published yet" in squire.ok("agents", "list")
    squire.ok("history", "publish")
    document = squire.json("agents", "list")
    assert [(one["agent"], one["model"], one["provider"], one["by"]) for one in document["assigned"]] == [
        ("opencode", "mini", "gpt", "setting"),
        ("pi", "mini", "gpt", "rule 1: weight 3 of 4"),
        ("codex", "mini", "gpt", "fallback"),
    ]
    (use,) = document["history"]
    assert (use["agent"], use["attempts"], use["failed"], use["merged"]) == (None, 1, 1, 0)
    text = squire.ok("agents", "list")
    assert "not recorded" in text
    assert "rule 1: weight 3 of 4" in text
    assert "agents build" in text
    assert "get it: by rule 1: weight 3 of 4, model mini" in squire.ok("agents", "show", "pi")
    squire.config(SEVERAL + '[agents.cheap]\nmodel = "nano"\n')
    assert "opencode (built in)" in squire.ok("agents", "show", "cheap")
