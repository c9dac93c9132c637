"""A repository may have several webhooks that lead here: the deliveries of each are compared, and asked for there."""

import asyncio

import httpx
import pytest

from squire_pipelines.execution.delivery_repair import RepairOptions, repair_deliveries
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.connection import GitHub
from squire_pipelines.ledger.store import Ledger, utc_now
from squire_pipelines.settings.model import Settings

SHOP = "acme/shop"
HOOKS = [
    {"id": number, "active": True, "config": {"url": f"https://squire.test/{path}"}}
    for number, path in ((1, "webhook"), (2, "webhooks/github"))
]


class _SimulatedGitHub(GitHub):
    """GitHub with two webhooks, of which each has lost a delivery; it takes requests to send them again."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        super().__init__(settings, ledger)
        self.settings = settings
        self.asked: list[str] = []

    def client(self) -> GitHubClient:
        """Return a client of it."""
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        return GitHubClient(self.settings.github, "token", http=http)

    def app_client(self) -> None:
        """Return no client: there is no App."""

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "POST":
            self.asked.append(path)
            return httpx.Response(202, json={})
        if path.endswith("/hooks"):
            return httpx.Response(200, json=HOOKS)
        number = int(path.split("/")[-2])
        attempt = {"id": 10 * number, "guid": f"lost-{number}", "event": "push", "status_code": 200}
        return httpx.Response(200, json=[attempt | {"delivered_at": utc_now().isoformat()}])


def test_the_deliveries_of_each_webhook_are_asked_for_where_they_were_sent(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET", "the-secret")
    settings = Settings.model_validate(
        {
            "repositories": [SHOP],
            "github": {"api_url": "https://api.test", "min_write_interval_s": 0},
            "webhooks": {"public_url": "https://squire.test"},
        }
    )
    github = _SimulatedGitHub(settings, ledger)
    options = RepairOptions(is_patient=False, wait_s=0)
    result = asyncio.run(repair_deliveries(ledger, settings, github, options, trace_id="ab" * 16))
    assert (result.missing, result.count("asked")) == (2, 2)
    assert sorted(github.asked) == [f"/repos/{SHOP}/hooks/{number}/deliveries/{number}0/attempts" for number in (1, 2)]
