"""Squire's merges and what they broke: published, changed, archived with their task, and published again in full."""

from datetime import timedelta
from pathlib import Path

import duckdb
from sqlalchemy import func, select

from squire_pipelines.domain.base_checks import BaseStep, BaseVerdict
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.merging import MergeDecision, MergeMethod, MergeProgress, MergeWay
from squire_pipelines.domain.outcomes import PullRequestReport, PullRequestState
from squire_pipelines.ledger import base_watches, merges, outcomes, tables
from squire_pipelines.ledger.retention import Retention
from squire_pipelines.ledger.store import Ledger
from squire_pipelines.warehouse.archive import archive_old_rows
from squire_pipelines.warehouse.publish import publish_warehouse
from tests.support.ledgers import REPOSITORY, Clock, settle, start_attempt

HEAD, MERGE = "a" * 40, "c" * 40
QUERY = "SELECT pr_number, by_squire, way, method, head_sha, merge_sha, base_verdict FROM merged_pull_requests"


def merge_a_pull_request(ledger: Ledger) -> str:
    attempt = start_attempt(ledger)
    settle(ledger, attempt, Cause.COMPLETED)
    task_id, url = attempt.task_id, "https://example.org/7"
    with ledger.write() as tx:
        outcomes.record_opened(tx, task_id=task_id, repository=REPOSITORY, pr_number=7, pr_url=url, head_sha=HEAD)
        outcome = outcomes.get(tx, task_id)
        assert outcome is not None
        asks = MergeDecision(MergeProgress.REQUESTED, "", way=MergeWay.DIRECT, method=MergeMethod.SQUASH)
        assert merges.begin_request(tx, outcome, asks, HEAD)
        merges.record_merged(tx, outcome, merge_sha=MERGE)
        report = PullRequestReport(
            repository=REPOSITORY,
            number=7,
            url=url,
            head_ref="b",
            head_sha=HEAD,
            state=PullRequestState.MERGED,
            updated_at=tx.now + timedelta(seconds=1),
            merged_at=tx.now,
        )
        outcomes.apply_report(tx, report, actor="webhook")
    return task_id


def published(ledger: Ledger, path: Path, *, full: bool = False) -> list[tuple[object, ...]]:
    publish_warehouse(ledger, path, archive=path.parent / "archive", full=full)
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(QUERY).fetchall()


def test_a_merge_and_what_it_broke_stay_in_the_warehouse(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    task_id, path = merge_a_pull_request(ledger), tmp_path / "warehouse.duckdb"
    row = (7, True, "direct", "squash", HEAD)
    assert published(ledger, path) == [(*row, None, None)]

    clock.forward(600)
    with ledger.write() as tx:
        (watched,) = base_watches.due(tx)
        base_watches.record_step(tx, watched, BaseStep(BaseVerdict.BROKEN, "tests"), merge_sha=MERGE)
    assert published(ledger, path) == [(*row, MERGE, "broken")]

    clock.forward(8 * 86_400)
    archive_old_rows(ledger, tmp_path / "archive", Retention({"tasks": timedelta(days=7)}))
    with ledger.read() as tx:
        for table in (tables.merges, tables.base_watches):
            count = tx.execute(select(func.count()).where(table.c.task_id == task_id)).scalar_one()
            assert count == 0, table.name
    assert published(ledger, path, full=True) == [(*row, MERGE, "broken")]
