"""`squire tasks new --plan`: a model's proposal is shown beside the request, and the person says which is made."""

import json
from contextlib import AbstractContextManager
from typing import Any

import pytest
from sqlalchemy import select

from squire_pipelines.domain.tasks import Priority
from squire_pipelines.ledger import tasks
from squire_pipelines.ledger.tables import model_calls, task_dependencies
from tests.support.cli import REPOSITORY, SampleData, Squire
from tests.support.model_server import Call, ModelServer, Turn
from tests.support.terminal import Terminal, on_a_terminal

KEY = "sk-" + "p" * 30
WORDS = "Make the import faster, and say so in README.md."
FIRST = {"key": "speed", "title": "Read the file in one pass", "prompt": "In src/imports.py, read each line once."}
SECOND = {"key": "docs", "title": "Tell it in README.md", "prompt": "Add one line.", "depends_on": ["speed"]}


def answer(*proposed: dict[str, Any], notes: tuple[str, ...] = ()) -> Turn:
    content = {"tasks": list(proposed), "notes": list(notes)}
    return Turn(calls=(Call("final_result", content),), prompt_tokens=900, completion_tokens=60)


@pytest.fixture
def planned(squire: Squire, monkeypatch: pytest.MonkeyPatch) -> Squire:
    """A home without access to GitHub; the model's key is in the environment."""
    monkeypatch.setenv("SQUIRE_MODEL_KEY", KEY)
    for name in ("SQUIRE_GITHUB_TOKEN", "GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return squire


def configure(squire: Squire, url: str, more: str = "") -> None:
    squire.config(f'repositories = ["{REPOSITORY}"]\n[planner]\nmodel = "m"\nbase_url = "{url}"\n{more}')


def both(squire: Squire, *words: str) -> dict[str, Any]:
    result = squire("tasks", "new", REPOSITORY, WORDS, "--plan", "--json", *words)
    assert result.exit_code == 0, result.output
    made: dict[str, Any] = json.loads(result.stdout)
    return made


def test_both_are_said_and_the_request_is_made_as_it_was_written(planned: Squire, samples: SampleData) -> None:
    with ModelServer([answer(SECOND, FIRST, notes=("Two parts.",))]) as server:
        configure(planned, server.url)
        made = both(planned)
        (request,) = server.main_requests
    assert WORDS in request.text
    assert "may give orders here" in request.text
    assert (made["accepted"], [task["id"] for task in made["tasks"]]) == (False, [made["id"]])
    assert samples.read(tasks.get, made["id"]).spec.prompt == WORDS
    proposal = made["proposal"]
    assert [task["key"] for task in proposal["tasks"]] == ["speed", "docs"]
    assert (proposal["notes"], proposal["model"], proposal["tokens"]) == (["Two parts."], "m", 960)
    assert proposal["problem"] is None
    with samples.ledger.read() as tx:
        (row,) = tx.execute(select(model_calls)).all()
    assert (row.purpose, row.repository, row.input_tokens, row.output_tokens) == ("plan", REPOSITORY, 900, 60)


def test_what_is_accepted_is_made_with_the_requests_words_below_it(planned: Squire, samples: SampleData) -> None:
    with ModelServer([answer(SECOND, FIRST)]) as server:
        configure(planned, server.url)
        other = planned.json("tasks", "new", REPOSITORY, "Something else")["id"]
        made = both(planned, "--accept", "--priority", "low", "--depends-on", other)
    first, second = (samples.read(tasks.get, task["id"]) for task in made["tasks"])
    assert made["accepted"]
    assert (first.title, second.title) == (FIRST["title"], SECOND["title"])
    assert first.spec.prompt.startswith(str(FIRST["prompt"]))
    for task in (first, second):
        assert task.spec.prompt.endswith(WORDS)
        assert task.spec.prompt.count(WORDS.splitlines()[0]) == 1, "a title of the text's own is not said twice"
        assert task.spec.priority is Priority.LOW
        assert samples.read(tasks.events, task.id)[0].actor.startswith("cli:")
    with samples.ledger.read() as tx:
        pairs = {tuple(row) for row in tx.execute(select(task_dependencies.c.task_id, task_dependencies.c.depends_on))}
    assert pairs == {(first.id, other), (second.id, other), (second.id, first.id)}


def test_a_request_that_is_good_as_it_is_is_made_so_also_when_a_proposal_was_accepted(planned: Squire) -> None:
    with ModelServer([answer(notes=("It is clear.",))]) as server:
        configure(planned, server.url)
        made = both(planned, "--accept")
    assert (made["accepted"], made["proposal"]["tasks"], made["proposal"]["problem"]) == (False, [], None)


def test_an_answer_that_cannot_be_taken_is_sent_back(planned: Squire) -> None:
    circle = {**FIRST, "depends_on": ["docs"]}
    unknown = {**FIRST, "depends_on": ["nothing"]}
    with ModelServer([answer(circle, SECOND), answer(unknown, FIRST), answer(FIRST)]) as server:
        configure(planned, server.url)
        made = both(planned)
        texts = [request.text for request in server.main_requests]
    assert [task["key"] for task in made["proposal"]["tasks"]] == ["speed"]
    assert "depend on one another in a circle" in texts[1]
    assert "the key 'speed' names 2 tasks" in texts[2]
    assert "which is no task of this answer" in texts[2]


@pytest.mark.parametrize("words", [(), ("--accept",)])
def test_a_model_that_does_not_answer_takes_no_request_away(
    planned: Squire, samples: SampleData, words: tuple[str, ...]
) -> None:
    with ModelServer([Turn(status=401, error_type="invalid_request_error")]) as server:
        configure(planned, server.url)
        made = both(planned, *words)
    assert made["accepted"] is False
    assert "the model m proposed nothing" in made["proposal"]["problem"]
    assert KEY not in json.dumps(made)
    assert samples.read(tasks.get, made["id"]).spec.prompt == WORDS


def test_a_budget_without_room_takes_no_request_away(planned: Squire) -> None:
    with ModelServer([answer(FIRST), answer(FIRST)]) as server:
        configure(planned, server.url, "[budgets.plan]\ntokens = 1000\n[budgets.day]\ntokens = 1500\n")
        assert both(planned)["proposal"]["problem"] is None
        made = both(planned)
        assert len(server.requests) == 1
    assert "has no room for a plan" in made["proposal"]["problem"]


def test_no_part_of_a_request_is_asked_about_in_its_place(planned: Squire) -> None:
    with ModelServer([answer(FIRST)]) as server:
        configure(planned, server.url, "context_tokens = 8000\n")
        made = planned.json("tasks", "new", REPOSITORY, "word " * 2_000, "--plan")
        assert server.requests == []
        refused = planned.fails(2, "tasks", "new", REPOSITORY, "word " * 8_000, "--plan")
    assert "the request is too long for this model" in made["proposal"]["problem"]
    assert "too long for --plan" in refused
    assert len(planned.json("tasks", "list")) == 1


@pytest.mark.parametrize(
    ("settings", "words", "code", "reason"),
    [
        ("", ("--plan",), 3, "the settings name none"),
        ('[planner]\nkind = "rules"\nmodel = "openai:gpt-5"\n', ("--plan",), 3, "the settings name none"),
        ("", ("--accept",), 2, "--accept is for what --plan proposes"),
        ("", ("--plan", "--branch", "mine"), 2, "--plan may make several"),
        ("", ("--plan", "--every", "0 3 * * 1"), 2, "--plan may make several"),
    ],
)
def test_what_cannot_be_planned_is_refused_before_anything_is_written(
    planned: Squire, settings: str, words: tuple[str, ...], code: int, reason: str
) -> None:
    planned.config(f'repositories = ["{REPOSITORY}"]\n{settings}')
    assert reason in planned.fails(code, "tasks", "new", REPOSITORY, WORDS, *words)
    assert planned.json("tasks", "list") == []


def at_terminal(squire: Squire) -> AbstractContextManager[Terminal]:
    environment = {"SQUIRE_HOME": str(squire.home), "EDITOR": "", "VISUAL": ""}
    return on_a_terminal("tasks", "new", REPOSITORY, WORDS, "--plan", environment=environment)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "code", "titles"),
    [
        ("o\r", 0, [WORDS]),
        ("x\rp\r", 0, [FIRST["title"], SECOND["title"]]),
        ("n\r", 1, []),
        pytest.param("", 130, [], id="Ctrl-C"),
    ],
)
def test_a_person_at_a_terminal_chooses(planned: Squire, keys: str, code: int, titles: list[str]) -> None:
    with ModelServer([answer(FIRST, SECOND, notes=("Two parts.",))]) as server:
        configure(planned, server.url)
        with at_terminal(planned) as terminal:
            shown = terminal.expect("Make original, proposal or nothing? [o/p/n]: ")
            assert planned.json("tasks", "list") == []
            for key in keys.splitlines(keepends=True):
                terminal.type(key)
            ended, seen = terminal.end() if keys else terminal.interrupt()
    assert ended == code, seen
    assert WORDS in shown
    assert "1. speed: Read the file in one pass" in shown
    assert "2. docs: Tell it in README.md (after speed)" in shown
    assert "960 tokens" in shown
    assert sorted(row["title"] for row in planned.json("tasks", "list")) == sorted(titles)
