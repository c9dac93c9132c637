"""Decides whether an agent calls a model, and in which protocol: what checks, starts and displays all go by."""

from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.gateway.model import Protocol
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.settings.providers import ModelProvider


def calls_model(agent: AgentSettings) -> bool:
    """Return whether a model is set and the agent's program speaks to one. Raises ConfigError for no known agent."""
    return agent.model is not None and bool(find(agent.kind).protocols)


def protocol_of(agent: AgentSettings, provider: ModelProvider) -> Protocol | None:
    """Return what the agent has to speak to its model's provider, whether or not its program does.

    Args:
        agent: The settings.
        provider: The agent's first one; all of an agent's speak the same.

    Returns:
        The protocol; None for an agent without a model, and for an address of which nobody knows what it speaks.

    Raises:
        ConfigError: There is no such agent, or its package cannot be loaded.
    """
    return provider.known_protocol if calls_model(agent) else None
