"""An attempt's gateway while its agent runs: opened with what the settings allow, its usage recorded in the ledger."""

import contextlib
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import docker
from pydantic import JsonValue

from squire_pipelines.agents import engine, profile
from squire_pipelines.agents.adapters.protocol import GatewaySeen, Marker
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.agents.docker_runner import DockerRunner
from squire_pipelines.agents.model import GatewaySocket
from squire_pipelines.agents.runners import AgentRunner
from squire_pipelines.domain.budgets import Purpose
from squire_pipelines.domain.endings import SETTINGS_MARK, Cause, Ending
from squire_pipelines.errors import ConfigError
from squire_pipelines.execution.attempt_providers import find_upstreams, share_of_attempt
from squire_pipelines.execution.lease import LeasedAttempt
from squire_pipelines.execution.settings_mark import settings_mark
from squire_pipelines.execution.usage_recorder import UsageRecorder, call_log_folder, recover_calls
from squire_pipelines.gateway import container
from squire_pipelines.gateway.call_log import CallLog, totals_of
from squire_pipelines.gateway.container import ContainerGateway, ContainerPlacement
from squire_pipelines.gateway.egress import EgressRules
from squire_pipelines.gateway.model import GatewayLimits
from squire_pipelines.gateway.package_manager_env import package_manager_env
from squire_pipelines.gateway.registry_routes import Registry
from squire_pipelines.gateway.server import MAX_SOCKET_PATH_BYTES, Gateway, socket_directory, socket_root
from squire_pipelines.gateway.upstream import Upstream
from squire_pipelines.gateway.upstream_health import UpstreamUse
from squire_pipelines.gateway.wire import GatewayConfig
from squire_pipelines.home import make_folder
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.metrics import counting as metrics
from squire_pipelines.metrics import families
from squire_pipelines.observability.debugging import debugged_until
from squire_pipelines.sections.gateway import GatewaySettings
from squire_pipelines.settings.model import Settings

_LONGEST_SOCKET_BASE = MAX_SOCKET_PATH_BYTES - len("/squire-12345678/s/gateway.sock")
_OVERDUE_S = 60.0
# An agent whose budget was used up may end in any of these ways; what it finished all the same is its work.
_CAUSED_BY_BUDGET = frozenset({Cause.PROVIDER_ERROR, Cause.AGENT_ERROR, Cause.NO_CHANGES, Cause.TIMEOUT})
# One whose provider refused to go on has not finished, whatever its program says: some end well after every error.
_CAUSED_BY_REFUSAL = _CAUSED_BY_BUDGET | {Cause.COMPLETED, Cause.CONFIGURATION}
# What is no fact of its own in the evidence: the calls passed on are, and `cap_notices` counts those with a notice.
_OTHER_FACTS = frozenset({"calls", "failing", "notices"})
_CAUSED_BY_PROVIDER = frozenset({Cause.AGENT_ERROR, Cause.NO_CHANGES})


class GatewaySession:
    """An attempt's open gateway.

    Args:
        gateway: In this process or in a container of its own.
        left_out: Providers of the settings that it cannot ask, and why.
        settings_mark: Of the settings and keys that it was opened with.
    """

    def __init__(self, gateway: Gateway | ContainerGateway, left_out: Mapping[str, str], settings_mark: str) -> None:
        self.gateway = gateway
        self._left_out = left_out
        self._settings_mark = settings_mark
        # Since when the budget is used up, or the provider refuses or is down, by a clock that does not jump.
        self._used_up_since: float | None = None
        self._stopped_agent = False

    @property
    def socket(self) -> GatewaySocket:
        """What the agent's container mounts."""
        return self.gateway.socket if isinstance(self.gateway, ContainerGateway) else self.gateway.socket_path

    @property
    def socket_path(self) -> Path:
        """The socket's path on this machine. Raises ConfigError when it lies in a volume."""
        if isinstance(self.gateway, ContainerGateway):
            raise ConfigError("the gateway's socket lies in a volume of the engine's")
        return self.gateway.socket_path

    @property
    def is_overdue(self) -> bool:
        """Whether the agent goes on though all its calls have been refused for a minute: it has not understood."""
        if self.gateway.status.exhausted is None and self.gateway.status.seen.final is None:
            return False
        now = time.monotonic()
        self._used_up_since = self._used_up_since or now
        self._stopped_agent = now - self._used_up_since >= _OVERDUE_S
        return self._stopped_agent

    def seen(self) -> GatewaySeen:
        """Return what the gateway has seen of the agent's calls by now."""
        return self.gateway.status.seen

    def facts(self) -> dict[str, JsonValue]:
        """Return what passed, for the attempt's evidence."""
        status = self.gateway.status
        totals = status.totals
        facts: dict[str, JsonValue] = {"calls": totals.requests, "tokens": totals.tokens, "usd": round(totals.usd, 6)}
        facts |= {name: value for name, value in asdict(status.seen).items() if value and name not in _OTHER_FACTS}
        if status.seen.notices:
            facts["cap_notices"] = status.seen.notices
        if status.unpriced:
            facts["price_unknown"] = list(status.unpriced)
        if len(status.upstreams) + len(self._left_out) > 1:
            facts["providers"] = {
                **{name: _used(use) for name, use in status.upstreams.items()},
                **{name: {"left": reason} for name, reason in self._left_out.items()},
            }
        for host, count in status.hosts.items():
            facts[f"egress {host}"] = {
                "requests": count.requests,
                "received_bytes": count.received_bytes,
                "sent_bytes": count.sent_bytes,
            }
        return facts

    def revise(self, ending: Ending) -> Ending:
        """Return how the attempt ended, given what the gateway knows.

        A used-up budget explains many other ends, and so do a provider that refuses what the settings say and one that
        failed to the last.
        """
        facts = {**ending.evidence.facts, "gateway": self.facts()}
        verdict = self._verdict(ending)
        if Cause.CONFIGURATION in {ending.cause, *(verdict or ())[:1]}:
            facts[SETTINGS_MARK] = self._settings_mark
        if verdict is None:
            return ending.model_copy(update={"evidence": ending.evidence.model_copy(update={"facts": facts})})
        cause, message, code = verdict
        facts["ended_as"] = f"{ending.cause}: {ending.message}"[:500]
        return Ending(
            cause=cause,
            message=message,
            evidence=ending.evidence.model_copy(update={"facts": facts, "error_code": code}),
        )

    def _verdict(self, ending: Ending) -> tuple[Cause, str, str] | None:
        """Return the cause that the gateway has for the attempt's end, with a sentence and a code; None for none."""
        status = self.gateway.status
        seen, used_up = status.seen, status.exhausted
        stopped = ending.cause is Cause.CANCELLED and self._stopped_agent
        if used_up is not None and (ending.cause in _CAUSED_BY_BUDGET or stopped):
            return Cause.BUDGET_EXHAUSTED, f"the attempt's budget is used up: {used_up}", "budget"
        if seen.user_fault is not None and (ending.cause in _CAUSED_BY_REFUSAL or stopped):
            return Cause.CONFIGURATION, seen.user_fault, "provider_refused"  # the adapters' rule has the same code
        if seen.failing and (ending.cause in _CAUSED_BY_PROVIDER or stopped):
            times = "once" if seen.failing == 1 else f"{seen.failing} times in a row"
            status_code = f", {seen.last_status}" if seen.last_status is not None else ""
            last = f"{seen.last_error}{status_code}"
            return Cause.PROVIDER_ERROR, f"the model's provider failed {times} at the end: {last}", "provider"
        return None


def _used(use: UpstreamUse) -> dict[str, JsonValue]:
    """Return what came of a provider's calls, without what is none."""
    return {name: value for name, value in asdict(use).items() if value or name == "calls"}


@contextlib.contextmanager
def open_gateway(
    leased: LeasedAttempt, settings: Settings, runner: AgentRunner | None = None
) -> Iterator[GatewaySession | None]:
    """Open the gateway of the attempt's agent: to its model, if it calls one, and to the registries open to it.

    Yields None for an agent that needs neither.

    Args:
        leased: The attempt.
        settings: Say which model and registries.
        runner: Runs the agent, and decides with the settings where the gateway is.

    Raises:
        ConfigError: The settings name no usable provider, or a transport that the runner does not have.
        NotReachableError: The gateway did not start.
        EngineError, ImageMissingError: Its container could not be made.
    """
    repository = leased.task.repository
    gateway_settings = settings.gateway_settings_for(repository)
    agent = settings.agent_for(repository, leased.attempt.choice)
    needs_model = find(agent.kind).protocols and agent.model
    if not needs_model and not egress_rules(gateway_settings).is_open:
        yield None
        return
    client = engine_for(gateway_settings, runner)
    log_folder = call_log_folder(settings, leased.attempt.id)
    if client is not None:
        container.bring_log(client, leased.attempt.id, log_folder)
    recover_calls(leased.ledger, settings, leased.attempt)
    present_mark = settings_mark(settings, repository)
    upstreams, left_out = find_upstreams(leased, settings, present_mark, in_container=client is not None)
    config = _config(leased, settings, gateway_settings, upstreams)
    with (
        UsageRecorder(leased.ledger, leased.attempt, every_s=config.every_s) as recorder,
        contextlib.ExitStack() as stack,
    ):
        gateway: Gateway | ContainerGateway
        if client is None:
            log = CallLog(log_folder, config.attempt_id, max_bytes=config.max_log_bytes, bodies=config.log_bodies)
            stack.callback(log.close)
            socket = stack.enter_context(socket_directory(socket_base(settings), config.attempt_id))
            gateway = Gateway(socket, config, on_call=recorder.add, log=log)
        else:
            placement = ContainerPlacement(
                client, settings.pipeline.image, gateway_settings.network, _labels(leased.attempt)
            )
            gateway = ContainerGateway(config, placement, on_call=recorder.add, log_folder=log_folder)
        recorder.watch(gateway)
        if client is not None:
            stack.callback(_audit, leased, "container.stopped")
        stack.enter_context(gateway)
        if client is not None:
            _audit(leased, "container.started")
            metrics.count(families.CONTAINERS_STARTED, "gateway")
        yield GatewaySession(gateway, left_out, present_mark)


def _audit(leased: LeasedAttempt, action: str) -> None:
    with leased.ledger.write() as tx:
        leased.audit(tx, action, purpose="gateway")


def _config(
    leased: LeasedAttempt, settings: Settings, gateway_settings: GatewaySettings, upstreams: tuple[Upstream, ...]
) -> GatewayConfig:
    is_debugged = debugged_until(settings.home, leased.task.repository) is not None
    return GatewayConfig(
        leased.attempt.id,
        upstreams,
        web_search=gateway_settings.web_search,
        limits=_limits(leased, settings, gateway_settings),
        before=totals_of(call_log_folder(settings, leased.attempt.id)),
        egress=egress_rules(gateway_settings),
        max_log_bytes=gateway_settings.max_log,
        log_bodies=gateway_settings.log_bodies or is_debugged,
        every_s=gateway_settings.checkpoint_s,
        trace_id=leased.attempt.trace_id,
        task_id=leased.task.id,
        repository=leased.task.repository,
        is_debugged=is_debugged,
    )


def engine_for(gateway_settings: GatewaySettings, runner: AgentRunner | None) -> docker.DockerClient | None:
    """Return the engine in which the gateway gets a container of its own; None when it runs in this process.

    Raises:
        ConfigError: A container is asked for, and the agent has none.
    """
    client = runner.client if isinstance(runner, DockerRunner) else None
    transport = gateway_settings.transport
    if transport == "socket" or (transport == "auto" and (client is None or engine.is_local(client))):
        return None
    if client is None:
        raise ConfigError(
            'gateway.transport = "container" is for agents in containers, and this one runs as a local process',
            hint='set agent.runner = "docker", or gateway.transport = "auto"',
        )
    return client


def _labels(attempt: Attempt) -> dict[str, str]:
    return {
        profile.LABEL_ATTEMPT: attempt.id,
        profile.LABEL_TASK: attempt.task_id,
        profile.LABEL_RUN: attempt.run_id or "",
        profile.LABEL_TRACE: attempt.trace_id,
    }


def egress_rules(gateway_settings: GatewaySettings) -> EgressRules:
    """Return the registries that the settings open, and what may be read from them."""
    named = ((name, gateway_settings.registries[name]) for name in gateway_settings.egress)
    return EgressRules(
        registries=tuple(Registry(name, registry.base_url, registry.files) for name, registry in named),
        allow_private=gateway_settings.allow_private,
        max_bytes=gateway_settings.max_egress,
        max_requests=gateway_settings.max_egress_requests,
        connect_s=gateway_settings.connect_s,
    )


def egress_environment(gateway_settings: GatewaySettings) -> dict[str, str]:
    """Return what the container's package managers are told of the open registries, for a `LaunchSpec`."""
    return package_manager_env(gateway_settings, f"http://127.0.0.1:{Marker.PORT}")


def _limits(leased: LeasedAttempt, settings: Settings, gateway_settings: GatewaySettings) -> GatewayLimits:
    cap = settings.budgets_for(leased.task.repository).cap(Purpose.ATTEMPT)
    return GatewayLimits(
        max_request_bytes=gateway_settings.max_request,
        max_response_bytes=gateway_settings.max_response,
        max_calls=gateway_settings.max_calls,
        max_failures=gateway_settings.max_failures,
        max_concurrent=gateway_settings.max_concurrent,
        connect_s=gateway_settings.connect_s,
        idle_s=gateway_settings.idle_s,
        call_s=gateway_settings.call_s,
        max_tokens=cap.tokens,
        max_output_tokens=gateway_settings.max_output,
        max_usd=share_of_attempt(leased, settings),
    )


def socket_base(settings: Settings) -> Path | None:
    """Return where an attempt's socket lies; None for the system's temporary folder."""
    # Under the home, which step containers share with the engine's host, if a socket's name is not too long there.
    run = settings.home.run
    if len(bytes(run)) > _LONGEST_SOCKET_BASE:
        return None
    return make_folder(run)


def remove_socket(settings: Settings, attempt_id: str) -> None:
    """Remove the socket's folder of an attempt that has ended, whose gateway may have been killed."""
    shutil.rmtree(socket_root(settings.home.run, attempt_id), ignore_errors=True)
