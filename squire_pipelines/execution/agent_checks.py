"""Checks that the agents which the settings name can start with them. No engine and no provider is asked."""

from squire_pipelines.agents.agent_config import check_agent
from squire_pipelines.errors import ConfigError
from squire_pipelines.settings.errors import setting_context
from squire_pipelines.settings.model import Settings
from squire_pipelines.settings.model_use import protocol_of


def check_agents(settings: Settings) -> None:
    """Check that each agent which a task may get or be given can start with the settings.

    Raises:
        ConfigError: One cannot; its context has the agent's table, by which its line is looked for.
    """
    for repository, choice in settings.every_orderable_choice:
        agent = settings.agent_for(repository, choice)
        try:
            check_agent(agent, protocol=protocol_of(agent, settings.agent_provider(repository, choice)))
        except ConfigError as error:
            table = settings.agent_table(repository, choice)
            context = {**error.context, **setting_context(table)}
            raise ConfigError(f"{table}: {error.message}", hint=error.hint, context=context) from error
