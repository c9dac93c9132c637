"""What every request to the board passes first: its host, its rate, its person and session; and headers of answers."""

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from squire_pipelines.board.access import address_behind, is_believed, is_own_host, is_own_origin, person_name
from squire_pipelines.board.sessions import BoardSession, SessionStore
from squire_pipelines.board.tenant_logins import BoardLogins, NoTenantError
from squire_pipelines.errors import LedgerError
from squire_pipelines.sections.board import BoardSettings
from squire_pipelines.server_connections import caller_of
from squire_pipelines.webhooks.refusal_rates import RefusalRates

COOKIE = "squire_board"
OPEN_PATHS = ("/static/", "/login", "/healthz")
"""What is answered without a session."""

_WITHOUT_LEDGER = ("/static/", "/healthz")

_ANSWER_HEADERS = {
    # Nothing comes from elsewhere, and no script or style stands in a page: https://www.w3.org/TR/CSP3/.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": browsers would then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_CHANGES_SHARE = 10
_OTHER_SITES = frozenset({"cross-site", "same-site"})  # https://www.w3.org/TR/fetch-metadata/
_MAX_PATH = 1000  # the longest of a page is below 100; Python reads no number of more than 4,300 digits


@dataclass(frozen=True, slots=True)
class RefusedVisit:
    """A request that is answered with an error before any page sees it."""

    status: int
    message: str
    hint: str
    retry_after_s: int = 0


class BoardGuard:
    """An ASGI middleware that lets requests through to the pages, with the session of whoever asks.

    Args:
        app: The pages. They find the session as `request.state.session`, None on a path that needs none.
        settings: Gives the board's settings.
        sessions: All sessions.
        logins: Say whose work a person sees.
        local_user: The name of who uses the board where nobody has to log in.
        refuse: Makes the answer to a request that is refused.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Callable[[], BoardSettings],
        sessions: SessionStore,
        logins: BoardLogins,
        local_user: str,
        refuse: Callable[[Request, RefusedVisit], Response],
    ) -> None:
        self._app = app
        self._settings = settings
        self._sessions = sessions
        self._logins = logins
        self._local_user = local_user
        self._refuse = refuse
        self._all_rates = RefusalRates(lambda: settings().requests_per_minute)
        self._change_rates = RefusalRates(lambda: settings().requests_per_minute // _CHANGES_SHARE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        new_cookie: list[str] = []
        refused = self._refusal(request) or await self._find_session(request, scope, new_cookie)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                complete_headers(headers, request.url.path)
                for value in new_cookie:
                    headers.append("Set-Cookie", value)
            await send(message)

        if refused is None:
            await self._app(scope, receive, send_with_headers)
            return
        answer = refused if isinstance(refused, Response) else self._refuse(request, refused)
        await answer(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> RefusedVisit | None:
        """Return why a request is refused whoever makes it."""
        settings, headers = self._settings(), request.headers
        host = headers.get("host", "")
        if not is_own_host(host, listens_on=settings.host, public_url=settings.public_url):
            hint = "open the board under its address, or set board.public_url to the one that people use"
            return RefusedVisit(421, "This server has no such name.", hint)
        # Postgres takes no NUL. A query is as it was sent, a path is decoded.
        if len(request.url.path) > _MAX_PATH or "\0" in request.url.path or "%00" in request.url.query:
            return RefusedVisit(400, "No page has such an address.", "Begin at the first page again.")
        # A page of another site may ask for pictures without end: they count for nobody, and begin no session.
        if headers.get("sec-fetch-site") in _OTHER_SITES and headers.get("sec-fetch-dest", "document") != "document":
            return RefusedVisit(403, "Another site's page has asked for this.", "Open the board itself.")
        is_change = request.method not in {"GET", "HEAD"}
        caller = self._proxied_person(request) or visitor_of(request, settings)
        for rates in (self._all_rates, *((self._change_rates,) if is_change else ())):
            if wait_s := rates.wait_s(caller):
                hint = f"Wait {wait_s:.0f} seconds; board.requests_per_minute is the limit."
                return RefusedVisit(429, "These are too many requests.", hint, max(1, round(wait_s)))
            rates.note(caller)
        if is_change:
            origin, site = headers.get("origin"), headers.get("sec-fetch-site")
            is_foreign = origin is not None and not is_own_origin(origin, host=host, public_url=settings.public_url)
            if is_foreign or site not in {None, "same-origin"}:
                return RefusedVisit(
                    403, "Another site has sent this form.", "Nothing was done. Use the board's own pages."
                )
        return None

    def _proxied_person(self, request: Request) -> str:
        """Return the person that a proxy names; empty where it is none that is believed, or names nobody."""
        settings = self._settings()
        address = request.client.host if request.client else ""
        if settings.login != "proxy" or not is_believed(address, settings.proxies):
            return ""
        return person_name(request.headers.get(settings.proxy_header, ""))

    async def _find_session(
        self, request: Request, scope: Scope, new_cookie: list[str]
    ) -> RefusedVisit | Response | None:
        """Admit a request, in a thread, since sessions lie in the ledger; a file and a look at our health need none."""
        if request.url.path.startswith(_WITHOUT_LEDGER):
            scope.setdefault("state", {})["session"] = None
            return None
        try:
            return await run_in_threadpool(self._admit, request, scope, new_cookie)
        except LedgerError as error:  # outside of what makes pages of errors, so that one is made here
            return RefusedVisit(503, error.message, error.hint)

    def _admit(self, request: Request, scope: Scope, new_cookie: list[str]) -> RefusedVisit | Response | None:
        """Put the request's session into its state, or return the answer to somebody who has none."""
        settings, path = self._settings(), request.url.path
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        token = session_token(request)
        session = self._sessions.find(token) if token else None
        person = self._local_user if settings.login == "none" else self._proxied_person(request)
        if settings.login != "token" and session is not None and session.person != person:
            session = None
        if session is not None and not self._logins.is_still(session):
            session = None
        state["session"] = session
        if session is not None or path.startswith(OPEN_PATHS):
            return None
        if settings.login == "proxy" and not person:
            hint = f"board.proxies names the proxies that are believed, and {settings.proxy_header} names the person."
            return RefusedVisit(403, "No proxy that is believed has signed you in.", hint)
        if request.method not in {"GET", "HEAD"}:
            hint = "Nothing was done. Open the page again and repeat it."
            return RefusedVisit(403, "Your session is over.", hint)
        if settings.login == "token":
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(f"/login?next={quote(path + query)}", status_code=303)
        try:
            tenant = self._logins.tenant_of_person(person)
        except NoTenantError:
            hint = "board.operators names those who see all, and tenants.NAME.people those of a tenant."
            return RefusedVisit(403, "You belong to no tenant of this board.", hint)
        new_token, state["session"] = self._sessions.begin(person, tenant)
        new_cookie.append(cookie(new_token, settings))
        return None


def complete_headers(headers: MutableHeaders, path: str) -> None:
    """Add what every answer says to browsers, where it does not say otherwise; only files are kept by them."""
    for name, value in _ANSWER_HEADERS.items():
        headers.setdefault(name, value)  # the report has a policy of its own
    if not path.startswith("/static/"):
        headers["Cache-Control"] = "no-store"


def cookie(token: str, settings: BoardSettings) -> str:
    """Return the value of the header that keeps a session in a browser; an empty token ends it."""
    lasts_s = int(settings.session_s) if token else 0
    secure = "; Secure" if (settings.public_url or "").startswith("https:") else ""
    return f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={lasts_s}{secure}"


def visitor_of(request: Request, settings: BoardSettings) -> str:
    """Return by what a visitor's requests are counted: an address or network, which a believed proxy may name."""
    address = request.client.host if request.client else ""
    forwarded = ",".join(request.headers.getlist("x-forwarded-for"))
    return caller_of(address_behind(address, forwarded, settings.proxies))


def session_token(request: Request) -> str:
    """Return the token of the session in a request's cookies; empty for none.

    A browser sends the cookies of all programs on this host, whatever their port; theirs may have any form.
    """
    return request.cookies.get(COOKIE, "")


def session_of(request: Request) -> BoardSession | None:
    """Return the session that the guard has found."""
    session: BoardSession | None = getattr(request.state, "session", None)
    return session
