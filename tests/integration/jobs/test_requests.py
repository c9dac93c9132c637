"""A person's request from the command to its pull request, with a real agent process and real git, against a forge."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from squire_forge.process import ForgeProcess
from squire_pipelines.cli.main import cli
from squire_pipelines.cli.person import actor
from squire_pipelines.domain.tasks import TaskStatus
from tests.support.ledgers import dispatch
from tests.support.pipeline import LEDGERLIB, Pipeline


def squire(*words: str) -> dict[str, Any]:
    """Run the command, which has to succeed, and return its document."""
    result = CliRunner().invoke(cli, [*words, "--json"], prog_name="squire")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def pull_of(forge: ForgeProcess, branch: str) -> dict[str, Any]:
    """Return the pull request of a branch."""
    (hosted,) = [hosted for hosted in forge.state()["repositories"] if hosted["name"] == LEDGERLIB]
    (pull,) = [pull for pull in hosted["pull_requests"] if pull["head"] == branch]
    return dict(pull)


@pytest.mark.slow
def test_a_request_at_a_terminal_is_done_as_it_was_written_and_names_who_asked(
    pipeline: Pipeline, forge: ForgeProcess
) -> None:
    made = squire("tasks", "new", LEDGERLIB, "Write a note.\n\n    indented, as it is", "--branch", "note")
    dispatch(pipeline.ledger)
    attempt = pipeline.read_attempt(f"{made['id']}-1")
    pipeline.agent_run(attempt)
    task = pipeline.read_task(made["id"])
    assert (task.status, task.base_branch) == (TaskStatus.SUCCEEDED, "main")
    prompt = (pipeline.settings.home.attempts / attempt.id / "in" / "prompt.md").read_text(encoding="utf-8")
    assert "\nWrite a note.\n\n    indented, as it is\n" in prompt
    assert "starts from `main`" in prompt
    pull = pull_of(forge, "squire/note")
    assert pull["base"] == "main"
    assert f"Requested by `{actor().removeprefix('cli:')}`, done by" in pull["body"]


@pytest.mark.slow
def test_a_request_that_was_held_is_no_draft_once_a_person_starts_it(pipeline: Pipeline, forge: ForgeProcess) -> None:
    made = squire("tasks", "new", LEDGERLIB, "Write a note.", "--no-start", "--branch", "held")
    assert dispatch(pipeline.ledger) == ()
    assert CliRunner().invoke(cli, ["tasks", "start", made["id"]]).exit_code == 0
    dispatch(pipeline.ledger)
    pipeline.agent_run(pipeline.read_attempt(f"{made['id']}-1"))
    assert not pull_of(forge, "squire/held")["draft"]
