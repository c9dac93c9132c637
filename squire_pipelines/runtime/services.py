"""The processes of one home: Dagster's daemon and webserver and the webhook receiver, one set at a time.

`squire dev`, `squire run` and `squire demo` start them here; a deployment may start the same commands by other means.
"""

import os
import shutil
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from squire_pipelines.agents import engine, step_containers
from squire_pipelines.errors import ConfigError, EngineError, NotReachableError, SquireError
from squire_pipelines.files import lock
from squire_pipelines.runtime.processes import Child, stop_orphans
from squire_pipelines.settings import Settings

_MODULE = "squire_pipelines.definitions"
_DAEMON = "daemon"
_MAX_RESTARTS = 5
_RESTART_WINDOW_S = 600.0
_GRACE_S = 10.0
_ENGINE_TIMEOUT_S = 10.0


class AlreadyRunningError(SquireError):
    """Another `squire dev`, `run` or `demo` serves this home."""

    code = "already_running"


def dagster_yaml() -> Path:
    """The instance's settings that we ship. Raises ConfigError when the installation lacks them."""
    for candidate in (Path(__file__).parent / "dagster.yaml", Path(__file__).parents[2] / "dagster.yaml"):
        if candidate.is_file():
            return candidate
    raise ConfigError("dagster.yaml is missing from the installation", hint="install Squire again")


def instance_environment(settings: Settings) -> dict[str, str]:
    """The environment of our child processes: `DAGSTER_HOME` is set up, secrets are not handed on.

    Children look secrets up themselves; what stands in our environment under their names is theirs too.
    """
    dagster_home = settings.home.dagster
    dagster_home.mkdir(mode=0o700, parents=True, exist_ok=True)
    target = dagster_home / "dagster.yaml"
    if not target.exists():
        shutil.copyfile(dagster_yaml(), target)
    return {**os.environ, "DAGSTER_HOME": str(dagster_home), "PYTHONUNBUFFERED": "1"}


@contextmanager
def home_lock(run: Path) -> Iterator[tuple[str, ...]]:
    """Hold a home's folder `run`; yields the names of what an earlier, killed holder had left running and was ended.

    Raises:
        AlreadyRunningError: Another process holds it.
    """
    try:
        serving = lock(run / "lock")
    except TimeoutError:
        raise AlreadyRunningError(
            f"another Squire serves {run.parent}", hint="stop it first, or set SQUIRE_HOME to another folder"
        ) from None
    with serving:
        yield stop_orphans(run)


class Services:
    """Starts and stops the processes of one home.

    Args:
        settings: Say where the home is and on which ports to listen.
        say: Tells people what happens, one line at a time.

    Raises:
        AlreadyRunningError: On entering, when another process serves this home.
    """

    def __init__(self, settings: Settings, *, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._run = settings.home.run
        self._held = ExitStack()
        self._commands: dict[str, list[str]] = {}
        self._children: dict[str, Child] = {}
        self._restarts: deque[float] = deque(maxlen=_MAX_RESTARTS + 1)
        self._environment: dict[str, str] = {}

    def __enter__(self) -> Self:
        with ExitStack() as entered:
            for name in entered.enter_context(home_lock(self._run)):
                self._say(f"ended {name}, which an earlier Squire had left running")
            # A child inherits a signal that we ignore, and would then never stop when asked.
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is signal.SIG_IGN:
                    signal.signal(number, signal.SIG_DFL)
            self._environment = instance_environment(self._settings)
            self._held = entered.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._held:
            for child in reversed(self._children.values()):
                child.stop(grace_s=_GRACE_S)
            self._children.clear()
            if self._settings.pipeline.executor != "in_process":
                self._remove_steps()

    def _remove_steps(self) -> None:
        """The reaper has stopped too: what the last steps left behind is removed here."""
        try:
            client = engine.connect(_ENGINE_TIMEOUT_S)
        except EngineError:
            return  # without an engine there are no containers
        try:
            step_containers.remove_ended(client, self._settings.home.state, older_than_s=0)
        except EngineError as error:
            self._say(f"step containers may be left on the engine: {error}")
        finally:
            client.close()

    def start_daemon(self) -> None:
        """Dagster's daemon with its code server: schedules, sensors and the queue. Fails runs whose process is gone."""
        # Imported here: only those who start a daemon need Dagster in their own process.
        from squire_pipelines.runtime.recovery import fail_dead_runs  # noqa: PLC0415

        for run_id in fail_dead_runs(self._settings.home.dagster):
            self._say(f"run {run_id[:8]} was cut off by an earlier stop")
        self._start(_DAEMON, [_program("dagster-daemon"), "run", "-m", _MODULE])

    def start_webserver(self, port: int) -> None:
        """Dagster's UI on loopback."""
        self._start("webserver", [_program("dagster-webserver"), "-h", "127.0.0.1", "-p", str(port), "-m", _MODULE])

    def start_receiver(self) -> None:
        """The webhook receiver."""
        self._start("receiver", [sys.executable, "-m", "squire_pipelines.webhooks"])

    def _start(self, name: str, argv: list[str]) -> None:
        self._commands[name] = argv
        self._children[name] = Child.start(name, argv, run=self._run, env=self._environment)

    def log_of(self, name: str) -> tuple[str, ...]:
        """The last lines of a process's log."""
        child = self._children.get(name)
        return child.last_lines() if child else ()

    def pid_of(self, name: str) -> int:
        """The process id, for tests and messages."""
        return self._children[name].process.pid

    def keep_up(self) -> None:
        """Start again what has died, five times in ten minutes. Raises NotReachableError when it is of no use."""
        for name, child in list(self._children.items()):
            if child.alive:
                continue
            self._restarts.append(time.monotonic())
            last = "\n".join(child.last_lines())
            if len(self._restarts) > _MAX_RESTARTS and self._restarts[-1] - self._restarts[0] < _RESTART_WINDOW_S:
                raise NotReachableError(
                    f"{name} stops again and again; its last lines:\n{last}", hint=f"see {child.log}"
                )
            self._say(f"{name} has stopped (exit {child.process.returncode}); starting it again")
            child.stop(grace_s=_GRACE_S)
            if name == _DAEMON:
                self.start_daemon()  # its runs have died with it
            else:
                self._start(name, self._commands[name])


def _program(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.is_file() else name
