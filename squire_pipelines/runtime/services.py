"""The processes of one home: Dagster's code server, daemon and webserver, receiver, metrics' endpoint and board.

`squire dev`, `squire run` and `squire demo` start them here; a deployment may start the same commands by other means.
"""

import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from sqlalchemy.exc import SQLAlchemyError

from squire_pipelines.agents import engine, step_containers
from squire_pipelines.domain.worker_rules import MAX_WORKER_NAME, WorkKind
from squire_pipelines.errors import ConfigError, EngineError, NotReachableError
from squire_pipelines.execution import step_executor
from squire_pipelines.health.process_records import starting, stopping_mark
from squire_pipelines.home_presence import HomePresence
from squire_pipelines.machine_name import machine_name
from squire_pipelines.runtime.dagster_home import code_server_socket, instance_environment, storage_mark
from squire_pipelines.runtime.dagster_program import LOAD_TIMEOUT_S, accepts
from squire_pipelines.runtime.home_lock import home_lock
from squire_pipelines.runtime.processes import Child, without_interruption
from squire_pipelines.runtime.restarts import count_deaths, restart_wait_s
from squire_pipelines.runtime.run_processes import MAX_SOCKET_PATH_BYTES, remove_sockets
from squire_pipelines.runtime.secret_key import handed_on_key
from squire_pipelines.settings.file_systems import refuse_shared_databases
from squire_pipelines.settings.model import Settings

KEEPING_WORKER = "worker"
"""The name of the process that takes the runs which are the steward's own, where others go to workers."""

CODE_SERVER = "code-server"
"""The name of the process whose children the runs are."""
_MODULE = "squire_pipelines.definitions"
_MAX_RESTARTS = 5
_GRACE_S = 10.0
_KEEPING_SLOTS = 4
_ENGINE_TIMEOUT_S = 10.0
_POLL_S = 0.05
_MAX_CAUSE = 500


def keeping_worker() -> list[str]:
    """Return the command line of the worker of the steward's own runs, of which there is one in each home."""
    name = f"keep-{machine_name()}"[:MAX_WORKER_NAME]
    options = ("--queue", WorkKind.KEEP, "--slots", str(_KEEPING_SLOTS), "--name", name)
    return [sys.executable, "-m", "squire_pipelines.cli", "worker", *options]


def first_error(lines: Sequence[str]) -> str:
    """Return the error that a log's first traceback ends with: the cause of those that follow it."""
    in_traceback, error = False, ""
    for line in lines:
        if error and not line.strip():  # a blank line parts it from the next traceback
            break
        if error or (in_traceback and line and not line[0].isspace()):
            error += f" {line.strip()}"
        in_traceback = in_traceback or line.startswith("Traceback")
    return error.strip()[:_MAX_CAUSE] or next((line for line in reversed(lines) if line.strip()), "no output")


class Services:
    """Starts and stops the processes of one home.

    Args:
        settings: Say where the home is and on which ports to listen.
        say: Tells people what happens, one line at a time.
        monotonic: Seconds, by which children are started again.
        look_s: How often the daemon looks at sensors that people and tasks wait for; Dagster's five seconds by default.

    Raises:
        AlreadyRunningError: On entering, when another process serves this home.
        RefusedError: On entering, when another machine does.
        ConfigError, EngineError, ImageMissingError: On entering, when `pipeline.executor` cannot be had here, or the
            encrypted file of secrets does not open.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        say: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
        look_s: int | None = None,
    ) -> None:
        self._settings = settings
        self._look_s = look_s
        self._say = say
        self._run = settings.home.run
        self._stack = ExitStack()
        self._commands: dict[str, list[str]] = {}
        self._children: dict[str, Child] = {}
        self._once: dict[str, Child] = {}
        self._monotonic = monotonic
        self._born: dict[str, float] = {}
        self._deaths: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._environment: dict[str, str] = {}
        self.presence = HomePresence(self._run, say=say)
        self._socket = self._run / "code-server.sock"
        self._storage_made = settings.home.dagster / "storage-made"

    def __enter__(self) -> Self:
        # Here, where somebody sees it: in Dagster's processes each tick would fail with it, and nothing else.
        step_executor.check_executor(self._settings)
        self._settings.check_shared()
        refuse_shared_databases(self._settings)
        with ExitStack() as stack:
            for name in stack.enter_context(home_lock(self._run)):
                self._say(f"stopped {name}, which an earlier Squire had left running")
            stack.enter_context(self.presence)
            # A child inherits a signal that we ignore, and would then never stop when asked.
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is signal.SIG_IGN:
                    signal.signal(number, signal.SIG_DFL)
            stopping_mark(self._run).unlink(missing_ok=True)  # of one that was killed while it stopped
            self._settings.home.close_to_others()
            self._environment = instance_environment(self._settings)
            self._storage_made = storage_mark(self._settings)
            self._socket = code_server_socket(self._settings)
            self._environment |= stack.enter_context(handed_on_key(self._settings.secret_sources))
            if len(bytes(self._socket)) > MAX_SOCKET_PATH_BYTES:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="squire-"))  # mode 0700
                self._socket = Path(folder) / self._socket.name
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with without_interruption(), self._stack:  # else a signal now would leave processes behind
            # The code server last: the daemon's ticks and launches are answered until it has gone.
            last = self._children.pop(CODE_SERVER, None)
            others = (*self._once.values(), *reversed(self._children.values()))
            with suppress(OSError):  # such as a full disk: a tick then waits a few seconds more
                stopping_mark(self._run).touch()
            for child in others:
                child.ask_to_end()
            for child in (*others, *((last,) if last is not None else ())):
                child.stop(grace_s=_GRACE_S)
            self._children.clear()
            self._once.clear()
            stopping_mark(self._run).unlink(missing_ok=True)
            self._socket.unlink(missing_ok=True)
            remove_sockets(self._socket.parent)
            if self._settings.pipeline.executor != "in_process":
                self._remove_steps()

    def _remove_steps(self) -> None:
        """Remove what the last steps left behind, since the reaper has stopped too."""
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

    def start_code_server(self) -> None:
        """Start Dagster's code server, whose children the runs are, and wait until it has loaded the definitions.

        Runs whose process an earlier stop ended are reported as failed.

        Raises:
            ConfigError: The definitions cannot be loaded.
            NotReachableError: They are not loaded after two minutes.
        """
        self._launch_code_server()
        self._end_dead_runs()
        self.wait_for_code_server()

    def wait_for_code_server(self) -> None:
        """Wait until the code server that was launched has loaded the definitions. Raises as `start_code_server`."""
        child = self._children[CODE_SERVER]
        deadline = time.monotonic() + LOAD_TIMEOUT_S
        while not accepts(self._socket):
            if not child.alive:
                raise ConfigError(
                    f"Dagster could not load Squire's definitions: {first_error(child.last_lines(1000))}",
                    hint=f"fix the cause and start again; the whole error is in {child.log}",
                )
            if time.monotonic() > deadline:
                raise NotReachableError(
                    f"Squire's definitions were not loaded within {LOAD_TIMEOUT_S:g} s", hint=f"see {child.log}"
                )
            time.sleep(_POLL_S)

    def _make_storage(self) -> None:
        """Make Dagster's storage where there is none, before any process is started that opens it.

        Two that make it at once break it: each notes the databases' version, and Dagster refuses one that has two.
        """
        if not self._storage_made.exists():
            self._end_dead_runs()

    def _launch_code_server(self) -> None:
        self._socket.unlink(missing_ok=True)
        pointer = ["--socket", str(self._socket), "-m", _MODULE, "--location-name", _MODULE]
        after = ("--after-file", str(self._storage_made))
        self.start(CODE_SERVER, self._dagster("dagster", "api", "grpc", *pointer, after=after))

    def _end_dead_runs(self) -> None:
        """Report dead runs; this makes the storage, for which a code server that was launched waits."""
        self._report_dead_runs()
        self._storage_made.touch()

    def _dagster(self, program: str, *options: str, after: Sequence[str] = ()) -> list[str]:
        """Return the command line of a program of Dagster's, whose own lines are JSON too where the settings say so."""
        line_format = ("--log-format", "json") if self._settings.logging.format in {"json", "ecs"} else ()
        own = [*after, *(() if self._look_s is None else ("--look-s", str(self._look_s)))]
        return [sys.executable, "-m", "squire_pipelines.runtime.dagster_program", *own, program, *options, *line_format]

    def _report_dead_runs(self) -> None:
        # Imported here: only those who start a code server need Dagster in their own process.
        from squire_pipelines.runtime.recovery import fail_dead_runs, make_storage  # noqa: PLC0415

        if not self._storage_made.exists():
            make_storage(self._settings)
        for run_id in fail_dead_runs(self._settings, socket=self._socket.name):
            self._say(f"run {run_id[:8]} was cut off by an earlier stop")

    def _workspace(self) -> list[str]:
        """Write the file that names the code server, and return the options by which Dagster's programs read it."""
        if CODE_SERVER not in self._children:
            self._launch_code_server()
        file = self._run / "workspace.yaml"
        server = {"grpc_server": {"socket": str(self._socket), "location_name": _MODULE}}
        file.write_text(json.dumps({"load_from": [server]}), encoding="utf-8")  # JSON is YAML
        return ["-w", str(file)]

    def start_daemon(self) -> None:
        """Start Dagster's daemon: schedules, sensors and the queue. Raises what `start_code_server` raises."""
        with starting(self._run, "daemon"):
            self.launch_daemon()
            self.wait_for_code_server()

    def launch_daemon(self) -> None:
        """Start the daemon, which imports what it needs while the code server does, and then waits for that.

        Raises:
            NotReachableError: One of them could not be started. Whether they run `wait_for_code_server` says.
        """
        is_new = CODE_SERVER not in self._children
        options = self._workspace()
        after = ["--after", str(self._socket), "--after-file", str(self._storage_made)]
        if self._settings.ledger_file is None:  # which other machines may use too
            after.append("--as-steward")
        self.start("daemon", self._dagster("dagster-daemon", "run", *options, after=after))
        if is_new:
            self._end_dead_runs()
        if self._settings.is_shared:
            self.start(KEEPING_WORKER, keeping_worker())

    def start_webserver(self, port: int) -> None:
        """Start Dagster's UI. Raises what `start_code_server` raises."""
        if CODE_SERVER not in self._children:
            self.start_code_server()
        options = ["-h", self._settings.pipeline.webserver_host, "-p", str(port), *self._workspace()]
        self.start("webserver", self._dagster("dagster-webserver", *options))

    def start_receiver(self) -> None:
        """Start the webhook receiver."""
        self.start("receiver", [sys.executable, "-m", "squire_pipelines.webhooks"])

    def start_endpoint(self) -> None:
        """Start the operator's endpoint, which waits while its port is in use."""
        self._make_storage()  # which it looks at
        self.start("endpoint", [sys.executable, "-m", "squire_pipelines.endpoint"])

    def start_board(self) -> None:
        """Start the board."""
        self.start("board", [sys.executable, "-m", "squire_pipelines.board"])

    def start(self, name: str, argv: list[str]) -> None:
        """Start a process of this home, which `keep_up` starts again. Raises NotReachableError."""
        self._commands[name] = argv
        with without_interruption():  # else one that has been started might not be known
            self._children[name] = Child.start(
                name,
                argv,
                run=self._run,
                env=self._environment,
                logging=self._settings.logging,
                deaths=self._deaths.get(name, 0),
            )
        self._born[name] = self._monotonic()

    def start_once(self, name: str, argv: list[str]) -> Child:
        """Start a process that is not started again; whoever asked for it stops it. Raises NotReachableError."""
        child = Child.start(name, argv, run=self._run, env=self._environment, logging=self._settings.logging)
        self._once[name] = child
        return child

    def restart(self, names: Collection[str]) -> tuple[str, ...]:
        """Stop those of these processes that there are, and start them again; return their names.

        Runs under way go with the code server. Raises NotReachableError; `keep_up` then starts what is missing.
        """
        there = tuple(name for name in self._children if name in names)
        for name in there:
            self._children[name].end_processes(grace_s=_GRACE_S)
            self._deaths.pop(name, None)
            self._due[name] = self._monotonic()
        for name in there:
            self._start_again(name, gives_up=True)
        return there

    @property
    def children(self) -> Mapping[str, Child]:
        """The processes that were started last, by their names."""
        return MappingProxyType(self._children)

    def log_of(self, name: str) -> tuple[str, ...]:
        """Return the last lines of a process's log."""
        child = self._children.get(name)
        return child.last_lines() if child else ()

    def keep_up(self, *, gives_up: bool = True) -> None:
        """Start again what has died.

        Args:
            gives_up: Whether a child that has died six times in a row is an error, and is started again at once until
                then. Otherwise it is left alone for growing times, of five minutes at most, and all others go on. Its
                record stays meanwhile, by which others see that it has died.

        Raises:
            NotReachableError: With `gives_up` alone.
            RefusedError: Another machine serves this home, too.
        """
        self.presence.check()
        for name, child in list(self._children.items()):
            if child.alive:
                continue
            if name not in self._due:
                self._note_death(name, child, gives_up=gives_up)
            if self._monotonic() >= self._due[name]:
                self._start_again(name, gives_up=gives_up)

    def _note_death(self, name: str, child: Child, *, gives_up: bool) -> None:
        now = self._monotonic()
        deaths = count_deaths(self._deaths.get(name, 0), now - self._born.get(name, now))
        self._deaths[name] = deaths
        last = "\n".join(child.last_lines())
        if gives_up and deaths > _MAX_RESTARTS:
            raise NotReachableError(f"{name} stops again and again; its last lines:\n{last}", hint=f"see {child.log}")
        wait_s = 0.0 if gives_up else restart_wait_s(deaths)
        code = child.process.returncode
        if wait_s:
            text = f"{name} has stopped (exit {code}), {deaths} times in a row; starting it again in {wait_s:.0f} s"
            self._say(f"{text}; its log is {child.log}")
        else:
            self._say(f"{name} has stopped (exit {code}); starting it again")
        child.end_processes(grace_s=_GRACE_S)
        self._due[name] = self._monotonic() + wait_s

    def _start_again(self, name: str, *, gives_up: bool) -> None:
        try:
            if name == CODE_SERVER:
                self._launch_code_server()
                self._end_dead_runs()  # its runs have died with it
            else:
                self.start(name, self._commands[name])
        except (NotReachableError, OSError, SQLAlchemyError) as error:  # such as a full disk
            if gives_up:
                raise
            self._say(f"{name} was not started as it should be: {error}")
            if not self._children[name].alive:
                self._deaths[name] += 1
                self._due[name] = self._monotonic() + restart_wait_s(self._deaths[name])
                return
        del self._due[name]  # one that has died by now is noted at the next look
