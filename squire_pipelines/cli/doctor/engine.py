"""The checks of the container engine, its images, the runner that follows from them, and the step executor."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.diagnosis import Diagnosis, Status
from squire_pipelines.errors import ConfigError, SquireError
from squire_pipelines.health.machine_steps import engine_step, in_container

if TYPE_CHECKING:
    from squire_pipelines.cli.agents import AgentPlace


def check_engine(context: CliContext) -> Iterator[Diagnosis]:
    """Check the container engine, the worker image, and the runner that follows from them."""
    from squire_pipelines.agents.engine import HINT  # noqa: PLC0415 - likewise
    from squire_pipelines.cli.agents import find_place  # noqa: PLC0415 - Docker's client, not needed if the settings fail
    from squire_pipelines.execution.agent_checks import check_agents  # noqa: PLC0415 - likewise

    place = find_place(context.settings.agent_for(""))
    try:
        check_agents(context.settings)
    except ConfigError as error:
        yield Diagnosis.of_error("agent", error)
    if place.runner == "kubernetes":
        yield Diagnosis("runner", "ok", "agents run as Jobs of a cluster")
    elif place.engine:
        yield Diagnosis("engine", "ok", f"{place.engine} at {place.engine_host}")
        yield _check_runtime(place)
        yield _check_image(place)
        # Repositories with an agent of another kind run in other images.
        agents = (context.settings.agent_for(name, choice) for name, choice in context.settings.every_orderable_choice)
        others = {agent.worker_image: agent for agent in agents if agent.worker_image != place.image}
        yield from (_check_image(find_place(agent)) for agent in others.values())
    else:
        step = place.hint.replace(HINT, engine_step(is_contained=in_container()))
        yield Diagnosis("engine", "warn" if place.runner else "fail", place.problem, step)
    if place.runner == "local":
        step = "start a container engine before you use untrusted repositories: local agents are not confined"
        yield Diagnosis("runner", "warn", "local, which is no sandbox", step)
    elif place.runner and place.image_id:
        yield from _check_place(context, place.agent)


def _check_runtime(place: "AgentPlace") -> Diagnosis:
    if place.runtime_problem is not None:
        step = "set agent.limits.pids to 1024 or more, or use another runtime"
        return Diagnosis("runtime", "warn", f"{place.runtime}: {place.runtime_problem}", step)
    lacking = f"; it does not give {'; '.join(place.lacking)}" if place.lacking else ""
    return Diagnosis("runtime", "ok", f"{place.runtime}{lacking}")


def _check_image(place: "AgentPlace") -> Diagnosis:
    from squire_pipelines.agents.endings import image_hint  # noqa: PLC0415 - not needed if the settings fail

    if place.image_id is None:
        status: Status = "fail" if place.runner == "docker" else "warn"
        return Diagnosis("image", status, f"{place.image} is not on the engine", place.hint)
    if place.outdated:
        return Diagnosis("image", "warn", f"{place.image}: {place.outdated}", image_hint(place.image))
    return Diagnosis("image", "ok", place.image)


def check_executor(context: CliContext) -> Iterator[Diagnosis]:
    """Check that step containers can run where the settings ask for them."""
    if context.settings.pipeline.executor != "docker":
        return
    from squire_pipelines.execution import step_executor  # noqa: PLC0415 - Docker's client

    step_executor.check_executor(context.settings)
    yield Diagnosis("executor", "ok", f"docker, with the image {context.settings.pipeline.image}")


def _check_place(context: CliContext, agent: str) -> Iterator[Diagnosis]:
    """Check what the dispatch sensor asks of the engine before it starts anything."""
    from squire_pipelines.agents.preflight import check_startable  # noqa: PLC0415 - Docker's client

    settings = context.settings
    problems: dict[str, SquireError] = {}
    uncontained = False
    for configured in (
        settings.agent_for(""),
        *(settings.agent_for(*choice) for choice in context.settings.every_orderable_choice),
    ):
        try:
            uncontained |= not check_startable(configured) and configured.runner != "local"
        except SquireError as error:
            problems.setdefault(error.message, error)
    if uncontained:
        step = 'start one, or set agent.runner = "local" if that is meant'
        yield Diagnosis("runner", "warn", "no container engine answers: commands run on this machine", step)
    elif not problems:
        yield Diagnosis("runner", "ok", f"{agent} in a container")
    for problem in problems.values():
        yield Diagnosis.of_error("runner", problem)
