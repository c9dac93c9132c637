"""The warm pool's sensor: keeps as many containers waiting as the settings want, and none where they want none."""

import contextlib

import dagster as dg
import docker

from squire_pipelines.agents import engine, files
from squire_pipelines.agents.adapters.caches import read_caches
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.agents.docker_runner import DockerRunner
from squire_pipelines.agents.warm import WarmProfile
from squire_pipelines.agents.warm_pool import Wanted, WarmPool
from squire_pipelines.errors import SquireError
from squire_pipelines.execution import gateway_session
from squire_pipelines.ledger import attempts
from squire_pipelines.resources.stores import LedgerResource, SettingsResource
from squire_pipelines.sensors import intervals
from squire_pipelines.settings import Settings

_ENGINE_TIMEOUT_S = 10.0
_MAX_PER_HOME = 20


@dg.sensor(
    name="warm_pool",
    minimum_interval_seconds=intervals.EVERY_OTHER_LOOK,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps containers waiting for attempts, if agent.warm_pool.size asks for any.",
    tags={"squire/part": "warm_pool"},
    target=None,
)
def warm_pool(context: dg.SensorEvaluationContext, settings: SettingsResource, ledger: LedgerResource) -> dg.SkipReason:
    """Makes none while an attempt waits for its claim: the engine and the processors are the attempt's then."""
    chosen = settings.load()
    if not chosen.home.warm.is_dir() and not _sizes(chosen):
        return dg.SkipReason("agent.warm_pool.size is 0")
    with ledger.open().read() as tx:
        busy = bool(attempts.queued(tx))
    try:
        client = engine.connect(_ENGINE_TIMEOUT_S, image=chosen.agent.image)
    except SquireError as error:
        return dg.SkipReason(f"no container waits: {error}")
    try:
        wanted = wanted_of(chosen, client)
        pool = WarmPool(client, chosen.home.warm, chosen.home.state)
        tended = pool.tend(wanted, fill=not busy)
        if not wanted and pool.is_empty:
            with contextlib.suppress(OSError):  # there is none
                chosen.home.warm.rmdir()
    except SquireError as error:
        context.log.warning(f"{error}")
        return dg.SkipReason(f"the warm containers could not be tended: {error}")
    finally:
        client.close()
    size = sum(each.size for each in wanted.values())
    said = f"{tended.waiting} of {size} containers wait; made {tended.made}, removed {tended.removed}"
    return dg.SkipReason(f"{said}; an attempt goes first" if busy and tended.waiting < size else said)


def _sizes(chosen: Settings) -> int:
    return sum(chosen.agent_for(name).warm_pool.size for name in chosen.repositories)


def wanted_of(chosen: Settings, client: docker.DockerClient) -> dict[str, Wanted]:
    """What shall wait, by the profile's key: for each repository what its attempts need, alike ones once.

    Raises:
        ConfigError: The settings cannot be used.
        ImageMissingError, EngineError: The engine has not the image, or does not answer.
    """
    wanted: dict[str, Wanted] = {}
    runner = DockerRunner(client)
    for name in chosen.repositories:
        agent, gateway = chosen.agent_for(name), chosen.gateway_for(name)
        in_container = gateway_session.engine_for(gateway, runner) is not None
        needs_gateway = find(agent.kind).needs_gateway or gateway_session.egress_rules(gateway).is_open
        if not agent.warm_pool.size or agent.runner == "local" or (needs_gateway and in_container):
            continue  # a gateway's volume is made with its attempt, and cannot be mounted ahead
        shape = WarmProfile(
            runner.ensure_image(agent.image),
            agent.limits,
            read_caches(agent.caches),
            needs_gateway,
            files.seccomp_profile(agent.seccomp),
            agent.runtime,
        )
        room = _MAX_PER_HOME - sum(each.size for each in wanted.values())
        if shape.key not in wanted and room > 0:
            wanted[shape.key] = Wanted(shape, min(agent.warm_pool.size, room), agent.warm_pool.max_age_s)
    return wanted
