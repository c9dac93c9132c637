"""A webhook's deliveries, read page by page until they are too old, and what GitHub is asked for about webhooks."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from squire_pipelines.errors import GitHubError
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
    listing = await list_deliveries(client_of(fake), hook, since=START - timedelta(minutes=4))
    assert ([attempt.id for attempt in listing.attempts], listing.is_whole) == ([0, 1, 2, 3, 4], True)
    short = await list_deliveries(client_of(fake), hook, since=START - timedelta(days=1), most_pages=2)
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


def test_what_is_no_delivery_is_passed_over() -> None:
    strange: list[Any] = [None, 3, {}, entry(1, guid=None), entry(2, delivered_at="soon"), entry(3, id=True)]
    (only,) = read_attempts([*strange, entry(4, status_code=None, action="opened", redelivery=True)])
    assert (only.id, only.status, only.action, only.is_redelivery) == (4, 0, "opened", True)
    assert list(read_attempts({"message": API_URL})) == []
