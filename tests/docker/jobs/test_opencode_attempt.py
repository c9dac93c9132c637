"""One attempt with the real OpenCode in the real image, from the claim to the pull request on the forge."""

import pytest
from sqlalchemy import select

from squire_forge.process import ForgeProcess
from squire_pipelines.agents.prompt import PROMPT_VERSION
from squire_pipelines.domain.endings import Cause
from squire_pipelines.domain.tasks import TaskStatus
from squire_pipelines.ledger import outcomes
from squire_pipelines.ledger.attempts import Attempt
from squire_pipelines.ledger.tables import attempts, model_calls
from squire_pipelines.sensors.reaper import reaper
from tests.support.model_server import Call, ModelServer, Turn
from tests.support.pipeline import LEDGERLIB, Pipeline

pytestmark = pytest.mark.docker


def attempt_of_model(pipeline: Pipeline, model: ModelServer, more: str = "") -> Attempt:
    """Dispatched; OpenCode does it in a container, and this model thinks for it."""
    pipeline.commands = {}
    pipeline.configure(
        f'[repository."{LEDGERLIB}".agent]\n'
        f'kind = "opencode"\nrunner = "docker"\nmodel = "scripted"\nbase_url = "{model.url}"\n{more}'
    )
    return pipeline.attempt(LEDGERLIB)


def input_tokens(pipeline: Pipeline, attempt: Attempt) -> set[int]:
    """Of each model call of the attempt that is in the ledger."""
    of_attempt = select(model_calls.c.input_tokens).where(model_calls.c.attempt_id == attempt.id)
    with pipeline.ledger.read() as tx:
        return set(tx.execute(of_attempt).scalars())


@pytest.mark.timeout(180)
def test_what_the_model_edits_becomes_a_pull_request_and_its_tokens_are_in_the_books(
    pipeline: Pipeline, forge: ForgeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-" + "m" * 30
    monkeypatch.setenv("SQUIRE_MODEL_KEY", key)
    # The edit is left uncommitted: it is committed for the agent.
    edit = Call("bash", {"command": "echo 'by a model' >> README.md; env", "description": "append a line"})
    with ModelServer([Turn(calls=(edit,), prompt_tokens=50, completion_tokens=7), Turn(text="Done.")]) as model:
        attempt = attempt_of_model(pipeline, model)
        pipeline.agent_run(attempt)
    ended = pipeline.read_attempt(attempt.id)
    assert (ended.cause, ended.runner, ended.sandboxed) == (Cause.COMPLETED, "docker", True)
    assert ended.agent == "opencode:scripted"
    assert ended.image is not None
    assert ended.image.startswith("sha256:")
    assert pipeline.read_task(attempt.task_id).status is TaskStatus.SUCCEEDED
    with pipeline.ledger.read() as tx:
        outcome = outcomes.get(tx, attempt.task_id)
        spent = select(attempts.c.input_tokens, attempts.c.output_tokens).where(attempts.c.id == attempt.id)
        tokens = tx.execute(spent).one()
        who = select(attempts.c.model, attempts.c.agent_version, attempts.c.prompt_version)
        assert tuple(tx.execute(who.where(attempts.c.id == attempt.id)).one()) == (
            "scripted",
            "1.18.18",
            PROMPT_VERSION,
        )
    assert outcome is not None
    assert tokens.input_tokens >= 50
    assert tokens.output_tokens >= 7
    (hosted,) = [hosted for hosted in forge.state()["repositories"] if hosted["name"] == LEDGERLIB]
    (pull,) = [pull for pull in hosted["pull_requests"] if pull["number"] == outcome.pr_number]
    assert attempt.trace_id in pull["body"]
    folder = pipeline.settings.home.attempts / attempt.id
    assert key not in (folder / "agent.log").read_text(encoding="utf-8")
    assert model.requests
    assert all(request.headers["authorization"] == f"Bearer {key}" for request in model.requests)


@pytest.mark.timeout(180)
def test_an_agent_that_outlives_its_run_goes_on_in_the_run_that_adopts_it(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "sk-" + "m" * 30)
    edit = Call("bash", {"command": "sleep 1; echo 'by a model' >> README.md", "description": "append a line"})
    turns = [Turn(calls=(edit,), prompt_tokens=50, completion_tokens=7), Turn(text="Done.", prompt_tokens=70)]
    with ModelServer(turns) as model:
        attempt = attempt_of_model(pipeline, model)
        pipeline.kill_agent_run(attempt, lambda: 50 in input_tokens(pipeline, attempt))
        # The next call is made while nobody is there to answer it.
        (request,) = pipeline.sensor(reaper).run_requests
        pipeline.request(request)
    ended = pipeline.read_attempt(attempt.id)
    assert (ended.cause, ended.number) == (Cause.COMPLETED, 1), ended.message
    assert ended.evidence is not None
    assert ended.evidence.facts["adopted"] is True
    assert len(model.main_requests) == 2
    assert {50, 70} <= input_tokens(pipeline, attempt), "what either gateway counted is in the books"


@pytest.mark.timeout(180)
def test_an_agent_whose_budget_is_used_up_stops_and_is_not_tried_again(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "sk-" + "m" * 30)
    look = Call("bash", {"command": "ls", "description": "look"})
    with ModelServer([Turn(calls=(look,), prompt_tokens=30_000)] * 20) as model:
        attempt = attempt_of_model(pipeline, model, "[budgets.attempt]\ntokens = 100000\n")
        pipeline.agent_run(attempt, fails=True)
    ended = pipeline.read_attempt(attempt.id)
    assert ended.cause == Cause.BUDGET_EXHAUSTED
    assert "100000 tokens" in (ended.message or "")
    assert pipeline.read_task(attempt.task_id).status is TaskStatus.FAILED
    assert 2 <= len(model.main_requests) <= 4
