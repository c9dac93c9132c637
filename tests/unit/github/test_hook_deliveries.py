"""A webhook's deliveries, read page by page until they are too old, and what GitHub is asked for about webhooks."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from squire_pipelines.errors import GitHubError, GitHubUnavailableError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.hook_deliveries import (
    APP_HOOK,
    HookAddress,
    app_hook_url,
    ask_again,
    list_deliveries,
    ping_hook,
    read_attempts,
    repository_hook,
    set_secret,
)
from squire_pipelines.github.webhook_state import our_webhooks
from squire_pipelines.secrets import Secret
from tests.support.github_json import API_URL, FakeGitHub
from tests.support.github_schemas import request_problems

pytestmark = pytest.mark.anyio
ClientOf = Callable[..., GitHubClient]
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOOKS = [repository_hook("o/r", 5), APP_HOOK]


def entry(number: int, **more: object) -> dict[str, Any]:
    at = (START - timedelta(minutes=number)).isoformat().replace("+00:00", "Z")
    known = {"id": number, "guid": f"g{number}", "delivered_at": at, "redelivery": False, "status_code": 202}
    return {**known, "event": "push", "action": None, "repository_id": 7, **more}


def pages(request: httpx.Request) -> httpx.Response:
    """Two deliveries on each page, without an end."""
    first = int(request.url.params.get("cursor", "v1_0").removeprefix("v1_"))
    link = f'<{request.url.copy_with(params={"cursor": f"v1_{first + 2}"})}>; rel="next"'
    return httpx.Response(200, json=[entry(first), entry(first + 1)], headers={"link": link})


@pytest.mark.parametrize("hook", HOOKS)
async def test_pages_are_read_until_deliveries_are_too_old(client_of: ClientOf, hook: HookAddress) -> None:
    fake = FakeGitHub(rest={f"GET {hook.path}/deliveries": pages})
    listing = await list_deliveries(client_of(fake), hook, since=START - timedelta(minutes=4), now=START)
    assert ([attempt.id for attempt in listing.attempts], listing.is_whole) == ([0, 1, 2, 3, 4], True)
    short = await list_deliveries(client_of(fake), hook, since=START - timedelta(days=1), now=START, most_pages=2)
    assert (len(short.attempts), short.is_whole) == (4, False)
    assert [problem for request in fake.requests for problem in request_problems(request)] == []


@pytest.mark.parametrize("hook", HOOKS)
async def test_what_is_asked_of_a_webhook_is_what_github_publishes(client_of: ClientOf, hook: HookAddress) -> None:
    fake = FakeGitHub(
        rest={
            f"POST {hook.path}/deliveries/9/attempts": httpx.Response(202, json={}),
            f"PATCH {hook.path}/config": httpx.Response(200, json={"url": "https://squire.test"}),
            f"POST {hook.path}/pings": httpx.Response(204),
            "GET /app/hook/config": httpx.Response(200, json={"url": "https://squire.test"}),
        }
    )
    client = client_of(fake)
    await ask_again(client, hook, 9)
    await set_secret(client, hook, Secret("s" * 64, name="webhook-secret"))
    assert await app_hook_url(client) == "https://squire.test"
    if hook is not APP_HOOK:
        await ping_hook(client, hook)
    assert json.loads(fake.requests[1].content) == {"secret": "s" * 64}
    assert [problem for request in fake.requests for problem in request_problems(request)] == []


@pytest.mark.parametrize("status", [400, 403, 404, 422, 429, 500])
async def test_the_secret_is_in_no_error_though_github_repeats_it(client_of: ClientOf, status: int) -> None:
    value = "s" * 64
    answer = httpx.Response(status, json={"message": f"{value} is bad", "errors": [f"secret: {value}", value[::-1]]})
    client = client_of(FakeGitHub(rest={f"PATCH {APP_HOOK.path}/config": answer}), attempts=1)
    with pytest.raises(GitHubError) as raised:
        await set_secret(client, APP_HOOK, Secret(value, name="webhook-secret"))
    assert str(status) in raised.value.message
    assert "sss" not in f"{raised.value.message} {raised.value.hint} {raised.value.context}"


STRANGE: list[Any] = [
    None,
    3,
    {},
    entry(1, guid=None),
    entry(2, guid=""),
    entry(3, guid="g" * 101),
    entry(4, guid="\ud800"),
    entry(5, delivered_at="soon"),
    entry(6, delivered_at="0001-01-01T00:00:00+23:59"),
    entry(7, id=True),
    entry(8, id="8"),
    entry(9, id=2**63),
]


def test_what_is_no_delivery_is_passed_over() -> None:
    good = entry(10, status_code=None, action="opened", redelivery=True, repository_id=2**63)
    (only,) = read_attempts([*STRANGE, good], now=START)
    assert (only.id, only.status, only.action, only.is_redelivery, only.repository_id) == (10, 0, "opened", True, None)


async def test_a_list_that_is_none_of_githubs_comes_to_an_end_and_says_what_it_lacks(client_of: ClientOf) -> None:
    """Here entries are none, have another zone or a time that has not come, come twice, and the pages go round."""
    strange = [*STRANGE, entry(20, delivered_at="9999-12-31T23:59:59-05:00"), entry(-100)]
    strange += [entry(0, delivered_at="9999-12-31T23:59:59Z"), entry(1), entry(1)]
    link = f'<{API_URL}/app/hook/deliveries?cursor=again>; rel="next"'
    answer = httpx.Response(200, text=json.dumps(strange), headers={"link": link, "content-type": "application/json"})
    fake = FakeGitHub(rest={"GET /app/hook/deliveries": answer})
    listing = await list_deliveries(client_of(fake), APP_HOOK, since=START - timedelta(days=1), now=START)
    assert [(attempt.id, attempt.at) for attempt in listing.attempts] == [(0, START), (1, START - timedelta(minutes=1))]
    assert (listing.is_whole, listing.unreadable, len(fake.requests)) == (False, 28, 2)


@pytest.mark.parametrize("answer", [{"message": "x"}, None, "x", 3])
async def test_an_answer_that_is_no_list_is_not_taken_for_an_empty_one(client_of: ClientOf, answer: object) -> None:
    paths = ("/app/hook/deliveries", "/repos/o/r/hooks")
    fake = FakeGitHub(rest={f"GET {path}": httpx.Response(200, json=answer) for path in paths})
    client = client_of(fake, attempts=1)
    with pytest.raises(GitHubUnavailableError, match="no list"):
        await list_deliveries(client, APP_HOOK, since=START, now=START)
    with pytest.raises(GitHubUnavailableError, match="no list"):
        await our_webhooks(client, "o/r")
