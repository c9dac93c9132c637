"""What an agent's image answers to the question for its program's version."""

import subprocess

import pytest

from squire_pipelines.agents.program_check import SCRIPT, judge_program


def ask(*words: str) -> tuple[int, str]:
    """Run the script here, as it is run in a container."""
    done = subprocess.run(
        ["/bin/sh", "-c", SCRIPT, "check", "nothing-recorded", *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout


def test_the_first_line_that_the_program_prints_is_its_version() -> None:
    check = judge_program("pi", "image:1", "printf", *ask("printf", "1.2.3\nmore\n"))
    assert (check.ok, check.version, check.hint) == (True, "1.2.3", "")


def test_a_program_that_is_not_in_the_image_is_named_with_the_next_step() -> None:
    code, text = ask("squire-no-such-program", "--version")
    assert code == 127
    check = judge_program("codex", "image:1", "squire-no-such-program", code, text)
    assert check.problem == "the image image:1 has no program squire-no-such-program"
    assert "squire agents build codex" in check.hint


@pytest.mark.parametrize("words", [("false",), ("true",)])
def test_a_program_that_says_no_version_and_has_none_recorded_is_wrong(words: tuple[str, ...]) -> None:
    check = judge_program("pi", "image:1", words[0], *ask(*words))
    assert not check.ok
    assert "does not say its version" in check.problem
