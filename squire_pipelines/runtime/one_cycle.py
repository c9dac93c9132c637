"""One cycle for `squire run`: ask for it in the inbox, see that somebody works on it, wait, report."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict

from rich.text import Text

from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import ExitCode, GitHubError, SquireError
from squire_pipelines.execution.repository_settings import repository_settings, settings_in
from squire_pipelines.execution.schedules import take_due_times
from squire_pipelines.execution.startable import check_agent_of
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.looking import look_at, replaced_error
from squire_pipelines.github.lookup import RepositoryInfo, repository_info
from squire_pipelines.github.tenant_access import access_to_all
from squire_pipelines.ledger import deliveries, repositories
from squire_pipelines.ledger.audit_sealing import seal
from squire_pipelines.ledger.github_limits import LedgerLimits
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.planning.goal_files import read_goals
from squire_pipelines.runtime.agent_starts import AgentStarts
from squire_pipelines.runtime.cycle import CycleState
from squire_pipelines.runtime.cycle_watcher import CycleWatcher
from squire_pipelines.runtime.exit_codes import code_over_repositories
from squire_pipelines.runtime.home_lock import AlreadyRunningError
from squire_pipelines.runtime.processes import interruptible
from squire_pipelines.runtime.report import cycle_table, failures, remarks
from squire_pipelines.runtime.services import Services
from squire_pipelines.settings.goals import goals_among
from squire_pipelines.settings.model import Settings
from squire_pipelines.terminal.console import CleanConsole
from squire_pipelines.terminal.output import write_json, write_labelled

_POLL_S = 1.0


def open_client(settings: Settings, ledger: Ledger) -> GitHubClient:
    """Return a client of GitHub that obeys what the ledger has of its limits. Raises SecretMissingError."""
    return GitHubClient(settings.github, access_to_all(settings, required=True), limits=LedgerLimits(ledger))


async def ask_about(
    client: GitHubClient, ledger: Ledger, names: Sequence[str]
) -> tuple[dict[str, RepositoryInfo], dict[str, GitHubError]]:
    """Return what each repository is, and why others cannot be used. Raises the first reason when none is left."""
    with ledger.read() as tx:
        known = repositories.known(tx, names)
    looks = (await look_at(client, [name for name in names if name in known])).results
    usable: dict[str, RepositoryInfo] = {}
    refused: dict[str, GitHubError] = {}

    async def ask(name: str) -> None:
        try:
            info = await repository_info(client, name)
        except GitHubError as error:
            refused[name] = error
            return
        if (other := replaced_error(known.get(name), looks.get(name), name)) is not None:
            refused[name] = other
        else:
            usable[name] = info

    await asyncio.gather(*(ask(name) for name in names))
    if not usable:
        raise refused[names[0]]
    return usable, {name: refused[name] for name in names if name in refused}


def check_access(settings: Settings, ledger: Ledger, names: Sequence[str]) -> dict[str, GitHubError]:
    """Ask GitHub about every repository before anything is requested, and return those that cannot be used.

    Raises GitHubError when none can be used, SecretMissingError, ConfigError.
    """

    async def ask() -> dict[str, GitHubError]:
        async with open_client(settings, ledger) as client:
            return (await ask_about(client, ledger, names))[1]

    return asyncio.run(ask())


def tell_refused(refused: Mapping[str, SquireError]) -> None:
    """Say which repositories are left out and why. On standard error, which no JSON is on."""
    for name, error in refused.items():
        write_labelled("left out", f"{name}: {error}", color="red")


def run(
    settings: Settings, ledger: Ledger, names: Sequence[str], console: CleanConsole, *, timeout_s: float, as_json: bool
) -> ExitCode:
    """Run one cycle over the repositories that can be used.

    PARTLY when a repository could not be used or was not read whole, and another was. FAILED when none was, a task
    failed, or the time was up. Raises GitHubError, ConfigError, and, after the report, why no agent can start when each
    task that is left waits for that: EngineError and the like.
    """
    _check_settings(settings, names)
    refused = check_access(settings, ledger, names)
    tell_refused(refused)
    asked, names = names, [name for name in names if name not in refused]

    def say(line: str) -> None:
        if not as_json:
            console.print(Text(line))

    with ExitStack() as stack:
        stack.callback(seal, ledger)  # last, when no process of the cycle writes any more
        check_interrupt = stack.enter_context(interruptible())
        services: Services | None = None
        with suppress(AlreadyRunningError):  # the daemon that runs there sees the request
            services = stack.enter_context(Services(settings, say=say))
        with ledger.write() as tx:
            since = tx.now
            requests = deliveries.request_collection(tx, names, source=DeliverySource.COMMAND, trace_id=new_trace_id())
        for taken in take_due_times(ledger, settings):  # so that what is due now is a part of this cycle
            say(f"schedule {taken}")
        if services is not None:
            say("starting Dagster's daemon")
            services.start_daemon()
        watcher = CycleWatcher(
            ledger,
            names,
            requests,
            since,
            say=say,
            stopped=lambda: repository_settings(ledger, settings).stopped,
            settings=settings,
            rules_of=lambda name: settings_in(ledger, settings, name).dispatch.queue_rules,
        )
        starts = AgentStarts(ledger, settings, say=say)
        deadline = time.monotonic() + timeout_s
        state = watcher.look()
        problem = starts.look(state)
        # Another process's daemon may find an engine that this one does not.
        while not state.settled and time.monotonic() < deadline and (problem is None or services is None):
            time.sleep(_POLL_S)
            check_interrupt()
            if services is not None:
                services.keep_up()
            state = watcher.look()
            problem = starts.look(state)
    ended_for = problem if services is not None else None
    silent, failed = _report(state, console, as_json=as_json, time_is_up=ended_for is None)
    if ended_for is not None:
        raise ended_for
    return code_over_repositories(asked, silent | refused.keys(), failed=failed)


def _check_settings(settings: Settings, names: Sequence[str]) -> None:
    """Check agents and the files of goals. Raises ConfigError."""
    for name in names:
        check_agent_of(settings, name)
    if settings.planner.kind != "rules" and settings.planner.model is not None:
        for goals in goals_among(settings, names):
            read_goals(goals)  # a person is here to correct a file; a cycle by itself goes on


def _report(state: CycleState, console: CleanConsole, *, as_json: bool, time_is_up: bool) -> tuple[set[str], bool]:
    """Write the report; return the repositories that were not read whole, and whether work failed or is not over."""
    silent = [reading for reading in state.readings if not reading.status.source_answered]
    failed = [row for row in state.rows if row.status in {TaskStatus.FAILED, TaskStatus.CANCELLED}]
    if as_json:
        content = {"settled": state.settled, "tasks": [asdict(row) for row in state.rows]}
        write_json(content, default=str)
    else:
        console.print(cycle_table(state.rows, console.room))
        for line in (*failures(state.rows), *remarks(state.rows)):
            console.print(line)
        for reading in silent:
            console.print(Text(f"{reading.repository}: {reading.source} did not answer: {reading.error}", style="red"))
        if not state.settled and time_is_up:
            console.print(Text("the time was up; what is under way goes on with the next start", style="yellow"))
    return {reading.repository for reading in silent}, bool(failed) or not state.settled
