"""What people do on the board: each is what a command does, by the same function, recorded as `board:NAME`."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from squire_pipelines.board.forms import FormRefusedError, read_form, tenant_asking
from squire_pipelines.board.guard import session_of
from squire_pipelines.board.readings import BoardReadings
from squire_pipelines.board.sessions import SessionStore
from squire_pipelines.domain.alert_steps import can_be_silenced
from squire_pipelines.domain.branches import DEFAULT_BRANCH
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.identity import new_trace_id
from squire_pipelines.domain.schedules import ScheduleState
from squire_pipelines.domain.tasks import Priority, TaskStatus
from squire_pipelines.errors import NotFoundError
from squire_pipelines.execution.request_making import known_repository, make_request
from squire_pipelines.execution.signal_decisions import decide_signal, verdict_of
from squire_pipelines.execution.task_changes import change_tasks, retry_pull_requests
from squire_pipelines.ledger import alerts, bulk, schedules
from squire_pipelines.ledger.task_creation import RequestedTask
from squire_pipelines.ledger.tenants import VisibleKind, check_visible
from squire_pipelines.planning.request_spec import request_spec
from squire_pipelines.planning.request_text import request_text, request_title

_MAX_ACTOR = 60
_MAX_REASON = 500

SILENCES = {"1h": timedelta(hours=1), "8h": timedelta(hours=8), "3d": timedelta(days=3)}
"""For how long an alert can be silenced on its page; `squire alerts silence` takes other times."""

_SCHEDULE_STATES = {
    "pause": ScheduleState.PAUSED,
    "resume": ScheduleState.ACTIVE,
    "remove": ScheduleState.REMOVED,
}

Form = Mapping[str, str]
Action = Callable[[Request, Form, str], tuple[Sequence[str], str]]
"""Does something for an actor; returns what to say of it, and where to go on."""


class BoardActions:
    """Does what people ask for with the forms of the pages.

    Args:
        readings: Has the ledger and the settings.
    """

    def __init__(self, readings: BoardReadings, sessions: SessionStore) -> None:
        self._readings = readings
        self._sessions = sessions

    def routes(self) -> Sequence[Route]:
        """Return the routes of the forms."""
        return (
            Route("/tasks", self._posted(self.new_task), methods=["POST"]),
            Route("/tasks/{task_id}/{action}", self._posted(self.change_task), methods=["POST"]),
            Route("/signals/{signal_id:int}/{decision}", self._posted(self.decide_signal), methods=["POST"]),
            Route("/alerts/{action}", self._posted(self.change_silence), methods=["POST"]),
            Route("/schedules/{schedule_id}/{action}", self._posted(self.change_schedule), methods=["POST"]),
        )

    def _readings_for(self, request: Request) -> BoardReadings:
        return self._readings.for_tenant(tenant_asking(request))

    def new_task(self, request: Request, form: Form, actor: str) -> tuple[Sequence[str], str]:
        """Make a task of a request, as `squire tasks new` does.

        Raises:
            FormRefusedError, ConfigError, NotFoundError, RefusedError: Nothing was made.
        """
        readings = self._readings_for(request)
        ledger, settings = readings.ledger, readings.settings
        try:
            text = request_text(form.get("text", ""))
            title = request_title(form.get("title", "").strip() or None, text)
            priority = Priority[form.get("priority", Priority.HIGH.name).upper()]
        except KeyError:
            raise FormRefusedError(422, "There is no such priority.") from None
        except ValueError as error:
            raise FormRefusedError(422, f"The request was not made: {error}.") from error
        repository = form.get("repository", "")
        if readings.tenant is not None and settings.spelling_of(repository) is None:
            raise FormRefusedError(404, "There is no such repository.")
        with ledger.read() as tx:
            name = known_repository(tx, settings, repository, config=readings.config)
        spec = request_spec(title, text, base_branch=DEFAULT_BRANCH, priority=priority)
        made = make_request(ledger, settings, RequestedTask(name, spec, actor), hold=form.get("hold") == "1")
        similar = (f"this says nearly the same as {work}" for work in made.resembles)
        return (f"{made.task.id}: {made.task.status}", *similar), f"/tasks/{made.task.id}"

    def change_task(self, request: Request, form: Form, actor: str) -> tuple[Sequence[str], str]:
        """Change a task, as the command of the action's name does.

        Raises:
            FormRefusedError: There is no such action.
            NotFoundError, RefusedError, ConfigError: Nothing was done.
        """
        task_id: str = request.path_params["task_id"]
        readings = self._readings_for(request)
        with readings.ledger.read() as tx:
            readings.check_task(tx, task_id)
        reason = form.get("reason", "").strip()[:_MAX_REASON]
        match request.path_params["action"]:
            case "approve":
                lines = self._change(task_id, bulk.approve(), actor)
            case "reject":
                lines = self._change(task_id, bulk.reject(reason or "rejected"), actor)
            case "start":
                lines = self._change(task_id, bulk.start(), actor)
            case "cancel":
                lines = self._change(task_id, bulk.cancel(reason or "cancelled"), actor)
            case "retry":
                lines = self._retry(readings, task_id, actor)
            case "priority" if form.get("level", "").upper() in Priority.__members__:
                lines = self._change(task_id, bulk.prioritise(Priority[form["level"].upper()]), actor)
            case _:
                raise FormRefusedError(404, "There is no such action.")
        return lines, f"/tasks/{task_id}"

    def _change(self, task_id: str, change: bulk.Change, actor: str) -> list[str]:
        made = change_tasks(self._readings.ledger, (task_id,), change, actor=actor)
        refused = (f"{one.reason}: {one.hint}" if one.hint else one.reason for one in made.report.unmatched)
        return [*made.lines(), *refused]

    def _retry(self, readings: BoardReadings, task_id: str, actor: str) -> list[str]:
        ledger, settings = readings.ledger, readings.settings
        reason = "asked for on the board"
        retried = retry_pull_requests(ledger, settings, (task_id,), actor=actor, reason=reason)
        lines = [*((f"not asked: {retried.not_asked}",) if retried.not_asked else ()), *retried.lines]
        if retried.rest:
            lines += self._change(task_id, bulk.retry(settings.dispatch.max_attempts), actor)
        return lines

    def decide_signal(self, request: Request, form: Form, actor: str) -> tuple[Sequence[str], str]:
        """Let a signal start work, or hold it, as its text was when the page was read: `squire signals release|hold`.

        Raises:
            FormRefusedError: There is no such decision.
            NotFoundError, RefusedError: Nothing was decided.
        """
        decision = request.path_params["decision"]
        if decision not in {"release", "hold"}:
            raise FormRefusedError(404, "There is no such decision.")
        readings, signal_id = self._readings_for(request), request.path_params["signal_id"]
        readings.signal(signal_id)
        decided = decide_signal(
            readings.ledger,
            str(signal_id),
            repository=None,
            release=decision == "release",
            actor=actor,
            reason=form.get("reason", "").strip()[:_MAX_REASON],
            text_version=form.get("text_version", ""),
        )
        return (f"{decided.signal.repository} {decided.signal.ref}: {verdict_of(decided.signal)}",), "/signals"

    def change_silence(self, request: Request, form: Form, actor: str) -> tuple[Sequence[str], str]:
        """Silence alerts for a while, or end that: `squire alerts silence|unsilence`.

        Raises:
            FormRefusedError: There is no such action, rule or time.
            NotFoundError: Nothing is silenced so.
        """
        name, trace_id = form.get("match", ""), new_trace_id()
        readings = self._readings_for(request)
        with readings.ledger.write() as tx:
            match request.path_params["action"]:
                case "silence":
                    lasts = SILENCES.get(form.get("for", ""))
                    if not readings.may_silence(name):
                        raise FormRefusedError(404, "There is no such alert.")
                    if lasts is None or not can_be_silenced(name):
                        raise FormRefusedError(422, "There is no such alert or time.")
                    reason = form.get("reason", "").strip()[:_MAX_REASON]
                    made = alerts.add_silence(
                        tx, name, until=tx.now + lasts, reason=reason, actor=actor, trace_id=trace_id
                    )
                    lines = [f"{name} is silenced until {made.until:%Y-%m-%d %H:%M} UTC"]
                case "unsilence":
                    matches = [one.match for one in alerts.silences(tx) if name in {one.id, one.match}]
                    if not all(map(readings.may_silence, matches or [name] * (readings.tenant is not None))):
                        raise NotFoundError("nothing is silenced by this name", hint="the page lists what is")
                    ended = alerts.end_silences(tx, (name,), actor=actor, trace_id=trace_id)
                    lines = [f"{silence.match} is sent again" for silence in ended]
                case _:
                    raise FormRefusedError(404, "There is no such action.")
        return lines, "/alerts"

    def change_schedule(self, request: Request, _form: Form, actor: str) -> tuple[Sequence[str], str]:
        """Pause a schedule, let it go on, or remove it: `squire schedules pause|resume|remove`.

        Raises:
            FormRefusedError: There is no such action.
            NotFoundError, StateConflictError: Nothing was changed.
        """
        state = _SCHEDULE_STATES.get(request.path_params["action"])
        if state is None:
            raise FormRefusedError(404, "There is no such action.")
        schedule_id: str = request.path_params["schedule_id"]
        readings = self._readings_for(request)
        with readings.ledger.write() as tx:
            check_visible(tx, readings.tenant, VisibleKind.SCHEDULE, schedule_id)
            changed = schedules.change_state(tx, schedule_id, state, actor=actor, trace_id=new_trace_id())
        following = f"; the next task comes {changed.next_at:%Y-%m-%d %H:%M} UTC" if changed.next_at else ""
        return (f"{changed.id}: {changed.state}{following}",), "/schedules"

    def _posted(self, action: Action) -> Callable[[Request], Awaitable[Response]]:
        """Return the endpoint of a form: it reads the form, does the action in a thread, and says what became of it."""

        async def endpoint(request: Request) -> Response:
            form, session = await read_form(request), session_of(request)
            if session is None:  # read_form has refused it
                raise FormRefusedError(403, "Your session is over.")
            who = session.person if session.tenant is None else f"{session.tenant}/{session.person}"
            lines, target = await run_in_threadpool(action, request, form, f"board:{who}"[:_MAX_ACTOR])
            await run_in_threadpool(self._sessions.leave_messages, session, lines)
            return RedirectResponse(target, status_code=303)

        return endpoint


def offered_actions(status: TaskStatus, cause: str | None) -> tuple[str, ...]:
    """Return the actions that a page offers for a task in a state. Whether one may be done is decided when it is."""
    if status is TaskStatus.PROPOSED:
        return ("approve", "start", "reject", "cancel")
    if status is TaskStatus.READY:
        return ("start", "cancel", *(("retry",) if cause == Cause.CONFIGURATION else ()))
    return ("cancel",) if status is TaskStatus.RUNNING else ("retry",)
