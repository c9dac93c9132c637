"""Reading the signals of one repository: every source at once, each with its own time limit and its own result.

Two sources that need the same objects share one reading. What the objects mean is decided by `signals`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from squire_pipelines.domain.authority import TrustRules
from squire_pipelines.domain.failures import DEFAULT_IGNORED
from squire_pipelines.domain.signals import Collection, CollectionStatus, Signal, Source
from squire_pipelines.errors import (
    GitHubError,
    GitHubUnavailableError,
    GitHubValidationError,
    SquireError,
)
from squire_pipelines.github import first_pages, quota, repository_tasks
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.further_checks import joined, more_checks
from squire_pipelines.github.further_remarks import is_cut_off, read_all_remarks
from squire_pipelines.github.judging import Judge, Trust
from squire_pipelines.github.models import Commit, Issue, PullRequest, PullRequestPart, RepositoryAnswer
from squire_pipelines.github.protocol import GraphQLAnswer
from squire_pipelines.github.provenance import label_names
from squire_pipelines.github.query_texts import load_query
from squire_pipelines.github.readings import BranchHead, PullRequestReading, repository_of
from squire_pipelines.github.remarks import review_findings
from squire_pipelines.github.signals import (
    CheckRules,
    failed_checks_of_branch,
    failed_checks_of_pull_request,
    is_own_dashboard,
    newest_by_ref,
    open_issue,
    open_pull_request,
)
from squire_pipelines.secrets.redact import process_redactor

FIRST_PAGE_OF_PULL_REQUESTS = 10
"""GitHub counts what a query could find. With 10 threads each: 1 + 10 * (6 + 10) connections, which are 2 points.

https://docs.github.com/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api
"""

FURTHER_PAGES_OF_PULL_REQUESTS = 25
FIRST_PAGE_OF_THREADS = 10
FURTHER_PAGES_OF_THREADS = 50
PAGE_OF_ISSUES = 50
_T = TypeVar("_T")


def utc_now() -> datetime:
    """Return the present, aware."""
    return datetime.now(UTC)


async def collect_repository(
    client: GitHubClient,
    repository: str,
    *,
    sources: Iterable[Source] = tuple(Source),
    max_items: int = 500,
    source_timeout_s: float = 30.0,
    ignored_checks: Sequence[str] = DEFAULT_IGNORED,
    redact: Callable[[str], str] | None = None,
    trust: Trust | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> tuple[Collection, ...]:
    """Read `sources` of one repository, concurrently, and in one query where that is enough.

    A source that fails, or takes longer than `source_timeout_s`, is a `failed` collection with the error's code and
    text; the others are not touched by it. Judging what was read may take `trust.timeout_s` more, and holds what is not
    known by then. An empty repository has no checks to fail. An archived repository is read-only, so that nothing in
    it can be acted on: all its sources are `fresh` and without signals. One that GitHub has disabled fails.

    Args:
        client: Asks GitHub.
        repository: `owner/name`.
        sources: Which to read; each yields exactly one collection, in this order.
        max_items: Most pull requests or issues read, and most signals kept, for each source. What lies beyond it
            sets `truncated`.
        source_timeout_s: For one source, with its retries.
        ignored_checks: Patterns of checks that are never a signal.
        redact: Takes secrets out of what checks wrote; by default all that this process has met.
        trust: By what each signal is judged; the default rules when it is None.
        clock: The collections' times.
    """
    asked = tuple(dict.fromkeys(sources))
    trust = trust or Trust()
    reader = _Reader(
        client,
        repository,
        max_items=max_items,
        checks=CheckRules(ignored_checks, redact or process_redactor().redact),
        clock=clock,
        rules=trust.rules,
        in_one_query=first_pages.saves_requests(asked),
    )
    judge = Judge(client, repository, trust)

    async def collect(source: Source) -> Collection:
        started_at = clock()
        usage = quota.begin()
        result: dict[str, Any] = {"status": CollectionStatus.FAILED}
        try:
            async with asyncio.timeout(source_timeout_s):
                signals, truncated = await reader.read(source)
        except TimeoutError:
            result |= {
                "error_code": "source_timeout",
                "error": f"{source} of {repository} was not read within {source_timeout_s:g} s",
            }
        except SquireError as error:
            result |= {"error_code": error.code, "error": str(error)}
        else:
            result = {
                "status": CollectionStatus.FRESH,
                "signals": await judge.judge(signals[:max_items]),
                "truncated": truncated or len(signals) > max_items,
            }
        return Collection(
            repository=repository,
            source=source,
            started_at=started_at,
            ended_at=clock(),
            **result,
            **usage.values(),
        )

    try:
        return tuple(await asyncio.gather(*(collect(source) for source in asked)))
    finally:
        await reader.aclose()
        await judge.aclose()


class _Reader:
    """The readings of one repository; each is made at most once, whoever asks for it."""

    def __init__(
        self,
        client: GitHubClient,
        repository: str,
        *,
        max_items: int,
        checks: CheckRules,
        clock: Callable[[], datetime],
        in_one_query: bool,
        rules: TrustRules,
    ) -> None:
        owner, _, name = repository.partition("/")
        self._client = client
        self._repository = repository
        self._variables: dict[str, object] = {"owner": owner, "name": name}
        self._max_items = max_items
        self._checks = checks
        self._clock = clock
        self._in_one_query = in_one_query
        self._rules = rules
        self._readings: dict[str, asyncio.Task[Any]] = {}

    async def read(self, source: Source) -> tuple[tuple[Signal, ...], bool]:
        """Return the source's signals, and whether there were more."""
        match source:
            case Source.OPEN_PRS:
                return await self._open_prs()
            case Source.REVIEW_FINDINGS:
                return await self._review_findings()
            case Source.FAILED_CI:
                return await self._failed_ci()
            case Source.OPEN_ISSUES:
                return await self._open_issues()
            case Source.REPOSITORY_TASKS:
                return await self._repository_tasks()

    async def aclose(self) -> None:
        """Stop the readings that nobody waits for any more."""
        for task in self._readings.values():
            task.cancel()
        await asyncio.gather(*self._readings.values(), return_exceptions=True)

    async def _open_prs(self) -> tuple[tuple[Signal, ...], bool]:
        read = await self._shared("pull_requests", self._pull_requests)
        _raise_if(read.threads_error)
        known = read.checks_error is None
        signals = tuple(open_pull_request(self._repository, pull, checks_known=known) for pull in read.items.values())
        return signals, read.truncated

    async def _review_findings(self) -> tuple[tuple[Signal, ...], bool]:
        read = await self._shared("pull_requests", self._pull_requests)
        _raise_if(read.threads_error)
        findings = (signal for pull in read.items.values() for signal in review_findings(self._repository, pull))
        return newest_by_ref(findings), read.truncated or read.threads_truncated

    async def _failed_ci(self) -> tuple[tuple[Signal, ...], bool]:
        head, read = await asyncio.gather(
            self._shared("default_branch", self._default_branch),
            self._shared("pull_requests", self._pull_requests),
        )
        _raise_if(read.checks_error)

        def failed_checks() -> Iterator[Signal]:
            if head.branch and head.branch.target:
                yield from failed_checks_of_branch(
                    self._repository,
                    head.branch.name,
                    head.branch.target,
                    self._checks,
                    repository_url=head.url,
                    read_at=self._clock(),
                )
            for pull in read.items.values():
                yield from failed_checks_of_pull_request(self._repository, pull, self._checks)

        return newest_by_ref(failed_checks()), head.truncated or read.truncated or read.checks_truncated

    async def _open_issues(self) -> tuple[tuple[Signal, ...], bool]:
        issues: dict[int, Issue] = {}
        cursor: str | None = None
        more, is_incomplete = True, False
        while more and len(issues) < self._max_items:
            known = len(issues)
            first = min(PAGE_OF_ISSUES, self._max_items - len(issues))
            answer = await self._ask("issues", first=first, after=cursor)
            if answer.is_archived or answer.issues is None:
                return (), False
            issues |= {issue.number: issue for issue in answer.issues.nodes}
            is_incomplete |= answer.issues.is_incomplete
            more, cursor = answer.issues.page_info.has_next_page, answer.issues.page_info.next_cursor
            if cursor is None or len(issues) == known:
                break
        labels = self._rules.issue_labels
        others = (issue for issue in issues.values() if not is_own_dashboard(issue))
        signals = tuple(open_issue(self._repository, issue, chosen_labels=labels) for issue in others)
        return signals, more or is_incomplete

    async def _repository_tasks(self) -> tuple[tuple[Signal, ...], bool]:
        request = "the query task_folder"
        content = (await self._query("task_folder", self._variables)).whole()
        answer = repository_of(content, self._repository, request=request)
        if answer.is_archived:
            return (), False
        names = repository_tasks.names_of(content["repository"], request=request)
        files = await repository_tasks.read_files(self._execute, self._variables, names) if names else ()
        # In a thread: what people wrote may be much to parse.
        signals = await asyncio.to_thread(
            repository_tasks.signals_of, self._repository, answer.url, files, self._rules, seen_at=self._clock()
        )
        return signals, False

    async def _shared(self, name: str, read: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        task = self._readings.get(name)
        if task is None:
            task = self._readings[name] = asyncio.create_task(read())
        # Shielded: one source that runs out of time must not take the reading away from another.
        result: _T = await asyncio.shield(task)
        return result

    async def _pull_requests(self) -> PullRequestReading:
        reading = PullRequestReading()
        cursor: str | None = None
        more = True
        while more and len(reading.items) < self._max_items:
            known = len(reading.items)
            size = FURTHER_PAGES_OF_PULL_REQUESTS if reading.items else FIRST_PAGE_OF_PULL_REQUESTS
            first = min(size, self._max_items - len(reading.items))
            variables = {**self._variables, "first": first, "after": cursor, "threads": FIRST_PAGE_OF_THREADS}
            answer = await self._query("pull_requests", variables)
            reading.add_errors(answer)
            page = repository_of(answer.data, self._repository, request="the query pull_requests")
            if page.is_archived or page.pull_requests is None:
                return PullRequestReading()
            reading.truncated |= page.pull_requests.is_incomplete
            # One after the other: they are rare, and a burst of them would meet the secondary limit.
            for listed in page.pull_requests.nodes:
                with_remarks, remarks_left = await self._all_remarks(listed)
                with_threads, threads_left = await self._all_threads(with_remarks)
                with_checks, checks_left = await self._pull_request_checks(with_threads)
                whole = await self._with_label_events(with_checks)
                reading.items[whole.number] = whole
                reading.threads_truncated |= threads_left or remarks_left
                reading.checks_truncated |= checks_left
            more, cursor = page.pull_requests.page_info.has_next_page, page.pull_requests.page_info.next_cursor
            if cursor is None or len(reading.items) == known:
                break
        reading.truncated |= more
        return reading

    async def _with_label_events(self, pull: PullRequest) -> PullRequest:
        """Return the pull request with who set its labels, where one of them may release what is held."""
        if self._rules.release_label.casefold() not in {name.casefold() for name in label_names(pull.labels)}:
            return pull
        part = (await self._ask("pull_request_labels", number=pull.number)).pull_request
        return pull if part is None else pull.model_copy(update={"timeline_items": part.timeline_items})

    async def _default_branch(self) -> BranchHead:
        answer = await self._ask("default_branch_checks")
        branch = answer.default_branch_ref
        if answer.is_archived or branch is None or branch.target is None:
            return BranchHead()

        async def next_page(cursor: str) -> Commit | None:
            further = (await self._ask("default_branch_checks", checksAfter=cursor)).default_branch_ref
            return further.target if further else None

        head, more = await self._all_checks(branch.target, next_page)
        return BranchHead(branch.model_copy(update={"target": head}), answer.url, more)

    async def _pull_request_checks(self, pull: PullRequest) -> tuple[PullRequest, bool]:
        """Return the pull request with the further pages of its checks, and whether there are more still."""
        if pull.head is None:
            return pull, False

        async def next_page(cursor: str) -> Commit | None:
            part = (await self._ask("pull_request_checks", number=pull.number, checksAfter=cursor)).pull_request
            return part.head if part else None

        head, more = await self._all_checks(pull.head, next_page)
        return pull.with_head(head), more

    async def _all_checks(
        self, head: Commit, next_page: Callable[[str], Awaitable[Commit | None]]
    ) -> tuple[Commit, bool]:
        while (cursor := more_checks(head)) is not None:
            if head.checks is not None and len(head.checks.items) >= self._max_items:
                return head, True
            further = await next_page(cursor)
            if further is None or further.oid != head.oid or further.checks is None or not further.checks.items:
                return head, True  # a push came between two pages: the next collection sees the new head
            head = joined(head, further)
        return head, head.checks is not None and head.checks.is_incomplete

    async def _all_remarks(self, pull: PullRequest) -> tuple[PullRequest, bool]:
        async def ask(variables: dict[str, object]) -> PullRequestPart | None:
            return (await self._ask("pull_request_remarks", **variables)).pull_request

        return await read_all_remarks(pull, ask, max_items=self._max_items)

    async def _all_threads(self, pull: PullRequest) -> tuple[PullRequest, bool]:
        """Return the pull request with the further pages of its review threads, and whether there are more still."""
        page = pull.review_threads
        while page is not None and page.page_info.has_next_page:
            cursor = page.page_info.next_cursor
            if cursor is None or len(page.items) >= self._max_items:
                return pull.model_copy(update={"review_threads": page}), True
            variables = {"number": pull.number, "threads": FURTHER_PAGES_OF_THREADS, "threadsAfter": cursor}
            part = (await self._ask("pull_request_threads", **variables)).pull_request
            if part is None or part.review_threads is None or not part.review_threads.items:
                return pull.model_copy(update={"review_threads": page}), True
            page = part.review_threads.model_copy(update={"items": (*page.items, *part.review_threads.items)})
        left = pull.hides_remarks or (page is not None and (page.is_incomplete or any(map(is_cut_off, page.nodes))))
        return pull.model_copy(update={"review_threads": page}), left

    async def _ask(self, query: str, **variables: object) -> RepositoryAnswer:
        answer = await self._query(query, {**self._variables, **variables})
        return repository_of(answer.whole(), self._repository, request=f"the query {query}")

    async def _query(self, query: str, variables: Mapping[str, object]) -> GraphQLAnswer:
        if self._in_one_query and first_pages.is_first_page(query, variables):
            whole = await self._shared(first_pages.QUERY, self._first_pages)
            if whole is not None:
                return first_pages.part_of(whole, query)
        return await self._send(query, variables)

    async def _first_pages(self) -> GraphQLAnswer | None:
        """Return the first page of everything; None when GitHub answers, but not so much at once."""
        sizes = {
            "pulls": min(FIRST_PAGE_OF_PULL_REQUESTS, self._max_items),
            "issues": min(PAGE_OF_ISSUES, self._max_items),
            "threads": FIRST_PAGE_OF_THREADS,
        }
        try:
            return await self._send(first_pages.QUERY, {**self._variables, **sizes})
        except (GitHubUnavailableError, GitHubValidationError) as error:
            if "reason" in error.context:  # nothing answered at all
                raise
            return None

    async def _send(self, query: str, variables: Mapping[str, object]) -> GraphQLAnswer:
        return await self._execute(load_query(query), variables, f"the query {query}")

    async def _execute(self, document: str, variables: Mapping[str, object], request: str) -> GraphQLAnswer:
        quota.count_request()
        answer = await self._client.execute(document, variables, request=request)
        quota.count_answer(answer.data)
        return answer


def _raise_if(error: GitHubError | None) -> None:
    if error is not None:
        raise error
