from pathlib import Path

from squire_pipelines.agents.adapters.session import FILE
from squire_pipelines.agents.adapters.transcript import Entry, ModelStep, ModelText, dump
from squire_pipelines.execution.pull_request_story import last_words


def write(keep: Path, *entries: Entry, more: str = "") -> None:
    (keep / FILE).write_text("".join(f"{dump(entry)}\n" for entry in entries) + more)


def test_the_last_text_of_the_session_is_what_the_agent_says(tmp_path: Path) -> None:
    write(
        tmp_path,
        ModelText(text="I begin."),
        ModelText(text="I made add() add.\n"),
        ModelText(text=" \n"),
        ModelStep(),
        more='{"kind": "text", "text"\n',
    )
    assert last_words(tmp_path) == "I made add() add."


def test_an_agent_that_reports_nothing_says_nothing(tmp_path: Path) -> None:
    assert last_words(tmp_path) == ""
    write(tmp_path, ModelStep())
    assert last_words(tmp_path) == ""
