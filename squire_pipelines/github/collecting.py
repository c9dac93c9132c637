"""Reading the signals of one repository: every source at once, each with its own time limit and its own result.

Two sources that need the same objects share one reading. What the objects mean is decided in `signals`.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from squire_pipelines.domain.signals import Collection, CollectionStatus, Signal, Source
from squire_pipelines.errors import GitHubError, GitHubNotFoundError, GitHubPermissionError, SquireError
from squire_pipelines.github import quota
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

FIRST_PAGE_OF_PULL_REQUESTS = 10
"""GitHub counts what a query could find. With 10 threads each: 1 + 10 * (4 + 10) connections, which is 1 point.

https://docs.github.com/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api
"""

FURTHER_PAGES_OF_PULL_REQUESTS = 25
FIRST_PAGE_OF_THREADS = 10
FURTHER_PAGES_OF_THREADS = 50
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
    threads_truncated: bool = False
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
        used = quota.begin()
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
                **used.values(),
            )
        return Collection(
            repository=repository,
            source=source,
            status=CollectionStatus.FAILED,
            started_at=started_at,
            ended_at=clock(),
            error_code=code,
            error=text,
            **used.values(),
        )

    try:
        return tuple(await asyncio.gather(*(collect(source) for source in dict.fromkeys(sources))))
    finally:
        await reader.aclose()


class _Reader:
    """The readings of one repository; each is made at most once, whoever asks for it."""

    def __init__(self, client: GitHubClient, repository: str, *, max_items: int, clock: Callable[[], datetime]) -> None:
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
        return make.newest_by_ref(found), read.truncated or read.threads_truncated

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
        more = True
        while more and len(found) < self._max_items:
            first = min(PAGE_OF_ISSUES, self._max_items - len(found))
            answer = await self._ask("issues", first=first, after=cursor)
            if answer.is_archived or answer.issues is None:
                return (), False
            found |= {issue.number: issue for issue in answer.issues.nodes}
            more, cursor = answer.issues.page_info.has_next_page, answer.issues.page_info.end_cursor
        return tuple(make.open_issue(self._repository, issue) for issue in found.values()), more

    async def _shared(self, name: str, read: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        task = self._readings.get(name)
        if task is None:
            task = self._readings[name] = asyncio.create_task(read())
        # Shielded: one source that runs out of time must not take the reading away from another.
        result: _T = await asyncio.shield(task)
        return result

    async def _pull_requests(self) -> _PullRequests:
        found: dict[int, PullRequest] = {}
        missing = _Missing()
        cursor: str | None = None
        more = True
        cut_threads = cut_checks = False
        while more and len(found) < self._max_items:
            size = FURTHER_PAGES_OF_PULL_REQUESTS if found else FIRST_PAGE_OF_PULL_REQUESTS
            first = min(size, self._max_items - len(found))
            variables = {**self._variables, "first": first, "after": cursor, "threads": FIRST_PAGE_OF_THREADS}
            answer = await self._query("pull_requests", variables)
            missing = missing.with_errors(answer)
            page = self._repository_of(answer.data, what="the query pull_requests")
            if page.is_archived or page.pull_requests is None:
                return _PullRequests()
            # One after the other: they are rare, and a burst of them would meet the secondary limit.
            for listed in page.pull_requests.nodes:
                with_threads, threads_left = await self._all_threads(listed)
                whole, checks_left = await self._all_checks(with_threads)
                found[whole.number] = whole
                cut_threads, cut_checks = cut_threads or threads_left, cut_checks or checks_left
            more, cursor = page.pull_requests.page_info.has_next_page, page.pull_requests.page_info.end_cursor
        return _PullRequests(
            tuple(found.values()),
            truncated=more,
            threads_truncated=cut_threads,
            checks_truncated=cut_checks,
            checks_error=missing.checks,
            threads_error=missing.threads,
        )

    async def _default_branch(self) -> _Branch:
        answer = await self._ask("default_branch_checks")
        branch = answer.default_branch_ref
        if answer.is_archived or branch is None or branch.target is None:
            return _Branch()
        head, more = branch.target, False
        while (cursor := _more_checks(head)) is not None:
            if len(_contexts(head)) >= self._max_items:
                more = True
                break
            further = (await self._ask("default_branch_checks", checksAfter=cursor)).default_branch_ref
            if further is None or further.target is None or further.target.oid != head.oid:
                more = True  # a push came between two pages: the next collection sees the new head
                break
            head = _joined(head, further.target)
        return _Branch(branch.model_copy(update={"target": head}), answer.url, more)

    async def _all_checks(self, pr: PullRequest) -> tuple[PullRequest, bool]:
        """The pull request with the further pages of its checks, and whether there are more still."""
        head = pr.head
        if head is None:
            return pr, False
        more = False
        while (cursor := _more_checks(head)) is not None:
            if len(_contexts(head)) >= self._max_items:
                more = True
                break
            part = await self._part_of("pull_request_checks", pr.number, checksAfter=cursor)
            further = part.commits.nodes[-1].commit if part and part.commits and part.commits.nodes else None
            if further is None or further.oid != head.oid:
                more = True
                break
            head = _joined(head, further)
        return pr.with_head(head), more

    async def _all_threads(self, pr: PullRequest) -> tuple[PullRequest, bool]:
        """The pull request with the further pages of its review threads, and whether there are more still."""
        page = pr.review_threads
        while page is not None and page.page_info.has_next_page:
            if len(page.items) >= self._max_items:
                return pr.model_copy(update={"review_threads": page}), True
            cursor = page.page_info.end_cursor
            part = await self._part_of(
                "pull_request_threads", pr.number, threads=FURTHER_PAGES_OF_THREADS, threadsAfter=cursor
            )
            if part is None or part.review_threads is None:
                return pr.model_copy(update={"review_threads": page}), True
            page = part.review_threads.model_copy(update={"items": (*page.items, *part.review_threads.items)})
        return pr.model_copy(update={"review_threads": page}), False

    async def _part_of(self, query: str, number: int, **variables: object) -> PullRequestPart | None:
        answer = await self._ask(query, number=number, **variables)
        if answer.pull_request is None:
            return None
        return parse(PullRequestPart, answer.pull_request, what=f"the query {query}")

    async def _ask(self, query: str, **variables: object) -> RepositoryAnswer:
        answer = await self._query(query, {**self._variables, **variables})
        return self._repository_of(answer.whole(), what=f"the query {query}")

    async def _query(self, query: str, variables: Mapping[str, object]) -> GraphQLAnswer:
        quota.count_request()
        answer = await self._client.query(query, variables)
        quota.count_answer(answer.data)
        return answer

    def _repository_of(self, data: dict[str, Any], *, what: str) -> RepositoryAnswer:
        return repository_of(data, self._repository, what=what)


def repository_of(data: dict[str, Any], repository: str, *, what: str) -> RepositoryAnswer:
    """The answer's `repository`. Raises GitHubNotFoundError or, for one that is disabled, GitHubPermissionError."""
    if data.get("repository") is None:
        raise GitHubNotFoundError(
            f"there is no repository {repository}, or the token may not see it",
            hint="check the name and the token's access",
            context={"request": what},
        )
    answer = parse(RepositoryAnswer, data["repository"], what=what)
    if answer.is_disabled:
        raise GitHubPermissionError(
            f"GitHub has disabled the repository {repository}", hint="its owner can ask GitHub's support why"
        )
    return answer


@dataclass(frozen=True, slots=True)
class _Missing:
    """The first error of each part that may be missing without harm to the others."""

    checks: GitHubError | None = None
    threads: GitHubError | None = None

    def with_errors(self, answer: GraphQLAnswer) -> "_Missing":
        """With the answer's errors added. Raises one that concerns neither part."""
        checks, threads = self.checks, self.threads
        for failed in answer.errors:
            if _CHECKS_FIELD in failed.path:
                checks = checks or failed.error
            elif _THREADS_FIELD in failed.path:
                threads = threads or failed.error
            else:
                raise failed.error
        return _Missing(checks, threads)


def _raise_if(error: GitHubError | None) -> None:
    if error is not None:
        raise error


def _contexts(head: Commit) -> tuple[object, ...]:
    rollup = head.status_check_rollup
    return rollup.contexts.items if rollup and rollup.contexts else ()


def _more_checks(head: Commit) -> str | None:
    """Where the next page of a commit's checks begins; None when there is none, or when all have passed."""
    rollup = head.status_check_rollup
    if rollup is None or rollup.contexts is None or rollup.state == "SUCCESS":
        return None
    return rollup.contexts.page_info.end_cursor if rollup.contexts.page_info.has_next_page else None


def _joined(head: Commit, further: Commit) -> Commit:
    """`head` with the checks of its next page."""
    old, new = head.status_check_rollup, further.status_check_rollup
    if old is None or old.contexts is None or new is None or new.contexts is None:
        return head.model_copy(update={"status_check_rollup": new})
    contexts = new.contexts.model_copy(update={"items": (*old.contexts.items, *new.contexts.items)})
    return head.model_copy(update={"status_check_rollup": Rollup(state=new.state, contexts=contexts)})
