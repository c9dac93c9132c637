"""The one HTTP client for GitHub: GraphQL and REST with time limits, retries, and a distance between writes.

What an answer means is decided in `protocol`; the questions are in `queries/` and in the modules that ask them.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self, TypeVar, cast

import httpx
import stamina
from stamina.instrumentation import set_on_retry_hooks

from squire_pipelines.domain.rate_limits import LimitKind, LimitState, blocking
from squire_pipelines.errors import GitHubAuthError, GitHubError, GitHubRateLimitError, GitHubUnavailableError
from squire_pipelines.github import kept_answers, protocol
from squire_pipelines.github.access import Access, AccessAuth, TokenAccess, repository_of
from squire_pipelines.github.connections import new_http_client
from squire_pipelines.github.kept_answers import NOT_MODIFIED, AnswerStore, NothingKept
from squire_pipelines.github.limits import LimitStore, MemoryLimits, blocked_kinds, kind_of_rest, read_use
from squire_pipelines.github.protocol import GraphQLAnswer
from squire_pipelines.github.query_texts import load_query
from squire_pipelines.github.request_counts import count_request, count_retry
from squire_pipelines.github.write_turns import Turns
from squire_pipelines.observability.logging import Component, get_logger
from squire_pipelines.secrets import Secret
from squire_pipelines.sections.services import GitHubSettings

_HEADERS = {
    "User-Agent": "squire-pipelines",
    "Accept": "application/vnd.github+json",
    "X-GitHub-Api-Version": protocol.API_VERSION,
}
MAX_HONOURED_WAIT_S = 30.0
"""A limit that asks for a longer wait is reported at once: the next collection is the better time to ask again."""

RETRY_TIMEOUT_S = 60.0
"""No new try starts after this time."""

_MAX_REDIRECTIONS = 3
_CHUNK_BYTES = 64 * 1024
_T = TypeVar("_T")
_log = get_logger(Component.GITHUB)


# Its own hook imports structlog for the first retry, and logs the arguments of what it repeats.
set_on_retry_hooks([count_retry])


class _NotSentError(GitHubUnavailableError):
    """The request never reached GitHub, so that repeating it is safe whatever it asks for."""


@dataclass(frozen=True, slots=True)
class _Request:
    """One request, as often as it is sent; `name` is how errors call it, `kind` the limit that it counts for."""

    name: str
    method: str
    url: str
    repository: str | None
    auth: AccessAuth
    kind: LimitKind
    repeatable: bool
    is_write: bool
    params: Mapping[str, str | int] | None = None
    json: Mapping[str, object] | None = None
    # httpx drops the token when a redirection leaves the host. A redirected write would become a GET: it is reported.
    follow_redirects: bool = False
    is_conditional: bool = False


class GitHubClient:
    """Asks GitHub. Use it as an async context manager, in one event loop.

    Args:
        settings: GitHub's addresses, and the limits of time, concurrency and writes.
        access: Who asks. A plain token will do; None asks anonymously, which GitHub allows for REST alone.
        attempts: Tries of one request in all, the first included.
        limits: What is known of GitHub's limits; None knows what this client alone was told.
        write_turns: Keeps the distance of writes from those of other processes, too; None knows of this client alone.
        answers: Keeps answers of REST with their ETags; None keeps none.
        http: A client to use instead of an own one; it is not closed.
        max_body_bytes: Of one answer; a larger one is refused before it fills the memory.
        monotonic: Seconds for intervals.
    """

    def __init__(
        self,
        settings: GitHubSettings,
        access: Access | str | None,
        *,
        attempts: int = 4,
        limits: LimitStore | None = None,
        write_turns: Turns | None = None,
        answers: AnswerStore | None = None,
        http: httpx.AsyncClient | None = None,
        max_body_bytes: int = 64 * 2**20,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api_url = settings.api_url.rstrip("/")
        self._graphql_url = settings.graphql_url
        if access is None or isinstance(access, str):
            access = TokenAccess(Secret(access, name="github-token") if access else None)
        self._access: Access = access
        self._timeout_s = settings.timeout_s
        self._attempts = attempts
        self._min_write_interval_s = settings.min_write_interval_s
        self._semaphore = asyncio.Semaphore(settings.max_concurrent_requests)
        self._write_lock = asyncio.Lock()
        self._last_write: float | None = None
        self._write_turns = write_turns
        self._limits: LimitStore = limits or MemoryLimits()
        self._answers: AnswerStore = answers or NothingKept()
        self._max_body_bytes = max_body_bytes
        self._monotonic = monotonic
        self._owns_http = http is None
        self._http = http or new_http_client(settings)

    def __repr__(self) -> str:
        return f"<GitHubClient {self._api_url} {'anonymous' if self._access.is_anonymous else 'with a token'}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            self._limits.close()
        finally:
            if self._owns_http:
                await self._http.aclose()

    def _tries(self, on: type[Exception] | Callable[[Exception], bool | float]) -> AsyncIterator[stamina.Attempt]:
        return stamina.retry_context(on, self._attempts, RETRY_TIMEOUT_S, wait_initial=0.5, wait_max=8.0)

    async def graphql(self, query_name: str, variables: Mapping[str, object]) -> dict[str, Any]:
        """Return the whole data that `queries/<query_name>.graphql` asks for. Raises GitHubError for a missing part."""
        return (await self.query(query_name, variables)).whole()

    async def query(self, query_name: str, variables: Mapping[str, object]) -> GraphQLAnswer:
        """Like `graphql`, but errors of single fields are values. Raises GitHubError for the answer as a whole."""
        return await self.execute(load_query(query_name), variables, request=f"the query {query_name}")

    async def credential(self, repository: str) -> str:
        """Return the name of what requests about a repository count for. Raises GitHubError, ConfigError."""
        async for attempt in self._tries(GitHubUnavailableError):
            with attempt:
                return await self._access.credential(repository)
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    def graphql_limit(self, credential: str) -> tuple[LimitState, datetime]:
        """Return what is known of the points for requests that count for `credential`, and the time to read it by."""
        states, now = self._limits.states(credential)
        return states.get(LimitKind.GRAPHQL, LimitState()), now

    async def execute(
        self, document: str, variables: Mapping[str, object], *, request: str, repository: str | None = None
    ) -> GraphQLAnswer:
        """Run a GraphQL query (not a mutation: it may be repeated). `request` names it in errors.

        An App asks as its installation on `repository`; by default that is the one that the variables name.
        """
        if self._access.is_anonymous:
            raise GitHubAuthError(
                "GitHub's GraphQL API answers nobody without a token",
                hint="set one with `squire secrets set github-token`",
            )
        named = all(isinstance(variables.get(part), str) for part in ("owner", "name"))
        repository = repository or (f"{variables['owner']}/{variables['name']}" if named else None)
        return await self._graphql(request, document, variables, repository=repository, is_write=False)

    async def mutate(
        self, query_name: str, variables: Mapping[str, object], *, repository: str, repeatable: bool = True
    ) -> dict[str, Any]:
        """Run the mutation `queries/<query_name>.graphql`, again where that may be repeated. Raises GitHubError.

        It counts as a write: at a distance from others, and with a token that may write to `repository`.
        """
        document, request = load_query(query_name), f"the mutation {query_name}"
        answer = self._graphql(
            request, document, variables, repository=repository, is_write=True, repeatable=repeatable
        )
        return (await answer).whole()

    async def _graphql(
        self,
        request: str,
        document: str,
        variables: Mapping[str, object],
        *,
        repository: str | None,
        is_write: bool,
        repeatable: bool = True,
    ) -> GraphQLAnswer:
        auth, kind = AccessAuth(self._access, repository, write=is_write), LimitKind.GRAPHQL
        query = {"query": document, "variables": dict(variables)}
        sent = _Request(request, "POST", self._graphql_url, repository, auth, kind, repeatable, is_write, json=query)
        return await self._send(sent, protocol.read_graphql)

    async def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Any:
        """GET `{api_url}{path}` and return the decoded JSON. Raises GitHubError."""
        return await self._rest("GET", path, params=params, repeatable=True)

    async def get_page(self, path: str, params: Mapping[str, str | int]) -> tuple[Any, str | None]:
        """GET a page of a list; return it and the cursor of the next page, None after the last. Raises GitHubError."""
        answer = await self._rest("GET", path, params=params, repeatable=True, read=protocol.read_page)
        return cast("tuple[Any, str | None]", answer)

    async def post(self, path: str, content: Mapping[str, object], *, repeatable: bool = False) -> Any:
        """POST. Tried again after a lost answer only when `repeatable`: its repetition must do no harm."""
        return await self._rest("POST", path, content=content, repeatable=repeatable)

    async def patch(self, path: str, content: Mapping[str, object], *, is_secret: bool = False) -> Any:
        """PATCH, which may be repeated. No error has GitHub's words where the content is secret: they may repeat it."""
        read = protocol.read_unquoted if is_secret else protocol.read_answer
        return await self._rest("PATCH", path, content=content, repeatable=True, read=read)

    async def put(self, path: str, content: Mapping[str, object], *, repeatable: bool = False) -> Any:
        """PUT; tried again after a lost answer only when `repeatable`: its repetition must do no harm."""
        return await self._rest("PUT", path, content=content, repeatable=repeatable)

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
        read: Callable[..., Any] = protocol.read_answer,
    ) -> Any:
        is_write, repository = method != "GET", repository_of(path)
        return await self._send(
            _Request(
                f"{method} {path}",
                method,
                self._api_url + path,
                repository,
                AccessAuth(self._access, repository, write=is_write),
                kind_of_rest(path),
                repeatable=repeatable,
                is_write=is_write,
                params=params,
                json=content,
                follow_redirects=not is_write,
                # A kept answer has no link to the next page.
                is_conditional=not is_write and read is protocol.read_answer,
            ),
            read,
        )

    async def download(self, path: str, take: Callable[[bytes], bool]) -> None:
        """GET the file that `{api_url}{path}` leads to; `take` is given its bytes, until it returns False.

        The file lies on another host, which never gets the token. Raises GitHubError.
        """
        name, address = f"GET {path}", self._api_url + path
        for _ in range(_MAX_REDIRECTIONS):  # a renamed repository leads to another address of the API first
            repository = repository_of(path)
            auth = AccessAuth(self._access, repository, write=False)
            kind = LimitKind.CORE
            request = _Request(name, "GET", address, repository, auth, kind, repeatable=True, is_write=False)
            address = await self._send(request, protocol.read_location)
            if not address.startswith(f"{self._api_url}/"):
                return await self._fetch(name, protocol.check_download(address, api_url=self._api_url), take)
        raise GitHubUnavailableError(f"{name} leads from one address to the next", context={"request": name})

    async def _fetch(self, name: str, url: str, take: Callable[[bytes], bool]) -> None:
        # As they come: unpacked, a few bytes could be more than the memory holds.
        headers = {"User-Agent": _HEADERS["User-Agent"], "Accept-Encoding": "identity"}
        try:
            async with (
                self._semaphore,
                asyncio.timeout(self._timeout_s),
                self._http.stream("GET", url, headers=headers, auth=None, follow_redirects=False) as response,
            ):
                protocol.check_file(response.status_code, response.headers, request=name)
                async for chunk in response.aiter_raw(_CHUNK_BYTES):
                    if not take(chunk):
                        return
        except (TimeoutError, httpx.RequestError) as error:
            raise GitHubUnavailableError(
                f"the file that {name} leads to cannot be read: {type(error).__name__}",
                hint="check that the network permits the host that GitHub keeps such files on",
                context={"request": name, "host": httpx.URL(url).host},
            ) from error

    async def _send(self, request: _Request, read: Callable[..., _T]) -> _T:
        """Send a request, again where that is safe and of use, and return what `read` makes of the answer."""

        def wait(error: Exception) -> bool | float:
            if isinstance(error, GitHubRateLimitError):  # refused before it was executed: safe to repeat
                return error.retry_after_s if error.retry_after_s <= MAX_HONOURED_WAIT_S else False
            if isinstance(error, _NotSentError):
                return True
            return request.repeatable and isinstance(error, GitHubError) and error.retryable

        async for attempt in self._tries(wait):
            with attempt:
                credential = await self._access.credential(request.repository)
                status, headers, body = await self._exchange(request, credential)
                if (use := read_use(headers, request.kind)) is not None:
                    self._limits.use(credential, use)
                try:
                    return read(status, headers, body, request=request.name, now=datetime.now(UTC))
                except GitHubRateLimitError as error:
                    kinds = blocked_kinds(error, request.kind, is_write=request.is_write)
                    self._limits.block(credential, kinds, error.retry_after_s if error.is_stated else None)
                    raise
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    def _raise_if_blocked(self, credential: str, request: _Request) -> None:
        """Refuse what GitHub told some process it will refuse: asking on makes a secondary limit longer."""
        states, now = self._limits.states(credential)
        kinds = {request.kind} | ({LimitKind.CONTENT} if request.is_write else set())
        state = blocking(states, kinds, now)
        if state is not None and state.blocked_until is not None:
            left = (state.blocked_until - now).total_seconds()
            raise GitHubRateLimitError(
                f"{request.name}: GitHub's limit was reached; not asked before it ends",
                retry_after_s=left,
                hint=f"it ends in {left:.0f} s, at {state.blocked_until:%H:%M:%S} UTC",
                context={"kind": request.kind.value, "blocked_until": state.blocked_until.isoformat()},
            )

    async def _exchange(self, request: _Request, credential: str) -> tuple[int, Mapping[str, str], bytes]:
        """Send once; return status, headers with lower-case names, body: the kept one where GitHub says that it is."""
        if not request.is_conditional:
            return await self._transfer(request, credential, _HEADERS)
        name = kept_answers.name_of(credential, request.url, request.params)
        kept = self._answers.find(name)
        tags = {"If-None-Match": kept.etag} if kept else {}
        status, headers, body = await self._transfer(request, credential, {**_HEADERS, **tags})
        if kept is not None and status == NOT_MODIFIED:
            return 200, {**headers, "content-type": "application/json"}, kept.body
        if (answer := kept_answers.keepable(status, headers, body)) is not None:
            self._answers.keep(name, answer)
        return status, headers, body

    async def _transfer(
        self, request: _Request, credential: str, sent: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        async with self._semaphore:
            if request.is_write:
                await self._space_writes(credential)
            # At the last moment: those who waited their turn may wait because one before them was refused.
            self._raise_if_blocked(credential, request)
            began, response = time.monotonic(), None
            try:
                async with (
                    asyncio.timeout(self._timeout_s),
                    self._http.stream(
                        request.method,
                        request.url,
                        params=request.params,
                        json=request.json,
                        headers=sent,
                        auth=request.auth,
                        follow_redirects=request.follow_redirects,
                    ) as response,
                ):
                    body = await self._read_body(response, request.name)
            except httpx.ConnectError as error:
                raise protocol.no_answer(_NotSentError, request.name, request.url, "nothing answers there") from error
            except (TimeoutError, httpx.TimeoutException) as error:
                reason = f"no answer within {self._timeout_s:g} s"
                raise protocol.no_answer(GitHubUnavailableError, request.name, request.url, reason) from error
            except httpx.RequestError as error:
                reason = f"the connection was lost ({type(error).__name__})"
                raise protocol.no_answer(GitHubUnavailableError, request.name, request.url, reason) from error
            finally:
                count_request(request.kind, None if response is None else response.status_code, began)
        _log.debug("github.request", request=request.name, method=request.method, status=response.status_code)
        return response.status_code, {name.lower(): value for name, value in response.headers.items()}, body

    async def _read_body(self, response: httpx.Response, request: str) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self._max_body_bytes:
                raise GitHubUnavailableError(
                    f"the answer to {request} is larger than {self._max_body_bytes} bytes",
                    context={"request": request, "limit_bytes": self._max_body_bytes},
                )
        return bytes(body)

    async def _space_writes(self, credential: str) -> None:
        async with self._write_lock:
            if self._last_write is not None:
                await asyncio.sleep(self._last_write + self._min_write_interval_s - self._monotonic())
            if self._write_turns is not None:
                await self._write_turns.take(self._min_write_interval_s, credential)
            self._last_write = self._monotonic()
