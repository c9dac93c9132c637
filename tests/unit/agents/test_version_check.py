"""What an agent's image answers to the question for its program's version."""

import subprocess
from pathlib import Path

import pytest

from squire_pipelines.agent_names import PROGRAMS
from squire_pipelines.agents.program_locks import tried_version
from squire_pipelines.agents.version_check import SCRIPT, judge_program


def ask(*words: str, script: str = SCRIPT) -> tuple[int, str]:
    """Run the script here, as it is run in a container."""
    done = subprocess.run(
        ["/bin/sh", "-c", script, "check", "nothing-recorded", *words],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout


def test_the_first_line_that_the_program_prints_is_its_version() -> None:
    check = judge_program("mine", "image:1", "printf", *ask("printf", "1.2.3\nmore\n"))
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


@pytest.mark.parametrize("kind", PROGRAMS)
def test_another_version_than_that_of_the_lock_is_wrong(kind: str) -> None:
    tried = tried_version(kind)
    check = judge_program(kind, "image:1", kind, *ask("printf", f"{kind} v{tried}."))
    assert check.ok, check.problem
    for other in (f"{tried}0", f"{tried}.1", f"1{tried}", f"{tried}-beta"):
        check = judge_program(kind, "image:1", kind, *ask("printf", other))
        assert check.problem == f"{kind} in image:1: it is version {other}, and this Squire was tried with {tried}"
        assert ("scripts/images.sh worker" if kind == "opencode" else f"squire agents build {kind}") in check.hint


def test_the_recorded_version_does_not_stand_for_a_program_that_crashes(tmp_path: Path) -> None:
    (tmp_path / "nothing-recorded.version").write_text("1.2.3\n")
    script = SCRIPT.replace("/etc/squire", str(tmp_path))
    assert script != SCRIPT
    assert ask("sh", "-c", "exit 0", script=script) == (0, "1.2.3\n")
    code, text = ask("sh", "-c", "echo 1.2.3; exit 3", script=script)
    assert (code, judge_program("mine", "image:1", "sh", code, text).ok) == (3, False)
