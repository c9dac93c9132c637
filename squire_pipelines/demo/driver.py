"""The demo's driver: it runs the real pipeline against a forge on this machine, follows it and checks the result.

It calls nothing of the pipeline: it requests a collection in the inbox, starts the processes of `squire dev`, and reads
the ledger, the forge and the warehouse.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from squire_forge import errors as forge_errors
from squire_forge.process import ForgeProcess
from squire_forge.samples import build_samples
from squire_pipelines.agents import engine
from squire_pipelines.demo import ending, folder, story
from squire_pipelines.demo.local import LocalRepository, inspect_repository
from squire_pipelines.demo.options import DemoOptions, config_text, shell_command
from squire_pipelines.demo.patience import Patience
from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.outcomes import PullRequestState
from squire_pipelines.domain.plurals import counted
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import EngineError, ImageMissingError, NotReachableError, PortInUseError, SquireError
from squire_pipelines.execution import step_executor
from squire_pipelines.ledger import attempts, deliveries, tasks
from squire_pipelines.ledger.store import Ledger, open_ledger
from squire_pipelines.runtime.cycle import CycleState, CycleTask
from squire_pipelines.runtime.cycle_watcher import CycleWatcher, Say
from squire_pipelines.runtime.ports import check_free, is_listening
from squire_pipelines.runtime.processes import ignore_interruptions, interruptible, without_interruption
from squire_pipelines.runtime.services import Services
from squire_pipelines.settings.model import Settings, load_settings
from squire_pipelines.warehouse.query import run_query

_POLL_S = 0.25
_LOOK_S = 1  # somebody watches
_START_POLL_S = 0.05
_RECEIVER_S = 120.0
_MIN_SAMPLES_MERGED = 3
_STORY = "failed checks were fixed, and a remark was answered, before a merge"
_STATES = (FollowState.FIXING, FollowState.ANSWERING, FollowState.MERGED)


@dataclass(frozen=True, slots=True)
class DemoCheck:
    """One expectation of the demo: its name, whether it is met, and the numbers behind it."""

    name: str
    passed: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The tasks of a demo and its checks; `results` are lines about a command that led to no pull request.

    `stopped` is a paragraph about a demo that did not come to its end, which has no checks; else it is empty.
    """

    rows: tuple[CycleTask, ...]
    checks: tuple[DemoCheck, ...]
    seconds: float
    results: tuple[str, ...] = ()
    stopped: str = ""

    @property
    def passed(self) -> bool:
        """Whether the demo came to its end and every check passed."""
        return not self.stopped and all(check.passed for check in self.checks)


class Demo:
    """One run of the demo, from set-up to its end; `say` takes its progress, one line at a time."""

    def __init__(self, options: DemoOptions, *, say: Say) -> None:
        self._options = options
        self._say = say
        self._own: LocalRepository | None = None

    def run(self, *, then: Callable[[DemoResult, ForgeProcess], None]) -> DemoResult:
        """Run the demo and call `then` while the forge is still up, for what shows or keeps it.

        Raises:
            RepositoryError: The local repository cannot be used.
            PortInUseError, NotReachableError: A server of the demo could not start.
            EngineError, ImageMissingError: Containers are asked for, and the engine or the worker image is missing.
            RefusedError, ConfigError: The folder is in use, or not the demo's; or step containers cannot run here.
        """
        options, home = self._options, self._options.home
        if options.repository is not None:
            self._own = inspect_repository(options.repository)
            shell_command(options.command)  # checked before anything is set up
            if options.repository.resolve() != self._own.path:
                self._say(f"{options.repository} is a folder of {self._own.path}, which is taken as a whole")
        check_runner(options.runner, say=self._say)
        with folder.lock_folder(home), interruptible() as check_interrupt, contextlib.ExitStack() as stack:
            if folder.stop_leftover_forge(home):
                self._say("stopped a forge that an earlier demo had left running")
            state, resumed = folder.prepare_folder(options)
            asked: dict[str, Any] = {
                "pipeline": {"executor": options.executor},
                "agent": {"runner": options.runner},
            }
            step_executor.check_executor(Settings(**asked))  # the environment may name the image
            if resumed:
                done = "served again" if state.finished else "was interrupted here: continuing it"
                self._say(f"an earlier demo {'is ' if state.finished else ''}{done}")
            webhook = f"http://127.0.0.1:{state.receiver_port}/webhooks/github"
            memory = stack.enter_context(folder.secrets_in_memory(home))
            with without_interruption(), _raise_as_ours():
                started = ForgeProcess.start(
                    home / "forge", port=state.forge_port, webhook_url=webhook, secrets_folder=memory
                )
                forge = stack.enter_context(started)
            stack.callback(ignore_interruptions)  # first of all that is done at the end, so that nothing cuts it short
            secrets = {"github-token": forge.token, "webhook-secret": forge.webhook_secret}
            folder.keep_secrets(home, memory, secrets)
            self._say(f"the forge stands in for GitHub on {forge.url}")
            hostings = self._write_settings(state)
            result = self._follow(hostings, state, forge, check_interrupt)
            then(result, forge)
        return result

    def _write_settings(self, state: folder.DemoState) -> dict[str, Mapping[str, object]]:
        """Write the settings that fit the repositories; return how the forge is to host them, by their names."""
        home = self._options.home
        if self._own is not None:
            hostings = {self._own.full_name: self._own.hosting(self._options.issue)}
            commands = {self._own.full_name: shell_command(self._options.command)}
        else:
            with _raise_as_ours():
                samples = build_samples(home / "samples")
            hostings = {sample.full_name: story.hosting_of(sample) for sample in samples}
            commands = {sample.full_name: story.command_of(sample) for sample in samples}
        text = config_text(self._options, commands, forge_port=state.forge_port, receiver_port=state.receiver_port)
        (home / "config.toml").write_text(text, encoding="utf-8")
        return hostings

    def _follow(
        self,
        hostings: Mapping[str, Mapping[str, object]],
        state: folder.DemoState,
        forge: ForgeProcess,
        check_interrupt: Callable[[], None],
    ) -> DemoResult:
        settings, home, began = load_settings(), self._options.home, time.monotonic()
        names = tuple(hostings)
        with contextlib.closing(open_ledger(settings.resolved_ledger_url)) as ledger:
            with Services(settings, say=self._say, look_s=_LOOK_S) as services:
                check_free("127.0.0.1", state.receiver_port, setting="--home (ports are kept in it)")
                services.start_receiver()
                services.launch_daemon()
                self._say("Dagster's daemon and the webhook receiver are starting")
                # What the forge delivers of the repositories is to be in the inbox before the first look at it.
                _wait_for_receiver(state.receiver_port, services, check_interrupt)
                with _raise_as_ours():
                    forge.keep_up()
                    for hosting in hostings.values():
                        forge.host_repository(hosting)
                self._say(f"hosts {', '.join(names)}")
                since, requests = state.since, state.requests
                if since is None:
                    requests, since = _request_collection(ledger, names)
                    state = state.model_copy(update={"since": since, "requests": requests})
                    folder.save_state(home, state)
                services.wait_for_code_server()
                watcher = CycleWatcher(ledger, names, requests, since, say=self._say)

                def keep_up() -> None:
                    check_interrupt()
                    with _raise_as_ours():
                        revived = forge.keep_up()
                    if revived:  # what was read meanwhile found nothing there
                        self._say("the forge has stopped; starting it again, and collecting again")
                        watcher.wait_for(_request_collection(ledger, names)[0])
                    services.keep_up()

                cycle, stopped = self._wait(watcher, settings, keep_up)
            checks = () if stopped else tuple(self._check(cycle, forge, settings, ledger))
            results = _results(ledger, cycle.rows) if self._own is not None and not stopped else ()
        result = DemoResult(cycle.rows, checks, time.monotonic() - began, results, stopped)
        if result.passed:
            folder.save_state(home, state.model_copy(update={"finished": True}))
        return result

    def _wait(self, watcher: CycleWatcher, settings: Settings, keep_up: Callable[[], None]) -> tuple[CycleState, str]:
        """Return how the cycle stands at its end, or where it stopped with a paragraph about that."""
        patience = Patience(self._options.timeout_s)
        cycle = watcher.look()
        while patience.lasts(cycle):
            if _is_over(cycle) and _is_published(settings, cycle):
                self._say("warehouse published")
                return cycle, ""
            if patience.takes_long():
                reached, missing = ending.progress(cycle)
                self._say(f"waiting for {missing}: {reached}, and nothing new for {patience.idle_s:.0f} s")
            time.sleep(_POLL_S)
            keep_up()
            cycle = watcher.look()
        log = str(settings.home.run / "daemon.log")
        return cycle, ending.stop_paragraph(cycle, idle_s=patience.idle_s, limit_s=patience.limit_s, log=log)

    def _check(self, cycle: CycleState, forge: ForgeProcess, settings: Settings, ledger: Ledger) -> Iterator[DemoCheck]:
        rows, readings = cycle.rows, cycle.readings
        silent = [
            f"{reading.repository} {reading.source}" for reading in readings if not reading.status.source_answered
        ]
        yield DemoCheck("all sources of all repositories were read", cycle.collected and not silent, ", ".join(silent))
        largest = _first_row(
            settings, "SELECT count(DISTINCT repository) FROM collections GROUP BY run_id ORDER BY 1 DESC"
        )
        yield DemoCheck("in one Dagster run", largest == (len({reading.repository for reading in readings}),))
        yield DemoCheck("a plan looked at every reading", cycle.planned and bool(rows), counted(len(rows), "task"))
        if self._own is not None:  # a command that fails, or changes what it may not, is a result like another
            ended = [row for row in rows if ending.has_result(row)]
            yield DemoCheck("every task came to its end", _are_all(ended, rows), f"{len(ended)} of {len(rows)}")
        else:
            succeeded = [row for row in rows if row.status is TaskStatus.SUCCEEDED]
            detail = f"{len(succeeded)} of {len(rows)}"
            yield DemoCheck("every task's agent ran and succeeded", _are_all(succeeded, rows), detail)
        rows = tuple(row for row in rows if row.pr_number is not None or row.outcome is not None)
        merged = [row for row in rows if row.outcome is PullRequestState.MERGED]
        waiting = [row for row in rows if row.outcome is PullRequestState.OPEN and row.needs_approval]
        detail = f"{len(merged)} merged" + (f", {len(waiting)} wait for approval" if waiting else "")
        if self._own is not None and rows:
            # In somebody's own repository the policy may rightly leave a pull request to a person.
            opened = _are_all([*merged, *waiting], rows)
            yield DemoCheck("a pull request was opened and its outcome recorded", opened, detail)
        elif self._own is None:
            enough = len(merged) >= _MIN_SAMPLES_MERGED and _are_all(merged, rows)
            yield DemoCheck("every pull request was merged and its outcome recorded", enough, detail)
            yield DemoCheck(_STORY, *_life_of_story(ledger, rows))
        bodies = {
            (repository["name"], pull["number"]): pull["body"]
            for repository in forge.state()["repositories"]
            for pull in repository["pull_requests"]
        }
        traced = [row for row in rows if row.trace_id in bodies.get((row.repository, row.pr_number), "")]
        if rows or self._own is None:
            yield DemoCheck("each pull request names its task's trace id", _are_all(traced, rows), f"{len(traced)}")
        yield DemoCheck("the warehouse agrees with the ledger", _is_published(settings, cycle))


def check_runner(runner: str, *, say: Say) -> None:
    """Say in what agents will run. Raises EngineError or ImageMissingError when the runner cannot be used."""
    if runner == "local":
        say("agents run as local processes, as asked: this is no sandbox")
        return
    available = engine.engine_available()
    if available is None and runner == "docker":
        raise EngineError(
            "no container engine answers", hint=f"{engine.HINT}, or take --runner local, which is no sandbox"
        )
    if available is None:
        say("no container engine answers: agents run as local processes. THIS IS NO SANDBOX (`make engine`)")
        return
    image = Settings().agent.worker_image
    with contextlib.closing(engine.connect(image=image)) as client:
        present = bool(client.images.list(name=image))
    if not present:
        raise ImageMissingError(
            f"the engine ({available.name} {available.version}) has no image {image}",
            hint="`make demo` builds it, as does scripts/images.sh worker; or --runner local",
        )
    say(f"agents run in containers of {image} ({available.name} {available.version})")


def _wait_for_receiver(port: int, services: Services, check_interrupt: Callable[[], None]) -> None:
    """Wait until the receiver listens; one that has died is started again later, and is not waited for."""
    deadline = time.monotonic() + _RECEIVER_S
    while not is_listening("127.0.0.1", port) and services.children["receiver"].alive:
        if time.monotonic() > deadline:
            raise NotReachableError(f"the receiver does not listen on port {port}", hint="see its log, receiver.log")
        check_interrupt()
        time.sleep(_START_POLL_S)


def _request_collection(ledger: Ledger, names: Sequence[str]) -> tuple[tuple[int, ...], datetime]:
    """Request a collection as a command does; return the inbox rows and when it was, by the ledger's clock."""
    with ledger.write() as tx:
        requests = deliveries.request_collection(tx, names, source=DeliverySource.COMMAND, trace_id=new_trace_id())
        return requests, tx.now


@contextlib.contextmanager
def _raise_as_ours() -> Iterator[None]:
    """Raise the forge's errors as Squire's own, which the command knows how to show."""
    try:
        yield
    except forge_errors.ForgeError as error:
        kind = PortInUseError if isinstance(error, forge_errors.PortInUseError) else NotReachableError
        raise kind(error.message, hint=error.hint) from error


def _results(ledger: Ledger, rows: tuple[CycleTask, ...]) -> tuple[str, ...]:
    lines: list[str] = []
    with ledger.read() as tx:
        for row in rows:
            tried = attempts.of_task(tx, row.task_id)
            evidence = tried[-1].evidence if tried else None
            lines += ending.result_lines(row, evidence.log_tail if evidence else ())
    return tuple(lines)


def _life_of_story(ledger: Ledger, rows: tuple[CycleTask, ...]) -> tuple[bool, str]:
    """Return whether the story's pull request went through all of its states, and through which it went."""
    passed: list[str] = []
    with ledger.read() as tx:
        for row in rows:
            if row.repository == story.REPOSITORY:
                events = tasks.events(tx, row.task_id)
                passed += [event.after for event in events if event.subject == EventSubject.FOLLOW]
    left = iter(passed)
    return all(state in left for state in _STATES), " → ".join(passed)


def _are_all(some: list[CycleTask], rows: tuple[CycleTask, ...]) -> bool:
    return bool(rows) and len(some) == len(rows)


def _is_over(cycle: CycleState) -> bool:
    """Return whether no more can happen: each pull request is merged, closed or waits for a person."""
    return cycle.settled and all(row.outcome is not PullRequestState.OPEN or row.needs_approval for row in cycle.rows)


def _is_published(settings: Settings, cycle: CycleState) -> bool:
    counts = _first_row(
        settings,
        "SELECT (SELECT count(*) FROM outcomes WHERE state = 'merged'), (SELECT coalesce(max(id), 0) FROM task_events)",
    )
    merged = sum(row.outcome is PullRequestState.MERGED for row in cycle.rows)
    return counts is not None and int(counts[0]) == merged and int(counts[1]) >= cycle.last_event


def _first_row(settings: Settings, sql: str) -> tuple[Any, ...] | None:
    """Return the first row of a query of the warehouse, None while the warehouse has no answer."""
    try:
        rows = run_query(settings.home.warehouse, sql, limit=1, timeout_s=5).rows
    except SquireError:
        return None  # not published yet
    return rows[0] if rows else None
