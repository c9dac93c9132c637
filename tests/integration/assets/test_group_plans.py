"""Plans over several repositories: made by the first one's runs, and their tasks wait for one another across them."""

import json

import pytest
from dagster import DagsterEventType

from squire_pipelines.ledger import plans, tasks
from squire_pipelines.ledger.tables import task_dependencies
from squire_pipelines.sensors.planning import plan_follows_signals
from tests.support.ledgers import dispatch, list_tasks
from tests.support.model_server import Call, ModelServer, Turn
from tests.support.pipeline import HANDBOOK, QUIET, WEBSHOP, Pipeline, checks
from tests.support.task_drafts import task_draft

pytestmark = pytest.mark.slow
SUBJECT = "group:checkout"
MEMBERS = (QUIET, HANDBOOK)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "sk-" + "t" * 30)


def draft(key: str, repository: str, *depends_on: str) -> dict[str, object]:
    base = "trunk" if repository == HANDBOOK else "main"
    own = {"base_branch": base, "signals": [], "evidence": [], "depends_on": list(depends_on), "repository": repository}
    return {**task_draft(key=key, title=f"{key} the thing", prompt=f"Please {key}."), **own}


def answer(*drafts: dict[str, object]) -> Turn:
    return Turn(calls=(Call("final_result", {"tasks": list(drafts)}),))


def ask_model(
    pipeline: Pipeline, url: str, *, goals: str = '["./checkout.md"]', members: tuple[str, ...] = MEMBERS
) -> None:
    pipeline.configure()
    file = pipeline.home / "config.toml"
    group = f'[[planner.group]]\nname = "checkout"\nrepositories = {json.dumps(members)}\ngoals = {goals}\n'
    llm = f'kind = "llm"\nmodel = "scripted"\nbase_url = "{url}"\nretry_base_s = 0.000001\nissue_labels = ["none"]\n'
    text = file.read_text(encoding="utf-8").replace('kind = "rules"', llm)
    file.write_text(f"{text}\n{group}", encoding="utf-8")


def due(pipeline: Pipeline) -> list[str]:
    requests = pipeline.sensor(plan_follows_signals).run_requests
    return [name for request in requests for name in request.run_config["ops"]["plan_tasks"]["config"]["repositories"]]


def test_a_groups_tasks_wait_for_one_another_across_repositories_and_its_goals_plan_again(pipeline: Pipeline) -> None:
    goals = pipeline.home / "checkout.md"
    goals.write_text("Offer and use version 2.", encoding="utf-8")
    turns = [answer(draft("offer", QUIET), draft("use", HANDBOOK, "offer")), answer(draft("retire", QUIET))]
    with ModelServer(turns) as server:
        ask_model(pipeline, server.url)
        pipeline.collect(*MEMBERS)
        assert set(due(pipeline)) == set(MEMBERS)
        done = pipeline.plan(*MEMBERS)
        assert due(pipeline) == []
        pipeline.plan(*MEMBERS)
        goals.write_text("Retire version 1.", encoding="utf-8")
        assert due(pipeline) == [QUIET]
        pipeline.plan(QUIET)
        asked = [request.text for request in server.main_requests]
    assert len(asked) == 2
    assert f"- {HANDBOOK}, default branch trunk" in asked[0]
    assert f"What is known of {HANDBOOK}:" in asked[0]
    assert "branch trunk, commit " in asked[0]
    assert "branch main, commit " in asked[0]
    assert "Offer and use version 2." in asked[0]
    assert "Retire version 1." in asked[1]
    assert checks(done)["task_plan", "groups", QUIET].passed
    observed = [event for event in done.all_events if event.event_type is DagsterEventType.ASSET_OBSERVATION]
    assert [event.partition for event in observed] == [QUIET]
    with pipeline.ledger.read() as tx:
        made = {task.title.split()[0]: task for task in list_tasks(tx)}
        pairs = [tuple(row) for row in tx.execute(task_dependencies.select())]
        waiting = tasks.waiting_reason(tx, made["use"])
    assert {title: task.repository for title, task in made.items()} == {
        "offer": QUIET,
        "use": HANDBOOK,
        "retire": QUIET,
    }
    assert pairs == [(made["use"].id, made["offer"].id)]
    assert waiting is not None
    assert made["offer"].id in waiting.text
    started = {attempt.task_id for attempt in dispatch(pipeline.ledger)}
    assert made["use"].id not in started
    assert made["offer"].id in started


def test_a_plan_that_is_wrong_to_its_last_answer_makes_no_task_and_the_check_says_why(pipeline: Pipeline) -> None:
    (pipeline.home / "checkout.md").write_text("Do it.", encoding="utf-8")
    wrong = answer(draft("a", WEBSHOP), draft("b", HANDBOOK, "c"), draft("c", QUIET, "b"))
    with ModelServer([wrong, wrong, wrong]) as server:
        ask_model(pipeline, server.url)
        pipeline.collect(*MEMBERS)
        done = pipeline.plan(*MEMBERS)
        asked = [request.text for request in server.main_requests]
    assert "which is none of demo/quiet, demo/handbook" in asked[1], "it is told what is wrong"
    check = checks(done)["task_plan", "groups", QUIET]
    assert not check.passed
    assert "planned by rules, since the model failed" in (check.description or "")
    with pipeline.ledger.read() as tx:
        assert list(list_tasks(tx)) == []
    assert due(pipeline) == [], "what the model answered is final until something changes"


def test_goals_that_cannot_be_read_make_no_plan_until_they_are_corrected(pipeline: Pipeline) -> None:
    with ModelServer([answer(draft("docs", HANDBOOK))]) as server:
        ask_model(pipeline, server.url)
        pipeline.collect(*MEMBERS)
        done = pipeline.plan(*MEMBERS)
        assert server.main_requests == []
        (pipeline.home / "checkout.md").write_text("Write docs.", encoding="utf-8")
        assert due(pipeline) == [QUIET]
        pipeline.plan(QUIET)
    check = checks(done)["task_plan", "groups", QUIET]
    assert "checkout.md cannot be used: there is no such file" in (check.description or "")
    with pipeline.ledger.read() as tx:
        assert [task.title for task in list_tasks(tx)] == ["docs the thing"]
        latest = plans.latest(tx, SUBJECT)
    assert latest is not None
    assert latest.findings == ()


def test_a_group_waits_until_each_of_its_repositories_was_read(pipeline: Pipeline) -> None:
    (pipeline.home / "checkout.md").write_text("Write docs.", encoding="utf-8")
    with ModelServer([]) as server:
        ask_model(pipeline, server.url)
        pipeline.collect(QUIET)
        pipeline.plan(QUIET)
        assert server.main_requests == []
        assert due(pipeline) == []
