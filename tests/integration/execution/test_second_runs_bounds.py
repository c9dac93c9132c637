"""How many second runs one reading requests and asks for, and for how long."""

import asyncio
from collections import Counter

import httpx
import pytest
import stamina

from squire_pipelines.domain.failures import FailureClass
from squire_pipelines.domain.reruns import RerunState
from squire_pipelines.domain.signals import Collection, FailedCheck, Signal, Source
from squire_pipelines.execution.second_runs import decide_reruns
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.evidence.reruns import MAX_PER_READING
from squire_pipelines.ledger import reruns
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.sections.signals import CiSettings
from tests.support.github_json import API_URL
from tests.support.ledgers import reading
from tests.support.signal_samples import SHA, failed_check


class Runs(httpx.AsyncBaseTransport):
    """GitHub's second runs: all are accepted and have passed; `silent` requests are never answered."""

    def __init__(self, silent: str = "nothing") -> None:
        self.asked: Counter[str] = Counter()
        self._silent = silent

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        kind = request.url.path.rpartition("/")[2]
        self.asked[kind] += 1
        if kind == self._silent:
            await asyncio.Event().wait()
        if kind == "jobs":
            return httpx.Response(200, json={"jobs": [{"name": "t", "status": "completed", "conclusion": "success"}]})
        return httpx.Response(201, json={})


def doubtful(number: int) -> Signal:
    known = {"check_run": number, "workflow_run": 1000 + number, "failure": FailureClass.FLAKY, "failure_reason": "so"}
    signal = failed_check(f"test {number}")
    return signal.model_copy(update={"details": signal.details.model_copy(update=known)})


def decide(github: Runs, ledger: Ledger, *signals: Signal, timeout_s: float = 60) -> Collection:
    async def within() -> Collection:
        settings = GitHubSettings(api_url=API_URL, min_write_interval_s=0)
        http = httpx.AsyncClient(transport=github)
        async with asyncio.timeout(30), GitHubClient(settings, "ghp_" + "x" * 36, http=http) as client:
            checks = reading(*signals, source=Source.FAILED_CI, repository="o/r")
            ci = CiSettings(evidence_timeout_s=timeout_s)
            return await decide_reruns(client, ledger, checks, ci, trace_id="t" * 32)

    with stamina.set_testing(True, attempts=1):
        return asyncio.run(within())


def states(ledger: Ledger) -> Counter[RerunState]:
    with ledger.read() as tx:
        return Counter(rerun.state for rerun in reruns.known(tx, "o/r", {SHA}).values())


def waiting(done: Collection) -> int:
    checks = [signal.details for signal in done.signals]
    return sum(isinstance(check, FailedCheck) and check.waits_until is not None for check in checks)


def test_one_reading_requests_and_asks_for_a_bounded_number(ledger: Ledger) -> None:
    github, failing = Runs(), [doubtful(number) for number in range(MAX_PER_READING + 3)]
    assert waiting(decide(github, ledger, *failing)) == MAX_PER_READING == 10
    assert github.asked == {"rerun-failed-jobs": MAX_PER_READING}
    assert waiting(decide(github, ledger, *failing)) == MAX_PER_READING + 3
    assert github.asked == {"rerun-failed-jobs": MAX_PER_READING + 3}
    decide(github, ledger)  # nothing fails any more
    assert github.asked["jobs"] == MAX_PER_READING
    assert states(ledger) == {RerunState.PASSED: MAX_PER_READING, RerunState.WAITING: 3}
    decide(github, ledger)
    assert states(ledger) == {RerunState.PASSED: MAX_PER_READING + 3}


@pytest.mark.parametrize("silent", ["jobs", "rerun-failed-jobs"])
def test_github_that_does_not_answer_is_waited_for_within_one_time_limit(ledger: Ledger, silent: str) -> None:
    failing = [doubtful(number) for number in range(3)]
    if silent == "jobs":
        decide(Runs(), ledger, *failing)
        github = Runs(silent)
        decide(github, ledger, timeout_s=0.2)
        assert github.asked["jobs"] == 3
        assert states(ledger) == {RerunState.WAITING: 3}
        return
    github = Runs(silent)
    done = decide(github, ledger, *failing, timeout_s=0.2)
    assert github.asked == {silent: 1}, "the rest is for the next reading"
    assert waiting(done) == 1, "it may have been heard"
    assert states(ledger) == {RerunState.WAITING: 1}
    assert waiting(decide(Runs(), ledger, *failing)) == 3
