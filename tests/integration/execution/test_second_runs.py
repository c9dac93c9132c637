"""A failed check that the code need not have failed runs again before a task is made of it, against the forge."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import stamina
from sqlalchemy import select

from squire_forge.process import ForgeProcess
from squire_forge.samples import SampleRepository
from squire_pipelines.domain.failures import FailureClass
from squire_pipelines.domain.reruns import Rerun, RerunState
from squire_pipelines.domain.signals import Collection, FailedCheck, Source
from squire_pipelines.execution.second_runs import awaited, decide_reruns
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.github.collecting import collect_repository
from squire_pipelines.ledger import reruns
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import check_reruns
from squire_pipelines.planning.rules import plan_by_rules
from squire_pipelines.planning.selection import PlanInputs
from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.sections.signals import CiSettings
from squire_pipelines.settings.model import Settings
from tests.support.ledgers import Clock

NAME = "demo/chance"
RERUN = "rerun-failed-jobs"
Read = Callable[..., Collection]


def host(forge: ForgeProcess, sample: SampleRepository, *, flaky: bool) -> None:
    expectation = {"check": "tests", "path": "README.md", "pattern": "never", "flaky": flaky}
    forge.host_repository({**sample.hosting(), "name": "chance", "expectations": [expectation]})


@pytest.fixture
def read(forge: ForgeProcess, ledger: Ledger) -> Read:
    """Read the failed checks as a collection does; what failed is taken for the infrastructure's."""

    def as_infrastructure(reading: Collection) -> Collection:
        doubtful = {"failure": FailureClass.INFRASTRUCTURE, "failure_reason": "its runner was lost"}
        signals = [
            signal.model_copy(update={"details": signal.details.model_copy(update=doubtful)})
            for signal in reading.signals
        ]
        return reading.model_copy(update={"signals": tuple(signals)})

    def once(**settings: Any) -> Collection:
        async def within() -> Collection:
            github = GitHubSettings(api_url=forge.api_url, timeout_s=20, min_write_interval_s=0)
            async with GitHubClient(github, forge.token) as client:
                (reading,) = await collect_repository(client, NAME, sources=[Source.FAILED_CI])
                reading = as_infrastructure(reading)
                return await decide_reruns(client, ledger, reading, CiSettings(**settings), trace_id="t" * 32)

        with stamina.set_testing(True, attempts=1):
            return asyncio.run(within())

    return once


def planned(reading: Collection) -> int:
    return len(plan_by_rules(PlanInputs(NAME, reading.signals, "main", (), (), max_tasks=5)).tasks)


def states(ledger: Ledger) -> list[RerunState]:
    with ledger.read() as tx:
        return [rerun.state for rerun in reruns.known(tx, NAME, every_head(ledger)).values()]


def every_head(ledger: Ledger) -> set[str]:
    with ledger.read() as tx:
        return {row.head_sha for row in tx.execute(select(check_reruns.c.head_sha))}


@pytest.mark.slow
def test_second_run_that_passes_saves_an_agents_run(
    forge: ForgeProcess, samples: tuple[SampleRepository, ...], ledger: Ledger, read: Read
) -> None:
    host(forge, samples[3], flaky=True)
    first = read()
    (signal,) = first.signals
    assert isinstance(signal.details, FailedCheck)
    assert signal.details.waits_until is not None
    assert planned(first) == 0
    assert states(ledger) == [RerunState.WAITING]
    assert read().signals == ()
    assert states(ledger) == [RerunState.PASSED]


@pytest.mark.slow
def test_second_run_that_fails_is_work_and_there_is_no_third(
    forge: ForgeProcess, samples: tuple[SampleRepository, ...], ledger: Ledger, read: Read
) -> None:
    host(forge, samples[3], flaky=False)
    assert planned(read()) == 0
    second = read()
    (signal,) = second.signals
    assert isinstance(signal.details, FailedCheck)
    assert (signal.details.rerun, signal.details.waits_until) == ("failed", None)
    assert planned(second) == 1
    assert states(ledger) == [RerunState.FAILED]
    assert read().signals[0].details == signal.details


@pytest.mark.slow
def test_token_that_may_not_run_it_again_goes_on_with_a_note(
    forge: ForgeProcess, samples: tuple[SampleRepository, ...], ledger: Ledger, read: Read
) -> None:
    host(forge, samples[3], flaky=True)
    forge.add_fault(RERUN, status=403)
    refused = read()
    (signal,) = refused.signals
    assert isinstance(signal.details, FailedCheck)
    assert (signal.details.rerun, signal.details.waits_until) == ("refused", None)
    assert "403" in signal.details.rerun_note
    assert planned(refused) == 1
    assert states(ledger) == [RerunState.REFUSED]
    assert planned(read()) == 1


@pytest.mark.slow
def test_second_run_without_an_end_is_waited_for_until_its_time_is_over(
    forge: ForgeProcess, samples: tuple[SampleRepository, ...], ledger: Ledger, clock: Clock, read: Read
) -> None:
    host(forge, samples[3], flaky=True)
    forge.add_fault(RERUN, status=502)  # nobody knows whether it began
    assert planned(read(rerun_wait_s=600)) == 0
    clock.forward(599)
    assert planned(read()) == 0
    clock.forward(2)
    assert planned(read()) == 1
    assert states(ledger) == [RerunState.UNKNOWN]


@pytest.mark.slow
def test_settings_leave_it_out(
    forge: ForgeProcess, samples: tuple[SampleRepository, ...], ledger: Ledger, read: Read
) -> None:
    host(forge, samples[3], flaky=True)
    assert planned(read(rerun=False)) == 1
    assert states(ledger) == []


def waited_for(ledger: Ledger, name: str = NAME) -> None:
    rerun = Rerun(
        repository=name,
        head_sha="a" * 40,
        workflow_run=20_000_000_001,
        check_runs=(7,),
        failure=FailureClass.FLAKY,
        reason="it passed before on the same commit",
        requested_at=datetime(2026, 3, 1, tzinfo=UTC),
        until=datetime(2026, 3, 2, tzinfo=UTC),
    )
    with ledger.write() as tx:
        assert reruns.claim(tx, rerun, trace_id="t" * 32)


@pytest.mark.slow
def test_one_that_is_waited_for_is_given_up_when_the_settings_want_none_any_more(
    forge: ForgeProcess, samples: tuple[SampleRepository, ...], ledger: Ledger, read: Read
) -> None:
    host(forge, samples[3], flaky=True)
    forge.add_fault(RERUN, status=502)  # nobody knows whether it began
    assert planned(read()) == 0
    assert planned(read(rerun=False)) == 1
    assert states(ledger) == [RerunState.UNKNOWN]
    assert awaited(ledger, Settings(), [NAME]) == ()


def test_one_is_waited_for_only_where_failed_checks_are_read(ledger: Ledger) -> None:
    waited_for(ledger)
    waited_for(ledger, "demo/other")
    settings = Settings.model_validate(
        {"repositories": [NAME], "repository": {NAME: {"filters": {"sources": ["open_issues"]}}}}
    )
    assert awaited(ledger, Settings(), [NAME, "demo/other"]) == (NAME, "demo/other")
    assert awaited(ledger, settings, [NAME, "demo/other"]) == ("demo/other",)
    assert states(ledger) == [RerunState.UNKNOWN]
    with ledger.read() as tx:
        assert reruns.waiting(tx, [NAME, "demo/other"]) == ("demo/other",)


def test_one_of_two_readings_at_once_requests_it(ledger: Ledger, clock: Clock) -> None:
    rerun = Rerun(
        repository=NAME,
        head_sha="a" * 40,
        workflow_run=20_000_000_001,
        check_runs=(7,),
        failure=FailureClass.FLAKY,
        reason="it passed before on the same commit",
        requested_at=clock(),
        until=clock(),
    )
    with ledger.write() as tx:
        assert reruns.claim(tx, rerun, trace_id="t")
        assert not reruns.claim(tx, rerun, trace_id="t")
        assert reruns.known(tx, NAME, set()) == {rerun.subject: rerun}
        reruns.record(tx, rerun.model_copy(update={"state": RerunState.PASSED}))
        reruns.record(tx, rerun.model_copy(update={"state": RerunState.FAILED}))
        assert [row.state for row in reruns.known(tx, NAME, {"a" * 40}).values()] == [RerunState.PASSED]
        assert reruns.known(tx, NAME, set()) == {}
