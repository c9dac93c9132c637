"""What an agent is told of the settings, and whether it can start with them. No engine is asked or imported."""

from squire_pipelines.agent_names import PROGRAMS
from squire_pipelines.agents.adapters.protocol import AgentConfig, Caps
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.agents.adapters.skills import read_skills
from squire_pipelines.errors import ConfigError
from squire_pipelines.sections.agents import AgentSettings


def check_agent(agent: AgentSettings, *, protocol: str | None = None) -> None:
    """Refuse settings with which no agent can start; `protocol` is its named provider's. Raises ConfigError."""
    find(agent.kind).check(agent_config_of(agent, protocol=protocol))
    read_skills(agent.skills)


def agent_config_of(agent: AgentSettings, *, protocol: str | None = None, caps: Caps | None = None) -> AgentConfig:
    """Return what an agent is told of the settings.

    Args:
        agent: The settings. A command in general settings is not that of a built-in program.
        protocol: What the named provider speaks; by default what the program speaks best.
        caps: What the attempt may use at most.

    Raises:
        ConfigError: The agent's program does not speak that protocol.
    """
    kind = find(agent.kind)
    if protocol is not None and kind.protocols and protocol not in kind.protocols:
        raise ConfigError(
            f"the agent {agent.kind} speaks {', '.join(kind.protocols)}, and its provider {protocol}",
            hint="set agent.provider to a provider of such a protocol, or agent.kind to an agent that speaks it",
        )
    return AgentConfig(
        command=() if agent.kind in PROGRAMS else agent.command,
        model=agent.model,
        options=agent.options,
        protocol=protocol if protocol in kind.protocols else next(iter(kind.protocols), None),
        caps=caps or Caps(wall_clock_s=agent.limits.wall_clock_s),
    )
