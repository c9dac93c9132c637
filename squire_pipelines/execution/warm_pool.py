"""The warm pool that the settings ask for: which containers wait for attempts, and keeping it that way."""

import contextlib

import docker
from pydantic import JsonValue

from squire_pipelines.agents import engine, worker_files
from squire_pipelines.agents.adapters.caches import read_caches
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.agents.docker_runner import DockerRunner
from squire_pipelines.agents.warm import WarmProfile
from squire_pipelines.agents.warm_pool import PoolCounts, PoolTarget, WarmPool
from squire_pipelines.deadline import Deadline
from squire_pipelines.execution.gateway_session import egress_rules, engine_for
from squire_pipelines.ledger import attempts
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.metrics import counting as metrics
from squire_pipelines.metrics import families
from squire_pipelines.settings.model import Settings

_ENGINE_TIMEOUT_S = 10.0
_MAX_PER_HOME = 20


def is_configured(settings: Settings) -> bool:
    """Return whether any container shall wait, or one may still be there from other settings."""
    sizes = (settings.agent_for(name).warm_pool.size for name in settings.repositories)
    return settings.home.warm.is_dir() or any(sizes)


def needs_tending(ledger: Ledger, settings: Settings, deadline: Deadline) -> bool:
    """Return whether containers have to be made or removed, by what the engine says until `deadline`. Changes nothing.

    Raises:
        ConfigError: The settings cannot be used.
        ImageMissingError, EngineError: The engine has no such image, or does not answer.
    """
    client = engine.connect(_ENGINE_TIMEOUT_S, image=settings.agent.worker_image, deadline=deadline)
    with contextlib.closing(client):
        pool = WarmPool(client, settings.home.warm, settings.home.state)
        return pool.needs_tending(profiles_of(settings, client), fill=not _is_busy(ledger))


def tend(ledger: Ledger, settings: Settings) -> tuple[PoolCounts, int]:
    """Make and remove containers as the settings ask; return what was done and how many shall wait.

    None is made while an attempt waits for its claim: the engine and the processors are the attempt's then.

    Raises:
        ConfigError: The settings cannot be used.
        ImageMissingError, EngineError: The engine has no such image, or does not answer.
    """
    with contextlib.closing(engine.connect(_ENGINE_TIMEOUT_S, image=settings.agent.worker_image)) as client:
        profiles = profiles_of(settings, client)
        pool = WarmPool(client, settings.home.warm, settings.home.state)
        tended = pool.tend(profiles, fill=not _is_busy(ledger))
        _audit(ledger, tended)
        if not profiles and pool.is_empty:
            with contextlib.suppress(OSError):  # there is none
                settings.home.warm.rmdir()
    return tended, sum(profile.size for profile in profiles.values())


def _audit(ledger: Ledger, tended: PoolCounts) -> None:
    counts = {"container.started": tended.made, "container.stopped": tended.removed}
    if not any(counts.values()):
        return
    metrics.count(families.CONTAINERS_STARTED, "warm", amount=tended.made)
    with ledger.write() as tx:
        for action, count in counts.items():
            if count:
                detail: dict[str, JsonValue] = {"purpose": "warm", "count": count}
                record_audit(tx, actor="warm pool", action=action, subject="warm", trace_id=None, detail=detail)


def _is_busy(ledger: Ledger) -> bool:
    with ledger.read() as tx:
        return bool(attempts.queued(tx))


def profiles_of(settings: Settings, client: docker.DockerClient) -> dict[str, PoolTarget]:
    """Return what shall wait, by the profile's key: for each repository what its attempts need, alike ones once.

    Raises:
        ConfigError: The settings cannot be used.
        ImageMissingError, EngineError: The engine has no such image, or does not answer.
    """
    profiles: dict[str, PoolTarget] = {}
    runner = DockerRunner(client)
    for name, choice in settings.every_choice:
        agent, gateway_settings = settings.agent_for(name, choice), settings.gateway_settings_for(name)
        in_container = engine_for(gateway_settings, runner) is not None
        needs_gateway = bool(find(agent.kind).protocols) or egress_rules(gateway_settings).is_open
        if not agent.warm_pool.size or agent.runner == "local" or (needs_gateway and in_container):
            continue  # a gateway's volume is made with its attempt, and cannot be mounted ahead
        shape = WarmProfile(
            runner.ensure_image(agent.worker_image),
            agent.limits,
            read_caches(agent.caches),
            needs_gateway,
            worker_files.seccomp_profile(agent.seccomp),
            agent.runtime,
        )
        room = _MAX_PER_HOME - sum(profile.size for profile in profiles.values())
        if shape.key not in profiles and room > 0:
            profiles[shape.key] = PoolTarget(shape, min(agent.warm_pool.size, room), agent.warm_pool.max_age_s)
    return profiles
