"""Readings of sources: when they are fresh, unchanged, stale or failed, and what they leave known."""

from datetime import datetime

import pytest
from sqlalchemy import select, update

from squire_pipelines.domain.evidence import JobLog, SignalEvidence
from squire_pipelines.domain.signals import Collection, CollectionStatus, Source
from squire_pipelines.ledger import collections, tasks
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.ledger.tables import collections as table
from squire_pipelines.ledger.tables import signals
from tests.support.ledgers import (
    REPOSITORY,
    TRACE,
    Clock,
    add_old_request,
    add_tasks,
    collect,
    issue,
    reading,
    spec,
    wish,
)
from tests.support.signal_samples import failed_check

FAILED, STALE = CollectionStatus.FAILED, CollectionStatus.STALE
FRESH, UNCHANGED = CollectionStatus.FRESH, CollectionStatus.UNCHANGED


def known(ledger: Ledger, repository: str = REPOSITORY) -> list[str]:
    with ledger.read() as tx:
        return [f"{signal.key}@{signal.version}" for signal in collections.active_signals(tx, repository)]


def test_the_first_reading_is_fresh_and_the_same_again_is_unchanged(ledger: Ledger) -> None:
    first = collect(ledger, issue(1), issue(2))
    again = collect(ledger, issue(2), issue(1))
    assert (first.status, first.signals, first.changed) == (FRESH, 2, 2)
    assert (again.status, again.signals, again.changed) == (UNCHANGED, 2, 0)
    assert known(ledger) == ["1@v1", "2@v1"]


def test_a_signal_of_another_version_is_left_out_until_it_is_read_again(ledger: Ledger) -> None:
    collect(ledger, issue(1), issue(2), issue(3))
    with ledger.write() as tx:
        stored = tx.execute(select(signals.c.signal).where(signals.c.key == "2")).scalar_one()
        for key, odd in (("2", stored | {"mood": "good"}), ("3", stored | {"details": {"kind": "of_the_future"}})):
            tx.execute(update(signals).where(signals.c.key == key).values(signal=odd))
    assert known(ledger) == ["1@v1", "2@v1"]
    collect(ledger, issue(1), issue(2), issue(3))
    assert known(ledger) == ["1@v1", "2@v1", "3@v1"]


def test_a_first_reading_that_shows_nothing_is_fresh_and_not_failed(ledger: Ledger) -> None:
    assert collect(ledger).status is FRESH
    assert collect(ledger).status is UNCHANGED


def test_new_changed_and_gone_signals_are_each_a_change(ledger: Ledger) -> None:
    collect(ledger, issue(1), issue(2), issue(3))
    later = collect(ledger, issue(1), issue(2, version="v2"), issue(4))
    assert (later.status, later.changed, later.signals) == (FRESH, 3, 3)
    assert known(ledger) == ["1@v1", "2@v2", "4@v1"]


def test_a_signal_that_went_comes_back_with_its_first_sight_kept(ledger: Ledger, clock: Clock) -> None:
    first = clock.now
    collect(ledger, issue(1))
    clock.forward(10)
    collect(ledger)
    assert known(ledger) == []
    back = clock.forward(10)
    assert collect(ledger, issue(1)).changed == 1
    with ledger.read() as tx:
        row = tx.execute(select(signals)).one()
    assert (row.first_seen_at, row.last_seen_at, row.gone_at) == (first, back, None)


def test_a_failure_before_any_reading_is_failed_and_never_no_signals(ledger: Ledger) -> None:
    first = collect(ledger, status=FAILED)
    assert (first.status, first.error) == (FAILED, "GitHub did not answer")
    assert collect(ledger, status=FAILED).status is FAILED


@pytest.mark.parametrize("status", [FAILED, STALE])
def test_a_failure_after_a_reading_is_stale_and_keeps_what_was_known(ledger: Ledger, status: CollectionStatus) -> None:
    collect(ledger, issue(1))
    stale = collect(ledger, status=status)
    assert (stale.status, stale.signals, stale.changed) == (STALE, 1, 0)
    assert collect(ledger, status=status).status is STALE
    assert known(ledger) == ["1@v1"]


def test_a_failure_of_one_source_is_not_another_sources_staleness(ledger: Ledger) -> None:
    collect(ledger, issue(1))
    assert collect(ledger, status=FAILED, source=Source.OPEN_PRS).status is FAILED
    assert collect(ledger, status=FAILED, repository="acme/other").status is FAILED


def test_a_truncated_reading_keeps_what_it_does_not_show(ledger: Ledger) -> None:
    collect(ledger, issue(1), issue(2))
    cut = collect(ledger, issue(2, version="v2"), issue(3), truncated=True)
    assert (cut.changed, cut.signals) == (2, 3)
    assert known(ledger) == ["1@v1", "2@v2", "3@v1"]


def test_a_reading_touches_only_its_own_source_and_repository(ledger: Ledger) -> None:
    collect(ledger, issue(1))
    collect(ledger, issue(9, repository="acme/other"), repository="acme/other")
    collect(ledger, source=Source.OPEN_PRS)
    assert known(ledger) == ["1@v1"]
    assert known(ledger, "acme/other") == ["9@v1"]


def test_of_two_signals_with_one_key_the_later_counts(ledger: Ledger) -> None:
    assert collect(ledger, issue(1, version="v1"), issue(1, version="v2")).changed == 1
    assert known(ledger) == ["1@v2"]
    assert collect(ledger, issue(1, version="v2")).status is UNCHANGED


def test_long_keys_are_kept_whole(ledger: Ledger) -> None:
    long = issue(1).model_copy(update={"key": "check " * 100, "version": "v" * 300})
    assert collect(ledger, long).changed == 1
    assert collect(ledger, long).status is UNCHANGED


def test_a_signal_comes_back_as_it_was_read(ledger: Ledger) -> None:
    signal = issue(1, title="Ümläute & \x00 half \ud83d")
    collect(ledger, signal)
    with ledger.read() as tx:
        assert collections.active_signals(tx, REPOSITORY) == (signal,)


def test_repositories_are_unplanned_until_a_plan_has_looked_at_their_newest_reading(
    ledger: Ledger, clock: Clock
) -> None:
    collect(ledger, issue(1))
    newest = collect(ledger, source=Source.OPEN_PRS).id
    other = collect(ledger, repository="acme/other").id
    with ledger.read() as tx:
        assert collections.unplanned(tx) == {REPOSITORY: newest, "acme/other": other}
        assert list(collections.unplanned(tx, limit=1)) == [REPOSITORY]
    clock.forward(1)
    later = collect(ledger, issue(2)).id
    with ledger.write() as tx:
        collections.mark_planned(tx, REPOSITORY, newest)
        assert collections.unplanned(tx) == {"acme/other": other, REPOSITORY: later}
        collections.mark_planned(tx, REPOSITORY, later)
        assert collections.unplanned(tx) == {"acme/other": other}


def test_a_failed_reading_asks_for_no_plan(ledger: Ledger) -> None:
    collect(ledger, status=FAILED)
    with ledger.read() as tx:
        assert collections.unplanned(tx) == {}


def test_latest_shows_the_newest_reading_of_each_source(ledger: Ledger) -> None:
    collect(ledger, issue(1))
    prs = collect(ledger, source=Source.OPEN_PRS)
    stale = collect(ledger, status=FAILED)
    collect(ledger, repository="acme/other")
    with ledger.read() as tx:
        assert collections.latest(tx, [REPOSITORY]) == (prs, stale)
        assert collections.latest(tx, []) == ()


def test_a_wish_stays_through_readings_until_a_task_answers_it(ledger: Ledger) -> None:
    with ledger.write() as tx:
        add_old_request(tx, wish("w1"))
        add_old_request(tx, wish("w2"))
    collect(ledger, issue(1))
    collect(ledger)
    assert known(ledger) == ["w1@v1", "w2@v1"]
    add_tasks(ledger, spec("a", signals=("manual_task:w1",)))
    assert known(ledger) == ["w2@v1"]
    with ledger.read() as tx:
        assert set(tasks.answering_tasks(tx, REPOSITORY)) == {"manual_task:w1"}


def test_a_readings_trace_can_be_found(ledger: Ledger) -> None:
    row = collect(ledger).id
    with ledger.read() as tx:
        assert collections.trace_of(tx, row) == TRACE


def test_readings_keep_when_they_were_made(ledger: Ledger) -> None:
    collect(ledger)
    with ledger.read() as tx:
        row = tx.execute(select(table)).one()
    assert isinstance(row.started_at, datetime)
    assert row.started_at <= row.ended_at
    assert row.trace_id == TRACE


def test_what_a_reading_used_of_the_quota_is_kept(ledger: Ledger) -> None:
    used = {"requests": 3, "quota_cost": 2, "quota_remaining": 4998}
    with ledger.write() as tx:
        collections.record(tx, reading(issue(1)).model_copy(update=used), trace_id=TRACE, run_id=None)
    collect(ledger, issue(1))
    with ledger.read() as tx:
        rows = tx.execute(select(table.c.requests, table.c.quota_cost, table.c.quota_remaining).order_by(table.c.id))
        assert [tuple(row) for row in rows] == [(3, 2, 4998), (None, None, None)]


def test_evidence_is_kept_with_the_signal_and_found_by_its_name(ledger: Ledger) -> None:
    evidence = SignalEvidence(source="check run 7", log=JobLog(job="tests", text="FAIL: test_sum"))
    signal = failed_check("tests").model_copy(update={"evidence": evidence})
    plain = failed_check("lint")
    seen = Collection(
        repository="o/r",
        source=Source.FAILED_CI,
        status=CollectionStatus.FRESH,
        started_at=signal.updated_at,
        ended_at=signal.updated_at,
        signals=(signal, plain),
    )
    with ledger.write() as tx:
        collections.record(tx, seen, trace_id="t", run_id=None)
        assert collections.known_evidence(tx, "o/r") == {signal.ref: evidence}
        assert collections.known_evidence(tx, "o/other") == {}
        collections.record(tx, seen.model_copy(update={"signals": ()}), trace_id="t", run_id=None)
        assert collections.known_evidence(tx, "o/r") == {}
        assert collections.named_signals(tx, "o/r", [plain.ref, "failed_ci:none", signal.ref]) == (plain, signal)
