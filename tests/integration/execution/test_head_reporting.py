"""Each commit of ours has one report, which is settled whatever happens, where the repository takes it."""

import json
import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import stamina
from sqlalchemy import delete, update

from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.following import FollowState
from squire_pipelines.domain.own_reports import ReportPlace
from squire_pipelines.execution.head_reporting import has_to_report, report_heads
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.ledger import attempts, followed_pulls, head_reports, outcomes
from squire_pipelines.ledger.attempts import AttemptFacts
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import head_reports as report_table
from squire_pipelines.ledger.tables import outcomes as outcome_table
from squire_pipelines.ledger.telling_tries import MAX_TRIES
from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.settings.model import Settings
from tests.support.github_json import API_URL
from tests.support.ledgers import REPOSITORY, Clock, forget, settle, start_attempt, token_of

pytestmark = pytest.mark.anyio
HEAD, NEXT = "e" * 40, "f" * 40
FORBIDDEN = httpx.Response(403, json={"message": "You must authenticate via a GitHub App."})


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _no_retries() -> Iterator[None]:
    with stamina.set_testing(True, attempts=1):
        yield


class Commits(httpx.AsyncBaseTransport):
    """The check runs and statuses of GitHub; `loses` answers after it has written, `refuses` what matches."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.statuses: list[dict[str, Any]] = []
        self.loses = 0
        self.refuses = "^$"
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        call = f"{request.method} {request.url.path.removeprefix(f'/api/v3/repos/{REPOSITORY}')}"
        content = json.loads(request.content or b"{}")
        self.asked.append(call)
        if re.search(self.refuses, call):
            return FORBIDDEN
        answer = self._answer(call, content)
        if self.loses and request.method != "GET":
            self.loses -= 1
            return httpx.Response(502)
        return httpx.Response(200, json=answer)

    def _answer(self, call: str, content: dict[str, Any]) -> dict[str, Any]:
        if call.endswith("/check-runs") and call.startswith("GET"):
            return {"check_runs": [run for run in self.runs if run["head_sha"] in call]}
        if call.endswith("/status"):
            return {"statuses": [status for status in self.statuses if status["sha"] in call]}
        if call == "POST /check-runs":
            self.runs.append({"id": len(self.runs) + 1, **content})
            return self.runs[-1]
        if call.startswith("PATCH /check-runs/"):
            self.runs[int(call.rpartition("/")[2]) - 1] |= content
            return {}
        self.statuses.append({"sha": call.rpartition("/")[2], **content})
        return {}

    @property
    def titles(self) -> list[tuple[str, str]]:
        """Each check run's commit, by its first letter, and title."""
        assert all((run["status"], run["conclusion"]) == ("completed", "neutral") for run in self.runs)
        return [(run["head_sha"][0], run["output"]["title"]) for run in self.runs]


class Reporting:
    """A ledger with one open pull request, and what is done about it."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self.ledger, self.clock, self.github = ledger, clock, Commits()
        self.settings = Settings()
        attempt = start_attempt(ledger)
        self.task_id = attempt.task_id
        with ledger.write() as tx:
            facts = AttemptFacts(head_sha=HEAD, base_sha="b" * 40, pr_number=7, pr_url="https://x/7")
            attempts.note(tx, attempt.id, token_of(attempt), facts)
            outcomes.record_opened(
                tx, task_id=attempt.task_id, repository=REPOSITORY, pr_number=7, pr_url="https://x/7", head_sha=HEAD
            )
        settle(ledger, attempt, Cause.COMPLETED)

    async def look(self) -> int:
        """Report what is to be reported; a process of its own each time."""
        github = GitHubSettings(api_url=API_URL, min_write_interval_s=0)
        async with GitHubClient(github, "t", http=httpx.AsyncClient(transport=self.github)) as client:
            log = logging.getLogger("reporting")
            return await report_heads(self.ledger, client, lambda _: self.settings, log)

    @property
    def is_due(self) -> bool:
        """Whether there is something to report."""
        return has_to_report(self.ledger, lambda _: self.settings)

    def stand_at(self, state: FollowState, reason: str = "") -> None:
        """Record where the pull request stands."""
        with self.ledger.write() as tx:
            (followed,) = followed_pulls.read_followed(tx, task_ids=[self.task_id])
            followed_pulls.record_state(tx, followed, state, reason)

    def set_outcome(self, **columns: Any) -> None:
        """Record what GitHub would say."""
        with self.ledger.write() as tx:
            tx.execute(update(outcome_table).values(**columns))


@pytest.fixture
def reporting(ledger: Ledger, clock: Clock) -> Reporting:
    return Reporting(ledger, clock)


async def test_a_report_follows_the_pull_request_to_its_end_and_is_written_once_for_each_change(
    reporting: Reporting,
) -> None:
    github = reporting.github
    assert reporting.is_due
    assert await reporting.look() == 1
    assert github.titles == [("e", "Waits for checks: its checks are not known yet")]
    assert not reporting.is_due
    assert await reporting.look() == 0
    reporting.stand_at(FollowState.FIXING, "an agent mends its checks")
    await reporting.look()
    with reporting.ledger.write() as tx:  # an agent's push, by another attempt
        tx.execute(update(outcome_table).values(taken_up_head=NEXT))
    reporting.set_outcome(head_sha=NEXT)
    await reporting.look()
    assert github.titles[0] == ("e", "Replaced by ffffffffff")
    assert github.titles[1][0] == "f"
    reporting.set_outcome(state="merged")
    assert not reporting.is_due, "the step that ends it comes first"
    reporting.stand_at(FollowState.MERGED)
    await reporting.look()
    assert github.titles[1] == ("f", "Merged")
    writes = [call for call in github.asked if not call.startswith("GET")]
    assert len(writes) == 5
    assert not reporting.is_due


async def test_a_lost_answer_and_a_killed_process_make_no_second_check_run(reporting: Reporting, clock: Clock) -> None:
    reporting.github.loses = 1
    assert await reporting.look() == 0
    assert len(reporting.github.runs) == 1, "it was made, and nobody knows"
    assert not reporting.is_due, "it waits before it asks again"
    clock.forward(3600)
    assert await reporting.look() == 1
    with reporting.ledger.write() as tx:  # as after a ledger that was restored
        tx.execute(delete(report_table))
    assert await reporting.look() == 1
    assert len(reporting.github.runs) == 1


async def test_a_token_that_may_not_write_check_runs_sets_a_status_and_does_not_ask_again(
    reporting: Reporting, clock: Clock
) -> None:
    github = reporting.github
    github.refuses = "(POST|PATCH) /check-runs"
    assert await reporting.look() == 1
    reporting.stand_at(FollowState.WAITING_FOR_MERGE, "nothing but its merge")
    assert await reporting.look() == 1
    assert [status["description"] for status in github.statuses][1:] == ["Waits for its merge: nothing but its merge"]
    assert {status["state"] for status in github.statuses} == {"success"}
    assert [call for call in github.asked if "check-runs" in call and "POST" in call] == ["POST /check-runs"]
    clock.forward(timedelta(days=1, minutes=1).total_seconds())
    github.refuses = "^$"
    reporting.stand_at(FollowState.HANDED_OVER, "it is theirs")
    await reporting.look()
    assert github.titles == [("e", "Left to people: it is theirs")], "the App was given the right"


async def test_where_neither_is_taken_nothing_more_is_asked_for_a_day(reporting: Reporting, clock: Clock) -> None:
    reporting.github.refuses = "POST"
    assert await reporting.look() == 0
    asked = len(reporting.github.asked)
    reporting.stand_at(FollowState.WAITING_FOR_MERGE, "nothing but its merge")
    assert not reporting.is_due
    with reporting.ledger.read() as tx:
        assert head_reports.place_of(tx, REPOSITORY) is ReportPlace.NONE
        assert head_reports.last_error(tx, reporting.task_id) is not None
    assert len(reporting.github.asked) == asked
    clock.forward(timedelta(days=1, minutes=1).total_seconds())
    assert reporting.is_due


async def test_what_fails_is_given_up_after_a_few_tries_until_there_is_something_else_to_say(
    reporting: Reporting, clock: Clock
) -> None:
    reporting.github.loses = 100
    reporting.github.runs.append({"id": 1, "head_sha": HEAD, "external_id": "another"})
    tries = 0
    while reporting.is_due:
        await reporting.look()
        tries += 1
        clock.forward(timedelta(days=1).total_seconds())
    assert tries == MAX_TRIES
    reporting.stand_at(FollowState.WAITING_FOR_MERGE, "nothing but its merge")
    assert reporting.is_due


async def test_what_is_turned_off_and_what_people_pushed_is_not_reported(reporting: Reporting) -> None:
    reporting.set_outcome(head_sha="a" * 40)
    assert not reporting.is_due, "it is not our commit"
    reporting.set_outcome(head_sha=HEAD)
    assert reporting.is_due
    reporting.settings = Settings.model_validate({"follow": {"check_run": False}})
    assert not reporting.is_due
    assert forget(reporting.ledger)["head_reports"] == 0
