"""`squire signals collect`: read now, by the daemon that serves the home or by a child of its own."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import func, select

from squire_forge.process import ForgeProcess
from squire_pipelines.cli.main import cli
from squire_pipelines.domain.looks import KnownRepository, RepositoryState
from squire_pipelines.domain.signals import CollectionStatus, Source
from squire_pipelines.errors import ExitCode
from squire_pipelines.ledger import collections, deliveries, plans, repositories
from squire_pipelines.ledger.audit import audit_page
from squire_pipelines.ledger.collections import RecordedCollection
from squire_pipelines.ledger.tables import collections as collections_table
from squire_pipelines.read_inbox import read_inbox
from squire_pipelines.runtime import reading
from squire_pipelines.runtime.home_lock import home_lock
from squire_pipelines.sections.signals import CollectionSettings
from tests.support.children import PATIENCE_S
from tests.support.ledgers import reading as empty_reading
from tests.support.pipeline import HANDBOOK, LEDGERLIB, QUIET, TRACE, Pipeline


def squire(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words), prog_name="squire")


@contextmanager
def daemon_that_reads(pipeline: Pipeline) -> Iterator[None]:
    """Another process that serves the home: here a thread that holds it and reads what the inbox asks for."""
    over, taken = threading.Event(), threading.Event()

    def work() -> None:
        with home_lock(pipeline.settings.home.run):
            taken.set()
            while not over.wait(0.05):
                read_inbox(pipeline.instance)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        assert taken.wait(PATIENCE_S)
        yield
    finally:
        over.set()
        worker.join(PATIENCE_S)


@pytest.mark.slow
def test_repositories_are_read_and_each_source_is_counted(pipeline: Pipeline) -> None:
    with daemon_that_reads(pipeline):
        result = squire("signals", "collect", HANDBOOK, QUIET)
    assert result.exit_code == 0, result.output
    assert f"{HANDBOOK}: open_prs 1, 1 changed; failed_ci 0" in result.output
    assert f"{QUIET}: " in result.output
    with pipeline.ledger.read() as tx:
        assert {row.repository for row in collections.latest(tx, [HANDBOOK, QUIET, LEDGERLIB])} == {HANDBOOK, QUIET}
        assert plans.latest(tx, HANDBOOK) is None


@pytest.mark.slow
def test_a_source_that_does_not_answer_is_named_and_fails_the_command(pipeline: Pipeline, forge: ForgeProcess) -> None:
    forge.add_fault("Issues|RepositorySignals", status=502, times=1000)
    with daemon_that_reads(pipeline):
        result = squire("signals", "collect", HANDBOOK, "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["read"] is True
    status = {row["source"]: row["status"] for row in document["readings"]}
    assert status["open_issues"] == "failed"
    assert status["open_prs"] == "fresh"


def statuses(result: Result) -> set[str]:
    assert result.exit_code == 0, result.output
    return {row["status"] for row in json.loads(result.stdout)["readings"]}


def readings_with_requests(pipeline: Pipeline) -> int:
    with pipeline.ledger.read() as tx:
        read = select(func.count()).select_from(collections_table).where(collections_table.c.requests > 0)
        return int(tx.execute(read).scalar_one())


@pytest.mark.slow
def test_what_has_not_changed_is_told_too_and_is_read_again_only_when_asked(pipeline: Pipeline) -> None:
    with daemon_that_reads(pipeline):
        assert statuses(squire("signals", "collect", HANDBOOK, "--json")) == {"fresh"}
        for _ in range(2):  # the second moves the time of the first one's rows on
            before = readings_with_requests(pipeline)
            assert statuses(squire("signals", "collect", HANDBOOK, "--json")) == {"unchanged"}
            assert readings_with_requests(pipeline) == before
        assert statuses(squire("signals", "collect", HANDBOOK, "--json", "--fresh")) == {"unchanged"}
        assert readings_with_requests(pipeline) > before


@pytest.mark.slow
def test_a_repository_that_was_replaced_is_read_when_a_person_accepts_it(pipeline: Pipeline) -> None:
    with pipeline.ledger.write() as tx:
        repositories.record(tx, [KnownRepository(HANDBOOK, github_id=999_999_999)])
    with daemon_that_reads(pipeline):
        refused = squire("signals", "collect", HANDBOOK)
        assert refused.exit_code == 1
        assert f"squire signals collect {HANDBOOK} --accept-replaced" in refused.output
        assert statuses(squire("signals", "collect", HANDBOOK, "--json", "--accept-replaced")) == {"fresh"}
    with pipeline.ledger.read() as tx:
        actions = [entry.action for entry in audit_page(tx)]
    assert [action for action in actions if not action.startswith("secret.")] == ["repository.accepted"]


@pytest.mark.slow
def test_a_missing_repository_is_one_line_and_a_renamed_one_says_its_name(pipeline: Pipeline) -> None:
    pipeline.repositories = (*pipeline.repositories, "demo/none")
    pipeline.configure()
    with daemon_that_reads(pipeline):
        result = squire("signals", "collect", "demo/none")
        lines = [line for line in result.output.splitlines() if line.startswith("demo/none")]
        assert len(lines) == 1
        assert lines[0].startswith("demo/none: not read: there is no repository demo/none")
        document = json.loads(squire("signals", "collect", "demo/none", "--json").stdout)
    (state,) = document["repositories"]
    assert (state["repository"], state["state"]) == ("demo/none", "missing")


def test_what_a_look_found_under_a_name_follows_its_counts() -> None:
    read = RecordedCollection(
        id=1,
        repository=QUIET,
        source=Source.OPEN_PRS,
        status=CollectionStatus.FRESH,
        signals=2,
        changed=0,
        error=None,
        run_id=None,
        ended_at=datetime(2026, 3, 1, tzinfo=UTC),
    )
    silent = replace(read, id=2, status=CollectionStatus.STALE, error="GitHub said 502")
    known = KnownRepository(QUIET, 1, "new/name", RepositoryState.RENAMED, f"{QUIET} is now new/name")
    assert reading.describe(QUIET, [read, silent, replace(silent, source=Source.FAILED_CI)], known) == [
        f"{QUIET}: open_prs 2",
        f"{QUIET}: did not answer: open_prs (stale), failed_ci (stale): GitHub said 502",
        f"{QUIET} is now new/name",
    ]


def test_a_source_that_is_recorded_after_the_others_is_said_and_none_twice(
    quiet_pipeline: Pipeline,
) -> None:
    lines: list[str] = []
    progress = reading.ReadingProgress(quiet_pipeline.ledger, [QUIET], say=lines.append)

    def record(source: Source) -> None:
        with quiet_pipeline.ledger.write() as tx:
            read = empty_reading(repository=QUIET, source=source)
            collections.record(tx, read, trace_id=TRACE, run_id=None)

    record(Source.OPEN_PRS)
    progress.look()
    assert lines == []  # others may follow
    progress.look()
    assert lines == [f"{QUIET}: open_prs 0"]
    record(Source.FAILED_CI)
    progress.look()
    with quiet_pipeline.ledger.write() as tx:  # a look that finds nothing new moves the time of the newest rows on
        tx.execute(collections_table.update().values(ended_at=tx.now))
    progress.look(last=True)
    assert lines[1:] == [f"{QUIET}: failed_ci 0"]


@pytest.mark.slow
def test_what_was_not_read_in_time_stays_in_the_inbox(pipeline: Pipeline) -> None:
    with home_lock(pipeline.settings.home.run):
        result = squire("signals", "collect", QUIET, "--timeout", "1")
    assert result.exit_code == 1
    assert "stays in the inbox" in result.output
    with pipeline.ledger.write() as tx:
        assert [due.repository for due in deliveries.take_for_collection(tx, deliveries.RequestRule(0, 5))] == [QUIET]


@pytest.mark.slow
def test_without_a_daemon_a_child_reads_and_nothing_is_planned(pipeline: Pipeline) -> None:
    result = squire("signals", "collect", LEDGERLIB, "--json")
    assert result.exit_code == 0, result.output
    assert {row["repository"] for row in json.loads(result.stdout)["readings"]} == {LEDGERLIB}
    with pipeline.ledger.read() as tx:
        assert collections.active_signals(tx, LEDGERLIB)
        assert plans.latest(tx, LEDGERLIB) is None


@pytest.mark.slow
@pytest.mark.usefixtures("pipeline")
def test_a_child_that_ends_before_all_is_read_is_told_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "READ_INBOX", ["sh", "-c", "echo no room left; exit 3"])
    result = squire("signals", "collect", QUIET)
    assert result.exit_code == ExitCode.NOT_REACHABLE
    assert "no room left" in result.stderr


def test_what_another_asked_for_is_read_along(quiet_pipeline: Pipeline) -> None:
    with quiet_pipeline.ledger.write() as tx:
        asked = deliveries.request_collection(tx, [QUIET], source="github", trace_id=TRACE)
    read_inbox(quiet_pipeline.instance)
    with quiet_pipeline.ledger.read() as tx:
        assert deliveries.still_open(tx, asked) == asked  # the forge is not there: a delivery is taken up again


def test_watching_reads_again_until_the_person_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "seconds_to_next", lambda _settings, _now: 0.0)
    codes = [ExitCode.DONE, ExitCode.FAILED]

    def read_once() -> ExitCode:
        if not codes:
            raise KeyboardInterrupt
        return codes.pop(0)

    lines: list[str] = []
    assert reading.watch(CollectionSettings(), read_once, say=lines.append) is ExitCode.FAILED
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        (CollectionSettings(schedule="30 6 * * *", time_zone="Europe/Zurich"), 3.5 * 3600),  # 4:30 in UTC in summer
        (CollectionSettings(interval_s=3600), 3600),
        (CollectionSettings(schedule="*/10 * * * *", quiet_hours="00:00-12:00"), 11 * 3600),
        (CollectionSettings(interval_s=600, quiet_hours="22:00-06:30"), 5.5 * 3600),
    ],
)
def test_watching_waits_for_the_next_time_of_the_settings(settings: CollectionSettings, seconds: float) -> None:
    assert reading.seconds_to_next(settings, datetime(2026, 7, 1, 1, 0, tzinfo=UTC)) == seconds
