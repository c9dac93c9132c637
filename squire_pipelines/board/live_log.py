"""The log of an attempt: a page with its last lines, and a stream of server-sent events with what is added."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from squire_pipelines.board.forms import FormRefusedError, tenant_asking
from squire_pipelines.board.guard import session_of
from squire_pipelines.board.readings import AttemptLog, BoardReadings
from squire_pipelines.board.rendering import PageWriter, shown
from squire_pipelines.board.sessions import BoardSession
from squire_pipelines.file_store.errors import FileStoreError
from squire_pipelines.ledger.store import utc_now
from squire_pipelines.log_reading.tail import AddedLines, Tail, read_tail

LINES = 500
"""So many last lines a page has."""

MAX_WATCHERS = 64
"""So many streams there are at once."""

_MAX_BYTES = 2**20
_MAX_OFFSET = 2**53
_LONGEST_S = 3600.0


@dataclass(frozen=True, slots=True)
class StreamPace:
    """How often a stream looks for new lines, asks whether the attempt has ended, and shows that it is alive.

    All are seconds.
    """

    look_s: float = 0.5
    ask_s: float = 2.0
    alive_s: float = 15.0


class LogPages:
    """Shows the logs of attempts.

    Args:
        readings: Knows the attempts, and where their logs are.
        writer: Writes the page.
        is_over: Says whether a session has ended meanwhile.
        pace: Of the streams.
    """

    def __init__(
        self,
        readings: BoardReadings,
        writer: PageWriter,
        is_over: Callable[[BoardSession], bool],
        pace: StreamPace = StreamPace(),
    ) -> None:
        self._readings = readings
        self._writer = writer
        self._is_over = is_over
        self._pace = pace
        self._watchers = 0

    def routes(self) -> Sequence[Route]:
        """Return the routes of the page and of its stream."""
        path = "/tasks/{task_id}/attempts/{number:int}"
        return (
            Route(f"{path}/log", self.page, methods=["GET"]),
            Route(f"{path}/events", self.stream, methods=["GET"]),
        )

    def page(self, request: Request) -> Response:
        """Show the last lines. Raises NotFoundError."""
        readings = self._readings.for_tenant(tenant_asking(request))
        log = readings.log(request.path_params["task_id"], request.path_params["number"])
        trouble = _bring(log)
        tail = _tail(log.file.path)
        values = {
            "trouble": trouble,
            "log": log,
            "tail": tail,
            "now": utc_now(),
            "dagster_url": readings.dagster_url,
        }
        return self._writer.write(request, "log.html", values)

    async def stream(self, request: Request) -> Response:
        """Send what is added to a log, until the attempt or the session has ended.

        Raises:
            NotFoundError: There is no such attempt, or it is another tenant's.
            FormRefusedError: Too many people follow logs.
        """
        task_id, number = request.path_params["task_id"], request.path_params["number"]
        readings = self._readings.for_tenant(tenant_asking(request))
        log = await run_in_threadpool(readings.log, task_id, number)
        if self._watchers >= MAX_WATCHERS:
            raise FormRefusedError(503, "Too many people follow logs.", "Load the page again later.")
        offset = _offset(request.headers.get("last-event-id") or request.query_params.get("from", ""))
        events = self._events(session_of(request), readings, log, AddedLines(log.file.path, offset))
        return StreamingResponse(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    async def _events(
        self, session: BoardSession | None, readings: BoardReadings, log: AttemptLog, added: AddedLines
    ) -> AsyncIterator[str]:
        clock, pace = asyncio.get_running_loop().time, self._pace
        began = quiet_since = clock()
        asked_at, is_ended = began - pace.ask_s, False
        self._watchers += 1
        try:
            while clock() - began < _LONGEST_S:
                if not is_ended and clock() - asked_at >= pace.ask_s:
                    if session is not None and await run_in_threadpool(self._is_over, session):
                        return
                    # Asked before the reading, so that the last lines are not missed.
                    is_ended = (await run_in_threadpool(readings.log, log.task_id, log.number)).is_ended
                    asked_at = clock()
                if log.file.is_copy:
                    await run_in_threadpool(_bring, log, at_once=is_ended)
                lines = added.read()
                if lines:
                    content = json.dumps([str(shown(line)) for line in lines])
                    yield f"id: {added.offset}\ndata: {content}\n\n"
                    quiet_since = clock()
                    continue
                if is_ended:
                    if rest := added.take_rest():
                        yield f"id: {added.offset}\ndata: {json.dumps([str(shown(rest))])}\n\n"
                    yield "event: end\ndata: -\n\n"
                    return
                if clock() - quiet_since >= pace.alive_s:
                    yield ": still here\n\n"
                    quiet_since = clock()
                await asyncio.sleep(pace.look_s)
        finally:
            self._watchers -= 1


def _bring(log: AttemptLog, *, at_once: bool = False) -> str:
    """Bring what was added to a log on another machine; return why that was not possible, empty where it was."""
    try:
        log.file.refresh(at_once=at_once)
    except FileStoreError as error:
        return error.message
    return ""


def _tail(path: Path) -> Tail | None:
    """Return the end of a log; None where there is none on this machine."""
    try:
        return read_tail(path, lines=LINES, max_bytes=_MAX_BYTES)
    except FileNotFoundError:
        return None


def _offset(text: str) -> int:
    """Return from which byte a stream begins; 0 for what is no number."""
    return min(int(text), _MAX_OFFSET) if text.isascii() and text.isdigit() and len(text) < 20 else 0  # noqa: PLR2004
