"""Runs an attempt's agent as a child process with the worker's own entrypoint: the same endings, but no sandbox.

For commands that the user trusts, and where there is no engine. The agent can read and write what the user can.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from squire_pipelines.agents import rlimit_exec, worker_files
from squire_pipelines.agents.adapters.protocol import GatewaySeen
from squire_pipelines.agents.endings import SupervisionResult
from squire_pipelines.agents.logs import DEFAULT_OUTPUT, LogSink, OutputOptions
from squire_pipelines.agents.model import AttemptInputs, GatewaySocket, RunResult, SharedSocket
from squire_pipelines.agents.profile import agent_grace, file_size_limit
from squire_pipelines.agents.relay import LoopbackRelay
from squire_pipelines.agents.run_recorder import RunRecorder, failed_before_start
from squire_pipelines.agents.supervision import HANDOVER_S, supervise
from squire_pipelines.domain import canary
from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import ConfigError, EngineError, WorkspaceError
from squire_pipelines.files import remove_tree
from squire_pipelines.sections.agents import LimitSettings

# What the agent's programs need to run at all. No token lives under any of these names.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "SYSTEMROOT")
_CHUNK_BYTES = 64 * 1024
_DRAIN_S = 5.0
_PROC = Path("/proc")
_SESSION_FIELD = 3  # of /proc/PID/stat, counted after the command's name: state, ppid, pgrp, session


class LocalRunner:
    """The runner without a sandbox.

    Args:
        output: Where the agent's output goes, and how.
        entrypoint: The worker's entrypoint; by default the one shipped.
        python: The interpreter that runs it.

    Raises:
        ConfigError: The installation lacks the entrypoint.
    """

    name = "local"
    is_sandbox = False

    def __init__(
        self, *, output: OutputOptions = DEFAULT_OUTPUT, entrypoint: Path | None = None, python: str = sys.executable
    ) -> None:
        self._output = output
        self._entrypoint = worker_files.worker_file("entrypoint.py") if entrypoint is None else entrypoint
        self._python = python

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def run(
        self,
        inputs: AttemptInputs,
        *,
        heartbeat: Callable[[], bool],
        gateway_socket: GatewaySocket | None = None,
        gateway_seen: Callable[[], GatewaySeen] | None = None,
    ) -> RunResult:
        """See `runners.AgentRunner.run`."""
        if isinstance(gateway_socket, SharedSocket):
            raise ConfigError(
                "an agent without a container cannot reach a gateway's socket in a volume of an engine",
                hint='set gateway.transport = "socket"',
            )
        try:
            recorder = RunRecorder(inputs, self._output)
            work = Path(tempfile.mkdtemp(prefix="work-", dir=inputs.attempt_dir))
        except (WorkspaceError, OSError) as error:
            failure = error if isinstance(error, WorkspaceError) else WorkspaceError(f"no work directory: {error}")
            return failed_before_start(Cause.WORKSPACE_ERROR, failure)
        recorder.facts["runner"] = "local"
        recorder.gateway_seen = gateway_seen
        try:
            with contextlib.ExitStack() as stack:
                relay = stack.enter_context(LoopbackRelay(gateway_socket)) if gateway_socket is not None else None
                environment = self._environment(inputs, work, relay.port if relay is not None else None)
                try:
                    with recorder.timed("start_s"):
                        process = LocalProcess(
                            self._argv(inputs.limits), environment, work, recorder.sink, attempt_id=inputs.attempt_id
                        )
                except OSError as error:
                    failure = WorkspaceError(f"the agent's process cannot be started: {error}")
                    return failed_before_start(Cause.WORKSPACE_ERROR, failure, recorder)
                stack.enter_context(process)
                return self._watch(process, recorder, heartbeat)
        finally:
            recorder.sink.close()
            with contextlib.suppress(OSError):  # what it left running may still write there; retention tries again
                remove_tree(work)

    def _argv(self, limits: LimitSettings) -> list[str]:
        cpu_s = int(limits.wall_clock_s * max(1.0, limits.cpus)) + 60
        bounds = (file_size_limit(limits), limits.open_files, cpu_s)
        limiter = [self._python, "-I", rlimit_exec.__file__, *(str(bound) for bound in bounds)]
        return [*limiter, self._python, "-I", "-u", str(self._entrypoint)]

    @staticmethod
    def _watch(process: "LocalProcess", recorder: RunRecorder, heartbeat: Callable[[], bool]) -> RunResult:
        recorder.mark_started()
        limits = recorder.inputs.limits
        try:
            stop = supervise(
                process,
                wall_clock_s=limits.wall_clock_s,
                grace_s=limits.grace_s,
                heartbeat=heartbeat,
                problem=recorder.problem,
                handover_s=HANDOVER_S,
            )
        except EngineError as error:  # a process in an uninterruptible wait does not die
            return recorder.finish(SupervisionResult(engine_error=error.message))
        recorder.mark_ended()
        process.finish_output()
        return recorder.finish(SupervisionResult(exit_code=process.exit_code, stop=stop or recorder.problem()))

    @staticmethod
    def _environment(inputs: AttemptInputs, work: Path, gateway_port: int | None) -> dict[str, str]:
        home, scratch = work / "home", work / "tmp"
        for directory in (home, scratch):
            directory.mkdir()
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment |= {
            "HOME": str(home),
            "TMPDIR": str(scratch),
            "SQUIRE_IN": str(inputs.folder.inbox),
            "SQUIRE_OUT": str(inputs.folder.out),
            "SQUIRE_WORK": str(work),
            "SQUIRE_STOP_GRACE_S": agent_grace(inputs.limits),
            canary.NAME: canary.canary_for(inputs.attempt_id),
        }
        if gateway_port is not None:
            environment["SQUIRE_GATEWAY_PORT"] = str(gateway_port)
        return environment


class LocalProcess:
    """A child in a session of its own; fulfils `supervision.Handle`. As a context manager it leaves nothing running.

    Args:
        argv: The program and its arguments.
        environment: All that the child gets.
        cwd: Where it starts.
        sink: Takes its output.
        attempt_id: The entrypoint puts it into its agent's environment as SQUIRE_ATTEMPT_ID, by which processes that
            have left the session are found.
    """

    def __init__(
        self, argv: list[str], environment: dict[str, str], cwd: Path, sink: LogSink, *, attempt_id: str
    ) -> None:
        self._sink = sink
        self._attempt_id = attempt_id
        self._over = False
        self._closing = threading.Event()
        self._read_end, write_end = os.pipe()
        try:
            self._process = subprocess.Popen(
                argv,
                env=environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                start_new_session=True,
            )
        except OSError:
            os.close(self._read_end)
            raise
        finally:
            os.close(write_end)
        self._reader = threading.Thread(target=self._read, name="squire-drain", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._over:
            self.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_DRAIN_S)
        self.finish_output()
        os.close(self._read_end)

    @property
    def exit_code(self) -> int | None:
        """The exit code as a shell tells it: 128 + the signal's number when a signal ended it."""
        code = self._process.poll()
        return code if code is None or code >= 0 else 128 - code

    def wait(self, timeout_s: float) -> bool:
        """Wait at most `timeout_s`; return whether it has ended. Whatever it left running is then killed."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        if not self._over:  # once only: later the number may be another process's
            self.kill()
            self._over = True
        return True

    def terminate(self) -> None:
        """Ask the entrypoint to end; it passes the request on."""
        if self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """Kill the process group, every other process of the session, and all others of the attempt."""
        for pid in _members(self._process.pid, self._attempt_id):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def finish_output(self) -> None:
        """Read the output to its end, with a bound: a process that escaped may keep the pipe open for ever."""
        self._reader.join(_DRAIN_S)
        self._closing.set()
        self._reader.join(_DRAIN_S)

    def _read(self) -> None:
        while not self._closing.is_set():
            ready, _, _ = select.select([self._read_end], [], [], 0.2)
            if not ready:
                continue
            chunk = os.read(self._read_end, _CHUNK_BYTES)
            if not chunk:
                return
            self._sink.feed(chunk)


def _members(session: int, attempt_id: str) -> Iterator[int]:
    """Yield the processes of a session or an attempt, where the system has /proc; elsewhere the group must do."""
    if not (_PROC / "self" / "stat").exists():
        return
    variable = f"SQUIRE_ATTEMPT_ID={attempt_id}".encode()
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[_SESSION_FIELD]) == session or variable in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)
        except OSError:
            continue  # it ended meanwhile, or is another user's
