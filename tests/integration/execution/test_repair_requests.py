"""What one repair asks of GitHub, which of it is recorded, and that no answer of GitHub's ends it."""

import asyncio
import json
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from squire_pipelines.execution.delivery_repair import HookRepair, RepairOptions, repair_deliveries
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.connection import GitHub
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import delivery_checks
from squire_pipelines.settings.model import Settings
from tests.support.deliveries import push, record_delivery
from tests.support.github_json import API_URL
from tests.support.ledgers import START, Clock

REPOSITORY, TRACE, MOST = "o/r", "ab" * 16, 2


def entry(number: int, *, minutes: float = 0, status: int = 502, guid: str = "") -> dict[str, Any]:
    """An attempt that GitHub lists, the more minutes ago; by default one that no receiver answered."""
    at = (START - timedelta(minutes=minutes)).isoformat()
    return {"id": number, "guid": guid or f"g{number}", "delivered_at": at, "status_code": status, "event": "push"}


class PlayedGitHub(GitHub):
    """GitHub with one webhook: what it lists is set, and what is sent again arrives, or is answered otherwise."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        super().__init__(settings, ledger)
        self.settings, self.ledger = settings, ledger
        self.listed: list[dict[str, Any]] = []
        self.is_endless = False
        self.asked: list[int] = []
        self.pages = 0
        self.refusals: dict[int, httpx.Response | None] = {}
        """By an attempt's number: the answer; None where it is accepted and does not arrive."""

    def client(self) -> GitHubClient:
        """Return a client that this class answers."""
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        return GitHubClient(self.settings.github, "ghp_" + "x" * 36, http=http, attempts=1)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/hooks"):
            malformed = {"id": 1, "config": {"url": "http://[::1/webhooks/github"}}
            ours = {"id": 5, "config": {"url": "https://squire.test/webhooks/github"}}
            return httpx.Response(200, json=[malformed, ours])
        if path.endswith("/deliveries"):
            return self._list(int(request.url.params.get("cursor", 0)))
        number = int(re.findall(r"/deliveries/(\d+)/attempts", path)[0])
        self.asked.append(number)
        if number not in self.refusals:
            (guid,) = {one["guid"] for one in self.listed if one["id"] == number}
            self.deliver(guid)
        return self.refusals.get(number) or httpx.Response(202, json={})

    def _list(self, place: int) -> httpx.Response:
        self.pages += 1
        if not self.is_endless:
            return httpx.Response(200, json=self.listed)
        link = f'<{API_URL}/x?cursor={place + 1}>; rel="next"'
        return httpx.Response(200, json=[entry(place + 1, minutes=place, status=202)], headers={"link": link})

    def deliver(self, guid: str) -> None:
        """Have a delivery be in the inbox."""
        record_delivery(
            self.ledger, source="github", delivery_id=guid, event="push", action=None, repository=None, body=push()
        )


@pytest.fixture
def played(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> PlayedGitHub:
    monkeypatch.setenv("SQUIRE_WEBHOOK_SECRET", "a secret of webhooks")
    settings = Settings(
        repositories=(REPOSITORY,),
        github={"api_url": API_URL, "min_write_interval_s": 0},
        webhooks={"repair_most": MOST},
    )
    return PlayedGitHub(settings, ledger)


def repair(played: PlayedGitHub, **options: Any) -> HookRepair:
    repair_options = RepairOptions(**{"wait_s": 0.0, "is_patient": False, **options})
    result = asyncio.run(repair_deliveries(played.ledger, played.settings, played, repair_options, trace_id=TRACE))
    (hook,) = result.hooks
    return hook


def recorded(ledger: Ledger) -> Sequence[Any]:
    with ledger.read() as tx:
        return tx.execute(select(delivery_checks).order_by(delivery_checks.c.id)).all()


def test_where_the_last_attempt_failed_one_is_asked_for_and_the_others_when_it_has_arrived(
    played: PlayedGitHub,
) -> None:
    often = [entry(1, minutes=9, guid="often"), entry(2, minutes=8, guid="often")]
    played.listed = [entry(4, minutes=3), entry(3, minutes=5), *often]
    played.refusals = {3: None}
    first = repair(played)
    assert (played.asked, first.asked, first.arrived) == ([3], 1, 0), "the oldest of those that were asked for least"
    assert first.error == "3 deliveries are not here: GitHub gets no answer from the receiver"
    played.refusals.clear()
    assert (repair(played).arrived, played.asked) == (MOST, [3, 3, 2])


def test_one_repair_asks_for_at_most_so_many_the_oldest_first_and_logs_nothing_of_what_a_command_shows(
    played: PlayedGitHub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="squire")
    played.deliver("here")
    played.listed = [entry(9, status=202, guid="here"), *(entry(number, minutes=9 - number) for number in (1, 2, 3))]
    hook = repair(played)
    assert (played.asked, hook.arrived, hook.error[:24]) == ([1, 2], MOST, "1 delivery is not here: ")
    assert (repair(played).error, played.asked) == ("", [1, 2, 3])
    assert caplog.messages == []


def test_what_github_does_not_keep_keeps_back_no_other_and_is_named_as_the_cause(played: PlayedGitHub) -> None:
    played.listed = [entry(2, minutes=1), entry(1, minutes=2)]
    played.refusals = {1: httpx.Response(422, json={"message": "it is too old"})}
    hook = repair(played)
    assert (played.asked, hook.asked, hook.refused, hook.arrived) == ([1, 2], 1, 1, 1)
    assert hook.error == "1 delivery is not here: GitHub does not send them again (422), as it does what is too old"
    assert recorded(played.ledger)[-1].redelivered == 1


@pytest.mark.parametrize(("minutes", "is_recorded"), [(None, True), (60 * 24 * 4, True), (60, False)])
def test_a_comparison_of_a_part_is_not_taken_for_one_of_all(
    played: PlayedGitHub, minutes: int | None, *, is_recorded: bool
) -> None:
    repair(played, since=None if minutes is None else START - timedelta(minutes=minutes))
    assert bool(recorded(played.ledger)) is is_recorded


def test_a_repository_is_read_once_for_what_is_missing(played: PlayedGitHub, clock: Clock) -> None:
    played.listed = [entry(1, minutes=2)]
    played.refusals = {1: None, 2: None}
    assert [repair(played).collected for _ in range(2)] == [(REPOSITORY,), ()]
    clock.forward(60)
    played.listed.insert(0, entry(2, minutes=-0.5))
    assert repair(played).collected == (REPOSITORY,)


def test_a_list_without_an_end_is_read_so_far_and_the_next_repair_goes_on_from_there(played: PlayedGitHub) -> None:
    played.is_endless = True
    for number in range(1, 41):
        played.deliver(f"g{number}")
    hook = repair(played)
    oldest = START - timedelta(minutes=39)
    assert (hook.listed, played.pages, hook.since) == (40, 40, oldest)
    (check,) = recorded(played.ledger)
    assert "too many to compare" in check.error
    played.is_endless = False
    assert (repair(played).since, recorded(played.ledger)[-1].error) == (oldest, None)


def test_neither_words_of_githubs_nor_entries_of_no_form_end_a_repair(played: PlayedGitHub) -> None:
    played.listed = [entry(1), {"id": "2", "guid": "g2", "delivered_at": "2026-03-01T00:00:00Z"}]
    words = json.dumps({"message": "bo\x00om \ud800"})
    played.refusals = {1: httpx.Response(500, text=words, headers={"content-type": "application/json"})}
    repair(played)
    assert "boom" in recorded(played.ledger)[-1].error
    played.refusals.clear()
    assert repair(played).error == "1 of the entries of GitHub's list cannot be read"
