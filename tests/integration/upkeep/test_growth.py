"""What grows is counted and compared with its bound, and the doctor says what is beyond it."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from squire_pipelines.cli.doctor.growth import judge_sizes
from squire_pipelines.domain.alert_steps import AlertStep
from squire_pipelines.domain.alert_texts import AlertMessage
from squire_pipelines.ledger import alerts, heard_remarks
from squire_pipelines.ledger.alerts import QueueBounds
from squire_pipelines.ledger.retention import OF_THEMSELVES
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.settings.model import Settings
from squire_pipelines.upkeep.growth import MAX_OF_GONE_TASKS, Growth, measure_growth
from tests.support.deliveries import record_delivery
from tests.support.ledgers import Clock
from tests.support.years import fill

DAY = 86_400


@pytest.fixture
def settings() -> Settings:
    return Settings.model_validate({"retention": {"max_runs": 100}, "github": {"max_kept_answers": 100}})


def by_name(settings: Settings, ledger: Ledger | None = None, *, now: float = 0) -> dict[str, Growth]:
    return {growth.name: growth for growth in measure_growth(settings, ledger, now=lambda: now)}


def make(path: Path, *, at: float = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (at, at))


def test_a_new_home_has_nothing(settings: Settings) -> None:
    assert {growth.count for growth in by_name(settings).values()} == {0}
    assert [line.message for line in judge_sizes(())] == ["nothing has grown yet"]


def test_what_is_there_is_counted_and_what_is_overdue_too(settings: Settings) -> None:
    home = settings.home
    for number in range(3):
        make(home.attempts / f"a-{number}" / "prompt.md")
        os.utime(home.attempts / f"a-{number}", (number * DAY, number * DAY))
        make(home.mirrors / f"acme+{number}.git" / "HEAD", at=number * DAY)
        make(home.metrics / f"process-{number}.values")
        make(home.setups / f"{number}.tar")
    for number in range(101):
        make(home.answers / f"{number}")
    sizes = by_name(settings, now=11 * DAY)
    assert str(sizes["folders of attempts"]) == "3 folders of attempts, 2 of them overdue"
    assert str(sizes["mirrors"]) == "3 mirrors"
    assert str(sizes["files of counters"]) == "3 of 1024 files of counters"
    assert str(sizes["sets of dependencies"]) == "3 of 20 sets of dependencies"
    assert {name for name, size in sizes.items() if size.is_beyond} == {"folders of attempts", "answers of GitHub"}
    assert by_name(settings, now=34 * DAY)["mirrors"].overdue == 2


def test_runs_are_counted_where_dagster_keeps_them_in_its_file(settings: Settings) -> None:
    database = settings.home.dagster / "history" / "runs.db"
    make(database)
    assert by_name(settings)["runs of Dagster"].count == 0  # it is being made
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE runs (id)")
        connection.executemany("INSERT INTO runs VALUES (?)", [(number,) for number in range(101)])
        connection.commit()
    assert by_name(settings)["runs of Dagster"].is_beyond
    shutil.rmtree(settings.home.dagster)


def test_rows_that_should_be_in_the_archive_are_beyond_their_bound(settings: Settings, tmp_path: Path) -> None:
    clock = Clock()
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", clock=clock)
    ledger.ensure_schema()
    fill(ledger, days=8, tasks=20)
    assert by_name(settings, ledger)["tasks to archive"].count == 0
    clock.forward(10 * DAY)
    sizes = by_name(settings, ledger)
    assert sizes["tasks to archive"].is_beyond
    assert {f"{table.replace('_', ' ')} to archive" for table in ("tasks", *OF_THEMSELVES)} <= sizes.keys()
    ledger.close()


def test_what_is_bounded_by_number_or_age_in_the_ledger_is_counted(settings: Settings, tmp_path: Path) -> None:
    clock = Clock()
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", clock=clock)
    ledger.ensure_schema()
    with ledger.write() as tx:
        for _ in range(2):
            alerts.record_step(tx, AlertStep(), AlertMessage("title", "body"), ("ops",), QueueBounds())
        alerts.add_silence(tx, "budget", until=clock.now, reason="", actor="ann", trace_id=None)
    make(settings.home.backups / "squire-20260301T000000Z.tar.gz")
    asks_nothing = {"source": "github", "event": "star", "action": None, "repository": None, "relevant": False}
    record_delivery(ledger, delivery_id="d-1", body=os.urandom(2**20), **asks_nothing)
    sizes = by_name(settings, ledger)
    assert str(sizes["MiB of bodies of deliveries"]) == "1 of 2048 MiB of bodies of deliveries"
    assert str(sizes["alerts that wait for ops"]) == "2 of 101 alerts that wait for ops"
    assert str(sizes["backups"]) == "1 of 7 backups"
    with ledger.write() as tx:
        for number in range(2):
            heard_remarks.begin(tx, f"gone-{number}")
    gone = by_name(settings, ledger)["heard remarks of tasks that are gone"]
    assert (gone.count, gone.most) == (2, MAX_OF_GONE_TASKS)
    assert not [name for name, size in sizes.items() if size.is_beyond]
    clock.forward(93 * DAY)
    assert by_name(settings, ledger)["alert silences to delete"].is_beyond
    ledger.close()
    shutil.rmtree(settings.home.backups)


def test_the_doctor_says_what_is_within_and_what_is_beyond() -> None:
    lines = list(
        judge_sizes(
            [
                Growth("runs", 5, 10, 0, "the job does it"),
                Growth("mirrors", 0, None, 0, "likewise"),
                Growth("answers", 12, 10, 0, "remove the folder"),
            ]
        )
    )
    assert [(line.status, line.message, line.next_step) for line in lines] == [
        ("ok", "5 of 10 runs", ""),
        ("warn", "more than there should be: 12 of 10 answers", "remove the folder"),
    ]
