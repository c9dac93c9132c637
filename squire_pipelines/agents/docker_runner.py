"""Runs an attempt's agent in a hardened container of its own, from the image to the removal."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import docker
import requests
from docker.errors import APIError, DockerException

from squire_pipelines.agents import engine, monotonic_mark, profile, reap, warm, worker_files
from squire_pipelines.agents.adapters.protocol import GatewaySeen
from squire_pipelines.agents.container import Container, remove_with_retry
from squire_pipelines.agents.endings import EXIT_KILLED, EXIT_TERMINATED, SupervisionResult, engine_refusal
from squire_pipelines.agents.engine_kinds import create_container, is_name_taken
from squire_pipelines.agents.hand_out import HandOut
from squire_pipelines.agents.logs import DEFAULT_OUTPUT, OutputOptions, holds, last_lines
from squire_pipelines.agents.model import AttemptInputs, GatewaySocket, RunResult
from squire_pipelines.agents.run_recorder import RunRecorder, failed_before_start
from squire_pipelines.agents.supervision import HANDOVER_S, supervise
from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import EngineError, ImageMissingError, LeaseLostError, SquireError, WorkspaceError
from squire_pipelines.observability.logging import Component, get_logger

_CREATE_TRIES = 20
_CREATE_PAUSE_S = 0.5
# Below this the engine has kept all of an adopted container's output, whatever its lines are; see the profile's log.
_REPLAYED_BYTES = 1024 * 1024
# How often, and how far apart, the engine's log is looked at until it has caught up with ours.
_LAG_TRIES, _LAG_PAUSE_S = 6, 1.5
_log = get_logger(Component.AGENT)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How containers are made and watched, as the settings say.

    Args:
        seccomp: The profile as JSON text; the one shipped with the worker image by default.
        runtime: The OCI runtime; the engine's default when None.
        patience_s: How long the engine may be away during a run.
        keep_failed_s: For debugging: how long the container of an attempt that failed is kept; None removes it.
        keep_until: While the repository is debugged: until when each container is kept, however its attempt ended.
        warm: The folder of the pool of warm containers; None creates each container when it is needed.
    """

    seccomp: str = field(default_factory=worker_files.seccomp_profile)
    runtime: str | None = None
    patience_s: float = 30.0
    keep_failed_s: float | None = None
    keep_until: datetime | None = None
    warm: Path | None = None

    @property
    def keeps_some(self) -> bool:
        """Whether some containers are kept."""
        return self.keep_failed_s is not None or self.keep_until is not None


class DockerRunner:
    """The runner with a sandbox.

    Args:
        client: Its time-out bounds every request; closed by `close`.
        output: Where the agent's output goes, and how.
        options: How containers are made and watched.

    Raises:
        ConfigError: The installation lacks the seccomp profile.
    """

    name = "docker"
    is_sandbox = True

    def __init__(
        self,
        client: docker.DockerClient,
        *,
        output: OutputOptions = DEFAULT_OUTPUT,
        options: EngineOptions | None = None,
    ) -> None:
        self._client = client
        self._output = output
        self._options = options or EngineOptions()

    @property
    def client(self) -> docker.DockerClient:
        """The engine that runs the agents."""
        return self._client

    def close(self) -> None:
        """Close the connections to the engine."""
        self._client.close()

    def ensure_image(self, image: str) -> str:
        """Return the image's id on the engine. Nothing is pulled.

        Raises:
            ImageMissingError: The engine has no such image.
            EngineError: The engine does not answer.
        """
        return str(engine.image_attributes(self._client, image)["Id"])

    def run(
        self,
        inputs: AttemptInputs,
        *,
        heartbeat: Callable[[], bool],
        gateway_socket: GatewaySocket | None = None,
        gateway_seen: Callable[[], GatewaySeen] | None = None,
    ) -> RunResult:
        """See `runners.AgentRunner.run`."""
        recorder: RunRecorder | None = None
        try:
            recorder = self._recorder(inputs)
            recorder.facts["runner"] = "docker"
            recorder.gateway_seen = gateway_seen
            return self._run(recorder, heartbeat, gateway_socket)
        except (SquireError, requests.RequestException, DockerException) as error:
            cause, reason = self._classify(error)
            return failed_before_start(cause, reason, recorder)
        finally:
            if recorder is not None:
                recorder.sink.close()

    def _classify(self, error: Exception) -> tuple[Cause, SquireError | str]:
        """Return how a run ends that `error` cut short; raise again what is not about the run."""
        match error:
            case WorkspaceError():
                return Cause.WORKSPACE_ERROR, error
            case ImageMissingError():
                return Cause.IMAGE_MISSING, error
            case EngineError():
                return Cause.ENGINE_LOST, error
            case SquireError():
                raise error
            case APIError():
                cause, message = engine_refusal(error.status_code or 0, str(error.explanation or error))
                return cause, self._output.redact(message)
            case _:
                return Cause.ENGINE_LOST, EngineError(str(error)[:300])

    def _recorder(self, inputs: AttemptInputs) -> RunRecorder:
        """Open a new log, or one that goes on where a dead supervisor's ended.

        It goes on only when it is so long that the engine may have rotated away what is in it, and when what it ends
        with is also in the engine's log: the two cannot be matched by time, since the engine's log lags.
        """
        log = inputs.folder.log
        try:
            last = last_lines(log) if log.stat().st_size >= _REPLAYED_BYTES else ()
            container = reap.find(self._client, profile.container_name(inputs.unit)) if last else None
            if container is None or container.started_at is None:
                return RunRecorder(inputs, self._output)
            resume_after = last if self._engine_has(container.container_id, last) else ()
        except OSError:
            return RunRecorder(inputs, self._output)
        return RunRecorder(inputs, self._output, append=True, resume_after=resume_after)

    def _engine_has(self, container_id: str, last: tuple[str, ...]) -> bool:
        """Return whether the engine's log has the lines that ours ends with; a busy engine is seconds behind."""
        for attempt in range(_LAG_TRIES):
            if attempt:
                time.sleep(_LAG_PAUSE_S)
            kept = self._client.api.logs(container_id, stream=True, follow=False)
            if holds(kept, last, redact=self._output.redact):
                return True
        return False

    def _run(
        self, recorder: RunRecorder, heartbeat: Callable[[], bool], gateway_socket: GatewaySocket | None
    ) -> RunResult:
        inputs = recorder.inputs
        with recorder.timed("image_s"):
            recorder.image_digest = self.ensure_image(inputs.image)
        recorder.facts["image"] = recorder.image_digest
        arguments = profile.create_arguments(
            inputs,
            image=recorder.image_digest,
            user=profile.host_user(),
            seccomp=self._options.seccomp,
            gateway_socket=gateway_socket,
            runtime=self._options.runtime,
            keep_s=self._options.keep_failed_s,
            keep_until=self._options.keep_until,
        )
        if self._options.keeps_some:
            _make_kept_work(inputs)
            recorder.facts["kept_work"] = str(inputs.folder.work)
        name = profile.container_name(inputs.unit)
        container: Container | None = None
        keep = False
        try:
            elapsed_s = 0.0
            container = self._start_warm(recorder, gateway_socket)
            if container is None:
                with recorder.timed("create_s"):
                    created = self._create_or_adopt(name, inputs, arguments)
                if created.slot and isinstance(gateway_socket, Path):
                    _link_gateway(inputs, gateway_socket)
                container = self._container(created, recorder)
                elapsed_s = self._start(container, created, recorder)
            with HandOut(
                self._client,
                container.container_id,
                inputs,
                recorder.sink.result_ready,
                adopted="adopted" in recorder.facts,
            ) as hand_out:
                wall_clock_s = inputs.limits.wall_clock_s - elapsed_s
                result = self._watch(container, recorder, heartbeat, wall_clock_s, hand_out)
            keep = self._keeps(result)
            return _with_kept_container(result, name) if keep else result
        except LeaseLostError:
            keep = True  # the attempt is another's now, and with it the container; the reaper has what is nobody's
            raise
        finally:
            # By name: an interrupt may come between the engine's answer and ours. The drain reads on until then,
            # since a blocked container takes 30 s to die.
            if not keep:
                remove_with_retry(self._client, name, inputs.attempt_id)
            if container is not None:
                container.finish_output()

    def _container(self, info: reap.ContainerInfo, recorder: RunRecorder) -> Container:
        return Container(self._client, info.container_id, recorder.sink, patience_s=self._options.patience_s)

    def _start_warm(self, recorder: RunRecorder, gateway_socket: GatewaySocket | None) -> Container | None:
        """Start the agent in a container that was made ahead; return None when there is none that can be used."""
        inputs = recorder.inputs
        if self._options.warm is None or self._options.keeps_some or inputs.part:
            return None
        warm_profile = warm.WarmProfile(
            recorder.image_digest or "",
            inputs.limits,
            inputs.caches,
            gateway_socket is not None,
            self._options.seccomp,
            self._options.runtime,
        )
        with recorder.timed("warm_s"):
            taken = warm.take(self._client, self._options.warm, warm_profile, inputs, gateway_socket)
            if taken is None:
                return None
            container = self._container(taken.container, recorder)
            container.attach()
            started = taken.send_order()
        if not started:
            _log.warning("agent.warm_container_unwell", container=taken.container.name)
            remove_with_retry(self._client, taken.container.name, inputs.attempt_id)
            container.finish_output()
            warm.restore_folder(inputs)
            return None
        recorder.mark_started()
        monotonic_mark.write(inputs.folder.started)
        recorder.facts["warm"] = True
        return container

    def _keeps(self, result: RunResult) -> bool:
        cause, until = result.ending.cause, self._options.keep_until
        if until is not None and datetime.now(UTC) < until:
            return True
        return self._options.keep_failed_s is not None and not cause.is_success and cause is not Cause.CANCELLED

    def _create_or_adopt(self, name: str, inputs: AttemptInputs, arguments: dict[str, object]) -> reap.ContainerInfo:
        for _ in range(_CREATE_TRIES):
            try:
                created = create_container(self._client, **arguments)
            except APIError as error:
                if not is_name_taken(error):
                    raise
            else:
                return reap.describe(created.attrs)
            existing = reap.find(self._client, name)
            if existing is not None and existing.attempt_id == inputs.attempt_id:
                if warm.has_order(existing, inputs.folder):
                    return existing
                # A supervisor died before it sent the order, or before it wrote down that it had.
                remove_with_retry(self._client, name, inputs.attempt_id)
                warm.restore_folder(inputs)
                continue
            if existing is not None:
                raise EngineError(
                    f"the name {name} is taken by a container that is not this attempt's",
                    hint=f"look at it with `docker inspect {name}` and remove it",
                )
            # It is being removed, or a supervisor that died had just asked for it: the name leads to no container yet.
            time.sleep(_CREATE_PAUSE_S)
        raise EngineError(f"the engine says that the name {name} is taken, and knows no such container")

    def _start(self, container: Container, info: reap.ContainerInfo, recorder: RunRecorder) -> float:
        """Attach, and start what does not run yet; return for how many seconds an adopted one has run before."""
        folder = recorder.inputs.folder
        if info.started_at is None:
            with recorder.timed("start_s"):
                container.attach()
                container.start()
            recorder.mark_started()
            monotonic_mark.write(folder.started)
            return 0.0
        by_clock = max(0.0, (datetime.now(UTC) - info.started_at).total_seconds())
        elapsed_s = monotonic_mark.elapsed(folder.started)
        elapsed_s = by_clock if elapsed_s is None else elapsed_s
        _log.info("agent.adopted", container=info.name, running=info.running, elapsed_s=round(elapsed_s, 1))
        recorder.facts["adopted"] = True
        container.replay(running=info.running)
        return elapsed_s

    def _watch(
        self,
        container: Container,
        recorder: RunRecorder,
        heartbeat: Callable[[], bool],
        wall_clock_s: float,
        hand_out: HandOut,
    ) -> RunResult:
        try:
            stop = supervise(
                container,
                wall_clock_s=wall_clock_s,
                grace_s=recorder.inputs.limits.grace_s,
                heartbeat=heartbeat,
                problem=recorder.problem,
                handover_s=HANDOVER_S,
            )
        except EngineError as error:
            recorder.mark_ended()
            hand_out.finish()
            return recorder.finish(SupervisionResult(engine_lost=True, engine_error=error.message))
        recorder.mark_ended()
        if stop is None and container.exit_code in {EXIT_KILLED, EXIT_TERMINATED} and not container.oom_killed:
            container.check_engine_shutdown()
        container.finish_output()
        hand_out.finish()
        return recorder.finish(
            SupervisionResult(
                exit_code=container.exit_code,
                oom_killed=container.oom_killed,
                stop=stop or recorder.problem(),
                engine_lost=container.connection_lost,
            )
        )


def _with_kept_container(result: RunResult, name: str) -> RunResult:
    """Add to the ending's facts how to look into the container that is kept."""
    uid, gid = profile.host_user()
    enter = (
        f"docker run --rm -it --network none --user {uid}:{gid} --cap-drop ALL --volumes-from {name} "
        f"--workdir /work --entrypoint bash {result.image_digest}"
    )
    _log.warning("agent.container_kept", container=name, enter=enter)
    ending = result.ending
    facts = dict(ending.evidence.facts) | {"container_kept": name, "enter": enter}
    evidence = ending.evidence.model_copy(update={"facts": facts})
    return replace(result, ending=ending.model_copy(update={"evidence": evidence}))


def _link_gateway(inputs: AttemptInputs, gateway_socket: Path) -> None:
    """Link the new gateway's socket where a warm container that outlived its supervisor has the old one's."""
    try:
        warm.link_socket(warm.slot_of(inputs.folder), gateway_socket)
    except OSError as error:
        raise WorkspaceError(
            f"the gateway's socket cannot be put where the container has it: {error.strerror}",
            hint="the attempts' folder and run/ have to be on one file system",
        ) from error


def _make_kept_work(inputs: AttemptInputs) -> None:
    try:
        inputs.folder.work.mkdir(exist_ok=True)
        inputs.folder.work.chmod(0o777)  # in a folder that is ours alone
    except OSError as error:
        raise WorkspaceError(
            f"the workspace {inputs.folder.work} cannot be made: {error.strerror}",
            hint="check the free space and the owner of the attempts folder",
        ) from error
