"""Traps of the programs that were met by running them, each with the part of the start that avoids it.

Those of how events are to be read are in test_program_events.py, those of the provider's refusals in the gateway's
tests, and those that only a real program shows in tests/docker/agents/test_programs.py.
"""

import tomllib

import pytest

from squire_pipelines.agent_names import PROGRAMS
from squire_pipelines.agents.adapters.program_agent import ProgramAgent
from squire_pipelines.agents.adapters.protocol import AgentConfig, LaunchSpec, Marker
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.sections.agents import LimitSettings

# What must be on the command line, in this order and beside each other.
WORDS = {
    "Claude Code reads hooks, apiKeyHelper and memory of the clone": ("claude-code", "--setting-sources user"),
    "Claude Code starts the servers of .mcp.json": ("claude-code", "--strict-mcp-config"),
    "Claude Code asks before it uses a tool": ("claude-code", "--permission-mode bypassPermissions"),
    "Claude Code prints events only if it is verbose": ("claude-code", "-p --output-format stream-json --verbose"),
    "Claude Code keeps sessions": ("claude-code", "--no-session-persistence"),
    "Codex asks and has a sandbox of its own": ("codex", "exec --json --dangerously-bypass-approvals-and-sandbox"),
    "Codex keeps sessions": ("codex", "--ephemeral"),
    "Codex has AGENTS.md in its prompt": ("codex", "-c project_doc_max_bytes=0"),
    "Codex has skills in its prompt": ("codex", "-c skills.include_instructions=false"),
    "Copilot asks before it uses a tool": ("copilot", "--allow-all"),
    "Copilot has the clone's instructions in its prompt": ("copilot", "--no-custom-instructions"),
    "Copilot starts servers of its own": ("copilot", "--disable-builtin-mcps"),
    "Copilot updates itself": ("copilot", "--no-auto-update"),
    "Gemini CLI asks, and ends with 55 in a folder that nobody trusts": ("gemini", "--yolo --skip-trust"),
    "pi runs extensions of the clone": ("pi", "-ne -ns -np --no-themes -nc"),
    "pi looks for newer versions": ("pi", "--offline"),
    "pi keeps sessions": ("pi", "--no-session"),
    "Qwen Code runs what the clone's settings name": ("qwen", "--yolo --bare"),
    "OpenCode asks the model for a title": ("opencode", "--title squire"),
    "mini-swe-agent asks at its start and at its end": ("mini-swe-agent", "-y --exit-immediately"),
    "mini-swe-agent ends by a limit of costs that it cannot know": ("mini-swe-agent", "-l 0"),
    "aider asks before it goes on": ("aider", "--yes-always"),
    "aider commits by itself, and writes .gitignore": ("aider", "--no-auto-commits --no-dirty-commits --no-gitignore"),
    "aider runs linters with the clone's plugins, and commands": (
        "aider",
        "--no-auto-lint --no-suggest-shell-commands",
    ),
    "aider opens addresses that a prompt names": ("aider", "--no-detect-urls"),
    "aider tells its maker, and looks for newer versions": ("aider", "--analytics-disable --no-check-update"),
    "aider stops at a model that it does not know": ("aider", "--no-show-model-warnings"),
    "aider obeys .aiderignore of the clone": ("aider", f"--aiderignore {Marker.FILES}/aider/ignore"),
}
VARIABLES = {
    "Claude Code makes further calls": ("claude-code", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    "Claude Code tries a call ten times": ("claude-code", "CLAUDE_CODE_MAX_RETRIES", "4"),
    "Claude Code updates itself": ("claude-code", "DISABLE_AUTOUPDATER", "1"),
    "Claude Code asks a smaller model for trifles": ("claude-code", "ANTHROPIC_DEFAULT_HAIKU_MODEL", "m"),
    "Codex warns of a home below /tmp": ("codex", "CODEX_HOME", f"{Marker.FILES}/codex"),
    "Copilot asks GitHub whether it may": ("copilot", "COPILOT_OFFLINE", "true"),
    "Copilot updates itself, by a variable too": ("copilot", "COPILOT_AUTO_UPDATE", "false"),
    "Gemini CLI runs hooks and servers of a trusted folder": ("gemini", "GEMINI_CLI_TRUST_WORKSPACE", "false"),
    "pi tells its maker": ("pi", "PI_TELEMETRY", "0"),
    "OpenCode reads the clone's configuration": ("opencode", "OPENCODE_DISABLE_PROJECT_CONFIG", "1"),
    "mini-swe-agent asks to be set up": ("mini-swe-agent", "MSWEA_CONFIGURED", "true"),
    "mini-swe-agent ends where it knows no price": ("mini-swe-agent", "MSWEA_COST_TRACKING", "ignore_errors"),
    "aider's library fetches prices": ("aider", "LITELLM_LOCAL_MODEL_COST_MAP", "True"),
    "mini-swe-agent's library fetches prices": ("mini-swe-agent", "LITELLM_LOCAL_MODEL_COST_MAP", "True"),
}
# What the program would obey, and no flag switches off.
TAKEN_OUT = {
    "aider": {
        ".env",
        ".aider.conf.yml",
        ".aider.model.settings.yml",
        ".aider.model.metadata.json",
        ".aider.input.history",
        ".aider.tags.cache.v3",
        ".aider.tags.cache.v4",
    },
    "pi": {".pi/settings.json"},
    "opencode": {"bunfig.toml"},
    "qwen": {".qwen/settings.json", ".qwen/.env", ".env"},
    "gemini": {"GEMINI.md", ".agents/skills", ".env", ".gemini/settings.json", ".gemini/.env", ".gemini/extensions"},
}
COPILOTS_BYTES_IN_HOME = 235 * 10**6


def launch(name: str, protocol: str | None = None) -> LaunchSpec:
    agent = find(name)
    return agent.launch(AgentConfig(model="m", protocol=protocol or agent.protocols[0]))


@pytest.mark.parametrize("trap", WORDS)
def test_a_flag_avoids_the_trap(trap: str) -> None:
    name, words = WORDS[trap]
    for protocol in find(name).protocols:
        assert f" {words} " in f" {' '.join(launch(name, protocol).argv)} "


@pytest.mark.parametrize("trap", VARIABLES)
def test_a_variable_avoids_the_trap(trap: str) -> None:
    name, variable, value = VARIABLES[trap]
    for protocol in find(name).protocols:
        assert launch(name, protocol).environment[variable] == value


@pytest.mark.parametrize("name", TAKEN_OUT)
def test_what_no_flag_switches_off_is_taken_out_of_the_clone(name: str) -> None:
    assert TAKEN_OUT[name] <= set(launch(name).restore)


def test_no_flag_or_variable_trusts_the_repository() -> None:
    """`--safe-mode` left apiKeyHelper on; the others have the repository's hooks and servers run."""
    for name in PROGRAMS:
        for protocol in find(name).protocols:
            spec = launch(name, protocol)
            assert not {"--safe-mode", "--trust", "--trust-all"} & set(spec.argv)
            assert "COPILOT_ALLOW_ALL" not in spec.environment
    assert "-c" not in launch("mini-swe-agent").argv, "a relative name of a configuration would be the clone's"


def test_codex_asks_by_plain_http_and_has_no_tool_that_runs_at_the_provider() -> None:
    """The built-in provider opens a websocket first, seven times."""
    config = tomllib.loads(launch("codex").files["codex/config.toml"])
    assert config["model_provider"] != "openai"
    assert config["model_providers"][config["model_provider"]]["wire_api"] == "responses"
    assert (config["web_search"], config["check_for_update_on_startup"]) == ("disabled", False)


@pytest.mark.parametrize("name", ["claude-code", "copilot", "pi", "qwen"])
def test_over_anthropics_protocol_the_address_has_no_version(name: str) -> None:
    spec = launch(name, "anthropic")
    texts = [*spec.environment.values(), *spec.files.values(), *spec.home.values()]
    assert any(Marker.PORT in text for text in texts)
    assert not any(f"{Marker.PORT}/v1" in text for text in texts)


def test_exit_codes_count_for_those_programs_alone_that_end_with_another_than_0_when_they_failed() -> None:
    agents = [find(name) for name in PROGRAMS]
    misleading = {agent.name for agent in agents if isinstance(agent, ProgramAgent) and not agent.counts_exit_code}
    assert {"pi", "qwen", "mini-swe-agent", "aider"} <= misleading
    assert not {"claude-code", "codex", "copilot"} & misleading


def test_home_has_room_for_what_copilot_unpacks_at_each_start() -> None:
    limits = LimitSettings()
    assert limits.home > COPILOTS_BYTES_IN_HOME
    assert limits.memory > limits.home + limits.workspace
