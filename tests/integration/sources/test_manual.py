"""Task files beside the settings, from the file to the task."""

from pathlib import Path

import pytest
from sqlalchemy import select

from squire_pipelines.domain.signals import CollectionStatus, FurtherSource
from squire_pipelines.ledger import collections
from squire_pipelines.ledger.tables import tasks as task_table
from tests.support.pipeline import QUIET, Pipeline, checks, materialized

MANUAL = FurtherSource("manual")


def write(pipeline: Pipeline, name: str, text: str) -> Path:
    folder = pipeline.home / "tasks"
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def titles(pipeline: Pipeline) -> list[str]:
    with pipeline.ledger.read() as tx:
        return list(tx.execute(select(task_table.c.title).order_by(task_table.c.id)).scalars())


@pytest.mark.slow
def test_a_file_becomes_a_task_once_and_its_signal_lasts_as_long_as_it_does(pipeline: Pipeline) -> None:
    path = write(pipeline, "tasks.md", f"## {QUIET}\n- Say in the README what it is\n")
    done = pipeline.collect(QUIET)
    assert materialized(done)["manual", QUIET]["signals"].value == 1
    assert checks(done)["manual", "source_answered", QUIET].passed
    pipeline.plan(QUIET)
    assert titles(pipeline) == ["Say in the README what it is"]
    pipeline.collect(QUIET)
    pipeline.plan(QUIET, again=True)
    assert titles(pipeline) == ["Say in the README what it is"]
    path.unlink()
    pipeline.collect(QUIET)
    with pipeline.ledger.read() as tx:
        assert collections.active_signals(tx, QUIET) == ()
    assert ("manual", QUIET) not in materialized(pipeline.collect(QUIET))


@pytest.mark.slow
def test_a_file_that_is_wrong_fails_its_own_check_and_keeps_what_was_known(pipeline: Pipeline) -> None:
    write(pipeline, "tasks.md", f"## {QUIET}\n- One\n")
    pipeline.collect(QUIET)
    write(pipeline, "more.yaml", "tasks: 3\n")
    seen = checks(pipeline.collect(QUIET))
    assert not seen["manual", "source_answered", QUIET].passed
    assert "more.yaml" in (seen["manual", "source_answered", QUIET].description or "")
    assert seen["open_issues", "source_answered", QUIET].passed
    with pipeline.ledger.read() as tx:
        (reading,) = [row for row in collections.latest(tx, [QUIET]) if row.source == MANUAL]
    assert (reading.status, reading.signals) == (CollectionStatus.STALE, 1)
