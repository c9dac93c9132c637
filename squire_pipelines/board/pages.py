"""The pages that show something: which template, with what of `readings`. None of them changes anything."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from squire_pipelines.board.actions import SILENCES, offered_actions
from squire_pipelines.board.forms import tenant_asking
from squire_pipelines.board.readings import ROWS, BoardReadings
from squire_pipelines.board.rendering import PageWriter
from squire_pipelines.domain.evidence import parts_of
from squire_pipelines.domain.pull_life import OF_THE_PULL_REQUEST
from squire_pipelines.domain.signal_text import changes_since_approval, signal_text
from squire_pipelines.domain.tasks import Priority
from squire_pipelines.errors import NotFoundError
from squire_pipelines.execution.signal_decisions import verdict_of
from squire_pipelines.file_store.errors import FileStoreError
from squire_pipelines.ledger.store import utc_now
from squire_pipelines.ledger.task_query import KINDS, PRIORITY_NAMES, STATUSES, SortOrder, TaskQuery

_TASKS = 50
_MAX_FILTER = 200
_MAX_EVENTS = 200
_MAX_NUMBER = 2**31 - 1


class BoardPages:
    """Shows what runs, waits and is wrong.

    Args:
        readings: What is shown.
        writer: Writes the pages.
    """

    def __init__(self, readings: BoardReadings, writer: PageWriter) -> None:
        self._readings = readings
        self._writer = writer

    def routes(self) -> Sequence[Route]:
        """Return the routes of these pages. They are no coroutines, so that each has a thread while it reads."""
        return (
            Route("/", self.home, methods=["GET"]),
            Route("/tasks", self.tasks, methods=["GET"]),
            Route("/new", self.new, methods=["GET"]),
            Route("/tasks/{task_id}", self.task, methods=["GET"]),
            Route("/signals", self.signals, methods=["GET"]),
            Route("/signals/{signal_id:int}", self.signal, methods=["GET"]),
            Route("/schedules", self.schedules, methods=["GET"]),
            Route("/plans", self.plans, methods=["GET"]),
            Route("/plans/{plan_id}", self.plan, methods=["GET"]),
            Route("/spending", self.spending, methods=["GET"]),
            Route("/alerts", self.alerts, methods=["GET"]),
        )

    def _readings_for(self, request: Request) -> BoardReadings:
        """Return the readings of what the one who asks may see."""
        return self._readings.for_tenant(tenant_asking(request))

    def _write(self, request: Request, template: str, **values: Any) -> Response:
        links = {"dagster_url": self._readings_for(request).dagster_url, "now": utc_now()}
        return self._writer.write(request, template, {**links, **values})

    def home(self, request: Request) -> Response:
        """Show what runs, what waits for what, and what is wrong."""
        return self._write(request, "home.html", facts=self._readings_for(request).status())

    def tasks(self, request: Request) -> Response:
        """Show the list of tasks, by filters that the address has. Raises NotFoundError, PagePositionError."""
        filters = {
            "status": _one_of(request, "status", STATUSES),
            "kind": _one_of(request, "kind", KINDS),
            "order": _one_of(request, "order", tuple(SortOrder)) or SortOrder.NEWEST.value,
            "repository": _text(request, "repository"),
            "text": _text(request, "text"),
        }
        query = TaskQuery(
            statuses=(filters["status"],) if filters["status"] else (),
            kinds=(filters["kind"],) if filters["kind"] else (),
            repository=filters["repository"] or None,
            text=filters["text"],
            order=SortOrder(filters["order"]),
            after=_text(request, "after") or None,
            limit=_TASKS,
        )
        page = self._readings_for(request).tasks(query)
        choices = {"statuses": STATUSES, "kinds": KINDS, "orders": tuple(order.value for order in SortOrder)}
        repositories = self._readings_for(request).settings.repositories
        return self._write(request, "tasks.html", page=page, filters=filters, repositories=repositories, **choices)

    def task(self, request: Request) -> Response:
        """Show one task. Raises NotFoundError."""
        facts = self._readings_for(request).task(request.path_params["task_id"])
        of_pull = OF_THE_PULL_REQUEST if facts.outcome is not None else ()
        history = [event for event in facts.events if event.subject not in of_pull][-_MAX_EVENTS:]
        change, change_trouble = None, ""
        try:
            change = self._readings_for(request).change(facts)
        except FileStoreError as error:  # the rest of the page is there all the same
            change_trouble = error.message
        return self._write(
            request,
            "task.html",
            facts=facts,
            change=change,
            change_trouble=change_trouble,
            history=history,
            priority=Priority(facts.task.priority).name.lower(),
            priorities=PRIORITY_NAMES,
            actions=offered_actions(facts.task.status, facts.task.cause),
        )

    def new(self, request: Request) -> Response:
        """Show the form of a request."""
        repositories = self._readings_for(request).settings.repositories
        return self._write(request, "new.html", repositories=repositories, priorities=PRIORITY_NAMES)

    def signal(self, request: Request) -> Response:
        """Show one signal with its text. Raises NotFoundError."""
        stored = self._readings_for(request).signal(request.path_params["signal_id"])
        signal = stored.signal
        evidence = tuple(parts_of(signal.evidence)) if signal.evidence is not None else ()
        values = {"stored": stored, "verdict": verdict_of(signal), "text": signal_text(signal), "evidence": evidence}
        values["changes"] = "\n".join(changes_since_approval(signal))
        return self._write(request, "signal.html", **values)

    def signals(self, request: Request) -> Response:
        """Show signals, those that are held unless all are asked for. Raises NotFoundError."""
        shows_all, repository = request.query_params.get("all") == "1", _text(request, "repository")
        readings = self._readings_for(request)
        rows = readings.signals(only_held=not shows_all, repository=repository or None, after=_number(request))
        next_after = rows[-1]["id"] if len(rows) == ROWS else None
        filters = {"all": "1" if shows_all else "", "repository": repository}
        return self._write(request, "signals.html", rows=rows, next_after=next_after, filters=filters)

    def schedules(self, request: Request) -> Response:
        """Show the schedules that make tasks."""
        return self._write(request, "schedules.html", rows=self._readings_for(request).schedules())

    def plans(self, request: Request) -> Response:
        """Show plans, newest first. Raises NotFoundError."""
        repository = _text(request, "repository")
        rows = self._readings_for(request).plans(repository=repository or None, after=_text(request, "after") or None)
        next_after = rows[-1]["id"] if len(rows) == ROWS else None
        return self._write(request, "plans.html", rows=rows, next_after=next_after, repository=repository)

    def plan(self, request: Request) -> Response:
        """Show one plan. Raises NotFoundError."""
        return self._write(request, "plan.html", saved=self._readings_for(request).plan(request.path_params["plan_id"]))

    def spending(self, request: Request) -> Response:
        """Show what work costs."""
        return self._write(request, "spending.html", facts=self._readings_for(request).spending())

    def alerts(self, request: Request) -> Response:
        """Show what is wrong, and what was."""
        return self._write(request, "alerts.html", facts=self._readings_for(request).alerts(), spans=tuple(SILENCES))


def _text(request: Request, name: str) -> str:
    """Return a filter of the address, within bounds."""
    return request.query_params.get(name, "").strip()[:_MAX_FILTER]


def _one_of(request: Request, name: str, choices: Sequence[str]) -> str:
    """Return a filter of the address that has to be one of the choices; empty for anything else."""
    value = _text(request, name)
    return value if value in choices else ""


def _number(request: Request) -> int | None:
    """Return after which row a page begins. Raises NotFoundError for what is no row."""
    value = _text(request, "after")
    if not value:
        return None
    if not (value.isascii() and value.isdigit()) or int(value) > _MAX_NUMBER:
        raise NotFoundError(f"there is no row {value!r} to go on after", hint="begin at the first page again")
    return int(value)
