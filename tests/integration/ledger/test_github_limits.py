"""What one process was told of GitHub's limits, the next run and every other process obey."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import stamina
from sqlalchemy import func, select

from squire_pipelines.domain.rate_limits import LimitKind, LimitState, LimitUse
from squire_pipelines.errors import GitHubRateLimitError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.ledger import github_limits
from squire_pipelines.ledger.github_limits import LedgerLimits
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import github_limits as table
from squire_pipelines.sections.services import GitHubSettings
from tests.support.github_json import API_URL, answer
from tests.support.ledgers import START, Clock

TOKEN = "ghp_" + "a" * 36
REPOSITORY = {"owner": "o", "name": "r"}


class Played(httpx.AsyncBaseTransport):
    """Answers all requests alike, and counts them."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:  # noqa: ARG002 - the transport's
        self.requests += 1
        return httpx.Response(self.response.status_code, headers=self.response.headers, content=self.response.content)


def ask(ledger: Ledger, github: Played, call: Callable[[GitHubClient], Any], *, token: str = TOKEN) -> Any:
    """Ask as a process of its own does: by a new client, with nothing in its memory."""

    async def run() -> Any:
        settings = GitHubSettings(api_url=API_URL, min_write_interval_s=0)
        http = httpx.AsyncClient(transport=github)
        with stamina.set_testing(True, attempts=1):
            async with GitHubClient(settings, token, http=http, limits=LedgerLimits(ledger)) as client:
                return await call(client)

    return asyncio.run(run())


def query(client: GitHubClient) -> Any:
    return client.graphql("repository", REPOSITORY)


def get(client: GitHubClient) -> Any:
    return client.get("/user")


def primary(clock: Clock, seconds: float = 900) -> httpx.Response:
    """The whole of what GitHub answers when the points are spent: with status 200."""
    error = {"type": "RATE_LIMIT", "code": "graphql_rate_limit", "message": "API rate limit already exceeded"}
    reset = int((clock.now + timedelta(seconds=seconds)).timestamp())
    headers = {
        "date": clock.now.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        "x-ratelimit-limit": "5000",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": str(reset),
        "x-ratelimit-resource": "graphql",
    }
    return httpx.Response(200, json={"errors": [error]}, headers=headers)


def test_spent_points_said_with_status_200_stop_this_run_and_the_next_until_their_reset(
    ledger: Ledger, clock: Clock
) -> None:
    github = Played(primary(clock))
    with pytest.raises(GitHubRateLimitError) as caught:
        ask(ledger, github, query)
    assert caught.value.retry_after_s == 901
    clock.forward(900)
    github.response = answer({"repository": None})
    with pytest.raises(GitHubRateLimitError, match="not asked before it ends") as caught:
        ask(ledger, github, query)
    assert caught.value.retry_after_s == 1
    assert github.requests == 1
    clock.forward(2)
    assert ask(ledger, github, query) == {"repository": None}
    assert github.requests == 2


def test_spent_points_leave_rest_and_other_credentials_alone(ledger: Ledger, clock: Clock) -> None:
    with pytest.raises(GitHubRateLimitError):
        ask(ledger, Played(primary(clock)), query)
    github = Played(httpx.Response(200, json={"data": {}}))
    assert ask(ledger, github, get) == {"data": {}}
    assert ask(ledger, github, query, token="ghp_" + "b" * 36) == {}
    assert github.requests == 2


@pytest.mark.parametrize("call", [query, get], ids=["graphql", "rest"])
def test_a_secondary_limit_stops_every_request_of_every_process(
    ledger: Ledger, clock: Clock, call: Callable[[GitHubClient], Any]
) -> None:
    refusal = {"message": "You have exceeded a secondary rate limit."}
    github = Played(httpx.Response(403, json=refusal, headers={"retry-after": "77"}))
    with pytest.raises(GitHubRateLimitError):
        ask(ledger, github, get)
    clock.forward(76)
    with pytest.raises(GitHubRateLimitError, match="not asked"):
        ask(ledger, github, call)
    assert github.requests == 1


def test_requests_that_wait_for_their_turn_are_not_sent_after_a_refusal(ledger: Ledger) -> None:
    github = Played(httpx.Response(429, json={}, headers={"retry-after": "60"}))

    async def many(client: GitHubClient) -> Any:
        return await asyncio.gather(*(client.get("/user") for _ in range(100)), return_exceptions=True)

    refused = ask(ledger, github, many)
    assert all(isinstance(error, GitHubRateLimitError) for error in refused)
    assert github.requests <= 20


def test_a_limit_of_content_stops_writes_alone(ledger: Ledger) -> None:
    refusal = {"message": "You have exceeded a secondary rate limit for content creation."}
    github = Played(httpx.Response(403, json=refusal))

    def post(client: GitHubClient) -> Any:
        return client.post("/repos/o/r/issues/1/comments", {"body": "x"})

    with pytest.raises(GitHubRateLimitError):
        ask(ledger, github, post)
    github.response = httpx.Response(200, json={})
    assert ask(ledger, github, get) == {}
    with pytest.raises(GitHubRateLimitError, match="not asked"):
        ask(ledger, github, post)


def test_waits_that_github_does_not_name_grow_from_process_to_process(ledger: Ledger, clock: Clock) -> None:
    github = Played(httpx.Response(403, json={"message": "You have exceeded a secondary rate limit."}))
    for wait in (60, 120, 240):
        with pytest.raises(GitHubRateLimitError):
            ask(ledger, github, get)
        requests = github.requests
        clock.forward(wait - 1)
        with pytest.raises(GitHubRateLimitError, match="not asked"):
            ask(ledger, github, get)
        assert github.requests == requests
        clock.forward(2)


def test_what_is_left_of_each_kind_is_known_after_a_clients_end(ledger: Ledger, clock: Clock) -> None:
    reset = str(int((clock.now + timedelta(seconds=600)).timestamp()))
    headers = {"x-ratelimit-limit": "5000", "x-ratelimit-reset": reset}
    github = Played(httpx.Response(200, json={}, headers={**headers, "x-ratelimit-remaining": "4999"}))

    async def several(client: GitHubClient) -> None:
        await client.get("/a")
        github.response.headers["x-ratelimit-remaining"] = "4998"
        await client.get("/b")
        github.response.headers.update({"x-ratelimit-remaining": "29", "x-ratelimit-resource": "search"})
        await client.get("/search/issues")

    ask(ledger, github, several)
    with ledger.read() as tx:
        assert github_limits.lowest(tx) == {LimitKind.CORE: 4998, LimitKind.SEARCH: 29}
    clock.forward(601)
    with ledger.read() as tx:
        assert github_limits.lowest(tx) == {}


def test_no_token_is_in_the_ledger_and_rows_of_old_tokens_go(ledger: Ledger, clock: Clock) -> None:
    for token in ("ghp_" + "c" * 36, "ghp_" + "d" * 36):
        with pytest.raises(GitHubRateLimitError):
            ask(ledger, Played(primary(clock)), query, token=token)
        with ledger.read() as tx:
            credentials = list(tx.execute(select(table.c.credential).distinct()).scalars())
        assert len(credentials) == 1
        assert token not in credentials[0]
        clock.forward(31 * 86400)


def test_a_use_between_two_blocks_changes_neither(ledger: Ledger) -> None:
    use = LimitUse(LimitKind.CORE, 5000, 10, START + timedelta(seconds=60))
    with ledger.write() as tx:
        github_limits.record_block(tx, "token-x", [LimitKind.CORE], 100)
        github_limits.record_use(tx, "token-x", use)
        github_limits.record_block(tx, "token-x", [LimitKind.CORE], 5)
        state = github_limits.read_states(tx, "token-x")[LimitKind.CORE]
        assert state == LimitState(START + timedelta(seconds=100), 0, 5000, 10, START + timedelta(seconds=60))
        assert tx.execute(select(func.count()).select_from(table)).scalar_one() == 1
