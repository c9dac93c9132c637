"""What agents cost and how they did by our own history, and which of them tasks may get. For `squire agents`."""

from collections.abc import Iterator
from dataclasses import dataclass

from squire_pipelines.cli.context import CliContext, Columns
from squire_pipelines.cli.text import duration
from squire_pipelines.errors import SquireError

MAX_ROWS = 200
_COLUMNS = (
    "agent_name, agent_kind, model, attempts, failed, pull_requests, merged, cost_usd, usd_per_merged, p50_agent_s"
)
_QUESTION = f"SELECT {_COLUMNS} FROM agent_use ORDER BY attempts DESC, agent_name, model"  # noqa: S608 - our own names


@dataclass(frozen=True, slots=True)
class AgentUse:
    """What one agent with one model cost and how it did; its name is None for attempts from before it was recorded."""

    agent: str | None
    kind: str | None
    model: str | None
    attempts: int
    failed: int
    pull_requests: int
    merged: int
    cost_usd: float | None
    usd_per_merged: float | None
    median_s: float | None


@dataclass(frozen=True, slots=True)
class AssignedAgent:
    """An agent that tasks of a repository may get, and by what."""

    repository: str
    agent: str
    kind: str
    model: str | None
    provider: str | None
    by: str


USE_COLUMNS: Columns = {
    "agent": lambda use: use.agent or "not recorded",
    "model": "model",
    "attempts": "attempts",
    "failed": "failed",
    "merged": lambda use: f"{use.merged} of {use.pull_requests}",
    "cost": lambda use: None if use.cost_usd is None else f"${use.cost_usd:.2f}",
    "a merged one": lambda use: None if use.usd_per_merged is None else f"${use.usd_per_merged:.2f}",
    "median time": lambda use: None if use.median_s is None else duration(use.median_s),
}
ASSIGNED_COLUMNS: Columns = {
    "repository": lambda assigned: assigned.repository or "any",
    "agent": "agent",
    "kind": "kind",
    "model": "model",
    "provider": "provider",
    "by": "by",
}


def read_history(context: CliContext) -> tuple[tuple[AgentUse, ...], str]:
    """Return what each agent cost and how it did, and why nobody can say so where that is the case."""
    path = context.warehouse
    if not path.exists():
        return (), "the warehouse has not been published yet: `squire history publish`"
    from squire_pipelines.warehouse.query import run_query  # noqa: PLC0415 - DuckDB, only when there is a file

    try:
        rows = run_query(path, _QUESTION, limit=MAX_ROWS).rows
    except SquireError:
        # Published by an earlier version, whose file has no such view.
        return (), "the warehouse is of an earlier version, or cannot be read: `squire history publish`"
    return tuple(AgentUse(*row) for row in rows), ""


def assigned_agents(context: CliContext) -> Iterator[AssignedAgent]:
    """Yield each agent that tasks may get, for every repository of the settings. Raises ConfigError."""
    settings = context.settings
    for repository in settings.repositories or ("",):
        for choice in settings.possible_choices(repository):
            agent = settings.agent_for(repository, choice)
            providers = ", ".join(one.name for one in settings.agent_providers(repository, choice=choice))
            provider = providers if agent.model is not None else None
            yield AssignedAgent(repository, choice.agent, agent.kind, agent.model, provider, choice.why)
