"""How the built-in programs are started, what of a repository's is switched off, and the rule that judges them all."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from squire_pipelines.agent_names import IN_WORKER_IMAGE, PROGRAMS
from squire_pipelines.agents.adapters.program_agent import PLACEHOLDER_KEY, ProgramAgent
from squire_pipelines.agents.adapters.protocol import AgentConfig, GatewaySeen, LaunchSpec, Marker, SessionResult
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.agents.adapters.transcript import SessionError, SessionTotals
from squire_pipelines.errors import ConfigError

ROOT = "http://127.0.0.1:@SQUIRE_PORT@"
SPOKEN = [(name, protocol) for name in PROGRAMS for protocol in find(name).protocols]


def launch(name: str, protocol: str | None = None, model: str = "family/m-1") -> LaunchSpec:
    agent = find(name)
    config = AgentConfig(model=model, protocol=protocol or agent.protocols[0])
    return agent.launch(config).checked(name)


@pytest.mark.parametrize(("name", "protocol"), SPOKEN)
def test_a_program_gets_model_prompt_address_and_a_key_that_is_none(name: str, protocol: str) -> None:
    spec = launch(name, protocol)
    everything = json.dumps(spec.document() | {"home": dict(spec.home), "stdin": spec.stdin})
    assert "family/m-1" in everything
    ways = [spec.stdin == Marker.PROMPT, *(part in (Marker.PROMPT, f"{Marker.INPUTS}/prompt.md") for part in spec.argv)]
    assert ways.count(True) == 1, "the prompt comes once"
    assert ROOT in everything
    assert PLACEHOLDER_KEY in everything
    assert spec.version
    addresses = [word for word in everything.replace('\\"', '"').split('"') if word.startswith(ROOT)]
    wants_version = protocol == "openai"
    assert {address.removeprefix(ROOT) for address in addresses} == {"/v1" if wants_version else ""}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_model_is_required(name: str) -> None:
    agent = find(name)
    with pytest.raises(ConfigError, match=r"agent\.model is not set") as caught:
        agent.check(AgentConfig())
    assert "such as model" in caught.value.hint
    agent.check(AgentConfig(model="m"))
    assert agent.title(AgentConfig(model="m")) == f"{name}:m"


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_taken_out_of_the_clone_is_told_to_people(name: str) -> None:
    paths = " ".join(p.pattern for p in find(name).permissions if p.subject == "repository")
    assert all(path in paths for path in launch(name).restore)
    assert all(permission.why for permission in find(name).permissions)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_may_be_named_by_path(name: str) -> None:
    agent = find(name)
    assert agent.launch(AgentConfig(("/opt/x",), "m", protocol=agent.protocols[0])).argv[0] == "/opt/x"
    assert isinstance(agent, ProgramAgent)
    assert launch(name).argv[0] == agent.program


def test_claude_code_reads_no_settings_of_the_repository_and_has_no_web() -> None:
    spec = launch("claude-code")
    line = " ".join(spec.argv)
    assert "--setting-sources user --strict-mcp-config" in line
    assert "--tools=Bash,Edit,Glob,Grep,Read,TodoWrite,Write" in spec.argv
    assert spec.environment["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == "family/m-1", (
        "side calls have the model that is allowed"
    )
    assert spec.environment["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] == "1"


def test_codex_has_the_gateway_as_its_one_provider() -> None:
    config = tomllib.loads(launch("codex", model='odd"\\\n').files["codex/config.toml"])
    assert (config["model"], config["model_provider"], config["web_search"]) == ('odd"\\\n', "squire", "disabled")
    assert config["model_providers"]["squire"]["base_url"] == f"{ROOT}/v1"
    assert config["model_providers"]["squire"]["env_key"] in launch("codex").environment
    assert (config["analytics"], config["history"]) == ({"enabled": False}, {"persistence": "none"})


def test_copilot_never_trusts_the_folder_and_has_no_tool_that_brings_skills_or_agents() -> None:
    spec = launch("copilot")
    assert "COPILOT_ALLOW_ALL" not in spec.environment, 'with "true" the repository\'s hooks and servers run'
    (tools,) = (part.partition("=")[2].split(",") for part in spec.argv if part.startswith("--available-tools="))
    assert not {"skill", "task", "list_agents", "fetch_copilot_cli_documentation"} & set(tools)
    assert len(PLACEHOLDER_KEY) > 20, "it blanks the key out of all that it prints: a short one breaks the events"
    by_protocol = [
        launch("copilot", protocol).environment["COPILOT_PROVIDER_TYPE"] for protocol in ("openai", "anthropic")
    ]
    assert by_protocol == ["openai", "anthropic"]


def test_gemini_cli_has_the_key_as_its_way_to_log_in_and_trusts_no_folder() -> None:
    spec = launch("gemini")
    settings = json.loads(spec.home[".gemini/settings.json"])
    assert settings["security"]["auth"]["selectedType"] == "gemini-api-key"
    assert spec.environment["GEMINI_CLI_TRUST_WORKSPACE"] == "false"
    assert ".gemini/settings.json" in spec.restore


def test_pi_and_qwen_code_find_no_settings_of_the_repository() -> None:
    assert ".pi/settings.json" in launch("pi").restore
    assert {"-ne", "-ns", "-np", "-nc", "--system-prompt", "--append-system-prompt"} <= set(launch("pi").argv)
    assert ".qwen/settings.json" in launch("qwen").restore
    assert ".qwen/settings.json.orig" in launch("qwen").exclude
    assert "--bare" in launch("qwen").argv


def test_aider_runs_no_command_and_reads_no_cache_of_the_clone() -> None:
    spec = launch("aider")
    assert {"--no-auto-lint", "--no-suggest-shell-commands", "--no-auto-commits", "--no-detect-urls"} <= set(spec.argv)
    assert {".env", ".aider.conf.yml", ".aider.tags.cache.v4"} <= set(spec.restore)
    assert spec.exclude == (".aider*",)
    (prices,) = spec.home.values()
    assert json.loads(prices), "an empty one would be downloaded"


def test_mini_swe_agent_asks_again_only_below_its_own_loop() -> None:
    spec = launch("mini-swe-agent")
    assert spec.environment["MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT"] == "1"
    assert spec.session_file is not None
    assert f"{Marker.OUTPUT}/{spec.session_file.name}" in spec.argv


@pytest.mark.parametrize("name", sorted(set(PROGRAMS) - IN_WORKER_IMAGE))
def test_a_program_of_an_image_of_its_own_is_one_word(name: str) -> None:
    assert "/" not in launch(name).argv[0]


API = SessionError(name="api_error_500", message="overloaded", provider=True)
FAILED = SessionTotals(steps=1, errors=(API,), ended_in_error=True)
OWN = SessionTotals(steps=1, errors=(SessionError(name="error_max_turns"),), ended_in_error=True)
WELL = SessionTotals(steps=2)
DOWN = GatewaySeen(calls=3, answers=1, failures=2, last_error="status 500", last_status=500)
WRONG_KEY = GatewaySeen(1, 0, 1, user_fault="the provider refuses the key")
FINE = GatewaySeen(calls=3, answers=3)


@pytest.mark.parametrize(
    ("name", "result", "fault"),
    [
        # The user's: whatever the program says and however it ended.
        ("claude-code", SessionResult(FAILED, 1, changed=False, gateway=WRONG_KEY), "configuration"),
        ("pi", SessionResult(WELL, 0, changed=True, gateway=GatewaySeen(2, 1, 1, user_fault="quota")), "configuration"),
        # The provider's.
        ("claude-code", SessionResult(FAILED, 1, changed=False, gateway=DOWN), "provider"),
        ("claude-code", SessionResult(FAILED, 1, changed=False), "provider"),
        ("qwen", SessionResult(WELL, 0, changed=False, gateway=DOWN), "provider"),
        ("pi", SessionResult(WELL, 0, changed=True, gateway=DOWN), "provider"),
        ("mini-swe-agent", SessionResult(SessionTotals(), 0, changed=True, gateway=DOWN), "provider"),
        ("gemini", SessionResult(SessionTotals(), 244, changed=False, gateway=GatewaySeen(2, 0, 2)), "provider"),
        ("copilot", SessionResult(WELL, 0, changed=False, gateway=GatewaySeen(1, 0, 0, empty_answers=1)), "provider"),
        ("opencode", SessionResult(WELL, 0, changed=False, gateway=GatewaySeen(2, 1, 0, empty_answers=1)), "provider"),
        # The agent's.
        ("codex", SessionResult(FAILED, 1, changed=False, gateway=FINE), "agent"),
        ("claude-code", SessionResult(OWN, 1, changed=True, gateway=FINE), "agent"),
        ("codex", SessionResult(WELL, 1, changed=True, gateway=FINE), "agent"),
        ("mini-swe-agent", SessionResult(SessionTotals(), 0, changed=False, gateway=GatewaySeen()), "agent"),
        ("copilot", SessionResult(SessionTotals(), 0, changed=False), "agent"),
        # Nobody's: a side call that failed is no failure of what was done.
        ("claude-code", SessionResult(WELL, 0, changed=True, gateway=DOWN), None),
        ("mini-swe-agent", SessionResult(SessionTotals(), 0, changed=False, gateway=FINE), None),
        ("opencode", SessionResult(WELL, 0, changed=True, gateway=GatewaySeen(3, 2, 0, empty_answers=1)), None),
        ("pi", SessionResult(WELL, 0, changed=False, gateway=FINE), None),
    ],
)  # fmt: skip
def test_sessions_are_judged_by_what_the_gateway_saw_and_by_events(
    name: str, result: SessionResult, fault: str | None
) -> None:
    judged = find(name).judge(result)
    assert judged is None or fault != "configuration" or judged.code == "provider_refused", "as the gateway's verdict"
    assert (judged.fault if judged else None) == fault
    assert judged is None or (judged.message and judged.code)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "not_the_protocol",
            "a text that is no answer of its protocol, such as a page; check `base_url`",
        ),
        ("no_stream", "one document where a stream was asked for; check `base_url`"),
        ("unfinished", "an answer broke off before its end"),
    ],
)
def test_half_a_protocol_is_named_with_the_next_step(code: str, words: str) -> None:
    """Whatever the program makes of it: some say that they cannot parse, others nothing."""
    empty = code == "unfinished"
    seen = GatewaySeen(calls=2, failures=2 * (not empty), empty_answers=2 * empty, last_error=code, last_status=200)
    for name in PROGRAMS:
        judged = find(name).judge(SessionResult(FAILED, 1, changed=False, gateway=seen))
        assert judged is not None
        assert (judged.fault, judged.code) == ("provider", code)
        assert words in judged.message


PAGE = (Path(__file__).parents[4] / "docs" / "reference" / "agents.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_page_on_agents_has_each_programs_protocols_and_what_is_taken_out(name: str) -> None:
    kinds, switched_off = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.splitlines()
        if line.startswith(f"| `{name}` |")
    )
    assert re.findall(r"`([a-z]+)`", kinds[2]) == [*find(name).protocols]
    assert (kinds[3] == "the worker image") == (name in IN_WORKER_IMAGE)
    assert re.findall(r"`([^`]+)`", switched_off[3]) == [*launch(name).restore]
    assert all(f"`{path}`" in switched_off[4] for path in launch(name).exclude)
