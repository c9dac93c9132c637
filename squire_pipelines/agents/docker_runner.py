"""Running an attempt's agent in a hardened container of its own, from the image to the removal."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import docker
import requests
import structlog
from docker.errors import APIError, DockerException, ImageNotFound

from squire_pipelines.agents import files, profile, reap
from squire_pipelines.agents.container import Container, remove_surely
from squire_pipelines.agents.endings import IMAGE_HINT, engine_refusal
from squire_pipelines.agents.engine import describe
from squire_pipelines.agents.finish import Recorder, Watched, not_run
from squire_pipelines.agents.model import AttemptInputs, RunResult
from squire_pipelines.agents.supervision import supervise
from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import EngineError, ImageMissingError, WorkspaceError

_CONFLICT = 409
_log = structlog.get_logger(__name__)


class DockerRunner:
    """The runner with a sandbox.

    Args:
        client: Its time-out bounds every request; closed by `close`.
        redact: Takes secrets out of each line of the agent's output.
        seccomp: The profile as JSON text; by default the one shipped with the worker image.
        engine_patience_s: How long the engine may be away during a run.

    Raises:
        ConfigError: The installation lacks the seccomp profile.
    """

    is_sandbox = True

    def __init__(
        self,
        client: docker.DockerClient,
        *,
        redact: Callable[[str], str] = str,
        seccomp: str | None = None,
        engine_patience_s: float = 30.0,
    ) -> None:
        self._client = client
        self._redact = redact
        self._seccomp = files.seccomp_profile() if seccomp is None else seccomp
        self._patience_s = engine_patience_s

    def close(self) -> None:
        """Close the connections to the engine."""
        self._client.close()

    def ensure_image(self, image: str) -> str:
        """The image's id on the engine. Nothing is pulled.

        Raises:
            ImageMissingError: The engine has no such image.
            EngineError: The engine does not answer.
        """
        try:
            return str(self._client.images.get(image).id)
        except ImageNotFound as error:
            message = f"the image {image} is not on the engine"
            raise ImageMissingError(message, hint=IMAGE_HINT, context={"image": image}) from error
        except (DockerException, requests.RequestException) as error:
            message = f"the container engine does not answer: {str(error)[:200]}"
            raise EngineError(message, hint="run `make engine`") from error

    def run(
        self, inputs: AttemptInputs, *, heartbeat: Callable[[], bool], gateway_socket: Path | None = None
    ) -> RunResult:
        """See `runners.AgentRunner.run`."""
        profile.check_limits(inputs.limits)
        try:
            recorder = Recorder(inputs, self._redact)
        except WorkspaceError as error:
            return not_run(Cause.WORKSPACE_ERROR, error)
        recorder.facts["runner"] = "docker"
        try:
            return self._run(recorder, heartbeat, gateway_socket)
        except ImageMissingError as error:
            return not_run(Cause.IMAGE_MISSING, error, facts=recorder.facts)
        except APIError as error:
            cause, message = engine_refusal(error.status_code or 0, str(error.explanation or error))
            return not_run(cause, self._redact(message), timings=recorder.timings, facts=recorder.facts)
        except (EngineError, requests.RequestException, DockerException) as error:
            lost = error if isinstance(error, EngineError) else EngineError(str(error)[:300])
            return not_run(Cause.ENGINE_LOST, lost, timings=recorder.timings, facts=recorder.facts)
        finally:
            recorder.sink.close()

    def _run(self, recorder: Recorder, heartbeat: Callable[[], bool], gateway_socket: Path | None) -> RunResult:
        inputs = recorder.inputs
        recorder.image_digest = self.ensure_image(inputs.image)
        recorder.facts["image"] = recorder.image_digest
        arguments = profile.create_arguments(
            inputs,
            image=recorder.image_digest,
            user=profile.host_user(),
            seccomp=self._seccomp,
            gateway_socket=gateway_socket,
            engine_cpus=describe(self._client).cpus,
        )
        name = profile.container_name(inputs.attempt_id)
        container: Container | None = None
        try:
            found = self._create_or_adopt(name, inputs.attempt_id, arguments)
            container = Container(self._client, found.container_id, recorder.sink, patience_s=self._patience_s)
            elapsed_s = self._start(container, found, recorder)
            return self._watch(container, recorder, heartbeat, inputs.limits.wall_clock_s - elapsed_s)
        finally:
            # By name: an interrupt may come between the engine's answer and ours. The drain reads on until then,
            # since a blocked container takes 30 s to die.
            remove_surely(self._client, name, inputs.attempt_id)
            if container is not None:
                container.finish_output()

    def _create_or_adopt(self, name: str, attempt_id: str, arguments: dict[str, object]) -> reap.FoundContainer:
        try:
            self._client.containers.create(**arguments)  # type: ignore[arg-type]  # the profile knows the names
        except APIError as error:
            if error.status_code != _CONFLICT:
                raise
        found = reap.find(self._client, name)
        if found is None or found.attempt_id != attempt_id:
            message = f"the name {name} is taken by a container that is not this attempt's"
            raise EngineError(message, hint=f"look at it with `docker inspect {name}` and remove it")
        return found

    def _start(self, container: Container, found: reap.FoundContainer, recorder: Recorder) -> float:
        """Attach, and start what does not run yet; how many seconds it has run before (after an adoption)."""
        if found.started_at is None:
            container.attach()
            container.start()
            recorder.lap("started_s")
            return 0.0
        elapsed_s = max(0.0, (datetime.now(UTC) - found.started_at).total_seconds())
        _log.info("agent.adopted", container=found.name, running=found.running, elapsed_s=round(elapsed_s, 1))
        recorder.facts["adopted"] = True
        container.replay(running=found.running)
        return elapsed_s

    def _watch(
        self, container: Container, recorder: Recorder, heartbeat: Callable[[], bool], wall_clock_s: float
    ) -> RunResult:
        try:
            stop = supervise(
                container,
                wall_clock_s=wall_clock_s,
                grace_s=recorder.inputs.limits.grace_s,
                heartbeat=heartbeat,
                problem=recorder.problem,
            )
        except EngineError as error:
            return recorder.finish(Watched(engine_lost=True, engine_error=error.message))
        recorder.lap("ended_s")
        container.finish_output()
        return recorder.finish(
            Watched(
                exit_code=container.exit_code,
                oom_killed=container.oom_killed,
                stop=stop or recorder.problem(),
                engine_lost=container.connection_lost,
            )
        )
