from urllib.parse import urlencode

import dagster as dg
import pytest
from sqlalchemy import Table, select

from squire_forge.process import ForgeProcess
from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.domain.failures import FailureClass
from squire_pipelines.domain.reruns import Rerun, RerunState
from squire_pipelines.domain.signals import CollectionStatus, Signal, Source
from squire_pipelines.ledger import collections, deliveries, reruns
from squire_pipelines.ledger.tables import collections as collection_rows
from squire_pipelines.ledger.tables import deliveries as delivery_rows
from squire_pipelines.ledger.tables import plans as plan_rows
from squire_pipelines.ledger.tables import signal_episodes, signal_events
from squire_pipelines.ledger.tables import tasks as task_rows
from squire_pipelines.partitions import ensure_repositories
from tests.support.deliveries import record_delivery
from tests.support.pipeline import ALL, BOARD, HANDBOOK, LEDGERLIB, QUIET, TRACE, Pipeline, checks, materialized


@pytest.mark.slow
def test_one_run_reports_each_source_of_each_repository_with_its_check(pipeline: Pipeline) -> None:
    done = pipeline.collect()
    reported = materialized(done)
    assert set(reported) == {(source.value, name) for source in Source for name in ALL} | {("summary", None)}
    seen = checks(done)
    assert set(seen) == {(source.value, "source_answered", name) for source in Source for name in ALL}
    assert all(verdict.passed for verdict in seen.values())
    web = pipeline.settings.github.web_url
    of_repositories = {name: events for (_, name), events in reported.items() if name is not None}
    of_repositories |= {name: verdict.metadata for (_, _, name), verdict in seen.items() if name is not None}
    for name, metadata in of_repositories.items():
        page = urlencode({"repository": name, "all": "1"})
        assert metadata["board"].value == f"{BOARD}/signals?{page}"
        assert metadata["github"].value == f"{web}/{name}"
    failing = reported["failed_ci", LEDGERLIB]
    assert failing["signals"].value == 1
    assert failing["trace_id"].value == TRACE
    assert [column.name for column in failing["preview"].schema.columns] == ["signal", "title", "link"]
    summary = reported["summary", None]
    assert summary["repositories"].value == len(ALL)
    assert summary["board"].value == f"{BOARD}/signals?all=1"
    assert summary["sources_not_answering"].value == 0


@pytest.mark.slow
def test_the_events_are_kept_per_partition(pipeline: Pipeline) -> None:
    pipeline.collect()
    for source in Source:
        key = dg.AssetKey(["signals", source.value])
        assert set(pipeline.instance.get_materialized_partitions(key)) == set(ALL)


@pytest.mark.slow
def test_a_repository_that_does_not_answer_fails_its_checks_and_nobody_elses(pipeline: Pipeline) -> None:
    done = pipeline.collect(LEDGERLIB, "demo/none", QUIET)
    seen = checks(done)
    assert {name for (_, _, name), verdict in seen.items() if not verdict.passed} == {"demo/none"}
    assert "demo/none" in (seen["open_prs", "source_answered", "demo/none"].description or "")
    reported = materialized(done)
    assert not [name for (_, name) in reported if name == "demo/none"]
    assert reported["summary", None]["sources_not_answering"].value == len(Source)
    assert "demo/none" in str(reported["summary", None]["not_answering"].value)
    with pipeline.ledger.read() as tx:
        readings = {(row.repository, row.status) for row in collections.latest(tx, ["demo/none", LEDGERLIB])}
    assert readings == {("demo/none", CollectionStatus.FAILED), (LEDGERLIB, CollectionStatus.FRESH)}


@pytest.mark.slow
def test_a_source_that_stops_answering_keeps_its_last_signals_and_is_stale(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    pipeline.collect(HANDBOOK)
    forge.add_fault("Issues|RepositorySignals", status=502, times=1000)
    done = pipeline.collect(HANDBOOK)
    assert {source for (source, _, _), verdict in checks(done).items() if not verdict.passed} == {"open_issues"}
    with pipeline.ledger.read() as tx:
        status = {row.source: (row.status, row.signals) for row in collections.latest(tx, [HANDBOOK])}
        titles = [signal.title for signal in collections.active_signals(tx, HANDBOOK)]
    assert status[Source.OPEN_ISSUES] == (CollectionStatus.STALE, 2)
    assert status[Source.OPEN_PRS] == (CollectionStatus.UNCHANGED, 1)
    assert "Broken links and typos in the handbook" in titles
    assert "2 (stale)" in str(materialized(done)["summary", None]["preview"].value).replace("\\", "")


@pytest.mark.slow
def test_the_summary_is_reported_when_nothing_has_changed_too(pipeline: Pipeline) -> None:
    pipeline.collect(QUIET)
    done = pipeline.collect(QUIET)
    reported = materialized(done)
    assert ("summary", None) in reported
    assert reported["open_prs", QUIET]["status"].value == "unchanged"


@pytest.mark.slow
def test_what_a_look_finds_unchanged_is_a_row_and_no_event(pipeline: Pipeline, forge: ForgeProcess) -> None:
    pipeline.collect()
    issues = {repository["name"]: repository["issues"] for repository in forge.state()["repositories"]}
    forge.act_as(HANDBOOK, "mara", permission="admin", number=issues[HANDBOOK][0]["number"], title="Other links")
    with pipeline.ledger.write() as tx:
        for repository, newest in collections.unplanned(tx).items():
            collections.mark_planned(tx, repository, newest)
        asked = deliveries.request_collection(tx, ALL, source=DeliverySource.COMMAND, trace_id=TRACE)
    done = pipeline.collect(fresh=False, deliveries=asked)
    # Nothing else is new there, so that it is told in rows.
    assert set(materialized(done)) == {("open_issues", HANDBOOK), ("summary", None)}
    assert set(checks(done)) == {("open_issues", "source_answered", HANDBOOK)}
    with pipeline.ledger.read() as tx:
        quiet = {row.status for row in collections.latest(tx, [QUIET])}
        assert set(collections.unplanned(tx)) == set(ALL)  # a person who asks may have added a task of their own
    assert quiet == {CollectionStatus.UNCHANGED}
    assert {name for _, name in materialized(pipeline.collect(fresh=False))} == {None}
    assert materialized(done)["summary", None]["quota_left_graphql"].value > 0


@pytest.mark.slow
def test_a_cycle_reports_a_source_that_fails_each_time_and_when_it_answers_again(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    def look() -> dict[tuple[str, str, str | None], bool]:
        with pipeline.ledger.write() as tx:
            asked = deliveries.request_collection(tx, [HANDBOOK], source="github", trace_id=TRACE)
        done = pipeline.collect(HANDBOOK, fresh=False, deliveries=asked)
        return {name: verdict.passed for name, verdict in checks(done).items()}

    pipeline.collect(HANDBOOK)
    failing = ("open_issues", "source_answered", HANDBOOK)
    forge.add_fault("Issues|RepositorySignals", status=502, times=1000)
    assert [look(), look()] == [{failing: False}] * 2
    forge.clear_faults()
    assert look() == {failing: True}
    assert look() == {}


@pytest.mark.slow
def test_deliveries_that_asked_are_marked_as_collected(pipeline: Pipeline) -> None:
    with pipeline.ledger.write() as tx:
        asked = deliveries.request_collection(tx, [QUIET, HANDBOOK], source="cli", trace_id=TRACE)
    pipeline.collect(QUIET, deliveries=asked[:1])
    with pipeline.ledger.read() as tx:
        assert deliveries.still_open(tx, asked) == asked[1:]


@pytest.mark.slow
def test_deliveries_that_are_read_together_keep_their_own_traces_to_the_tasks(pipeline: Pipeline) -> None:
    with pipeline.ledger.write() as tx:
        (first,) = deliveries.request_collection(tx, [LEDGERLIB], source="github", trace_id="1" * 32)
        (second,) = deliveries.request_collection(tx, [HANDBOOK], source="github", trace_id="2" * 32)
        (third,) = deliveries.request_collection(tx, [HANDBOOK], source="github", trace_id="3" * 32)
    pipeline.collect(LEDGERLIB, HANDBOOK, QUIET, deliveries=[first, second, third])
    pipeline.plan(LEDGERLIB, HANDBOOK, QUIET)
    own = {LEDGERLIB: "1" * 32, HANDBOOK: "2" * 32, QUIET: TRACE}
    for table in (collection_rows, signal_events, plan_rows, task_rows):
        assert _traces(pipeline, table).items() <= own.items()
    assert _traces(pipeline, collection_rows) == _traces(pipeline, plan_rows) == own
    assert set(_traces(pipeline, task_rows)) >= {LEDGERLIB, HANDBOOK}
    with pipeline.ledger.read() as tx:
        rows = tx.execute(select(delivery_rows.c.trace_id, delivery_rows.c.collected_trace_id)).all()
    assert {tuple(row) for row in rows} == {("1" * 32, "1" * 32), ("2" * 32, "2" * 32), ("3" * 32, "2" * 32)}


def _traces(pipeline: Pipeline, table: Table) -> dict[str, str]:
    """The one trace of each repository's rows."""
    if table is signal_events:
        query = select(signal_episodes.c.repository, signal_events.c.trace_id).join(
            signal_episodes, signal_episodes.c.id == signal_events.c.episode_id
        )
    else:
        query = select(table.c.repository, table.c.trace_id)
    with pipeline.ledger.read() as tx:
        pairs = {(row.repository, row.trace_id) for row in tx.execute(query)}
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@pytest.mark.slow
def test_a_webhook_about_a_repository_that_does_not_answer_is_taken_again(pipeline: Pipeline) -> None:
    stored = [
        record_delivery(
            pipeline.ledger,
            source="github",
            delivery_id=name,
            event="issues",
            action="opened",
            repository=name,
            body=b"{}",
        ).id
        for name in ("demo/none", QUIET)
    ]
    pipeline.collect("demo/none", QUIET, deliveries=stored)
    with pipeline.ledger.read() as tx:
        assert deliveries.still_open(tx, stored) == (stored[0],)


@pytest.mark.slow
def test_a_run_over_one_partition_as_the_ui_starts_it_reads_that_repository(pipeline: Pipeline) -> None:
    ensure_repositories(pipeline.instance, ALL)
    done = pipeline.run("collect", partition_key=QUIET)
    assert {name for asset, name in materialized(done) if asset != "summary"} == {QUIET}


@pytest.mark.slow
def test_a_run_of_one_source_reads_that_source_alone(pipeline: Pipeline) -> None:
    ensure_repositories(pipeline.instance, ALL)
    done = pipeline.run("collect", partition_key=HANDBOOK, asset_selection=[dg.AssetKey(["signals", "open_issues"])])
    assert set(checks(done)) == {("open_issues", "source_answered", HANDBOOK)}
    with pipeline.ledger.read() as tx:
        assert [row.source for row in collections.latest(tx, [HANDBOOK])] == [Source.OPEN_ISSUES]


@pytest.mark.slow
def test_a_token_that_is_not_accepted_is_a_failed_reading_not_an_empty_one(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", "ghp_" + "w" * 36)
    done = pipeline.collect(QUIET)
    assert not any(verdict.passed for verdict in checks(done).values())
    with pipeline.ledger.read() as tx:
        assert {row.status for row in collections.latest(tx, [QUIET])} == {CollectionStatus.FAILED}


@pytest.mark.slow
def test_log_of_a_failed_check_is_kept_with_its_signal_and_read_once(pipeline: Pipeline, forge: ForgeProcess) -> None:
    pipeline.collect(LEDGERLIB)
    with pipeline.ledger.read() as tx:
        (evidence,) = collections.known_evidence(tx, LEDGERLIB).values()
    assert evidence.log is not None
    assert "##[error]Process completed with exit code 1." in evidence.log.text
    assert [note.path for note in evidence.annotations] == ["ledgerlib/money.py"]
    forge.add_fault("actions/jobs|annotations", status=410, times=10)
    pipeline.collect(LEDGERLIB)
    with pipeline.ledger.read() as tx:
        assert list(collections.known_evidence(tx, LEDGERLIB).values()) == [evidence]


@pytest.mark.slow
def test_repository_whose_second_run_is_waited_for_is_read_though_it_looks_unchanged(pipeline: Pipeline) -> None:
    pipeline.collect()
    with pipeline.ledger.write() as tx:
        rerun = Rerun(
            repository=QUIET,
            head_sha="a" * 40,
            workflow_run=999,
            failure=FailureClass.INFRASTRUCTURE,
            reason="its runner was lost",
            requested_at=tx.now,
            until=tx.now,
        )
        assert reruns.claim(tx, rerun, trace_id=TRACE)
        assert reruns.waiting(tx, [QUIET, HANDBOOK]) == (QUIET,)
    pipeline.collect(fresh=False)
    with pipeline.ledger.read() as tx:
        assert [known.state for known in reruns.known(tx, QUIET, {"a" * 40}).values()] == [RerunState.UNKNOWN]
    assert {name for _, name in materialized(pipeline.collect(fresh=False))} == {None}


@pytest.mark.slow
def test_a_tighter_setting_is_obeyed_with_the_next_collection_though_nothing_has_changed(pipeline: Pipeline) -> None:
    def refs_that_may_start() -> set[str]:
        with pipeline.ledger.read() as tx:
            signals = collections.active_signals(tx, HANDBOOK)
        return {signal.ref for signal in signals if signal.verdict and signal.verdict.may_start}

    pipeline.configure("[collection]\nttl_s = 0\n")
    pipeline.collect(HANDBOOK)
    before = refs_that_may_start()
    pipeline.collect(HANDBOOK, fresh=False)
    assert refs_that_may_start() == before
    pipeline.configure('[collection]\nttl_s = 0\n[trust]\nmin_permission = "admin"\nbots = []\n')
    pipeline.collect(HANDBOOK, fresh=False)
    assert refs_that_may_start() < before


@pytest.mark.slow
def test_a_person_whom_github_said_nothing_about_is_asked_about_again(pipeline: Pipeline, forge: ForgeProcess) -> None:
    def labelled_issue() -> Signal:
        with pipeline.ledger.read() as tx:
            signals = collections.active_signals(tx, HANDBOOK)
        return next(signal for signal in signals if signal.title.startswith("Broken links"))

    forge.add_fault("GET .*/permission", status=502, times=1000)
    pipeline.collect(HANDBOOK)
    unknown = labelled_issue()
    assert unknown.verdict is not None
    assert (unknown.verdict.may_start, "what @mira may do here is not known" in unknown.verdict.reason) == (False, True)
    forge.clear_faults()
    pipeline.collect(HANDBOOK, fresh=False)
    known = labelled_issue()
    assert known.verdict is not None
    assert known.verdict.may_start
