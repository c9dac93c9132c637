"""Pull requests of ours on which nothing happens are closed where the settings say so, by Squire, with one comment."""

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.outcomes import PullRequestReport, PullRequestState
from squire_pipelines.execution.expiry import expire_pulls, has_to_expire
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.ledger import ended_pulls, outcomes
from squire_pipelines.ledger.expiring_pulls import TRIED_AGAIN_AFTER
from squire_pipelines.ledger.outcomes import Outcome
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.settings.model import Settings
from tests.support.ledgers import REPOSITORY, START, Clock, settle, start_attempt


class IdleGitHub:
    """One pull request on which nothing happens, but what is asked for."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.state = "OPEN"
        self.updated_at = START
        self.comments: list[dict[str, Any]] = []
        self.closes = 0
        self.refuses = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        content = json.loads(request.content)
        if request.url.path.endswith("/pulls/7"):
            if self.refuses:
                return httpx.Response(403, json={"message": "Resource not accessible by integration"})
            self.state, self.updated_at, self.closes = "CLOSED", self.now(), self.closes + 1
            return httpx.Response(200, json={})
        if request.url.path.endswith("/issues/7/comments"):
            self.comments.append({"databaseId": 1, "body": content["body"], "viewerDidAuthor": True})
            return httpx.Response(201, json={"id": 1})
        if "PullRequestReports" in content["query"]:
            pull = {
                "number": 7,
                "url": "https://x",
                "state": self.state,
                "headRefName": "squire/x",
                "headRefOid": "e" * 40,
                "updatedAt": self.updated_at.isoformat(),
                "closedAt": self.updated_at.isoformat() if self.state == "CLOSED" else None,
                "commits": {"nodes": []},
            }
            return httpx.Response(200, json={"data": {"r0": {"pr7": pull}}})
        return httpx.Response(
            200, json={"data": {"repository": {"pullRequest": {"comments": {"nodes": self.comments}}}}}
        )


class ExpiringPull:
    """A ledger with one open pull request of ours, at a GitHub where nothing happens on it."""

    def __init__(self, ledger: Ledger, clock: Clock, days: float, *, for_one: bool = False) -> None:
        self.clock = clock
        self.ledger = ledger
        self.github = IdleGitHub(lambda: self.clock.now)
        own = {"repositories": [REPOSITORY], "repository": {REPOSITORY: {"follow": {"expires_days": days}}}}
        self.settings = Settings.model_validate(own if for_one else {"follow": {"expires_days": days}})
        attempt = start_attempt(self.ledger)
        self.task_id = attempt.task_id
        with self.ledger.write() as tx:
            outcomes.record_opened(
                tx, task_id=self.task_id, repository=REPOSITORY, pr_number=7, pr_url="https://x", head_sha="e" * 40
            )
        settle(self.ledger, attempt, Cause.COMPLETED)

    def look(self) -> int:
        async def within() -> int:
            settings = GitHubSettings(api_url="https://api.test", min_write_interval_s=0)
            http = httpx.AsyncClient(transport=httpx.MockTransport(self.github))
            async with GitHubClient(settings, "ghp_" + "x" * 36, http=http) as client:
                return await expire_pulls(self.ledger, client, lambda _: self.settings, logging.getLogger("test"))

        return asyncio.run(within())

    def is_due(self) -> bool:
        return has_to_expire(self.ledger, lambda _: self.settings)

    @property
    def outcome(self) -> Outcome:
        with self.ledger.read() as tx:
            outcome = outcomes.get(tx, self.task_id)
        assert outcome is not None
        return outcome


def test_a_repository_has_a_time_of_its_own(ledger: Ledger, clock: Clock) -> None:
    pull = ExpiringPull(ledger, clock, days=30, for_one=True)
    pull.clock.now += timedelta(days=29)
    assert not pull.is_due()
    pull.clock.now += timedelta(days=2)
    assert (pull.is_due(), pull.look()) == (True, 1)


def test_one_is_closed_after_its_time_with_one_comment_and_not_before(ledger: Ledger, clock: Clock) -> None:
    pull = ExpiringPull(ledger, clock, days=30)
    pull.clock.now += timedelta(days=29)
    assert not pull.is_due()
    pull.clock.now += timedelta(days=2)
    assert pull.is_due()
    assert (pull.look(), pull.look()) == (1, 0)
    assert not pull.is_due()
    assert pull.outcome.state is PullRequestState.CLOSED
    assert pull.github.closes == 1
    (comment,) = pull.github.comments
    assert "nothing happened here for 30 days" in comment["body"]
    with pull.ledger.read() as tx:
        (ended,) = ended_pulls.unjudged(tx)
    assert ended.expired_reason == "nothing happened here for 30 days"


def test_a_word_that_came_meanwhile_keeps_it_open_and_zero_days_are_never(ledger: Ledger, clock: Clock) -> None:
    pull = ExpiringPull(ledger, clock, days=30)
    pull.clock.now += timedelta(days=31)
    pull.github.updated_at = pull.clock.now - timedelta(hours=1)
    assert pull.look() == 0
    assert (pull.github.state, pull.outcome.state, pull.is_due()) == ("OPEN", PullRequestState.OPEN, False)
    pull.settings = Settings()
    pull.clock.now += timedelta(days=1000)
    assert not pull.is_due()


def test_a_refused_close_is_tried_again_later_and_one_that_is_reopened_begins_anew(
    ledger: Ledger, clock: Clock
) -> None:
    pull = ExpiringPull(ledger, clock, days=30)
    pull.clock.now += timedelta(days=31)
    pull.github.refuses = True
    assert pull.look() == 0
    assert not pull.is_due()
    pull.clock.now += TRIED_AGAIN_AFTER + timedelta(seconds=1)
    pull.github.refuses = False
    assert pull.look() == 1
    pull.clock.now += timedelta(minutes=1)
    pull.github.state, pull.github.updated_at = "OPEN", pull.clock.now
    pull.clock.now += timedelta(days=31)
    with pull.ledger.write() as tx:
        report = PullRequestReport(
            repository=REPOSITORY,
            number=7,
            url="https://x",
            head_ref="squire/x",
            head_sha="e" * 40,
            state=PullRequestState.OPEN,
            updated_at=pull.github.updated_at,
        )
        outcomes.apply_report(tx, report, actor="poll")
    assert pull.look() == 1
    assert pull.github.closes == 2
