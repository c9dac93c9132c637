"""Reading the signals of one repository: every source at once, each with its own time limit and its own result.

Two sources that need the same objects share one reading. What the objects mean is decided in `signals`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from squire_pipelines.domain.signals import Collection, CollectionStatus, Signal, Source
from squire_pipelines.errors import GitHubError, GitHubNotFoundError, GitHubPermissionError, SquireError
from squire_pipelines.github import signals as make
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.models import (
    Commit,
    DefaultBranch,
    Issue,
    PullRequest,
    PullRequestPart,
    RepositoryAnswer,
    Rollup,
    parse,
)
from squire_pipelines.github.protocol import GraphQLAnswer

PAGE_OF_PULL_REQUESTS = 20
"""With 30 threads each: 1 + 20 * (4 + 30) connections, or 7 points of 5,000 an hour, and 1,700 nodes at most."""

PAGE_OF_ISSUES = 50
_CHECKS_FIELD, _THREADS_FIELD = "statusCheckRollup", "reviewThreads"
_T = TypeVar("_T")


def utc_now() -> datetime:
    """The present, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _PullRequests:
    """All open pull requests, and the errors of the parts that are missing from them."""

    found: tuple[PullRequest, ...] = ()
    truncated: bool = False
    checks_truncated: bool = False
    checks_error: GitHubError | None = None
    threads_error: GitHubError | None = None


@dataclass(frozen=True, slots=True)
class _Branch:
    """The default branch's head with its checks; None for an empty or archived repository."""

    branch: DefaultBranch | None = None
    url: str = ""
    truncated: bool = False


async def collect_repository(
    client: GitHubClient,
    repository: str,
    *,
    sources: Iterable[Source] = tuple(Source),
    max_items: int = 500,
    source_timeout_s: float = 30.0,
    clock: Callable[[], datetime] = utc_now,
) -> tuple[Collection, ...]:
    """Read `sources` of one repository, concurrently.

    A source that fails, or takes longer than `source_timeout_s`, is a `failed` collection with the error's code and
    text; the others are not touched by it. An empty repository has no checks to fail. An archived repository is
    read-only, so that nothing in it can be acted on: all its sources are `fresh` and without signals. One that
    GitHub has disabled fails.

    Args:
        client: Asks GitHub.
        repository: `owner/name`.
        sources: Which to read; each yields exactly one collection, in this order.
        max_items: Most pull requests or issues read, and most signals kept, for each source. What lies beyond it
            sets `truncated`.
        source_timeout_s: For one source, with its retries.
        clock: The collections' times.
    """
    reader = _Reader(client, repository, max_items=max_items, clock=clock)

    async def collect(source: Source) -> Collection:
        started_at = clock()
        try:
            async with asyncio.timeout(source_timeout_s):
                found, truncated = await reader.read(source)
        except TimeoutError:
            code, text = "source_timeout", f"{source} of {repository} was not read within {source_timeout_s:g} s"
        except SquireError as error:
            code, text = error.code, str(error)
        else:
            return Collection(
                repository=repository,
                source=source,
                status=CollectionStatus.FRESH,
                started_at=started_at,
                ended_at=clock(),
                signals=found[:max_items],
                truncated=truncated or len(found) > max_items,
            )
        return Collection(
            repository=repository,
            source=source,
            status=CollectionStatus.FAILED,
            started_at=started_at,
            ended_at=clock(),
            error_code=code,
            error=text,
        )

    try:
        return tuple(await asyncio.gather(*(collect(source) for source in dict.fromkeys(sources))))
    finally:
        await reader.aclose()


class _Reader:
    """The readings of one repository; each is made at most once, whoever asks for it."""

    def __init__(
        self, client: GitHubClient, repository: str, *, max_items: int, clock: Callable[[], datetime]
    ) -> None:
        owner, _, name = repository.partition("/")
        self._client = client
        self._repository = repository
        self._variables: dict[str, object] = {"owner": owner, "name": name}
        self._max_items = max_items
        self._clock = clock
        self._readings: dict[str, asyncio.Task[Any]] = {}

    async def read(self, source: Source) -> tuple[tuple[Signal, ...], bool]:
        """The source's signals, and whether there were more."""
        match source:
            case Source.OPEN_PRS:
                return await self._open_prs()
            case Source.REVIEW_FINDINGS:
                return await self._review_findings()
            case Source.FAILED_CI:
                return await self._failed_ci()
            case Source.OPEN_ISSUES:
                return await self._open_issues()

    async def aclose(self) -> None:
        """Stop the readings that nobody waits for any more."""
        for task in self._readings.values():
            task.cancel()
        await asyncio.gather(*self._readings.values(), return_exceptions=True)

    async def _open_prs(self) -> tuple[tuple[Signal, ...], bool]:
        read = await self._shared("pull_requests", self._pull_requests)
        _raise_if(read.threads_error)
        known = read.checks_error is None
        return tuple(make.open_pull_request(self._repository, pr, checks_known=known) for pr in read.found), (
            read.truncated
        )

    async def _review_findings(self) -> tuple[tuple[Signal, ...], bool]:
        read = await self._shared("pull_requests", self._pull_requests)
        _raise_if(read.threads_error)
        found = (signal for pr in read.found for signal in make.review_findings(self._repository, pr))
        return make.newest_by_ref(found), read.truncated

    async def _failed_ci(self) -> tuple[tuple[Signal, ...], bool]:
        head, read = await asyncio.gather(
            self._shared("default_branch", self._default_branch),
            self._shared("pull_requests", self._pull_requests),
        )
        _raise_if(read.checks_error)

        def found() -> Iterator[Signal]:
            if head.branch and head.branch.target:
                yield from make.failed_checks_of_branch(
                    self._repository,
                    head.branch.name,
                    head.branch.target,
                    repository_url=head.url,
                    read_at=self._clock(),
                )
            for pr in read.found:
                yield from make.failed_checks_of_pull_request(self._repository, pr)

        return make.newest_by_ref(found()), head.truncated or read.truncated or read.checks_truncated

    async def _open_issues(self) -> tuple[tuple[Signal, ...], bool]:
        found: dict[int, Issue] = {}
        cursor: str | None = None
        while True:
            first = min(PAGE_OF_ISSUES, self._max_items - len(found))
            data = await self._client.graphql("issues", {**self._variables, "first": first, "after": cursor})
            answer = self._repository_of(data, what="the query issues")
            if answer.is_archived or answer.issues is None:
                return (), False
            found |= {issue.number: issue for issue in answer.issues.nodes}
            more, cursor = answer.issues.page_info.has_next_page, answer.issues.page_info.end_cursor
            if not more or cursor is None or len(found) >= self._max_items:
                break
        return tuple(make.open_issue(self._repository, issue) for issue in found.values()), more

    async def _shared(self, name: str, read: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        task = self._readings.get(name)
        if task is None:
            task = self._readings[name] = asyncio.create_task(read())
        # Shielded: one source that runs out of time must not take the reading away from another.
        result: _T = await asyncio.shield(task)
        return result
