"""An attempt's gateway: opened with what the settings allow, its books kept in the ledger as calls pass. No Dagster.

Three places know what a call has used: the gateway's memory, the call log in the attempt's folder (which outlives a
kill) and the ledger. A thread brings the first to the last; `recover` brings what the log alone still knows.
"""

import contextlib
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

import docker
import structlog
from pydantic import JsonValue

from squire_pipelines.agents import engine, profile
from squire_pipelines.agents.adapters.protocol import Marker
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.agents.docker_runner import DockerRunner
from squire_pipelines.agents.model import GatewaySocket
from squire_pipelines.agents.runners import AgentRunner
from squire_pipelines.domain.budgets import Amount, Purpose
from squire_pipelines.domain.endings import Cause, Ending
from squire_pipelines.errors import ConfigError, LedgerError
from squire_pipelines.gateway import container
from squire_pipelines.gateway.call_log import CallLog, read_calls, totals_of
from squire_pipelines.gateway.container import ContainerGateway, ContainerPlacement
from squire_pipelines.gateway.egress import EgressRules
from squire_pipelines.gateway.model import GatewayCall, GatewayLimits, Totals
from squire_pipelines.gateway.package_manager_env import environment
from squire_pipelines.gateway.prices import Price
from squire_pipelines.gateway.registry_routes import Registry
from squire_pipelines.gateway.sections import GatewaySettings
from squire_pipelines.gateway.server import MAX_SOCKET_PATH_BYTES, Gateway, SocketDirectory, socket_root
from squire_pipelines.gateway.wire import GatewayConfig
from squire_pipelines.ledger import budgets
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.records import ModelCallRow, record_model_call
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.secrets.lookup import find_secret
from squire_pipelines.settings import Settings

if TYPE_CHECKING:
    from squire_pipelines.execution.lease import LeasedAttempt

DEFAULT_MODEL_URL = "https://api.openai.com/v1"
FOLDER = "gateway"
_LONGEST_SOCKET_BASE = MAX_SOCKET_PATH_BYTES - len("/squire-12345678/s/gateway.sock")
_MAX_REFUSED_ROWS = 200
_FLUSH_TRIES = 3
_OVERDUE_S = 60.0
# An agent whose budget was used up may end in any of these ways; what it finished all the same is its work.
_BUDGETS_FAULT = frozenset({Cause.PROVIDER_ERROR, Cause.AGENT_ERROR, Cause.NO_CHANGES, Cause.TIMEOUT})
_log = structlog.get_logger(__name__)


def log_folder(settings: Settings, attempt_id: str) -> Path:
    """Where an attempt's call logs lie."""
    return settings.home.attempts / attempt_id / FOLDER


@dataclass(frozen=True, slots=True)
class GatewaySession:
    """An attempt's open gateway."""

    gateway: Gateway | ContainerGateway
    _watch: "_Watch"

    @property
    def socket(self) -> GatewaySocket:
        """What the agent's container mounts."""
        return self.gateway.socket if isinstance(self.gateway, ContainerGateway) else self.gateway.socket_path

    @property
    def socket_path(self) -> Path:
        """The socket, where it lies on this machine. Raises ConfigError when it lies in a volume."""
        if isinstance(self.gateway, ContainerGateway):
            raise ConfigError("the gateway's socket lies in a volume of the engine's")
        return self.gateway.socket_path

    @property
    def is_overdue(self) -> bool:
        """Whether the agent goes on though its budget has been used up for a minute: it has not understood."""
        return self._watch.overdue(used_up=self.gateway.exhausted is not None)

    def facts(self) -> dict[str, JsonValue]:
        """What passed, for the attempt's evidence."""
        totals = self.gateway.totals
        found: dict[str, JsonValue] = {"calls": totals.requests, "tokens": totals.tokens, "usd": round(totals.usd, 6)}
        if unpriced := self.gateway.unpriced:
            found["price_unknown"] = list(unpriced)
        for host, count in self.gateway.hosts.items():
            found[f"egress {host}"] = {
                "requests": count.requests,
                "received_bytes": count.received_bytes,
                "sent_bytes": count.sent_bytes,
            }
        return found

    def judged(self, ending: Ending) -> Ending:
        """How the attempt ended, knowing what the gateway knows."""
        facts = {**ending.evidence.facts, "gateway": self.facts()}
        used_up = self.gateway.exhausted
        stopped = ending.cause is Cause.CANCELLED and self._watch.stopped
        if used_up is None or not (ending.cause in _BUDGETS_FAULT or stopped):
            return ending.model_copy(update={"evidence": ending.evidence.model_copy(update={"facts": facts})})
        facts["ended_as"] = f"{ending.cause}: {ending.message}"[:500]
        evidence = ending.evidence.model_copy(update={"facts": facts, "error_code": "budget"})
        message = f"the attempt's budget is used up: {used_up}"
        return Ending(cause=Cause.BUDGET_EXHAUSTED, message=message, evidence=evidence)


class _Watch:
    """Since when the budget is used up, by a clock that does not jump."""

    def __init__(self) -> None:
        self._since: float | None = None
        self.stopped = False

    def overdue(self, *, used_up: bool) -> bool:
        now = time.monotonic()
        if not used_up:
            return False
        self._since = self._since or now
        self.stopped = now - self._since >= _OVERDUE_S
        return self.stopped


@contextlib.contextmanager
def gateway_for(
    held: "LeasedAttempt", settings: Settings, runner: AgentRunner | None = None
) -> Iterator[GatewaySession | None]:
    """The door of the attempt's agent: to its model, if it calls one, and to the registries that are open to it.

    None for an agent that needs neither. `runner` runs the agent, and decides with the settings where the gateway is.

    Raises:
        ConfigError: The settings name no usable provider, or a transport that the runner does not have.
        NotReachableError: The gateway did not start.
        EngineError, ImageMissingError: Its container could not be made.
    """
    repository = held.task.repository
    agent, chosen = settings.agent_for(repository), settings.gateway_for(repository)
    model = agent.model if find(agent.kind).needs_gateway else None
    rules = egress_rules(chosen)
    if model is None and not rules.is_open:
        yield None
        return
    client = engine_for(chosen, runner)
    folder = log_folder(settings, held.attempt.id)
    if client is not None:
        container.bring_log(client, held.attempt.id, folder)
    recover(held.ledger, settings, held.attempt)
    key = find_secret("model-key", settings.home) if model is not None else None
    order = GatewayConfig(
        held.attempt.id,
        (agent.base_url or settings.planner.base_url or DEFAULT_MODEL_URL) if model is not None else None,
        key.reveal() if key else None,
        models=(model, *chosen.models) if model is not None else (),
        aliases=chosen.aliases,
        limits=_limits(settings, repository, chosen),
        prices={name: Price(**price.model_dump()) for name, price in chosen.prices.items()},
        before=totals_of(folder),
        egress=rules,
        max_log_bytes=chosen.max_log,
        log_bodies=chosen.log_bodies,
        every_s=chosen.checkpoint_s,
    )
    with (
        UsageRecorder(held.ledger, held.attempt, every_s=chosen.checkpoint_s) as books,
        contextlib.ExitStack() as stack,
    ):
        gateway: Gateway | ContainerGateway
        if client is None:
            gateway = _beside(order, socket_base(settings), folder, books, stack)
        else:
            housing = ContainerPlacement(client, settings.pipeline.image, chosen.network, _labels(held.attempt))
            gateway = ContainerGateway(order, housing, on_call=books.add, log_folder=folder)
        books.watch(gateway)
        stack.enter_context(gateway)
        yield GatewaySession(gateway, _Watch())


def _beside(
    order: GatewayConfig, base: Path | None, folder: Path, books: "UsageRecorder", stack: contextlib.ExitStack
) -> Gateway:
    """The gateway in this process; what it needs is closed with the stack."""
    log = CallLog(folder, order.attempt_id, max_bytes=order.max_log_bytes, bodies=order.log_bodies)
    stack.callback(log.close)
    socket = stack.enter_context(SocketDirectory(base, order.attempt_id))
    return Gateway.from_config(order, socket, on_call=books.add, log=log)


def engine_for(chosen: GatewaySettings, runner: AgentRunner | None) -> docker.DockerClient | None:
    """The engine in which the gateway gets a container of its own; None when it is to be in this process.

    Raises:
        ConfigError: A container is asked for, and the agent has none.
    """
    client = runner.client if isinstance(runner, DockerRunner) else None
    if chosen.transport == "socket" or (chosen.transport == "auto" and (client is None or engine.is_local(client))):
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


def egress_rules(chosen: GatewaySettings) -> EgressRules:
    """The ways out that the settings open."""
    ways = (Registry(name, chosen.registries[name].base_url, chosen.registries[name].files) for name in chosen.egress)
    return EgressRules(
        ways=tuple(ways),
        allow_private=chosen.allow_private,
        max_bytes=chosen.max_egress,
        max_requests=chosen.max_egress_requests,
        connect_s=chosen.connect_s,
    )


def egress_environment(chosen: GatewaySettings) -> dict[str, str]:
    """What the container's package managers are told of the ways out, for a `LaunchSpec`."""
    return environment(chosen, f"http://127.0.0.1:{Marker.PORT}")


def _limits(settings: Settings, repository: str, chosen: GatewaySettings) -> GatewayLimits:
    cap = settings.budgets_for(repository).cap(Purpose.ATTEMPT)
    return GatewayLimits(
        max_request_bytes=chosen.max_request,
        max_response_bytes=chosen.max_response,
        max_calls=chosen.max_calls,
        max_concurrent=chosen.max_concurrent,
        connect_s=chosen.connect_s,
        idle_s=chosen.idle_s,
        call_s=chosen.call_s,
        max_tokens=cap.tokens,
        max_usd=cap.usd,
    )


def socket_base(settings: Settings) -> Path | None:
    """Where an attempt's socket lies; None for the system's temporary folder."""
    # Under the home, which step containers share with the engine's host, if a socket's name is not too long there.
    run = settings.home.run
    if len(bytes(run)) > _LONGEST_SOCKET_BASE:
        return None
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    return run


def forget(settings: Settings, attempt_id: str) -> None:
    """Remove the place of a socket whose gateway was killed; for an attempt that has ended."""
    shutil.rmtree(socket_root(settings.home.run, attempt_id), ignore_errors=True)


class UsageRecorder:
    """Brings calls and what is spent to the ledger, from a thread of its own, so that no stream waits for a disk.

    What it could not write in time is still in the call log.
    """

    def __init__(self, ledger: Ledger, attempt: Attempt, *, every_s: float) -> None:
        self._ledger = ledger
        self._attempt = attempt
        self._every_s = every_s
        self._gateway: Gateway | ContainerGateway | None = None
        self._pending: deque[GatewayCall] = deque()
        self._refused = 0
        self._checked = Totals()
        self._wake = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="squire-books", daemon=True)

    def watch(self, gateway: Gateway | ContainerGateway) -> None:
        """Whose totals are kept."""
        self._gateway = gateway

    def add(self, call: GatewayCall) -> None:
        """A call is over; called in the gateway's thread."""
        if call.target != "model":
            return
        if not call.forwarded:
            self._refused += 1
            if self._refused > _MAX_REFUSED_ROWS:
                return
        self._pending.append(call)
        self._wake.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._wake.set()
        self._thread.join(self._every_s + 30)
        for _try in range(_FLUSH_TRIES):
            if self.flush():
                return
        _log.warning("gateway.books_incomplete", attempt=self._attempt.id, calls=len(self._pending))

    def _run(self) -> None:
        while not self._over:
            self._wake.wait(self._every_s)
            self._wake.clear()
            self.flush()

    def flush(self) -> bool:
        """Write what there is; whether the ledger took it."""
        calls = list(self._pending)
        totals = self._gateway.totals if self._gateway is not None else Totals()
        if not calls and totals == self._checked:
            return True
        try:
            with self._ledger.write() as tx:
                write_calls(tx, self._attempt, calls)
                budgets.checkpoint(tx, self._attempt.id, Amount(totals.usd, totals.tokens), totals.requests)
        except LedgerError as error:
            _log.warning("gateway.books_not_written", attempt=self._attempt.id, reason=str(error)[:200])
            return False
        for _ in calls:
            self._pending.popleft()
        self._checked = totals
        return True


def write_calls(tx: Transaction, attempt: Attempt, calls: list[GatewayCall]) -> int:
    """Put calls into the ledger, each once; how many were new. What is settled already is settled anew."""
    new = sum(record_model_call(tx, _row(attempt, call)) for call in calls)
    if new and budgets.is_settled(tx, attempt.id):
        budgets.settle_attempt(tx, attempt.id)
    return new


def _row(attempt: Attempt, call: GatewayCall) -> ModelCallRow:
    interrupted = call.error == "interrupted"  # nobody knows when it ended: the row's time is when it was found
    return ModelCallRow(
        purpose="agent",
        model=call.model or "",
        ok=call.error is None,
        status=call.status,
        input_tokens=call.input_tokens or 0,
        output_tokens=call.output_tokens or 0,
        cached_tokens=call.cached_tokens,
        cost_usd=call.cost_usd,
        estimated=call.estimated,
        latency_s=call.latency_s,
        error=call.error,
        call_id=call.call_id or None,
        trace_id=attempt.trace_id,
        repository=attempt.repository,
        task_id=attempt.task_id,
        attempt_id=attempt.id,
        at=None if interrupted else call.started_at + timedelta(seconds=call.latency_s),
    )


def recover(ledger: Ledger, settings: Settings, attempt: Attempt) -> int:
    """Bring what only the call logs know to the ledger: calls of gateways that were killed. How many were new.

    May be repeated. Raises LedgerError.
    """
    folder = log_folder(settings, attempt.id)
    if not folder.is_dir():
        return 0
    calls = [call for call in read_calls(folder) if call.forwarded and call.target == "model"]
    if not calls:
        return 0
    with ledger.write() as tx:
        new = write_calls(tx, attempt, calls)
    if new:
        _log.info("gateway.calls_recovered", attempt=attempt.id, calls=new)
    return new
