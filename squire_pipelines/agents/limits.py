"""Decides which limits an attempt gets, and whether the engine's machine has them. Pure."""

from squire_pipelines.domain.container_limits import TaskLimits
from squire_pipelines.errors import ConfigError
from squire_pipelines.sections.agents import AgentSettings, LimitSettings


def effective_limits(
    agent: AgentSettings, asked: TaskLimits | None = None, *, after_oom: bool = False
) -> LimitSettings:
    """Return the limits of one attempt.

    A task may always ask for less than the repository's limits; for more only up to `agent.max_task_limits`.

    Args:
        agent: The repository's settings.
        asked: What the task asks for.
        after_oom: The task's last attempt ran out of memory, and `agent.oom_retry_memory` permits one with more.

    Raises:
        ConfigError: The task asks for more than it may, or for what contradicts itself.
    """
    values = agent.limits.model_dump()
    ceiling = values | agent.max_task_limits.asked()
    for name, value in (asked.asked() if asked is not None else {}).items():
        bound = max(ceiling[name], values[name])
        if value > bound:
            raise ConfigError(
                f"the task asks for limits.{name} = {value}, and may have at most {bound}",
                hint=f"raise agent.max_task_limits.{name}, or have the task ask for less",
            )
        values[name] = value
    if after_oom and agent.oom_retry_memory is not None:
        values["memory"] = max(values["memory"], agent.oom_retry_memory)
    try:
        return LimitSettings.model_validate(values)
    except ValueError as error:
        raise ConfigError(
            f"the task's limits contradict the repository's: {str(error).splitlines()[-2].strip()}",
            hint="ask for more memory too, or for a smaller workspace",
        ) from error


def with_output(limits: LimitSettings, output: int) -> LimitSettings:
    """Return the limits with another size of `/out` in bytes, in memory that is added for what it has more."""
    return limits.model_copy(update={"output": output, "memory": limits.memory + max(0, output - limits.output)})


def check_machine(limits: LimitSettings, *, cpus: int, memory_bytes: int) -> None:
    """Refuse limits above what the engine's machine has; 0 means that the engine does not say.

    Raises:
        ConfigError: Names the value, the bound and the remedy.
    """
    for name, limit, bound in (("cpus", limits.cpus, cpus), ("memory", limits.memory, memory_bytes)):
        if 0 < bound < limit:
            shown = f"{limit:g}" if name == "cpus" else limit
            raise ConfigError(
                f"agent.limits.{name} = {shown} is more than the engine's machine has: {bound}",
                hint=f"set agent.limits.{name} to {bound} or less",
            )
