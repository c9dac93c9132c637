import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from squire_pipelines.domain.evidence import MAX_CHECKS_PER_TASK
from squire_pipelines.domain.failures import FailureClass
from squire_pipelines.domain.signals import (
    AnySource,
    Collection,
    CollectionStatus,
    FailedCheck,
    OpenIssue,
    OpenPullRequest,
    ReviewFinding,
    Source,
)
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.collecting import collect_repository
from squire_pipelines.github.signals import MAX_SUMMARY_CHARS
from tests.support.github_json import (
    GRAPHQL_URL,
    SHA,
    FakeGitHub,
    answer,
    check_run,
    comment,
    commit,
    issue,
    page,
    pull_request,
    repository,
    review,
    status_context,
    thread,
)

pytestmark = pytest.mark.anyio
ClientOf = Callable[..., GitHubClient]
NOT_FOUND = {"type": "NOT_FOUND", "path": ["repository"], "message": "Could not resolve to a Repository"}


def branch(checks: Sequence[object] = (), **fields: Any) -> dict[str, Any]:
    return {"name": "main", "target": {"__typename": "Commit", **commit(checks, **fields)}}


def github(
    *,
    pulls: Sequence[object] = (),
    issues: Sequence[object] = (),
    default: object = None,
    **more: Any,
) -> FakeGitHub:
    return FakeGitHub(
        {
            "PullRequests": answer({"repository": repository(pullRequests=page(pulls))}),
            "Issues": answer({"repository": repository(issues=page(issues))}),
            "DefaultBranchChecks": answer({"repository": repository(defaultBranchRef=default or branch())}),
            **more,
        }
    )


async def collect(client: GitHubClient, **options: Any) -> dict[AnySource, Collection]:
    collections = await collect_repository(client, "o/r", **options)
    return {collection.source: collection for collection in collections}


async def test_each_source_yields_one_fresh_collection_with_its_signals(client_of: ClientOf) -> None:
    fake = github(
        pulls=[pull_request(1, threads=page([thread()]), head=commit([check_run("lint")]))],
        issues=[issue(10)],
        default=branch([check_run("test"), status_context(), check_run("fine", "SUCCESS")]),
    )
    collections = await collect_repository(client_of(fake), "o/r")
    assert [collection.source for collection in collections] == list(Source)
    assert all(collection.status is CollectionStatus.FRESH for collection in collections)
    refs = {collection.source: [signal.ref for signal in collection.signals] for collection in collections}
    assert refs == {
        Source.OPEN_PRS: ["open_pr:1"],
        Source.FAILED_CI: ["failed_ci:main:CI / test", "failed_ci:main:legacy", "failed_ci:#1:CI / lint"],
        Source.OPEN_ISSUES: ["open_issue:10"],
        Source.REVIEW_FINDINGS: ["review_finding:T1"],
        Source.REPOSITORY_TASKS: [],
    }
    assert not any(collection.truncated for collection in collections)


async def test_all_sources_are_read_in_one_query(client_of: ClientOf) -> None:
    fake = github()
    collections = await collect(client_of(fake))
    assert [name for name, _ in fake.operations] == ["RepositorySignals"]
    assert sum(collection.requests or 0 for collection in collections.values()) == 1


async def test_sources_ask_singly_when_github_does_not_answer_all_at_once(client_of: ClientOf) -> None:
    for refusal in (httpx.Response(502), answer(None, errors=[{"message": "too many nodes"}])):
        fake = github(pulls=[pull_request()], issues=[issue()], RepositorySignals=refusal)
        collections = await collect(client_of(fake))
        assert {c.status for c in collections.values()} == {CollectionStatus.FRESH}
        operations = [name for name, _ in fake.operations]
        assert sorted(operations) == [
            "DefaultBranchChecks",
            "Issues",
            "PullRequests",
            "RepositorySignals",
            "TaskFolder",
        ]


async def test_a_limit_or_no_answer_at_all_is_not_asked_again_in_parts(client_of: ClientOf) -> None:
    limited = answer(None, errors=[{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}])
    fake = github(RepositorySignals=limited)
    collections = await collect(client_of(fake))
    assert {c.error_code for c in collections.values()} == {"github_rate_limit"}
    assert [name for name, _ in fake.operations] == ["RepositorySignals"]

    class Away(FakeGitHub):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            raise httpx.ConnectError("refused")

    away = Away()
    collections = await collect(client_of(away))
    assert {c.error_code for c in collections.values()} == {"github_unavailable"}
    assert len(away.requests) == 1


async def test_items_that_github_does_not_show_are_a_truncated_reading(client_of: ClientOf) -> None:
    without_list = {"pageInfo": {"hasNextPage": False, "endCursor": None}, "nodes": None}
    for issues in (page([issue(1), None]), without_list):
        collections = await collect(client_of(github(Issues=answer({"repository": repository(issues=issues)}))))
        assert collections[Source.OPEN_ISSUES].truncated
        assert not collections[Source.OPEN_PRS].truncated


async def test_a_page_that_leads_nowhere_ends_the_reading(client_of: ClientOf) -> None:
    for cursor in (None, "same"):
        endless = {"pageInfo": {"hasNextPage": True, "endCursor": cursor}}
        checks = {"state": "FAILURE", "contexts": {**endless, "nodes": [check_run()]}}
        head = {**commit(), "statusCheckRollup": checks}
        pull = pull_request(threads={**endless, "nodes": [thread()]}, head=head)
        empty = {
            "reviewThreads": {**endless, "nodes": []},
            "commits": {
                "nodes": [
                    {
                        "commit": {
                            **commit(),
                            "statusCheckRollup": {"state": "FAILURE", "contexts": {**endless, "nodes": []}},
                        }
                    }
                ]
            },
        }
        fake = github(
            PullRequests=answer({"repository": repository(pullRequests={**endless, "nodes": [pull]})}),
            Issues=answer({"repository": repository(issues={**endless, "nodes": [issue()]})}),
            PullRequestThreads=answer({"repository": repository(pullRequest=empty)}),
            PullRequestChecks=answer({"repository": repository(pullRequest=empty)}),
        )
        collections = await collect(client_of(fake))
        assert {source for source, c in collections.items() if c.truncated} == {*Source} - {Source.REPOSITORY_TASKS}
        assert len(fake.operations) <= 8


async def test_only_the_asked_sources_are_read(client_of: ClientOf) -> None:
    fake = github()
    collections = await collect(client_of(fake), sources=[Source.OPEN_ISSUES, Source.OPEN_ISSUES])
    assert list(collections) == [Source.OPEN_ISSUES]
    assert [name for name, _ in fake.operations] == ["Issues"]


async def test_details_of_the_signals(client_of: ClientOf) -> None:
    fake = github(
        pulls=[
            pull_request(
                1,
                author=None,
                body="Fixes #10.",
                isCrossRepository=True,
                threads=page([thread(author={"login": "greptile-apps", "__typename": "Bot"}), thread("T2", path=None)]),
                head=commit([check_run("lint", "TIMED_OUT", checkSuite=None, detailsUrl=None, completedAt=None)]),
            )
        ],
        issues=[issue(10, author=None, body="x" * 30_000)],
        default=branch([status_context("legacy", "ERROR")]),
    )
    collections = await collect(client_of(fake))
    pr = collections[Source.OPEN_PRS].signals[0].details
    assert isinstance(pr, OpenPullRequest)
    assert (pr.author, pr.ci_state, pr.unresolved_threads, pr.from_fork) == ("ghost", "failed", 2, True)
    assert (pr.head_ref, pr.head_sha, pr.base_ref, pr.labels) == ("feature-1", SHA, "main", ("bug",))
    assert pr.closes == (10,)
    on_branch, on_pr = (signal for signal in collections[Source.FAILED_CI].signals)
    assert isinstance(on_branch.details, FailedCheck)
    assert isinstance(on_pr.details, FailedCheck)
    assert (on_branch.details.conclusion, on_branch.details.on_default_branch) == ("error", True)
    assert on_branch.url == f"https://github.test/o/r/commit/{SHA}"
    assert (on_pr.details.conclusion, on_pr.details.pull_request, on_pr.details.from_fork) == ("timed_out", 1, True)
    assert (on_pr.url, on_pr.details.workflow) == ("https://github.test/o/r/pull/1/checks", None)
    assert on_pr.updated_at == datetime(2026, 11, 1, 10, 0, tzinfo=UTC)
    opened = collections[Source.OPEN_ISSUES].signals[0].details
    assert isinstance(opened, OpenIssue)
    assert len(opened.body) == 20_000
    assert opened.body.endswith("(cut)")
    bot, person = (signal.details for signal in collections[Source.REVIEW_FINDINGS].signals)
    assert isinstance(bot, ReviewFinding)
    assert isinstance(person, ReviewFinding)
    assert (bot.is_bot, bot.author, bot.path, bot.line, bot.from_fork) == (True, "greptile-apps", "src/a.py", 3, True)
    assert not person.is_bot


@pytest.mark.parametrize("conclusion", ["SUCCESS", "NEUTRAL", "SKIPPED", "CANCELLED", "ACTION_REQUIRED", "STALE", None])
async def test_conclusion_that_code_cannot_mend_is_no_failed_check(client_of: ClientOf, conclusion: str | None) -> None:
    fake = github(default=branch([check_run("x", conclusion), status_context("y", "PENDING")]))
    assert (await collect(client_of(fake)))[Source.FAILED_CI].signals == ()


async def test_resolved_and_empty_threads_are_no_findings_and_outdated_ones_are_told_as_such(
    client_of: ClientOf,
) -> None:
    empty = {**thread("T3"), "comments": {"nodes": []}}
    threads = page([thread("T1", resolved=True), thread("T2", outdated=True), empty, None])
    collections = await collect(client_of(github(pulls=[pull_request(threads=threads)])))
    (signal,) = collections[Source.REVIEW_FINDINGS].signals
    assert isinstance(signal.details, ReviewFinding)
    assert (signal.key, signal.details.outdated) == ("T2", True)


async def test_job_that_failed_twice_on_one_head_is_one_signal(client_of: ClientOf) -> None:
    older, newer = check_run("test"), check_run("test", completedAt="2026-11-02T10:01:00Z")
    collections = await collect(client_of(github(default=branch([older, newer]))))
    assert [signal.updated_at.day for signal in collections[Source.FAILED_CI].signals] == [2]


async def test_failure_that_was_followed_by_a_success_on_the_same_head_is_no_signal(client_of: ClientOf) -> None:
    def at(hour: int, conclusion: str) -> dict[str, Any]:
        begun, ended = f"2026-11-01T{hour}:00:00Z", f"2026-11-01T{hour}:05:00Z"
        return check_run("tests", conclusion, startedAt=begun, completedAt=ended)

    legacy = [status_context("legacy"), {**status_context("legacy", "SUCCESS"), "createdAt": "2026-11-01T11:02:00Z"}]
    fake = github(
        pulls=[pull_request(1, head=commit([at(11, "SUCCESS"), at(10, "FAILURE")]))],
        default=branch([at(10, "FAILURE"), at(11, "SUCCESS"), *legacy]),
    )
    assert (await collect(client_of(fake)))[Source.FAILED_CI].signals == ()
    fake = github(default=branch([at(10, "SUCCESS"), at(11, "FAILURE"), *reversed(legacy)]))
    (signal,) = (await collect(client_of(fake)))[Source.FAILED_CI].signals
    assert isinstance(signal.details, FailedCheck)
    assert (signal.details.check, signal.details.failure, signal.details.failure_reason) == (
        "tests",
        FailureClass.FLAKY,
        "it passed before on the same commit",
    )


async def test_check_that_runs_again_is_no_failure_meanwhile(client_of: ClientOf) -> None:
    again = check_run("tests", None, startedAt="2026-11-01T11:00:00Z", completedAt=None)
    fake = github(default=branch([again, check_run("tests")]))
    assert (await collect(client_of(fake)))[Source.FAILED_CI].signals == ()


async def test_what_checks_wrote_is_free_of_secrets_before_anything_is_cut_off(client_of: ClientOf) -> None:
    token = "ghp_" + "A1b2C3d4" * 4 + "Zz9y"
    key = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEow" * MAX_SUMMARY_CHARS + "\n-----END RSA PRIVATE KEY-----"
    checks = [
        check_run(f"{part} {number}", databaseId=None, **{part: f"with {token} and {key}"})
        for part in ("title", "summary", "text")
        for number in range(MAX_CHECKS_PER_TASK + 1)
    ]
    fake = github(default=branch([*checks, {**status_context(), "description": token}]))
    signals = (await collect(client_of(fake)))[Source.FAILED_CI].signals
    assert len(signals) == len(checks) + 1
    for signal in signals:
        assert token not in signal.model_dump_json()
        assert "MIIEow" not in signal.model_dump_json()
        assert "[redacted]" in signal.model_dump_json()


async def test_checks_that_no_change_of_the_code_mends_are_no_signals(client_of: ClientOf) -> None:
    names = ["license/cla", "codecov/project", "netlify/docs/deploy-preview", "semantic-pull-request"]
    fake = github(default=branch([*map(status_context, names), check_run("tests", "STARTUP_FAILURE")]))
    (signal,) = (await collect(client_of(fake)))[Source.FAILED_CI].signals
    assert isinstance(signal.details, FailedCheck)
    assert (signal.details.conclusion, signal.details.failure) == ("startup_failure", FailureClass.INFRASTRUCTURE)
    collections = await collect(client_of(fake), ignored_checks=["TESTS"])
    assert len(collections[Source.FAILED_CI].signals) == len(names)


BOT = {"login": "greptile-apps", "__typename": "Bot"}
SUMMARY = "File: src/b.py\nLine: 7\nIssue: Never closed"


def earlier(before: str | None) -> dict[str, Any]:
    return {"pageInfo": {"hasNextPage": True, "hasPreviousPage": before is not None, "startCursor": before}}


def with_talk(*, newest: int = 20) -> dict[str, Any]:
    """A pull request whose newest comments were read, and a review; there are earlier ones of both."""
    comments = [comment(f"C{number}") for number in range(newest)]
    return pull_request(
        1,
        threads=page([thread()]),
        comments={"nodes": comments, **earlier("c1")},
        reviews={"nodes": [review("R9", "COMMENTED")], **earlier("r1")},
    )


async def test_remarks_before_the_newest_are_read_until_all_are_there(client_of: ClientOf) -> None:
    def pages(variables: dict[str, Any]) -> httpx.Response:
        part: dict[str, Any] = {}
        if variables["withReviews"]:
            assert variables["reviewsBefore"] == "r1"
            part["reviews"] = {"nodes": [review("R1", author={"login": "bea", "__typename": "User"})], **earlier(None)}
        if variables["withComments"]:
            has_summary = variables["commentsBefore"] == "c2"
            nodes = [comment("S", SUMMARY, author=BOT)] if has_summary else [comment("C", "older")]
            part["comments"] = {"nodes": nodes, **earlier(None if has_summary else "c2")}
        return answer({"repository": repository(pullRequest=part)})

    fake = github(pulls=[with_talk()], PullRequestRemarks=pages)
    findings = (await collect(client_of(fake)))[Source.REVIEW_FINDINGS]
    assert not findings.truncated
    assert {signal.key.partition(":")[0] for signal in findings.signals} == {"T1", "R1", "S"}
    asked = [variables for name, variables in fake.operations if name == "PullRequestRemarks"]
    assert [(names["withReviews"], names["withComments"]) for names in asked] == [(True, True), (False, True)]


@pytest.mark.parametrize("max_items", [500, 20])
async def test_remarks_that_are_not_read_leave_the_reading_incomplete(client_of: ClientOf, max_items: int) -> None:
    same = {"reviews": {"nodes": [], **earlier("r1")}, "comments": {"nodes": [], **earlier("c1")}}
    fake = github(pulls=[with_talk()], PullRequestRemarks=answer({"repository": repository(pullRequest=same)}))
    findings = (await collect(client_of(fake), max_items=max_items))[Source.REVIEW_FINDINGS]
    assert findings.truncated
    assert [signal.key for signal in findings.signals] == ["T1"]
    assert [name for name, _ in fake.operations].count("PullRequestRemarks") == (1 if max_items == 500 else 0)


@pytest.mark.parametrize(("comments", "is_truncated"), [(100, False), (101, True)])
async def test_thread_with_more_comments_than_a_page_leaves_the_reading_incomplete(
    client_of: ClientOf, comments: int, *, is_truncated: bool
) -> None:
    exchange = thread()
    (first,) = exchange["comments"]["nodes"]
    exchange["comments"] = {"totalCount": comments, "nodes": [first] * 100}
    findings = (await collect(client_of(github(pulls=[pull_request(1, threads=page([exchange]))]))))[
        Source.REVIEW_FINDINGS
    ]
    assert findings.truncated is is_truncated


async def test_version_changes_with_the_fact_and_key_does_not(client_of: ClientOf) -> None:
    async def read(**fields: Any) -> dict[str, str]:
        thread_of = page([thread(body=fields.pop("edited", "this leaks"))])
        fake = github(
            pulls=[
                pull_request(1, threads=thread_of, head=commit([check_run()], oid=fields.get("headRefOid", SHA)))
                | fields
            ],
            issues=[issue(body=fields.pop("described", "please"))],
        )
        collections = await collect(client_of(fake))
        return {signal.ref: signal.version for collection in collections.values() for signal in collection.signals}

    first, again = await read(), await read(updatedAt="2026-11-03T00:00:00Z")
    assert first == again
    edited = await read(edited="this leaks, and badly")
    assert {ref for ref in first if first[ref] != edited[ref]} == {"review_finding:T1"}
    described = await read(described="please, soon")
    assert {ref for ref in first if first[ref] != described[ref]} == {"open_issue:10"}
    pushed = await read(headRefOid="b" * 40)
    assert set(pushed) == set(first)
    assert {ref for ref in first if first[ref] != pushed[ref]} == {
        "open_pr:1",
        "failed_ci:#1:CI / test",
    }


async def test_failed_source_says_why_and_leaves_the_others_alone(client_of: ClientOf) -> None:
    fake = github(pulls=[pull_request()], Issues=httpx.Response(502))
    collections = await collect(client_of(fake))
    failed = collections[Source.OPEN_ISSUES]
    assert (failed.status, failed.error_code, failed.signals) == (CollectionStatus.FAILED, "github_unavailable", ())
    assert failed.error is not None
    assert "502" in failed.error
    assert collections[Source.OPEN_PRS].status is CollectionStatus.FRESH


async def test_unknown_repository_fails_every_source(client_of: ClientOf) -> None:
    missing = answer({"repository": None}, errors=[NOT_FOUND])
    fake = FakeGitHub(dict.fromkeys(["PullRequests", "Issues", "DefaultBranchChecks"], missing))
    collections = await collect(client_of(fake))
    assert {c.error_code for c in collections.values()} == {"github_not_found"}
    fake = FakeGitHub(dict.fromkeys(["PullRequests", "Issues", "DefaultBranchChecks"], answer({"repository": None})))
    collections = await collect(client_of(fake))
    assert {c.error_code for c in collections.values()} == {"github_not_found"}


async def test_token_that_may_not_read_checks_fails_failed_ci_alone(client_of: ClientOf) -> None:
    path = ["repository", "pullRequests", "nodes", 0, "commits", "nodes", 0, "commit", "statusCheckRollup"]
    entry = {"type": "FORBIDDEN", "path": path, "message": "Resource not accessible by personal access token"}
    fake = github(
        pulls=[],
        PullRequests=answer({"repository": repository(pullRequests=page([pull_request()]))}, errors=[entry]),
    )
    collections = await collect(client_of(fake))
    assert collections[Source.FAILED_CI].error_code == "github_permission"
    assert "Checks" in (collections[Source.FAILED_CI].error or "")
    assert collections[Source.REVIEW_FINDINGS].status is CollectionStatus.FRESH
    pr = collections[Source.OPEN_PRS].signals[0].details
    assert isinstance(pr, OpenPullRequest)
    assert pr.ci_state is None


async def test_missing_threads_fail_the_sources_that_count_them(client_of: ClientOf) -> None:
    entry = {"type": "FORBIDDEN", "path": ["repository", "pullRequests", "nodes", 0, "reviewThreads"], "message": "no"}
    fake = github(PullRequests=answer({"repository": repository(pullRequests=page([]))}, errors=[entry]))
    collections = await collect(client_of(fake))
    assert {source for source, c in collections.items() if c.status is CollectionStatus.FAILED} == {
        Source.OPEN_PRS,
        Source.REVIEW_FINDINGS,
    }


async def test_any_other_missing_part_fails_what_needs_pull_requests(client_of: ClientOf) -> None:
    entry = {"type": "FORBIDDEN", "path": ["repository", "pullRequests"], "message": "no"}
    fake = github(PullRequests=answer({"repository": repository(pullRequests=None)}, errors=[entry]))
    collections = await collect(client_of(fake))
    assert [source for source, c in collections.items() if c.status is CollectionStatus.FRESH] == [
        Source.OPEN_ISSUES,
        Source.REPOSITORY_TASKS,
    ]


@pytest.mark.slow
async def test_slow_source_runs_into_its_own_limit(client_of: ClientOf) -> None:
    stopped: list[str] = []

    class Slow(FakeGitHub):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if b"query Issues" in request.content:
                try:
                    await asyncio.Event().wait()
                finally:
                    stopped.append("issues")
            return await super().handle_async_request(request)

    times = iter(datetime(2026, 11, 22, tzinfo=UTC) + timedelta(seconds=n) for n in range(100))
    base = github(pulls=[pull_request()], RepositorySignals=httpx.Response(502))
    collections = await collect(client_of(Slow(base._graphql)), source_timeout_s=3.0, clock=lambda: next(times))
    slow = collections[Source.OPEN_ISSUES]
    assert (slow.status, slow.error_code) == (CollectionStatus.FAILED, "source_timeout")
    assert "3 s" in (slow.error or "")
    assert slow.ended_at > slow.started_at
    assert stopped == ["issues"]
    assert collections[Source.OPEN_PRS].status is CollectionStatus.FRESH


async def test_shared_reading_that_is_too_slow_is_stopped(client_of: ClientOf) -> None:
    stopped: list[str] = []

    class Slow(FakeGitHub):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.append(str(request.url))
            raise AssertionError

    collections = await collect(client_of(Slow()), source_timeout_s=0.02)
    assert {c.error_code for c in collections.values()} == {"source_timeout"}
    assert stopped == [GRAPHQL_URL]


async def test_empty_repository_has_no_failed_checks(client_of: ClientOf) -> None:
    empty = answer({"repository": repository(defaultBranchRef=None)})
    collections = await collect(client_of(github(issues=[issue()], DefaultBranchChecks=empty)))
    assert {c.status for c in collections.values()} == {CollectionStatus.FRESH}
    assert collections[Source.FAILED_CI].signals == ()
    assert len(collections[Source.OPEN_ISSUES].signals) == 1


async def test_archived_repository_has_no_signals(client_of: ClientOf) -> None:
    archived = repository(
        isArchived=True,
        pullRequests=page([pull_request(threads=page([thread()]))]),
        issues=page([issue()]),
        defaultBranchRef=branch([check_run()]),
    )
    names = ["PullRequests", "Issues", "DefaultBranchChecks", "TaskFolder"]
    collections = await collect(client_of(FakeGitHub(dict.fromkeys(names, answer({"repository": archived})))))
    assert {(c.status, c.signals) for c in collections.values()} == {(CollectionStatus.FRESH, ())}


async def test_disabled_repository_fails(client_of: ClientOf) -> None:
    names = ["PullRequests", "Issues", "DefaultBranchChecks", "TaskFolder"]
    disabled = answer({"repository": repository(isDisabled=True)})
    collections = await collect(client_of(FakeGitHub(dict.fromkeys(names, disabled))))
    assert {c.error_code for c in collections.values()} == {"github_permission"}


async def test_answer_of_another_shape_fails_with_the_fields_name(client_of: ClientOf) -> None:
    odd = answer({"repository": repository(issues=page([{"number": "ten"}]))})
    collections = await collect(client_of(github(Issues=odd)), sources=[Source.OPEN_ISSUES])
    assert collections[Source.OPEN_ISSUES].error_code == "github_unavailable"
    assert "issues.nodes.0" in (collections[Source.OPEN_ISSUES].error or "")


def paged(field: str, items: Sequence[object]) -> Callable[[dict[str, Any]], httpx.Response]:
    def play(variables: dict[str, Any]) -> httpx.Response:
        start = int(variables["after"] or 0)
        end = start + variables["first"]
        cursor = str(end) if end < len(items) else None
        return answer({"repository": repository(**{field: page(items[start:end], cursor=cursor)})})

    return play


async def test_all_pages_are_read_up_to_the_limit(client_of: ClientOf) -> None:
    issues, pulls = [issue(n) for n in range(120)], [pull_request(n) for n in range(45)]
    more: dict[str, Any] = {"Issues": paged("issues", issues), "PullRequests": paged("pullRequests", pulls)}
    collections = await collect(client_of(github(**more)))
    assert [len(collections[source].signals) for source in (Source.OPEN_ISSUES, Source.OPEN_PRS)] == [120, 45]
    assert not any(c.truncated for c in collections.values())
    fake = github(**more)
    collections = await collect(client_of(fake), max_items=30)
    assert [len(collections[source].signals) for source in (Source.OPEN_ISSUES, Source.OPEN_PRS)] == [30, 30]
    assert {source for source, c in collections.items() if c.truncated} == {*Source} - {Source.REPOSITORY_TASKS}
    assert [v["first"] for name, v in fake.operations if name == "PullRequests"] == [20]


async def test_more_signals_than_the_limit_are_cut(client_of: ClientOf) -> None:
    threads = page([thread(f"T{n}") for n in range(5)])
    collections = await collect(client_of(github(pulls=[pull_request(threads=threads)])), max_items=3)
    findings = collections[Source.REVIEW_FINDINGS]
    assert (len(findings.signals), findings.truncated) == (3, True)


async def test_further_pages_of_threads_and_checks_are_read(client_of: ClientOf) -> None:
    first = pull_request(7, threads=page([thread("T1")], cursor="t2"), head=commit([check_run("a")], cursor="c2"))

    def threads(variables: dict[str, Any]) -> httpx.Response:
        assert (variables["number"], variables["threadsAfter"]) == (7, "t2")
        return answer({"repository": repository(pullRequest={"reviewThreads": page([thread("T2")])})})

    def checks(variables: dict[str, Any]) -> httpx.Response:
        assert (variables["number"], variables["checksAfter"]) == (7, "c2")
        part = {"commits": {"nodes": [{"commit": commit([check_run("b")])}]}}
        return answer({"repository": repository(pullRequest=part)})

    def default(variables: dict[str, Any]) -> httpx.Response:
        head = branch([check_run("y")]) if variables.get("checksAfter") else branch([check_run("x")], cursor="d2")
        return answer({"repository": repository(defaultBranchRef=head)})

    fake = github(pulls=[first], PullRequestThreads=threads, PullRequestChecks=checks, DefaultBranchChecks=default)
    collections = await collect(client_of(fake))
    assert [s.key for s in collections[Source.REVIEW_FINDINGS].signals] == ["T1", "T2"]
    names = [s.details.check for s in collections[Source.FAILED_CI].signals if isinstance(s.details, FailedCheck)]
    assert names == ["x", "y", "a", "b"]
    assert not any(c.truncated for c in collections.values())


async def test_checks_that_all_passed_are_not_read_to_the_end(client_of: ClientOf) -> None:
    head = commit([check_run("a", "SUCCESS")], state="SUCCESS", cursor="c2")
    fake = github(
        pulls=[pull_request(head=head)], default=branch([check_run("b", "SUCCESS")], state="SUCCESS", cursor="d2")
    )
    collections = await collect(client_of(fake))
    assert collections[Source.FAILED_CI].signals == ()
    assert len(fake.operations) == 1


async def test_push_between_two_pages_of_checks_is_a_truncated_reading(client_of: ClientOf) -> None:
    def default(variables: dict[str, Any]) -> httpx.Response:
        other = branch([check_run("y")], oid="b" * 40)
        head = other if variables.get("checksAfter") else branch([check_run("x")], cursor="d2")
        return answer({"repository": repository(defaultBranchRef=head)})

    moved = {"commits": {"nodes": [{"commit": commit([check_run("b")], oid="c" * 40)}]}}
    fake = github(
        pulls=[pull_request(head=commit([check_run("a")], cursor="c2"))],
        PullRequestChecks=answer({"repository": repository(pullRequest=moved)}),
        DefaultBranchChecks=default,
    )
    collections = (await collect(client_of(fake)))[Source.FAILED_CI]
    assert ([s.key for s in collections.signals], collections.truncated) == (["main:CI / x", "#1:CI / a"], True)


async def test_pages_of_threads_and_checks_end_at_the_limit_or_with_the_pull_request(client_of: ClientOf) -> None:
    endless = pull_request(1, threads=page([thread()], cursor="t"), head=commit([check_run()], cursor="c"))
    default = branch([check_run()], cursor="d")
    fake = github(pulls=[endless], default=default)
    collections = await collect(client_of(fake), max_items=1)
    assert {source for source, c in collections.items() if c.truncated} == {Source.FAILED_CI, Source.REVIEW_FINDINGS}
    gone = answer({"repository": repository(pullRequest=None)})
    fake = github(pulls=[endless], default=branch(), PullRequestThreads=gone, PullRequestChecks=gone)
    collections = await collect(client_of(fake))
    assert {source for source, c in collections.items() if c.truncated} == {Source.FAILED_CI, Source.REVIEW_FINDINGS}


async def test_text_that_no_store_takes_is_cleaned(client_of: ClientOf) -> None:
    node = (
        b'{"number": 1, "title": "a\\u0000b\\ud800c", "body": null, "url": "u",'
        b'"updatedAt": "2026-11-01T12:00:00Z", "comments": {"totalCount": 0}}'
    )
    raw = b'{"data": {"repository": {"issues": {"pageInfo": {"hasNextPage": false}, "nodes": [' + node + b"]}}}}"
    odd = httpx.Response(200, content=raw, headers={"content-type": "application/json"})
    collections = await collect(client_of(github(Issues=odd)), sources=[Source.OPEN_ISSUES])
    assert [s.title for s in collections[Source.OPEN_ISSUES].signals] == ["ab?c"]
