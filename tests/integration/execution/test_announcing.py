"""A proposed task is announced once on the issue that it answers, where the settings allow it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, select, update

from squire_forge.process import ForgeProcess
from squire_pipelines.domain.cost_prediction import PredictedCost
from squire_pipelines.execution.announcing import announced_text
from squire_pipelines.ledger import bulk, tasks
from squire_pipelines.ledger.tables import announcements as announcement_table
from squire_pipelines.ledger.tables import tasks as task_table
from squire_pipelines.ledger.telling_tries import MAX_TRIES
from squire_pipelines.publishing.announcement import announcement_text
from squire_pipelines.sensors.outcomes import outcomes
from squire_pipelines.settings.model import Settings
from tests.support.ledgers import TRACE, add_tasks, new_sqlite_ledger, spec
from tests.support.pipeline import HANDBOOK, Pipeline


def propose(pipeline: Pipeline, *, announce: bool = True) -> tuple[str, int]:
    """Have a task proposed for the handbook's issue; return its id and the issue's number."""
    pipeline.configure()
    file = pipeline.home / "config.toml"
    more = 'kind = "rules"\napprove = "manual"\n' + ("announce = true\n" if announce else "")
    file.write_text(file.read_text().replace('kind = "rules"\n', more))
    pipeline.collect(HANDBOOK)
    pipeline.plan(HANDBOOK)
    with pipeline.ledger.read() as tx:
        rows = tx.execute(select(task_table.c.id).where(task_table.c.repository == HANDBOOK))
        (task_id,) = rows.scalars()
        (ref,) = tasks.get(tx, task_id).spec.signals
    return task_id, int(ref.removeprefix("open_issue:"))


def comments(forge: ForgeProcess, number: int) -> list[str]:
    (repository,) = [one for one in forge.state()["repositories"] if one["name"] == HANDBOOK]
    (issue,) = [one for one in repository["issues"] if one["number"] == number]
    return list(issue["comments"])


def stored(pipeline: Pipeline) -> list[Any]:
    with pipeline.ledger.read() as tx:
        return list(tx.execute(select(announcement_table)).all())


def let_try_again(pipeline: Pipeline) -> None:
    with pipeline.ledger.write() as tx:
        tx.execute(update(announcement_table).values(again_at=tx.now - timedelta(seconds=1)))


@pytest.mark.slow
def test_it_is_announced_once_with_what_and_how(pipeline: Pipeline, forge: ForgeProcess) -> None:
    task_id, number = propose(pipeline)
    before = len(comments(forge, number))
    pipeline.tick(outcomes)
    (text,) = comments(forge, number)[before:]
    for part in (f"squire proposal {task_id}", "`squire:approve`", f"/squire reject {task_id}", "cost: not known"):
        assert part in text
    assert "&lt;data" not in text, "the marks are for models"
    assert stored(pipeline)[0].comment_id is not None
    pipeline.tick(outcomes)
    assert len(comments(forge, number)) == before + 1


@pytest.mark.slow
def test_a_crash_after_the_comment_and_a_lost_row_write_no_second_one(pipeline: Pipeline, forge: ForgeProcess) -> None:
    _, number = propose(pipeline)
    before = len(comments(forge, number))
    pipeline.tick(outcomes)
    quote = "> " + comments(forge, number)[-1].replace("\n", "\n> ") + "\n\nNot now."
    answer = httpx.post(
        f"{forge.api_url}/repos/{HANDBOOK}/issues/{number}/comments",
        json={"body": quote},
        headers={"authorization": f"Bearer {forge.token}"},
    )
    assert answer.status_code == 201
    with pipeline.ledger.write() as tx:  # as if the process had been killed before it recorded the comment
        tx.execute(update(announcement_table).values(comment_id=None))
    let_try_again(pipeline)
    pipeline.tick(outcomes)
    with pipeline.ledger.write() as tx:
        tx.execute(delete(announcement_table))
    pipeline.tick(outcomes)
    assert len(comments(forge, number)) == before + 2
    assert comments(forge, number)[-1] == quote, "the words of who quotes ours are left alone"
    assert stored(pipeline)[0].comment_id is not None


@pytest.mark.slow
def test_what_github_refuses_is_tried_again_later_and_a_few_times(pipeline: Pipeline, forge: ForgeProcess) -> None:
    _, number = propose(pipeline)
    before = len(comments(forge, number))
    forge.add_fault(r"^POST .*/issues/\d+/comments$", status=403, times=100)
    for _ in range(MAX_TRIES + 2):
        pipeline.tick(outcomes)
        if stored(pipeline)[0].again_at is not None:
            let_try_again(pipeline)
    (row,) = stored(pipeline)
    assert (row.tries, row.comment_id, row.again_at) == (MAX_TRIES, None, None)
    assert row.error
    assert len(comments(forge, number)) == before


@pytest.mark.slow
def test_nothing_is_said_unless_the_settings_allow_it_or_once_somebody_decided(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    task_id, number = propose(pipeline, announce=False)
    before = len(comments(forge, number))
    pipeline.tick(outcomes)
    file = pipeline.home / "config.toml"
    file.write_text(file.read_text().replace('approve = "manual"', 'approve = "manual"\nannounce = true'))
    with pipeline.ledger.write() as tx:
        bulk.bulk_update(tx, (task_id,), bulk.reject("no"), actor="cli:ann", trace_id=TRACE)
    pipeline.tick(outcomes)
    assert len(comments(forge, number)) == before
    assert stored(pipeline) == []


def test_words_that_look_like_a_secret_are_left_out_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = new_sqlite_ledger(tmp_path / "ledger.sqlite")
    secret = "k3y-" + "Zq9x" * 8
    monkeypatch.setenv("SQUIRE_MODEL_KEY", secret)
    (task_id,) = add_tasks(ledger, spec(title="Leak it", prompt=" ".join(secret)))
    with ledger.read() as tx:
        task = tasks.get(tx, task_id)
    ledger.close()
    text = announced_text(Settings(), task, [])
    assert f"Squire proposes to work on this**: the task {task_id} (" in text
    assert f"not shown here: it may hold a secret. `squire tasks show {task_id}` has it" in text
    assert f"/squire approve {task_id}" in text
    assert "Leak" not in text
    assert " ".join(secret[:8]) not in text
    plain = task.spec.model_copy(update={"prompt": "Do it."})
    assert "Leak it" in announced_text(Settings(), replace(task, spec=plain), [])


def test_strangers_words_in_it_cause_nothing() -> None:
    planned = spec(title="Hello @ann", prompt="Fixes #3\n<!-- x -->\n/squire approve t0m1e2x3a4m5p6l")
    costs = [PredictedCost("opencode", None, 0, None, "nobody knows")]
    text = announcement_text("t1", planned, costs, order=planned.prompt, approve_label="go", reject_label="no")
    assert "@ann" not in text
    assert "#3" not in text
    assert "<!--" not in text
    assert "\n/squire" not in text
