import asyncio
import io
import json
import logging
import time
import traceback
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from itertools import count

import httpx
import pytest
import stamina

from squire_pipelines.errors import (
    GitHubAuthError,
    GitHubError,
    GitHubNotFoundError,
    GitHubPermissionError,
    GitHubRateLimitError,
    GitHubUnavailableError,
)
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.limits import MemoryLimits
from squire_pipelines.github.query_texts import load_query
from squire_pipelines.sections.services import GitHubSettings
from tests.support.github_json import API_URL, GRAPHQL_URL, FakeGitHub, answer, repository
from tests.support.ledgers import START

pytestmark = pytest.mark.anyio
ClientOf = Callable[..., GitHubClient]
TOKEN = "ghp_" + "s" * 36
LIMIT_HEADERS = {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "7", "x-ratelimit-reset": "1790000000"}


class Scripted(httpx.AsyncBaseTransport):
    """Plays one answer, or one failure, per request; the last is played on."""

    def __init__(self, *script: httpx.Response | Exception) -> None:
        self._script = list(script)
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        played = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(played, Exception):
            raise played
        return httpx.Response(played.status_code, headers=played.headers, content=played.content)


def ok(content: object = None, **headers: str) -> httpx.Response:
    return httpx.Response(200, json=content if content is not None else {}, headers=headers)


async def test_request_carries_token_version_and_user_agent(client_of: ClientOf) -> None:
    transport = Scripted(ok({"login": "me"}))
    client = client_of(transport, token=TOKEN)
    assert await client.get("/user", {"a": "b"}) == {"login": "me"}
    request = transport.requests[0]
    assert str(request.url) == f"{API_URL}/user?a=b"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["x-github-api-version"] == "2022-11-28"
    assert request.headers["user-agent"] == "squire-pipelines"
    assert request.headers["accept"] == "application/vnd.github+json"


async def test_every_method_sends_its_body(client_of: ClientOf) -> None:
    transport = Scripted(ok())
    client = client_of(transport)
    await client.post("/a", {"x": 1})
    await client.patch("/b", {"x": 2})
    assert [(r.method, json.loads(r.content)["x"]) for r in transport.requests] == [("POST", 1), ("PATCH", 2)]


async def test_what_must_not_happen_twice_is_sent_once(client_of: ClientOf) -> None:
    transport = Scripted(httpx.Response(502))
    client = client_of(transport, token=TOKEN)
    variables = {"id": "x", "body": "y"}
    for act in (
        client.put("/repos/o/r/pulls/1/merge", {"sha": "a"}),
        client.mutate("revert_pull_request", variables, repository="o/r", repeatable=False),
    ):
        with pytest.raises(GitHubUnavailableError):
            await act
    assert [request.method for request in transport.requests] == ["PUT", "POST"]


async def test_token_is_in_no_repr_error_or_log(client_of: ClientOf, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    failures: list[httpx.Response | Exception] = [httpx.ConnectError("refused"), httpx.Response(401, json={})]
    for failure in failures:
        client = client_of(Scripted(failure), token=TOKEN)
        with pytest.raises(GitHubError) as caught:
            await client.get("/user")
        written = io.StringIO()
        formatted = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        print("".join(formatted.format()), file=written)
        for text in (repr(client), repr(caught.value), str(caught.value.context), written.getvalue(), caplog.text):
            assert TOKEN not in text
    assert "with a token" in repr(client_of(Scripted(ok())))
    assert "anonymous" in repr(client_of(Scripted(ok()), token=None))


async def test_graphql_without_a_token_says_so_before_query_runner(client_of: ClientOf) -> None:
    transport = Scripted(ok())
    with pytest.raises(GitHubAuthError, match="github-token"):
        await client_of(transport, token=None).graphql("repository", {})
    assert transport.requests == []


async def test_graphql_sends_the_stored_query_and_returns_its_data(client_of: ClientOf) -> None:
    fake = FakeGitHub({"Repository": answer({"repository": repository()})})
    data = await client_of(fake).graphql("repository", {"owner": "o", "name": "r"})
    assert data["repository"]["url"] == "https://github.test/o/r"
    assert fake.operations == [("Repository", {"owner": "o", "name": "r"})]
    assert str(fake.requests[0].url) == GRAPHQL_URL


def test_imports_of_a_query_are_loaded_with_it() -> None:
    text = load_query("pull_requests")
    assert "fragment Checks on Commit" in text
    assert "fragment Threads on PullRequest" in text


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (httpx.ConnectError("refused"), "nothing answers"),
        (httpx.ReadTimeout("slow"), "no answer within"),
        (httpx.RemoteProtocolError("cut"), "connection was lost"),
        (httpx.TooManyRedirects("loop"), "connection was lost"),
    ],
)
async def test_no_answer_is_unavailable_and_names_the_url(client_of: ClientOf, failure: Exception, words: str) -> None:
    with pytest.raises(GitHubUnavailableError, match=words) as caught:
        await client_of(Scripted(failure)).get("/user")
    assert f"{API_URL}/user" in caught.value.message


async def test_answer_that_drips_forever_ends_at_the_time_limit(client_of: ClientOf) -> None:
    class Drip(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                await asyncio.sleep(0.005)
                yield b" "

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=Drip(), request=request)

    with pytest.raises(GitHubUnavailableError, match=r"no answer within 0.05 s"):
        await client_of(Transport(), timeout_s=0.05).get("/user")


async def test_answer_beyond_the_size_limit_is_refused(client_of: ClientOf) -> None:
    with pytest.raises(GitHubUnavailableError, match="larger than 10 bytes"):
        await client_of(Scripted(ok({"long": "x" * 20})), max_body_bytes=10).get("/user")


async def test_retryable_error_is_tried_again_until_it_goes_well(client_of: ClientOf) -> None:
    transport = Scripted(httpx.Response(502), httpx.ReadTimeout("slow"), ok({"a": 1}))
    with stamina.set_testing(True, attempts=4):
        assert await client_of(transport).get("/user") == {"a": 1}
    assert len(transport.requests) == 3


async def test_tries_are_bounded(client_of: ClientOf) -> None:
    transport = Scripted(httpx.Response(502))
    with stamina.set_testing(True, attempts=9, cap=True), pytest.raises(GitHubUnavailableError):
        await client_of(transport, attempts=3).get("/user")
    assert len(transport.requests) == 3


@pytest.mark.parametrize("status", [401, 404, 403, 422])
async def test_permanent_error_is_not_tried_again(client_of: ClientOf, status: int) -> None:
    transport = Scripted(httpx.Response(status, json={"message": "no"}))
    with stamina.set_testing(True, attempts=4), pytest.raises(GitHubError):
        await client_of(transport).get("/user")
    assert len(transport.requests) == 1


@pytest.mark.parametrize(
    ("failure", "repeatable", "requests"),
    [
        (httpx.ReadTimeout("slow"), False, 1),
        (httpx.ReadTimeout("slow"), True, 3),
        (httpx.ConnectError("refused"), False, 3),
    ],
)
async def test_lost_write_is_repeated_only_when_that_does_no_harm(
    client_of: ClientOf, failure: Exception, *, repeatable: bool, requests: int
) -> None:
    transport = Scripted(failure)
    with stamina.set_testing(True, attempts=3), pytest.raises(GitHubUnavailableError):
        await client_of(transport).post("/comments", {}, repeatable=repeatable)
    assert len(transport.requests) == requests


async def test_short_limit_is_waited_for_and_a_long_one_is_reported(client_of: ClientOf) -> None:
    times = (START + timedelta(seconds=6 * number) for number in count())
    short = Scripted(httpx.Response(429, headers={"retry-after": "5"}), ok({"a": 1}))
    with stamina.set_testing(True, attempts=3):
        assert await client_of(short, limits=MemoryLimits(lambda: next(times))).get("/x") == {"a": 1}
        long = Scripted(httpx.Response(429, headers={"retry-after": "900"}), ok({"a": 1}))
        with pytest.raises(GitHubRateLimitError) as caught:
            await client_of(long).get("/x")
    assert caught.value.retry_after_s == 900
    assert len(long.requests) == 1


async def test_writes_are_spaced_and_reads_are_not(client_of: ClientOf) -> None:
    readings: list[float] = []

    def monotonic() -> float:
        readings.append(time.monotonic())
        return readings[-1]

    client = client_of(Scripted(ok()), min_write_interval_s=0.05, monotonic=monotonic)
    await asyncio.gather(*(client.post("/x", {}) for _ in range(3)), *(client.get("/x") for _ in range(5)))
    first, _, second, _, third = readings  # each write but the first reads the clock before it waits; a read never does
    assert min(second - first, third - second) >= 0.045


async def test_no_more_requests_are_under_way_than_allowed(client_of: ClientOf) -> None:
    under_way, most = 0, 0

    class Counting(Scripted):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            under_way -= 1
            return await super().handle_async_request(request)

    client = client_of(Counting(ok()), max_concurrent_requests=3)
    await asyncio.gather(*(client.get("/x") for _ in range(20)))
    assert most == 3


async def test_read_follows_a_renaming_without_giving_the_token_to_another_host(client_of: ClientOf) -> None:
    transport = Scripted(httpx.Response(301, headers={"location": "https://other.test/x"}), ok({"a": 1}))
    assert await client_of(transport).get("/repos/o/old") == {"a": 1}
    assert "authorization" in transport.requests[0].headers
    assert "authorization" not in transport.requests[1].headers


async def test_write_to_a_renamed_repository_is_reported(client_of: ClientOf) -> None:
    transport = Scripted(httpx.Response(301, headers={"location": f"{API_URL}/x"}, json={"message": "Moved"}))
    with pytest.raises(GitHubNotFoundError, match="present name"):
        await client_of(transport).post("/repos/o/old/pulls", {})
    assert len(transport.requests) == 1


async def test_missing_part_of_an_answer_is_an_error_for_who_wants_it_whole(client_of: ClientOf) -> None:
    entry = {"type": "FORBIDDEN", "path": ["repository", "url"], "message": "no"}
    fake = FakeGitHub({"Repository": answer({"repository": repository(url=None)}, errors=[entry])})
    client = client_of(fake)
    with pytest.raises(GitHubPermissionError):
        await client.graphql("repository", {})
    assert (await client.query("repository", {})).errors[0].path == ("repository", "url")


async def test_own_connections_are_closed_and_given_ones_are_not() -> None:
    own_http = httpx.AsyncClient(transport=Scripted(ok()))
    async with GitHubClient(GitHubSettings(), None, http=own_http) as client:
        await client.get("/x")
    assert not own_http.is_closed
    async with GitHubClient(GitHubSettings(), None) as client:
        own = client._http
    assert own.is_closed
    await own_http.aclose()


async def test_client_asks_at_the_addresses_of_the_settings() -> None:
    transport = Scripted(ok(), ok({"data": {"repository": repository()}}))
    settings = GitHubSettings(api_url="https://ghes.test/api/v3/")
    http = httpx.AsyncClient(transport=transport)
    async with GitHubClient(settings, TOKEN, http=http) as client:
        assert repr(client) == "<GitHubClient https://ghes.test/api/v3 with a token>"
        await client.get("/user")
        await client.graphql("repository", {})
    await http.aclose()
    assert [str(request.url) for request in transport.requests] == [
        "https://ghes.test/api/v3/user",
        "https://ghes.test/api/graphql",
    ]
