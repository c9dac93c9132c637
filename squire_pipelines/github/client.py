"""The one HTTP client for GitHub: GraphQL and REST with time limits, retries, spacing of writes and a rate-limit view.

What an answer means is decided in `protocol`; what is asked stands in `queries/` and in the modules that ask.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import stamina
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from squire_pipelines.errors import (
    ConfigError,
    GitHubAuthError,
    GitHubError,
    GitHubRateLimitError,
    GitHubUnavailableError,
)
from squire_pipelines.github import protocol
from squire_pipelines.github.access import Access, AccessAuth, TokenAccess, repository_of
from squire_pipelines.github.protocol import GraphQLAnswer, RateLimit
from squire_pipelines.github.write_turns import WriteTurns
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.secrets import Secret
from squire_pipelines.sections import GitHubSettings

USER_AGENT = "squire-pipelines"
MAX_BODY_BYTES = 64 * 2**20
"""More than any answer to our questions; a larger one is refused before it fills the memory."""

MAX_HONOURED_WAIT_S = 30.0
"""A limit that asks for a longer wait is reported at once: the next collection is the better time to ask again."""

_T = TypeVar("_T")
_log = get_logger(Component.GITHUB)


def _log_retry(details: RetryDetails) -> None:
    cause, wait_s = str(details.caused_by), round(details.wait_for, 1)
    _log.warning("github.request_repeated", cause=cause, retry=details.retry_num, wait_s=wait_s)


# Its own hook imports structlog for the first retry, and logs the arguments of what it repeats.
set_on_retry_hooks([_log_retry])
_IMPORT = re.compile(r'^#import "([a-z_]+)"$', re.MULTILINE)


@cache
def load_query(name: str) -> str:
    """The GraphQL document `queries/<name>.graphql` with the fragments that its `#import "…"` lines name."""
    folder = resources.files("squire_pipelines.github") / "queries"
    text = (folder / f"{name}.graphql").read_text(encoding="utf-8")
    return "\n".join([text, *(load_query(imported) for imported in _IMPORT.findall(text))])


class _NotSentError(GitHubUnavailableError):
    """The request never reached GitHub, so that repeating it is safe whatever it asks for."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class GitHubClient:
    """Asks GitHub. Use it as an async context manager, in one event loop.

    Args:
        api_url: REST base, such as `https://api.github.com`.
        graphql_url: The GraphQL endpoint.
        access: Who asks. A plain token will do; None asks anonymously, which GitHub allows for REST alone.
        timeout_s: For one request, from connecting to the last byte.
        max_concurrent: Requests under way at once; GitHub's secondary limit is 100 for all users of a token.
        min_write_interval_s: Least time between the starts of two writes; GitHub asks for one second.
        attempts: Tries of one request in all, the first included.
        retry_timeout_s: No new try starts after this time.
        write_turns: Keeps the distance of writes from those of other processes, too; None knows of this client alone.
        http: A client to use instead of an own one; it is not closed.
        user_agent: GitHub asks for one that names the application.
        now: Wall clock, used for limits when an answer has no date.
        monotonic: Seconds for intervals.
    """

    def __init__(
        self,
        api_url: str,
        graphql_url: str,
        access: Access | str | None,
        *,
        timeout_s: float = 30.0,
        max_concurrent: int = 20,
        min_write_interval_s: float = 1.0,
        attempts: int = 4,
        retry_timeout_s: float = 60.0,
        write_turns: WriteTurns | None = None,
        http: httpx.AsyncClient | None = None,
        user_agent: str = USER_AGENT,
        now: Callable[[], datetime] = _utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api_url = _checked_url(api_url)
        self._graphql_url = _checked_url(graphql_url)
        if access is None or isinstance(access, str):
            access = TokenAccess(Secret(access, name="github-token") if access else None)
        self._access: Access = access
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._retry_timeout_s = retry_timeout_s
        self._min_write_interval_s = min_write_interval_s
        self._semaphore = asyncio.Semaphore(max_concurrent)
        self._write_lock = asyncio.Lock()
        self._last_write: float | None = None
        self._write_turns = write_turns
        self._blocked_until: dict[str, float] = {}
        self._rate_limits: dict[str, RateLimit] = {}
        self._latest: RateLimit | None = None
        self._now = now
        self._monotonic = monotonic
        self._owns_http = http is None
        self._headers = {
            "User-Agent": user_agent,
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": protocol.API_VERSION,
        }
        self._http = http or httpx.AsyncClient(
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=max_concurrent, max_keepalive_connections=max_concurrent),
        )

    @classmethod
    def from_settings(
        cls, settings: GitHubSettings, access: Access | str | None, *, write_turns: WriteTurns | None = None
    ) -> Self:
        """A client with the addresses and limits of the settings. Raises ConfigError for a wrong address."""
        return cls(
            settings.api_url,
            settings.graphql_url,
            access,
            timeout_s=settings.timeout_s,
            max_concurrent=settings.max_concurrent_requests,
            min_write_interval_s=settings.min_write_interval_s,
            write_turns=write_turns,
        )

    def __repr__(self) -> str:
        return f"<GitHubClient {self._api_url} {'anonymous' if self._access.is_anonymous else 'with a token'}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; a client that was handed in stays open."""
        if self._owns_http:
            await self._http.aclose()

    @property
    def rate_limit(self) -> RateLimit | None:
        """The allowance that the latest answer reported."""
        return self._latest

    @property
    def rate_limits(self) -> Mapping[str, RateLimit]:
        """The latest known allowance of each resource (`core`, `graphql`, …)."""
        return dict(self._rate_limits)

    async def graphql(self, query_name: str, variables: Mapping[str, object]) -> dict[str, Any]:
        """The whole data that `queries/<query_name>.graphql` asks for. Raises GitHubError, also for a missing part."""
        return (await self.query(query_name, variables)).whole()

    async def query(self, query_name: str, variables: Mapping[str, object]) -> GraphQLAnswer:
        """Like `graphql`, but errors of single fields are values. Raises GitHubError for the answer as a whole."""
        return await self.execute(load_query(query_name), variables, what=f"the query {query_name}")

    async def execute(self, document: str, variables: Mapping[str, object], *, what: str) -> GraphQLAnswer:
        """Run a GraphQL query (not a mutation: it may be repeated). `what` names it in errors."""
        if self._access.is_anonymous:
            raise GitHubAuthError(
                "GitHub's GraphQL API answers nobody without a token",
                hint="set one with `squire secrets set github-token`",
            )
        content = {"query": document, "variables": dict(variables)}
        named = all(isinstance(variables.get(part), str) for part in ("owner", "name"))
        auth = AccessAuth(self._access, f"{variables['owner']}/{variables['name']}" if named else None, write=False)

        async def once() -> GraphQLAnswer:
            answer = await self._exchange(
                "POST", self._graphql_url, resource="graphql", what=what, auth=auth, json=content
            )
            return protocol.read_graphql(*answer, what=what, now=self._now())

        return await self._repeated(once, resource="graphql", repeatable=True)

    async def mutate(self, query_name: str, variables: Mapping[str, object], *, repository: str) -> dict[str, Any]:
        """Run the mutation `queries/<query_name>.graphql`, which must be one that may be repeated. Raises GitHubError.

        It counts as a write: at a distance from others, and with a token that may write to `repository`.
        """
        what = f"the mutation {query_name}"
        content = {"query": load_query(query_name), "variables": dict(variables)}
        auth = AccessAuth(self._access, repository, write=True)

        async def once() -> GraphQLAnswer:
            answer = await self._exchange(
                "POST", self._graphql_url, resource="graphql", what=what, auth=auth, json=content, writes=True
            )
            return protocol.read_graphql(*answer, what=what, now=self._now())

        return (await self._repeated(once, resource="graphql", repeatable=True)).whole()

    async def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        """GET `{api_url}{path}`; the decoded JSON. Raises GitHubError."""
        return await self._rest("GET", path, params=params, repeatable=True)

    async def post(self, path: str, content: Mapping[str, object], *, repeatable: bool = False) -> Any:
        """POST. Tried again after a lost answer only when `repeatable`: its repetition must do no harm."""
        return await self._rest("POST", path, content=content, repeatable=repeatable)

    async def patch(self, path: str, content: Mapping[str, object]) -> Any:
        """PATCH, which may be repeated."""
        return await self._rest("PATCH", path, content=content, repeatable=True)

    async def put(self, path: str, content: Mapping[str, object]) -> Any:
        """PUT, which may be repeated."""
        return await self._rest("PUT", path, content=content, repeatable=True)

    async def delete(self, path: str) -> Any:
        """DELETE, which may be repeated: what is gone already is GitHubNotFoundError."""
        return await self._rest("DELETE", path, repeatable=True)

    async def _rest(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool,
        params: Mapping[str, str | int] | None = None,
        content: Mapping[str, object] | None = None,
    ) -> Any:
        what = f"{method} {path}"
        auth = AccessAuth(self._access, repository_of(path), write=method != "GET")

        async def once() -> Any:
            answer = await self._exchange(
                method, self._api_url + path, resource="core", what=what, auth=auth, params=params, json=content
            )
            return protocol.read_answer(*answer, what=what, now=self._now()).data

        return await self._repeated(once, resource="core", repeatable=repeatable)

    async def _repeated(self, once: Callable[[], Awaitable[_T]], *, resource: str, repeatable: bool) -> _T:
        def wait(error: Exception) -> bool | float:
            if isinstance(error, GitHubRateLimitError):  # refused before it was executed: safe to repeat
                return error.retry_after_s if error.retry_after_s <= MAX_HONOURED_WAIT_S else False
            if isinstance(error, _NotSentError):
                return True
            return repeatable and isinstance(error, GitHubError) and error.retryable

        async for attempt in stamina.retry_context(
            on=wait, attempts=self._attempts, timeout=self._retry_timeout_s, wait_initial=0.5, wait_max=8.0
        ):
            with attempt:
                self._raise_if_blocked(resource)
                try:
                    return await once()
                except GitHubRateLimitError as error:
                    self._blocked_until[resource] = self._monotonic() + error.retry_after_s
                    raise
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    def _raise_if_blocked(self, resource: str) -> None:
        """Spare GitHub the requests that it has said it will refuse: asking on makes a secondary limit longer."""
        left = self._blocked_until.get(resource, 0.0) - self._monotonic()
        if left > 0:
            message = f"GitHub's {resource} limit was reached; not asked again before it ends"
            hint = f"it ends in {left:.0f} s"
            raise GitHubRateLimitError(message, retry_after_s=left, hint=hint, context={"resource": resource})

    async def _exchange(
        self,
        method: str,
        url: str,
        *,
        resource: str,
        what: str,
        auth: httpx.Auth,
        params: Mapping[str, str | int] | None = None,
        json: Mapping[str, object] | None = None,
        writes: bool | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One request: status, headers with lower-case names, body. Raises GitHubUnavailableError without an answer."""
        writes = (method != "GET" and resource != "graphql") if writes is None else writes
        async with self._semaphore:
            if writes:
                await self._space_writes()
            try:
                async with (
                    asyncio.timeout(self._timeout_s),
                    self._http.stream(
                        method,
                        url,
                        params=params,
                        json=json,
                        headers=self._headers,
                        auth=auth,
                        # httpx drops the token when a redirection leaves the host. A redirected write would become
                        # a GET, so it is reported instead.
                        follow_redirects=method == "GET",
                    ) as response,
                ):
                    body = await _bounded_body(response, what)
            except httpx.ConnectError as error:
                raise self._no_answer(_NotSentError, what, url, "nothing answers there") from error
            except (TimeoutError, httpx.TimeoutException) as error:
                raise self._no_answer(
                    GitHubUnavailableError, what, url, f"no answer within {self._timeout_s:g} s"
                ) from error
            except httpx.RequestError as error:
                raise self._no_answer(
                    GitHubUnavailableError, what, url, f"the connection was lost ({type(error).__name__})"
                ) from error
        headers = {name.lower(): value for name, value in response.headers.items()}
        if (limit := protocol.rate_limit_of(headers)) is not None:
            self._rate_limits[limit.resource] = self._latest = limit
        return response.status_code, headers, body

    async def _space_writes(self) -> None:
        async with self._write_lock:
            if self._last_write is not None:
                await asyncio.sleep(self._last_write + self._min_write_interval_s - self._monotonic())
            if self._write_turns is not None:
                await self._write_turns.take(self._min_write_interval_s)
            self._last_write = self._monotonic()

    def _no_answer(
        self, kind: type[GitHubUnavailableError], what: str, url: str, reason: str
    ) -> GitHubUnavailableError:
        return kind(
            f"{what}: {url} cannot be reached: {reason}",
            hint="check the network, and `github.api_url` in the settings",
            context={"url": url, "request": what, "reason": reason},
        )


async def _bounded_body(response: httpx.Response, what: str) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise GitHubUnavailableError(
                f"the answer to {what} is larger than {MAX_BODY_BYTES} bytes",
                context={"request": what, "limit_bytes": MAX_BODY_BYTES},
            )
    return bytes(body)


def _checked_url(text: str) -> str:
    """`text` without a trailing slash. Raises ConfigError when it is no HTTP URL, or carries a password."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ConfigError(
            f"github.api_url = {text!r} is not a URL: {error}", hint="use the form https://HOST or https://HOST/api/v3"
        ) from error
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo:
        raise ConfigError(
            "github.api_url must be an http(s) URL with a host and without a user name or password",
            hint="use the form https://HOST or https://HOST/api/v3",
        )
    return text.rstrip("/")
