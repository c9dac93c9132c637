"""The ledger's writers killed thousands of times, and sixteen claimers on ten thousand attempts: `make soak`.

`SQUIRE_SOAK_KILLS` sets the kills (5,000), `SQUIRE_SOAK_SEED` repeats the moments at which they are meant to come.
"""

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from squire_pipelines.ledger.integrity import history_problems
from squire_pipelines.ledger.store import Ledger
from tests.support import ledger_load
from tests.support.ledgers import PostgresServer, add_tasks, dispatch, spec, sqlite_ledger_file

KILLS = int(os.environ.get("SQUIRE_SOAK_KILLS", "5000"))
SEED = int(os.environ.get("SQUIRE_SOAK_SEED", str(random.SystemRandom().randrange(2**31))))
ATTEMPTS = 10_000


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_killed_writers_lose_nothing_and_double_nothing(tmp_path: Path, open_at: Callable[..., Ledger]) -> None:
    path = sqlite_ledger_file(tmp_path / "ledger.sqlite")
    ledger = open_at(f"sqlite:///{path}")
    task_ids = add_tasks(ledger, *(spec(f"k{number}") for number in range(4)))
    ledger.close()
    (report,) = ledger_load.together(ledger_load.kill_writers, [(path, task_ids, KILLS, SEED)], wait_s=3500)
    summary = f"seed {SEED}: {report.kills} kills, {len(report.acknowledged)} acknowledged, {report.checks} checks"
    print(summary)  # noqa: T201 - the figure
    assert report.problems == []
    assert report.kills >= KILLS
    assert len(report.acknowledged) > KILLS / 10
    with ledger.read() as tx:
        assert list(history_problems(tx)) == []


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_sixteen_processes_claim_ten_thousand_attempts_each_once(
    database: str, request: pytest.FixtureRequest, tmp_path: Path, open_at: Callable[..., Ledger]
) -> None:
    if database == "sqlite":
        url = f"sqlite:///{sqlite_ledger_file(tmp_path / 'ledger.sqlite')}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.empty_ledger()
    ledger = open_at(url)
    for start in range(0, ATTEMPTS, 1000):
        add_tasks(ledger, *(spec(f"k{number}") for number in range(start, start + 1000)))
    ids = [attempt.id for attempt in dispatch(ledger, concurrent=ATTEMPTS, per_repository=ATTEMPTS, deadline_s=3600)]
    calls = [(url, f"run-{number}", ids) for number in range(16)]
    claimed = ledger_load.together(ledger_load.claim_each, calls, wait_s=1000)
    assert Counter(attempt_id for ids_of_one in claimed for attempt_id in ids_of_one) == Counter(ids)
    with ledger.read() as tx:
        assert list(history_problems(tx)) == []
