"""Which of a repository's webhooks leads to this receiver."""

import asyncio

import httpx
import pytest

from squire_pipelines.execution.delivery_hooks import HookSurvey, choose_webhook, survey_hooks
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.webhook_state import Webhook
from squire_pipelines.settings.model import Settings

HOOKS = (
    Webhook(1, "https://squire.test/webhooks/github", is_active=False),
    Webhook(2, "https://old.test/webhooks/github", is_active=True),
    Webhook(3, "https://older.test/webhooks/github", is_active=False),
)


@pytest.mark.parametrize(("public_url", "number"), [("https://squire.test", 1), ("https://else.test", 2), (None, 2)])
def test_the_receivers_own_host_comes_first_and_then_an_active_one(public_url: str | None, number: int) -> None:
    assert choose_webhook(HOOKS, public_url).id == number


@pytest.mark.parametrize(
    ("public_url", "hosts", "is_certain"),
    [
        ("https://squire.test", ["old.test", "squire.test"], True),
        ("https://squire.test", ["old.test"], False),
        (None, ["old.test"], True),
        (None, ["old.test", "squire.test"], False),
        (None, ["squire.test", "squire.test"], True),
        ("https://squire.test", ["old.test", "squire.test", "squire.test"], True),
    ],
)
def test_webhooks_are_certainly_ours_by_their_host_or_where_there_is_no_other_host(
    public_url: str | None, hosts: list[str], *, is_certain: bool
) -> None:
    answer = [
        {"id": number, "active": True, "config": {"url": f"https://{host}/webhooks/github"}}
        for number, host in enumerate(hosts, start=1)
    ]
    settings = Settings.model_validate({"webhooks": {"public_url": public_url}})

    async def survey() -> HookSurvey:
        http = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=answer)))
        async with GitHubClient(settings.github, "token", http=http) as client:
            return await survey_hooks(settings, client, ["acme/shop"])

    (hook,) = asyncio.run(survey()).hooks
    assert hook.is_certain is is_certain
    ours = [number for number, host in enumerate(hosts, start=1) if host == "squire.test"] if is_certain else []
    assert [one.address.webhook_id for one in (hook, *hook.siblings)] == sorted(ours, reverse=True) or not ours
