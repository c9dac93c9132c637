"""The pages by which people log in with the board's token, and log out."""

from collections.abc import Callable, Sequence

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from squire_pipelines.board.access import local_path, person_name
from squire_pipelines.board.forms import FormRefusedError, read_form
from squire_pipelines.board.guard import cookie, session_of, session_token, visitor_of
from squire_pipelines.board.rendering import PageWriter
from squire_pipelines.board.sessions import SessionStore
from squire_pipelines.board.tenant_logins import BoardLogins
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.sections.board import BoardSettings

WRONG_PER_MINUTE = 6
"""So many wrong tokens of one address are heard in a minute, by all boards together."""

_log = get_logger(Component.BOARD)


class LoginPages:
    """Begins and ends sessions.

    Args:
        sessions: All sessions.
        writer: Writes the pages.
        logins: Know the tokens, and whose each is.
        settings: Gives the board's settings.
    """

    def __init__(
        self,
        sessions: SessionStore,
        writer: PageWriter,
        *,
        logins: BoardLogins,
        settings: Callable[[], BoardSettings],
    ) -> None:
        self._sessions = sessions
        self._writer = writer
        self._logins = logins
        self._settings = settings

    def routes(self) -> Sequence[Route]:
        """Return the routes of these pages."""
        return (
            Route("/login", self.show, methods=["GET"]),
            Route("/login", self.log_in, methods=["POST"]),
            Route("/logout", self.log_out, methods=["POST"]),
        )

    async def show(self, request: Request) -> Response:
        """Show the form, or go on where nobody has to fill it in."""
        target = local_path(request.query_params.get("next", "/"))
        if not self._logins.by_token or session_of(request) is not None:
            return RedirectResponse(target, status_code=303)
        return self._form(request, target)

    def _form(self, request: Request, target: str, problem: str = "", *, status: int = 200) -> Response:
        return self._writer.write(request, "login.html", {"target": target, "problem": problem}, status=status)

    async def log_in(self, request: Request) -> Response:
        """Begin a session for who gives the token. Raises FormRefusedError."""
        if not self._logins.by_token:
            raise FormRefusedError(404, "Nobody logs in here.")
        address = visitor_of(request, self._settings())
        form = await read_form(request, needs_session=False)
        target, person = local_path(form.get("next", "/")), person_name(form.get("person", ""))
        token = form.get("token", "").strip()
        is_token, tenant = self._logins.find_token(token)
        judged = await run_in_threadpool(
            self._sessions.judge_login, address, lambda: is_token, per_minute=WRONG_PER_MINUTE
        )
        if judged.wait_s:
            raise FormRefusedError(429, "These were too many wrong tokens.", f"Wait {judged.wait_s:.0f} seconds.")
        if not judged.is_right:
            _log.warning("a wrong token was given to the board", address=address)
            return self._form(request, target, "This is not the token.", status=403)
        if not person:
            return self._form(request, target, "Say who you are: the records have your name.", status=422)
        new_token, _ = await run_in_threadpool(self._sessions.begin, person, tenant, login_token=token)
        return RedirectResponse(target, status_code=303, headers={"Set-Cookie": cookie(new_token, self._settings())})

    async def log_out(self, request: Request) -> Response:
        """End a session, on all boards. Raises FormRefusedError."""
        await read_form(request)
        await run_in_threadpool(self._sessions.end, session_token(request))
        return RedirectResponse("/login", status_code=303, headers={"Set-Cookie": cookie("", self._settings())})
