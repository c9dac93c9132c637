"""Agents' programs in their images, without a network, from the claim to the pull request on the forge.

One of them unless SQUIRE_TEST_ALL_AGENTS is set, as `make test-agents` does.
"""

import os

import docker
import pytest
from sqlalchemy import select

from squire_forge.process import ForgeProcess
from squire_pipelines.agent_names import IN_WORKER_IMAGE, PROGRAMS
from squire_pipelines.agents import engine
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.agents.images import build_image
from squire_pipelines.agents.program_locks import find_program
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger import outcomes
from squire_pipelines.ledger.tables import model_calls
from tests.support.agent_programs import commands_of, text_of
from tests.support.billing import PRICE
from tests.support.pipeline import LEDGERLIB, Pipeline
from tests.support.scripted_provider import MODEL, serve_provider

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]
NAMES = PROGRAMS if os.environ.get("SQUIRE_TEST_ALL_AGENTS") else ("codex",)
KEY = "sk-" + "p" * 30
# Left uncommitted: it is committed for the agent. What the program's environment has is in the log.
EDIT = "echo 'by a model' >> README.md; env"


@pytest.fixture(scope="module")
def client() -> docker.DockerClient:
    return engine.connect(60)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_becomes_a_pull_request_by_each_program_with_its_calls_in_the_ledger(
    pipeline: Pipeline, forge: ForgeProcess, client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name not in IN_WORKER_IMAGE:
        build_image(client, find_program(name))
    protocol = find(name).protocols[0]
    monkeypatch.setenv("SQUIRE_SCRIPTED_KEY", KEY)
    pipeline.commands = {}
    with serve_provider(*commands_of(name, EDIT), text=text_of(name, "NOTES.md")) as provider:
        pipeline.configure(
            f'[providers.scripted]\nprotocol = "{protocol}"\nbase_url = "{provider.url(protocol)}"\n'
            f'[repository."{LEDGERLIB}".agent]\n'
            f'kind = "{name}"\nrunner = "docker"\nmodel = "{MODEL}"\nprovider = "scripted"\n'
            f'[gateway.prices."{MODEL}"]\ninput = {PRICE.input}\noutput = {PRICE.output}\n'
        )
        attempt = pipeline.attempt(LEDGERLIB)
        pipeline.agent_run(attempt)
    ended = pipeline.read_attempt(attempt.id)
    log = (pipeline.settings.home.attempts / attempt.id / "agent.log").read_text(encoding="utf-8")
    assert ended.cause == Cause.COMPLETED, (ended.message, log[-3000:])
    assert (ended.runner, ended.sandboxed, ended.agent) == ("docker", True, f"{name}:{MODEL}")
    assert pipeline.read_task(attempt.task_id).status is TaskStatus.SUCCEEDED
    with pipeline.ledger.read() as tx:
        outcome = outcomes.get(tx, attempt.task_id)
        names = ("provider", "input_tokens", "output_tokens", "cost_usd")
        columns = [model_calls.c[name] for name in names]
        calls = [tuple(row) for row in tx.execute(select(*columns).where(model_calls.c.attempt_id == attempt.id))]
    assert outcome is not None
    (hosted,) = [hosted for hosted in forge.state()["repositories"] if hosted["name"] == LEDGERLIB]
    (pull,) = [pull for pull in hosted["pull_requests"] if pull["number"] == outcome.pr_number]
    assert attempt.trace_id in pull["body"]
    assert KEY not in log
    counted = sorted(call for call in calls if call[2])
    assert [call[:3] for call in counted] == [("scripted", bill.asked, bill.output) for bill in provider.bills]
    assert [call[3] for call in counted] == pytest.approx([bill.usd for bill in provider.bills])
    assert len(counted) >= (1 if name == "aider" else 2)
