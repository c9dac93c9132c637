"""Keeps the dashboards: one issue for each repository that has one, whose ticked boxes are acted upon, once.

Each look reads the issue first: whether a person has closed it, and which boxes were ticked, from the history that
GitHub keeps of its text. A tick and what it does are one transaction. Then the text is written, if it is another one.
"""

import hashlib
from collections.abc import Iterator, Sequence

from pydantic import JsonValue

from squire_pipelines.domain.authority import is_permitted_person
from squire_pipelines.domain.dashboards import BoxAction, Tick, find_ticks
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.requests import github_actor, is_operator
from squire_pipelines.domain.states import EventSubject
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.errors import NotFoundError, SquireError
from squire_pipelines.execution.dashboard_view import dashboard_sections
from squire_pipelines.execution.following import SettingsOf
from squire_pipelines.execution.people import judged_author
from squire_pipelines.execution.present_pull import record_present_pull
from squire_pipelines.github import issues
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.dashboards import (
    DashboardIssue,
    find_or_open,
    new_epoch,
    read_dashboard,
    write_dashboard,
)
from squire_pipelines.ledger import bulk, dashboards, followed_pulls, outcomes, tasks
from squire_pipelines.ledger.audit import record_audit
from squire_pipelines.ledger.bulk import Change
from squire_pipelines.ledger.dashboards import Dashboard, DashboardState
from squire_pipelines.ledger.store import Ledger, Transaction
from squire_pipelines.observability.run_log import RunLog
from squire_pipelines.publishing.dashboard_words import dashboard_text
from squire_pipelines.secrets import Redactor
from squire_pipelines.secrets.lookup import all_secrets
from squire_pipelines.settings.model import Settings


def has_dashboard_work(ledger: Ledger, settings: Settings, settings_of: SettingsOf) -> bool:
    """Return whether a dashboard is to be looked at. Changes nothing."""
    return next(_due(ledger, settings, settings_of), None) is not None


async def keep_dashboards(
    ledger: Ledger, client: GitHubClient, settings: Settings, settings_of: SettingsOf, log: RunLog
) -> int:
    """Look at each dashboard that is due; return of how many. What fails is tried again, with growing waits."""
    count = 0
    for repository in list(_due(ledger, settings, settings_of)):
        own, poll_s = settings_of(repository), settings.pipeline.outcome_poll_s
        enabled = own.follow_for(repository).dashboard
        with ledger.write() as tx:
            board = dashboards.begin(tx, repository, new_epoch(), enabled=enabled, poll_s=poll_s)
        if board is None:
            continue
        error = None
        try:
            if enabled:
                await _keep(ledger, client, own, board)
            else:
                await _turn_off(ledger, client, board)
        except SquireError as failure:
            error = str(failure)
            log.warning("%s: its dashboard could not be kept, it is tried again later: %s", repository, error)
        with ledger.write() as tx:
            dashboards.end(tx, repository, error)
        count += error is None
    return count


def _due(ledger: Ledger, settings: Settings, settings_of: SettingsOf) -> Iterator[str]:
    poll_s = settings.pipeline.outcome_poll_s
    with ledger.read() as tx:
        for name in settings.repositories:
            enabled = settings_of(name).follow_for(name).dashboard
            if dashboards.is_due(tx, name, enabled=enabled, poll_s=poll_s):
                yield name


async def _turn_off(ledger: Ledger, client: GitHubClient, board: Dashboard) -> None:
    """Close the issue, since the settings have no dashboard any more; forget one that is gone."""
    if board.state is DashboardState.OPEN and board.number is not None:
        await issues.update_issue(client, board.repository, board.number, state="closed")
        _record(ledger, board, state=DashboardState.OFF)
    else:
        with ledger.write() as tx:
            dashboards.remove(tx, board.repository)


async def _keep(ledger: Ledger, client: GitHubClient, settings: Settings, board: Dashboard) -> None:
    number = board.number
    if number is None:
        # Its mark is in the text from the beginning: one whose number nobody could record is found by it.
        number = await find_or_open(client, board.repository, _text(ledger, settings, board))
        _record(ledger, board, number=number)
    issue = await read_dashboard(client, board.repository, number)
    if issue is None:
        return _record(ledger, board, state=DashboardState.GONE)
    if not issue.is_open:
        if board.state is not DashboardState.OFF:
            return _record(ledger, board, state=DashboardState.CLOSED)
        await issues.update_issue(client, board.repository, number, state="open")
    _record(ledger, board, state=DashboardState.OPEN)
    await _act_on_ticks(ledger, client, settings, board, issue)
    text = _text(ledger, settings, board)
    if (_digest(text), _digest(issue.body)) != (board.written_digest, board.stored_digest):
        stored = await write_dashboard(client, board.repository, number, text)
        _record(ledger, board, written_digest=_digest(text), stored_digest=_digest(stored))
    return None


def _record(ledger: Ledger, board: Dashboard, **columns: object) -> None:
    with ledger.write() as tx:
        dashboards.record(tx, board.repository, **columns)


def _text(ledger: Ledger, settings: Settings, board: Dashboard) -> str:
    with ledger.read() as tx:
        sections = dashboard_sections(tx, settings, board.repository)
        uses = dashboards.uses(tx, board.repository)
    secrets = list(all_secrets(settings.secret_sources, settings.named_secrets))
    return Redactor(secrets).redact(dashboard_text(sections, board.epoch, uses))


def _digest(text: str) -> str:
    return hashlib.sha256(text.replace("\r\n", "\n").strip().encode()).hexdigest()


async def _act_on_ticks(
    ledger: Ledger, client: GitHubClient, settings: Settings, board: Dashboard, issue: DashboardIssue
) -> None:
    with ledger.read() as tx:
        done, uses = dashboards.done(tx, board.repository), dashboards.uses(tx, board.repository)
    for box, ticks in find_ticks(issue.versions, board.epoch, ours=issue.ours, done=done).items():
        if box.use > uses.get((box.action, box.task_id), 0):
            continue  # no box of ours: somebody has written it
        tick, refusal = await _first_permitted(client, ledger, settings, board, ticks)
        if box.action is BoxAction.RETRY and refusal is None:
            await _learn_head(client, ledger, board, box.task_id)
        with ledger.write() as tx:
            if dashboards.record_tick(tx, board.repository, tick):
                refusal = refusal or _do(tx, settings, board, tick)
                if refusal is not None:
                    _refuse(tx, tick, refusal)


async def _learn_head(client: GitHubClient, ledger: Ledger, board: Dashboard, task_id: str) -> None:
    """Record the present head of a task's pull request, from which it is to go on."""
    with ledger.read() as tx:
        outcome = outcomes.get(tx, task_id)
    if outcome is not None and outcome.repository == board.repository:
        await record_present_pull(client, ledger, outcome.repository, outcome.pr_number)


async def _first_permitted(
    client: GitHubClient, ledger: Ledger, settings: Settings, board: Dashboard, ticks: Sequence[Tick]
) -> tuple[Tick, str | None]:
    """Return the first tick of a box by somebody who may; without one, the first, and why it is refused."""
    refusal = "GitHub does not say who ticked it"
    for tick in ticks:
        if tick.by is not None:
            author = await judged_author(client, ledger, settings, board.repository, tick.by)
            if is_permitted_person(author, settings.trust_rules_for(board.repository)):
                return tick, None
            refusal = f"@{author.login} may not order work here"
    return ticks[0], refusal


def _do(tx: Transaction, settings: Settings, board: Dashboard, tick: Tick) -> str | None:
    """Do what a box says; return why not where that cannot be."""
    task_id = tick.box.task_id
    try:
        task = tasks.get(tx, task_id)
    except NotFoundError as error:
        return error.message
    if task.repository.casefold() != board.repository.casefold():  # who may write here decides about no other one
        return f"there is no task {task_id!r} of {board.repository}"
    history = [event for event in tasks.events(tx, task_id) if event.subject == EventSubject.TASK]
    if any(event.at > tick.at and is_operator(event.actor) for event in history):
        return f"somebody who runs Squire decided about the task {task_id} after the tick"
    actor, reason = _actor(tick), f"ticked on the dashboard #{board.number}"
    if tick.box.action is BoxAction.RETRY and followed_pulls.take_up(tx, task_id, actor=actor, reason=reason):
        return None
    change = _change(settings, tick, task.status, reason)
    report = bulk.bulk_update(tx, (task_id,), change, actor=actor, trace_id=new_trace_id())
    return report.unmatched[0].reason if report.unmatched else None


def _change(settings: Settings, tick: Tick, status: TaskStatus, reason: str) -> Change:
    match tick.box.action:
        case BoxAction.RUN:
            return bulk.start()
        case BoxAction.STOP:
            return bulk.reject(reason) if status is TaskStatus.PROPOSED else bulk.cancel(reason)
        case BoxAction.RETRY:
            return bulk.retry(settings.dispatch.max_attempts)


def _actor(tick: Tick) -> str:
    return github_actor(tick.by.login if tick.by is not None else "ghost")


def _refuse(tx: Transaction, tick: Tick, reason: str) -> None:
    detail: dict[str, JsonValue] = {"box": tick.box.action.value, "use": tick.box.use, "reason": reason}
    subject, trace = tick.box.task_id, new_trace_id()
    record_audit(tx, actor=_actor(tick), action="box.refused", subject=subject, detail=detail, trace_id=trace)
