"""What a model is shown when it is asked about a person's request."""

import pytest

from tests.support.cli import Squire
from tests.support.model_server import Call, ModelServer, Turn
from tests.support.pipeline import HANDBOOK, Pipeline


@pytest.mark.slow
def test_the_model_sees_what_is_known_of_the_repository(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQUIRE_MODEL_KEY", "sk-" + "c" * 30)
    squire = Squire(pipeline.home)
    answer = Turn(calls=(Call("final_result", {"tasks": []}),))
    with ModelServer([answer]) as server:
        for name, value in (("KIND", "llm"), ("MODEL", "m"), ("BASE_URL", server.url)):
            monkeypatch.setenv(f"SQUIRE_PLANNER__{name}", value)
        made = squire.json("tasks", "new", HANDBOOK, "Say how it is installed.", "--plan")
        (request,) = server.main_requests
    assert made["proposal"]["problem"] is None
    assert "(not known)" not in request.text
    assert "README.md" in request.text
    assert "Say how it is installed." in request.text
