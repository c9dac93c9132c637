"""The board as an ASGI application: its routes, and what becomes of errors. What pages show is `readings`'."""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from squire_pipelines import __version__
from squire_pipelines.board.actions import BoardActions
from squire_pipelines.board.forms import FormRefusedError
from squire_pipelines.board.guard import BoardGuard, RefusedVisit, complete_headers
from squire_pipelines.board.live_log import LogPages
from squire_pipelines.board.login import LoginPages
from squire_pipelines.board.pages import BoardPages
from squire_pipelines.board.readings import BoardReadings
from squire_pipelines.board.rendering import STATIC, PageWriter
from squire_pipelines.board.report_page import ReportPage
from squire_pipelines.board.sessions import BoardSession, SessionStore
from squire_pipelines.board.tenant_logins import BoardLogins
from squire_pipelines.errors import ConfigError, NotFoundError, RefusedError, SquireError, StateConflictError
from squire_pipelines.ledger.task_query import PagePositionError
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.secrets.secret import Secret

_log = get_logger(Component.BOARD)
_STATUSES: tuple[tuple[type[SquireError], int], ...] = (
    (NotFoundError, 404),
    (PagePositionError, 400),
    (StateConflictError, 409),
    (RefusedError, 409),
    (ConfigError, 422),
)


def create_board(
    readings: BoardReadings, *, tokens: Callable[[], Mapping[str | None, Secret]], local_user: str
) -> Starlette:
    """Return the board.

    Args:
        readings: What its pages show.
        tokens: Gives what people give to log in, by tenant, see `BoardLogins`; none where they do so by other means.
        local_user: The name of who uses it where nobody has to log in.
    """

    def board_settings() -> Any:
        return readings.settings.board

    sessions = SessionStore(readings.ledger, lambda: board_settings().max_sessions, lambda: board_settings().session_s)
    writer = PageWriter(sessions)
    pages = BoardPages(readings, writer)
    logins = BoardLogins(tokens, lambda: readings.settings)
    login = LoginPages(sessions, writer, logins=logins, settings=board_settings)
    errors = _ErrorPages(writer)

    def is_over(session: BoardSession) -> bool:
        return sessions.is_over(session) or not logins.is_still(session)

    routes = [
        *pages.routes(),
        *BoardActions(readings, sessions).routes(),
        *login.routes(),
        *LogPages(readings, writer, is_over).routes(),
        Route("/report", ReportPage(readings).show, methods=["GET"]),
        Route("/healthz", _healthz, methods=["GET"]),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    guard = Middleware(
        BoardGuard,
        settings=board_settings,
        sessions=sessions,
        logins=logins,
        local_user=local_user,
        refuse=errors.refuse,
    )
    handlers: Mapping[Any, Callable[..., Any]] = {
        SquireError: errors.of_squire,
        FormRefusedError: errors.of_form,
        HTTPException: errors.of_http,
        Exception: errors.of_bug,
    }
    return Starlette(routes=routes, middleware=[guard], exception_handlers=dict(handlers))


async def _healthz(_request: Request) -> Response:
    # Also how `squire doctor` knows that it is a board that has the port.
    return JSONResponse({"ok": True, "board": __version__})


class _ErrorPages:
    """Makes a page of an error: what happened, and what to do."""

    def __init__(self, writer: PageWriter) -> None:
        self._writer = writer

    def _page(self, request: Request, status: int, message: str, hint: str = "") -> Response:
        values = {"message": message, "hint": hint}
        return self._writer.write(request, "error.html", values, status=status, with_messages=False)

    def refuse(self, request: Request, refused: RefusedVisit) -> Response:
        answer = self._page(request, refused.status, refused.message, refused.hint)
        if refused.retry_after_s:
            answer.headers["Retry-After"] = str(refused.retry_after_s)
        return answer

    async def of_squire(self, request: Request, error: SquireError) -> Response:
        status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 503)
        return self._page(request, status, error.message, error.hint)

    async def of_form(self, request: Request, error: FormRefusedError) -> Response:
        return self._page(request, error.status, error.message, error.hint)

    async def of_http(self, request: Request, error: HTTPException) -> Response:
        message = "There is no such page." if error.status_code == 404 else error.detail  # noqa: PLR2004 - HTTP's own
        return self._page(request, error.status_code, message)

    async def of_bug(self, request: Request, error: Exception) -> Response:
        _log.error("a page of the board failed", path=request.url.path, error=type(error).__name__)
        answer = self._page(request, 500, "This page cannot be shown.", "The log of the board says why.")
        complete_headers(answer.headers, request.url.path)  # this answer does not pass the guard
        return answer
