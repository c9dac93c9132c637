"""Task files of a repository, from a push to the task, and that only the default branch has a say."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from squire_forge.process import ForgeProcess
from squire_pipelines.domain.deliveries import DeliverySource
from squire_pipelines.domain.signals import Source, is_from
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger import collections, deliveries
from squire_pipelines.ledger.tables import tasks as task_table
from tests.support.git_repository import git
from tests.support.pipeline import QUIET, TRACE, Pipeline, checks, materialized

FILE = ".squire/tasks/todo.md"
ONE, OTHER = "Say in the README what it is", "Delete everything"


class Pusher:
    """Somebody who may push to the repository."""

    def __init__(self, forge: ForgeProcess, folder: Path) -> None:
        self.folder = folder
        address = forge.git_url(QUIET).replace("http://", f"http://x:{forge.token}@")
        git(folder.parent, "clone", "--quiet", address, str(folder))
        self.default_branch = git(folder, "branch", "--show-current")

    def push(self, text: str | None, *, branch: str | None = None, name: str = FILE) -> None:
        """Push the file with this text, or without it, to a branch; by default to the default branch."""
        git(self.folder, "checkout", "--quiet", "-B", branch or self.default_branch)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if text is None:
            path.unlink()
        else:
            path.write_text(text, encoding="utf-8")
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "-m", "Change the tasks")
        git(self.folder, "push", "--quiet", "--force", "origin", f"HEAD:refs/heads/{branch or self.default_branch}")
        if branch is not None:
            git(self.folder, "checkout", "--quiet", self.default_branch)


def titles(pipeline: Pipeline) -> list[tuple[str, TaskStatus]]:
    with pipeline.ledger.read() as tx:
        rows = tx.execute(select(task_table.c.title, task_table.c.status).order_by(task_table.c.id))
        return [(row.title, TaskStatus(row.status)) for row in rows]


def signals(pipeline: Pipeline) -> list[str]:
    with pipeline.ledger.read() as tx:
        active = collections.active_signals(tx, QUIET)
    return [signal.title for signal in active if is_from(signal, Source.REPOSITORY_TASKS)]


def look(pipeline: Pipeline) -> Any:
    """Collect as a person asks for it: what has changed is read."""
    with pipeline.ledger.write() as tx:
        asked = deliveries.request_collection(tx, [QUIET], source=DeliverySource.COMMAND, trace_id=TRACE)
    return pipeline.collect(QUIET, fresh=False, deliveries=asked)


@pytest.mark.slow
def test_only_what_lies_on_the_default_branch_is_a_task(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path
) -> None:
    pusher = Pusher(forge, tmp_path / "clone")
    pusher.push(f"- {OTHER}\n", branch="topic")
    pipeline.collect(QUIET)
    assert signals(pipeline) == []
    pusher.push(f"- {ONE}\n")
    pusher.push(f"- {ONE}\n- {OTHER}\n", branch="topic")
    done = look(pipeline)
    assert materialized(done)["repository_tasks", QUIET]["signals"].value == 1
    assert signals(pipeline) == [ONE]
    pipeline.plan(QUIET)
    assert titles(pipeline) == [(ONE, TaskStatus.READY)]


@pytest.mark.slow
def test_a_file_is_one_task_once_and_its_signal_lasts_as_long_as_it_does(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path
) -> None:
    pusher = Pusher(forge, tmp_path / "clone")
    pusher.push(f"- {ONE}\n")
    for _ in range(2):
        pipeline.collect(QUIET)
        pipeline.plan(QUIET, again=True)
    assert [title for title, _ in titles(pipeline)] == [ONE]
    assert signals(pipeline) == [ONE]
    pusher.push(None)
    look(pipeline)
    assert signals(pipeline) == []


@pytest.mark.slow
def test_a_file_of_another_form_fails_its_own_check_alone(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path
) -> None:
    Pusher(forge, tmp_path / "clone").push("tasks: 3\n", name=".squire/tasks/odd.yaml")
    seen = checks(pipeline.collect(QUIET))
    assert {source for (source, _, _), verdict in seen.items() if not verdict.passed} == {"repository_tasks"}
    assert "odd.yaml" in (seen["repository_tasks", "source_answered", QUIET].description or "")


@pytest.mark.slow
def test_settings_that_choose_other_sources_count_at_once_though_nothing_has_changed_there(
    pipeline: Pipeline, forge: ForgeProcess, tmp_path: Path
) -> None:
    Pusher(forge, tmp_path / "clone").push(f"- {ONE}\n")
    pipeline.collect(QUIET)
    assert signals(pipeline) == [ONE]
    pipeline.configure(f'[repository."{QUIET}".filters]\nsources = ["open_issues"]\n')
    look(pipeline)
    assert signals(pipeline) == []
    assert {name for _, name in materialized(look(pipeline))} == {None}
    pipeline.configure()
    look(pipeline)
    assert signals(pipeline) == [ONE]
