"""The places that count: requests to GitHub, refused deliveries, waits for the ledger's lock, ticks of sensors."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
import stamina

from squire_pipelines.errors import GitHubError
from squire_pipelines.github.client import GitHubClient
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.metrics import counting
from squire_pipelines.metrics.folding import read_all
from squire_pipelines.metrics.series import parse_series
from squire_pipelines.planning.conversation import ModelOptions
from squire_pipelines.planning.counted_calls import counted as counted_conversation
from squire_pipelines.planning.model_clients import note_sending, observe_first_piece
from squire_pipelines.sections.services import GitHubSettings
from squire_pipelines.sensors.ticks import counted_ticks
from squire_pipelines.webhooks.refusals import RefusalCounts
from tests.support.counted import counted_in
from tests.support.github_json import API_URL
from tests.support.ledgers import new_sqlite_ledger

Counted = Callable[[], dict[tuple[str, ...], float]]


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    """Count in a folder, and return what was counted."""
    counting.start_counting(tmp_path / "metrics")

    def read() -> dict[tuple[str, ...], float]:
        named = {parse_series(name): value for name, value in read_all(tmp_path / "metrics").values.items()}
        return {
            (series.family.removeprefix("squire_"), *series.labels): value
            for series, value in named.items()
            if series is not None and not series.part
        }

    yield read
    counting.stop_counting()


def test_requests_to_github_are_counted_by_code_and_what_is_sent_again(counted: Counted) -> None:
    answers: list[httpx.Response | Exception] = [
        httpx.Response(200, json={}),
        httpx.ConnectError("nobody"),
        httpx.Response(599, json={}),
        httpx.Response(404, json={"message": "Not Found"}),
    ]

    def play(_request: httpx.Request) -> httpx.Response:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def ask() -> None:
        http = httpx.AsyncClient(transport=httpx.MockTransport(play))
        settings = GitHubSettings(api_url=API_URL, min_write_interval_s=0)
        with stamina.set_testing(True, attempts=3):
            async with GitHubClient(settings, "ghp_" + "a" * 36, http=http) as client:
                await client.get("/user")
                with pytest.raises(GitHubError):
                    await client.get("/nobody")

    asyncio.run(ask())
    assert counted() == {
        ("github_requests_total", "core", "200"): 1,
        ("github_requests_total", "core", "none"): 1,
        ("github_requests_total", "core", "other"): 1,
        ("github_requests_total", "core", "404"): 1,
        ("github_retries_total",): 2,
    }


def test_what_a_planner_asks_again_is_counted(counted: Counted) -> None:
    for asks in (1, 3):
        with counted_conversation(ModelOptions("m"), lambda _call: None, ()) as usage:
            usage.requests = asks
    assert counted() == {("model_retries_total", "plan"): 2}


def test_the_first_piece_of_a_planners_answer_is_timed_and_no_error(tmp_path: Path) -> None:
    hooks: dict[str, list[Callable[..., Any]]] = {"request": [note_sending], "response": [observe_first_piece]}

    async def ask() -> None:
        for status in (200, 500):
            transport = httpx2.MockTransport(lambda _, status=status: httpx2.Response(status))
            async with httpx2.AsyncClient(transport=transport, event_hooks=hooks) as client:
                await client.get("http://model.test/")

    with counted_in(tmp_path / "metrics") as counts:
        asyncio.run(ask())
        assert counts("squire_model_first_token_seconds") == {"plan": 1}


def test_refused_deliveries_are_counted_by_code(counted: Counted, tmp_path: Path) -> None:
    ledger = new_sqlite_ledger(tmp_path / "ledger.sqlite")
    refusals = RefusalCounts(ledger)
    refusals.count(401, "a reason", source="github")
    refusals.count(401, "another reason", source="github")
    refusals.count(418, "no such", source="github")
    ledger.close()
    assert counted() == {("deliveries_refused_total", "401"): 2, ("deliveries_refused_total", "other"): 1}


def test_a_wait_for_the_ledgers_lock_is_counted_and_a_free_lock_is_not(counted: Counted, tmp_path: Path) -> None:
    ledger = new_sqlite_ledger(tmp_path / "ledger.sqlite")
    other = Ledger(f"sqlite:///{ledger.path}")
    began = threading.Event()

    def hold() -> None:
        with other.write():
            began.set()
            time.sleep(0.05)

    thread = threading.Thread(target=hold)
    thread.start()
    assert began.wait(10)
    with ledger.write():
        pass
    with ledger.write():
        pass
    thread.join()
    ledger.close()
    other.close()
    values = read_all(tmp_path / "metrics").values
    counts = [value for name, value in values.items() if name.startswith("+squire_ledger_lock_wait_seconds|le=")]
    assert sum(counts) == 1
    assert counted() == {}


def test_ticks_are_counted_whether_a_sensor_returns_yields_or_fails(counted: Counted) -> None:
    @counted_ticks("dispatch")
    def returns(number: int) -> int:
        return number

    @counted_ticks("outcomes")
    def yields(number: int) -> Iterator[int]:
        yield number
        yield number + 1

    @counted_ticks("reaper")
    def fails() -> Iterator[int]:
        yield 1
        raise ValueError("it failed")

    before = time.time()
    assert returns(4) == 4
    assert list(yields(4)) == [4, 5]
    with pytest.raises(ValueError, match="it failed"):
        list(fails())
    values = counted()
    assert {key: value for key, value in values.items() if key[0] == "sensor_ticks_total"} == {
        ("sensor_ticks_total", "dispatch", "ok"): 1,
        ("sensor_ticks_total", "outcomes", "ok"): 1,
        ("sensor_ticks_total", "reaper", "failed"): 1,
    }
    assert before <= values["sensor_last_tick_timestamp_seconds", "dispatch"] <= time.time()
