"""Plans over several repositories as a person sees them: shown, compared, made and replayed, on a forge."""

import json
from typing import Any

import pytest

from squire_forge.process import ForgeProcess
from squire_pipelines.ledger import plans, tasks
from tests.support.cli import Squire
from tests.support.ledgers import collect
from tests.support.model_server import Call, ModelServer, Turn
from tests.support.pipeline import HANDBOOK, QUIET, Pipeline
from tests.support.task_drafts import task_draft

SUBJECT = "group:checkout"


@pytest.fixture
def squire(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, forge: ForgeProcess) -> Squire:
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "sk-" + "t" * 30)
    monkeypatch.setenv("SQUIRE_GITHUB_TOKEN", forge.token)
    return Squire(pipeline.home)


def use_model(pipeline: Pipeline, url: str) -> None:
    pipeline.configure()
    file = pipeline.home / "config.toml"
    members = json.dumps([QUIET, HANDBOOK])
    group = f'[[planner.group]]\nname = "checkout"\nrepositories = {members}\ngoals = "Offer and use version 2."\n'
    llm = f'kind = "llm"\nmodel = "scripted"\nbase_url = "{url}"\nissue_labels = ["none"]\n'
    text = file.read_text(encoding="utf-8").replace('kind = "rules"', llm)
    file.write_text(f"{text}\n{group}", encoding="utf-8")


def draft(key: str, repository: str, *depends_on: str, **fields: Any) -> dict[str, Any]:
    base = "trunk" if repository == HANDBOOK else "main"
    own = {"base_branch": base, "signals": [], "evidence": [], "depends_on": depends_on, "repository": repository}
    return {**task_draft(key=key, title=f"{key} the thing", prompt=f"Please {key}."), **own, **fields}


def answer(*drafts: dict[str, Any]) -> Turn:
    return Turn(calls=(Call("final_result", {"tasks": list(drafts)}),), prompt_tokens=700, completion_tokens=50)


@pytest.mark.slow
def test_a_groups_plan_is_shown_made_compared_and_replayed(pipeline: Pipeline, squire: Squire) -> None:
    wrong = answer(
        draft("offer", QUIET), draft("use", HANDBOOK, "offer", implementation={"files_to_modify": ["gone.md"]})
    )
    right = answer(
        draft("offer", QUIET, implementation={"files_to_create": ["AGENTS.md"]}), draft("use", HANDBOOK, "offer")
    )
    other = answer(draft("offer", QUIET, confidence=0.6))
    with ModelServer([wrong, right, right, right, other]) as model:
        use_model(pipeline, model.url)
        (shown,) = squire.json("plans", "make", "--group", "checkout", "--dry-run")
        first, second = (request.text for request in model.main_requests)
        foreseen = squire.json("run", QUIET, HANDBOOK, "--dry-run")
        assert len(model.main_requests) == 2, "the answer is kept"
        for name in (QUIET, HANDBOOK):
            collect(pipeline.ledger, repository=name)
        (made,) = squire.json("plans", "make", "--group", "checkout", "--no-collect", "--diff")
        text = squire.ok("plans", "make", "--group", "checkout", "--no-collect", "--dry-run", "--diff")
        replayed = squire.json("plans", "replay", made["plan"], "--model", "another")
        asked, again, replay = (request.text for request in model.main_requests[2:])
    assert f"What is known of {HANDBOOK}:" in first
    assert "branch trunk, commit " in first
    assert f"names 'gone.md' in `implementation.files_to_modify`, which the branch 'trunk' of {HANDBOOK}" in second
    assert (shown["repository"], shown["plan"], shown["cache_hit"]) == (SUBJECT, None, False)
    offer, use = shown["tasks"]
    assert (offer["repository"], offer["protected_paths"], offer["starts"]) == (QUIET, ["AGENTS.md"], False)
    assert (use["repository"], use["depends_on"], use["why"]) == (
        HANDBOOK,
        ["offer"],
        "the goals ask for it; the issue names the line",
    )
    assert [plan["repository"] for plan in foreseen] == [QUIET, HANDBOOK, SUBJECT]
    assert [task["key"] for task in foreseen[2]["tasks"]] == ["offer", "use"]
    with pipeline.ledger.read() as tx:
        created = [tasks.get(tx, task["id"]) for task in made["created"]]
        saved = plans.latest(tx, SUBJECT)
    assert [(task.repository, task.status.value) for task in created] == [(QUIET, "proposed"), (HANDBOOK, "ready")]
    assert saved is not None
    assert saved.id == made["plan"]
    assert f"{SUBJECT}: 0 tasks would be made" in text
    assert f"left out: use (use the thing): it says nearly the same as the task {created[1].id}" in text
    assert "2 removed" in text
    assert "ready: use the thing (resolve_issue)" in again, "what is known has changed"
    assert replay == asked, "the same question, as it was recorded"
    assert [one["difference"] for one in replayed["differences"]] == ["changed", "removed"]


@pytest.mark.slow
def test_a_group_that_cannot_be_planned_is_told_with_its_exit_code(pipeline: Pipeline, squire: Squire) -> None:
    with ModelServer([]) as model:
        use_model(pipeline, model.url)
        assert "no group of the settings is called 'none'" in squire.fails(3, "plans", "make", "--group", "none")
        assert "name a repository, or a group" in squire.fails(2, "plans", "make")
        unread = squire.fails(1, "plans", "make", "--group", "checkout", "--no-collect")
        assert f"{QUIET}, {HANDBOOK} have not been read yet" in unread
        assert f"waits: {SUBJECT}: for a reading of {HANDBOOK}" in squire("run", QUIET, "--dry-run").stderr
        collect(pipeline.ledger, repository=HANDBOOK)
        file = pipeline.home / "config.toml"
        file.write_text(file.read_text(encoding="utf-8").replace('"Offer and use version 2."', '["./gone.md"]'))
        assert "gone.md cannot be used" in squire.fails(3, "run", QUIET, "--dry-run")
        assert model.main_requests == []
