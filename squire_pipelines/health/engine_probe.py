"""The probe of the container engine: whether each agent of the settings could start on it."""

from collections.abc import Sequence

from squire_pipelines.agents.preflight import check_startable
from squire_pipelines.deadline import Deadline
from squire_pipelines.domain.conditions import ConditionState, HealthLevel, worst_state
from squire_pipelines.errors import EngineError, SquireError
from squire_pipelines.health.machine_steps import engine_step, in_container
from squire_pipelines.health.probe import Probe, States
from squire_pipelines.sections.agents import AgentSettings
from squire_pipelines.settings.model import Settings

_EVERY_S = 20.0
_TIMEOUT_S = 12.0
_ASK_TIMEOUT_S = 8.0
_MAX_AGENTS = 10
_NO_ENGINE = "no container engine answers"
_ON_WORKERS: States = {"engine": ConditionState.ok("agents run on the engines of workers, see `squire workers list`")}


def engine_probe(settings: Settings) -> Probe:
    """Return the probe of the engine that the settings' agents need; with workers each of these has its own."""

    def look() -> States:
        return _ON_WORKERS if settings.is_shared else look_at_engine(agents_of(settings))

    return Probe("engine", ("engine",), _EVERY_S, _TIMEOUT_S, look)


def agents_of(settings: Settings) -> tuple[AgentSettings, ...]:
    """Return each agent that a task may get, those alone once that need another of the engine."""
    agents = (settings.agent_for(""), *(settings.agent_for(*choice) for choice in settings.every_orderable_choice))
    by_need = {
        (a.runner, a.kind == "command", a.worker_image, a.runtime, a.limits.model_dump_json()): a for a in agents
    }
    return tuple(by_need.values())[:_MAX_AGENTS]


def look_at_engine(
    agents: Sequence[AgentSettings], *, hosts: tuple[str, ...] | None = None, timeout_s: float = _ASK_TIMEOUT_S
) -> States:
    """Ask the engine whether the agents could start.

    Args:
        agents: Of the settings.
        hosts: Where engines are looked for; by default where `agents.engine` does.
        timeout_s: For all of it.
    """
    if all(agent.runner == "local" for agent in agents):
        return {"engine": ConditionState.ok("agents run on this machine, without an engine")}
    deadline = Deadline.after(timeout_s)
    problems: list[ConditionState] = []
    for agent in agents:
        try:
            is_contained = check_startable(agent, hosts=hosts, timeout_s=timeout_s, deadline=deadline)
            if not is_contained and agent.runner != "local":
                problems.append(_uncontained())
        except SquireError as error:
            problems.append(_state_of(error, is_late=deadline.is_past))
            if problems[-1].is_doubtful or _NO_ENGINE in error.message:
                break  # the others would wait for the same
    worst = worst_state(problems)
    if worst is None:
        return {"engine": ConditionState.ok("answers, and agents can start")}
    if len(problems) < len(agents) and _NO_ENGINE not in worst.reason and not worst.is_doubtful:
        return {"engine": ConditionState(HealthLevel.DEGRADED, worst.reason, worst.hint)}
    return {"engine": worst}


def _uncontained() -> ConditionState:
    reason = f"{_NO_ENGINE}: the agent's command runs on this machine, not in a container"
    hint = f'{engine_step(is_contained=in_container())}; or set agent.runner = "local" if that is meant'
    return ConditionState(HealthLevel.DEGRADED, reason, hint)


def _state_of(error: SquireError, *, is_late: bool) -> ConditionState:
    is_absent = isinstance(error, EngineError) and _NO_ENGINE in error.message
    hint = engine_step(is_contained=in_container()) if is_absent else error.hint
    is_doubtful = isinstance(error, EngineError) and (is_late or "timed out" in error.message)
    return ConditionState.down(error.message, hint, is_doubtful=is_doubtful)
