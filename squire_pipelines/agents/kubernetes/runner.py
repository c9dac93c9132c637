"""Runs an attempt's agent as a Job of a Kubernetes cluster, from the token to the removal.

Inputs, the gateway and the result go through the attempt's door (`agents.door`); the cluster gives the sandbox, the log
and the ending.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from squire_pipelines.agents import monotonic_mark
from squire_pipelines.agents.adapters.protocol import GatewaySeen
from squire_pipelines.agents.door import DoorServer, door_environment
from squire_pipelines.agents.door_wire import new_token
from squire_pipelines.agents.endings import EXIT_TERMINATED, PlatformVerdict, SupervisionResult
from squire_pipelines.agents.kubernetes import names
from squire_pipelines.agents.kubernetes.api import ClusterApi
from squire_pipelines.agents.kubernetes.job import CONTAINER, FETCHER, JobPlan, job, secret
from squire_pipelines.agents.kubernetes.options import ClusterOptions
from squire_pipelines.agents.kubernetes.pod import Pod, remove_job, wait_until_gone
from squire_pipelines.agents.kubernetes.pod_endings import StartProblem, Trouble
from squire_pipelines.agents.kubernetes.pod_log import PodLog
from squire_pipelines.agents.kubernetes.pod_status import PodStatus, read_job, read_pod
from squire_pipelines.agents.kubernetes.pod_watch import PodWatch
from squire_pipelines.agents.kubernetes.refusals import ClusterRefusalError
from squire_pipelines.agents.logs import DEFAULT_OUTPUT, OutputOptions, holds, last_lines
from squire_pipelines.agents.model import AttemptInputs, GatewaySocket, RunResult
from squire_pipelines.agents.run_recorder import RunRecorder, failed_before_start
from squire_pipelines.agents.supervision import HANDOVER_S, SLICE_S, supervise
from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import ConfigError, EngineError, LeaseLostError, SquireError, WorkspaceError
from squire_pipelines.observability.logging import Component, get_logger

_log = get_logger(Component.AGENT)
_EXPLAIN_EVERY_S = 5.0
# Below this all of an adopted pod's log is read again; the node keeps 10 MiB of it by default.
_REPLAYED_BYTES = 1024 * 1024
_QUOTA = "exceeded quota"
_CONFLICT = 409


@dataclass(frozen=True, slots=True)
class _Start:
    """How a Job is begun: with a new token, or the one that an earlier supervisor made."""

    token_sha256: str
    token: str | None
    pod: PodStatus | None = None


class KubernetesRunner:
    """The runner whose sandbox is a pod.

    Args:
        api: Its namespace is where Jobs are made; closed by `close`.
        options: How Jobs are made and watched.
        output: Where the agent's output goes, and how.
    """

    name = "kubernetes"
    is_sandbox = True

    def __init__(self, api: ClusterApi, options: ClusterOptions, *, output: OutputOptions = DEFAULT_OUTPUT) -> None:
        self._api = api
        self._options = options
        self._output = output

    def close(self) -> None:
        """Close the connections to the API server."""
        self._api.close()

    def run(
        self,
        inputs: AttemptInputs,
        *,
        heartbeat: Callable[[], bool],
        gateway_socket: GatewaySocket | None = None,
        gateway_seen: Callable[[], GatewaySeen] | None = None,
    ) -> RunResult:
        """See `runners.AgentRunner.run`."""
        if gateway_socket is not None and not isinstance(gateway_socket, Path):
            raise ConfigError(
                "the gateway is in a container of an engine, which no pod reaches",
                hint='set gateway.transport = "auto"',
            )
        recorder: RunRecorder | None = None
        try:
            start = self._find_start(inputs)
            recorder = self._recorder(inputs, start)
            recorder.facts["runner"] = "kubernetes"
            recorder.gateway_seen = gateway_seen
            return self._run(recorder, start, heartbeat, gateway_socket)
        except (EngineError, WorkspaceError, ClusterRefusalError) as error:
            return failed_before_start(_cause_of(error), error, recorder)
        finally:
            if recorder is not None:
                recorder.sink.close()

    def _find_start(self, inputs: AttemptInputs) -> _Start:
        """Return how to begin: a Job whose pod has its token is gone on with, and any other is removed."""
        name = names.job_name(inputs.unit)
        item = self._api.read("jobs", name)
        known = self._options.doors.token_sha256(inputs.unit)
        if item is None:
            _refuse_second_agent(inputs, known)
            return _new_start()
        existing = read_job(item)
        if existing.attempt_id != inputs.attempt_id:
            raise EngineError(
                f"the name {name} is taken by a Job that is not this attempt's",
                hint=f"look at it with `kubectl -n {self._api.namespace} describe job {name}` and remove it",
            )
        pods = [read_pod(one) for one in self._api.list("pods", labels=f"{names.UNIT}={name}").items]
        pod = next((one for one in pods if _has_token(one)), None)
        if known is not None and pod is not None and not existing.is_ending:
            return _Start(known, None, pod)
        remove_job(self._api, name, inputs.attempt_id)
        _refuse_second_agent(inputs, known)
        # A supervisor died before the pod had its token, or the token is void: nothing has begun that costs anything.
        wait_until_gone(self._api, name)
        self._api.delete("secrets", name)  # it goes with its Job, but maybe later
        return _new_start()

    def _recorder(self, inputs: AttemptInputs, start: _Start) -> RunRecorder:
        """Open a new log, or one that goes on where a dead supervisor's ended, if the node still has that place."""
        log = inputs.folder.log
        try:
            last = last_lines(log) if start.pod is not None and log.stat().st_size >= _REPLAYED_BYTES else ()
        except OSError:
            last = ()
        if not last or start.pod is None:
            return RunRecorder(inputs, self._output)
        try:
            kept = self._api.log(start.pod.name, CONTAINER, follow=False, timestamps=False)
            is_there = holds((line + b"\n" for line in kept), last, redact=self._output.redact)
        except (EngineError, ClusterRefusalError) as error:
            _log.debug("agent.log_not_compared", reason=error.message)
            is_there = False
        return RunRecorder(inputs, self._output, append=True, resume_after=last if is_there else ())

    def _run(
        self, recorder: RunRecorder, start: _Start, heartbeat: Callable[[], bool], gateway_socket: Path | None
    ) -> RunResult:
        inputs, name = recorder.inputs, names.job_name(recorder.inputs.unit)
        doors, is_lost = self._options.doors, False
        door = DoorServer(inputs, start.token_sha256, gateway_socket=gateway_socket, host=self._options.address)
        with door:
            try:
                doors.register(inputs.unit, door.address, start.token_sha256)
                if start.token is not None:
                    with recorder.timed("create_s"):
                        self._create(inputs, start.token)
                return self._watch(recorder, start, heartbeat)
            except LeaseLostError:
                is_lost = True  # the attempt is another's now, and with it the Job; the reaper has what is nobody's
                raise
            finally:
                if not is_lost:
                    remove_job(self._api, name, inputs.attempt_id)
                    doors.remove(inputs.unit)

    def _create(self, inputs: AttemptInputs, token: str) -> None:
        """Make the Job, then its Secret, which belongs to it: the pod's container waits for that.

        In this order nothing is left without an owner, and Squire needs no right to change or to read Secrets.
        """
        settings = self._options.settings
        if settings.door is None:
            raise ConfigError(
                'agent.runner = "kubernetes" needs kubernetes.door, at which pods reach the workers',
                hint="set it to the workers' Service, like squire-door.squire.svc:8788",
            )
        plan = JobPlan(
            settings,
            door_environment(inputs, resolved(settings.door)),
            self._options.tenant,
            _size_of(inputs.folder.inbox),
        )
        made = read_job(self._api.create("jobs", job(inputs, plan)))
        self._api.create("secrets", secret(inputs, token, tenant=plan.tenant, job_uid=made.uid))

    def _watch(self, recorder: RunRecorder, start: _Start, heartbeat: Callable[[], bool]) -> RunResult:
        inputs, name = recorder.inputs, names.job_name(recorder.inputs.unit)
        with PodWatch(self._api, f"{names.UNIT}={name}", patience_s=self._options.patience_s) as watch:
            pod = Pod(self._api, name, watch)
            with _marked(recorder, start):
                ended = self._wait_for_begin(recorder, pod, heartbeat)
            if ended is not None:
                return ended
            elapsed_s = _begin(recorder, start, pod)
            log = PodLog(self._api, pod.status.name if pod.status is not None else name, recorder.sink)
            try:
                return self._supervise(recorder, pod, heartbeat, inputs.limits.wall_clock_s - elapsed_s, log)
            finally:
                log.abandon()

    def _wait_for_begin(self, recorder: RunRecorder, pod: Pod, heartbeat: Callable[[], bool]) -> RunResult | None:
        """Wait until the agent has begun; return the result where it will not.

        People see in the attempt's log what the pod waits for.
        """
        patience_s = self._options.settings.pending_patience_s
        began = explained = time.monotonic()
        shown: Trouble | None = None
        while not pod.wait_for_begin(SLICE_S):
            if not heartbeat():
                return recorder.finish(SupervisionResult(stop=Cause.CANCELLED))
            now = time.monotonic()
            if now - explained < _EXPLAIN_EVERY_S and now - began < patience_s:
                continue
            explained = now
            if (ended := pod.why_there_is_none()) is not None:
                return recorder.finish(SupervisionResult(platform=ended))
            problem = pod.waits_for()
            if problem is not None and problem.trouble is not shown:
                shown = problem.trouble
                _log.warning("agent.pod_waits", trouble=shown.value, reason=problem.message)
                recorder.sink.feed(f"squire: the pod waits: {self._output.redact(problem.message)}\n".encode())
            if (problem is not None and problem.is_final) or now - began >= patience_s:
                return self._not_begun(recorder, pod, problem)
        if pod.has_begun:
            return None
        return recorder.finish(SupervisionResult(platform=pod.platform_verdict() or _ended_unseen(pod)))

    def _not_begun(self, recorder: RunRecorder, pod: Pod, problem: StartProblem | None) -> RunResult:
        waited = f"the agent's pod did not begin within {self._options.settings.pending_patience_s:.0f} s"
        if problem is None:
            phase = pod.status.phase if pod.status is not None else "no pod"
            verdict = PlatformVerdict(Cause.ENGINE_LOST, f"{waited} ({phase})", Trouble.NOT_BEGUN.value)
        else:
            message = problem.message if problem.is_final else f"{waited}: {problem.message}"
            verdict = PlatformVerdict(problem.cause, message, problem.trouble.value)
        return recorder.finish(SupervisionResult(platform=verdict))

    def _supervise(
        self, recorder: RunRecorder, pod: Pod, heartbeat: Callable[[], bool], wall_clock_s: float, log: PodLog
    ) -> RunResult:
        try:
            stop = supervise(
                pod,
                wall_clock_s=wall_clock_s,
                grace_s=recorder.inputs.limits.grace_s,
                heartbeat=heartbeat,
                problem=recorder.problem,
                handover_s=HANDOVER_S,
            )
            recorder.mark_ended()
            if stop is None:
                pod.wait_for_last_word()
            platform = pod.platform_verdict() if stop is None else None
        except (EngineError, ClusterRefusalError) as error:
            recorder.mark_ended()
            return recorder.finish(SupervisionResult(engine_lost=True, engine_error=error.message))
        finally:
            if pod.losses:
                recorder.facts["api_server_lost"] = pod.losses
        log.finish()
        if pod.agent is not None:
            recorder.image_digest = pod.agent.image_id or None
        exit_code = pod.exit_code
        return recorder.finish(
            SupervisionResult(
                exit_code=EXIT_TERMINATED if exit_code is None and stop is not None else exit_code,
                oom_killed=pod.oom_killed,
                stop=stop or recorder.problem(),
                platform=platform,
            )
        )


def _refuse_second_agent(inputs: AttemptInputs, token_sha256: str | None) -> None:
    """Refuse to begin again where an earlier supervisor's agent had begun: another try is another attempt.

    Raises EngineError.
    """
    if token_sha256 is not None and inputs.folder.started.exists():
        raise EngineError("the agent's pod ended, or was being removed, while nobody watched it")


def _new_start() -> _Start:
    token = new_token()
    return _Start(token.sha256, token.text)


def _has_token(pod: PodStatus) -> bool:
    """Return whether a container of the pod has begun: none does without the Secret."""
    fetcher = pod.container(FETCHER)
    return fetcher is not None and (fetcher.running or fetcher.ended)


@contextmanager
def _marked(recorder: RunRecorder, start: _Start) -> Iterator[None]:
    if start.pod is not None:
        recorder.facts["adopted"] = True
        yield
        return
    with recorder.timed("start_s"):
        yield


def _begin(recorder: RunRecorder, start: _Start, pod: Pod) -> float:
    """Note that the agent's container runs; return for how many seconds an adopted one has run before."""
    recorder.mark_started()
    status, agent, started_file = pod.status, pod.agent, recorder.inputs.folder.started
    if status is not None:
        recorder.facts["pod"] = status.name
        recorder.facts["node"] = status.node
    if start.pod is None:
        monotonic_mark.write(started_file)
        return 0.0
    elapsed_s = monotonic_mark.elapsed(started_file)
    if elapsed_s is None and agent is not None and agent.started_at is not None:
        elapsed_s = max(0.0, (datetime.now(UTC) - agent.started_at).total_seconds())
    _log.info("agent.adopted", job=names.job_name(recorder.inputs.unit), elapsed_s=round(elapsed_s or 0.0, 1))
    return elapsed_s or 0.0


def _ended_unseen(pod: Pod) -> PlatformVerdict:
    phase = pod.status.phase if pod.status is not None else ""
    message = f"the agent's pod ended before its agent began ({phase or 'no pod'})"
    return PlatformVerdict(Cause.ENGINE_LOST, message, Trouble.NOT_BEGUN.value)


def _cause_of(error: SquireError) -> Cause:
    match error:
        case WorkspaceError():
            return Cause.WORKSPACE_ERROR
        case ClusterRefusalError() if error.status != _CONFLICT and _QUOTA not in error.message:
            return Cause.NOT_STARTABLE
        case _:
            return Cause.ENGINE_LOST


def resolved(door: str) -> str:
    """Return a door's address as a number, so that a pod needs no DNS. Raises EngineError."""
    host, _, port = door.rpartition(":")
    try:
        entries = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        raise EngineError(
            f"kubernetes.door: the name {host} is not known here: {error.strerror}",
            hint="look at the workers' Service, and at the name in the settings",
        ) from error
    address = str(entries[0][4][0])
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _size_of(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except OSError as error:
        raise WorkspaceError(
            f"the inputs in {folder} cannot be read: {error.strerror}", hint="check the owner of the attempts folder"
        ) from error
