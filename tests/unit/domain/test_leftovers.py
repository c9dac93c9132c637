import pytest

from squire_pipelines.domain.leftovers import LEFTOVERS, leftover_patterns, leftovers_note


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("Mend add", set()),
        ("Update node_modules, please", {"node_modules/"}),
        ("Take .venv and `.DS_Store` out", {".venv/", ".DS_Store"}),
        ("Add app.pyc", {"*.pyc"}),
        ("src/__pycache__/x", {"__pycache__/"}),
        ("old_node_modules and node_modules2, .venvs, .coveragerc", set()),
        ("Wait ~5 s", set()),
    ],
)
def test_what_a_task_names_is_not_left_out(words: str, named: set[str]) -> None:
    assert set(LEFTOVERS) - set(leftover_patterns(["", words])) == named


def test_the_note_names_what_was_left_out() -> None:
    assert leftovers_note(()) is None
    note = leftovers_note(("node_modules/", "a`b"))
    assert note == "Left out of the change, as tools leave it behind: `node_modules/`, `a'b`."
