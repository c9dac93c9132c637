"""A prompt that is too long for an argument reaches every program: on standard input, or as the name of its file."""

import json
import os
import sys
from pathlib import Path

import pytest
from squire_worker.agent import Agent
from squire_worker.contract import Attempt, Paths
from squire_worker.processes import Termination

from squire_pipelines.agent_names import PROGRAMS
from squire_pipelines.agents.adapters.protocol import AgentConfig, LaunchSpec, Marker
from squire_pipelines.agents.adapters.registry import find

LONG = "A line of a long log.\n" * 9_500 + "The end.\n"
TEXTS = dict.fromkeys(("attempt_id", "repository", "base_ref", "branch", "bot_name", "commit_message"), "x")
# In a program's place: it writes down what it was given.
PROGRAM = f"""#!{sys.executable} -I
import json, os, sys
with open(os.environ["HOME"] + "/given.json", "w") as file:
    json.dump([sys.argv[1:], sys.stdin.read()], file)
"""


def handed_to(folder: Path, launch: LaunchSpec, prompt: str, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], str]:
    """Return the arguments and the standard input that a program of `launch` gets."""
    paths = Paths(folder / "in", folder / "out", folder / "work")
    for path in (paths.inbox, paths.out, paths.repo, folder / "bin", folder / "home"):
        path.mkdir(parents=True)
    (paths.inbox / "prompt.md").write_text(prompt, encoding="utf-8")
    program = folder / "bin" / launch.argv[0]
    program.write_text(PROGRAM, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(folder / "home"))
    document = {
        **TEXTS,
        "bot_email": "b@example.com",
        "base_sha": "a" * 40,
        "schema": 2,
        "agent": {**launch.document(), "kind": "x"},
    }
    agent = Agent(paths, Attempt.parse(json.dumps(document)), 8787)
    assert agent.run(Termination(), 1) == 0
    arguments, stdin = json.loads((folder / "home" / "given.json").read_text(encoding="utf-8"))
    return arguments, stdin


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program_gets_a_prompt_of_200_kb(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = find(name).launch(AgentConfig(model="m", protocol=find(name).protocols[0])).checked(name)
    assert len(LONG) > 200_000
    arguments, stdin = handed_to(tmp_path, launch, LONG, monkeypatch)
    is_read = Marker.PROMPT in (launch.stdin or "")
    named = [part for part in arguments if str(tmp_path / "in" / "prompt.md") in part]
    assert is_read == (stdin == LONG)
    assert is_read or named
    assert all(len(part.encode()) < 128 * 1024 for part in arguments)


def test_an_argument_that_holds_the_prompt_is_the_prompt_as_long_as_it_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = LaunchSpec(argv=("program", "-t", Marker.PROMPT))
    assert handed_to(tmp_path / "short", launch, "Do it.", monkeypatch)[0] == ["-t", "Do it."]
    ((_, argument), stdin) = handed_to(tmp_path / "long", launch, LONG, monkeypatch)
    assert str(tmp_path / "long" / "in" / "prompt.md") in argument
    assert "9501 lines" in argument
    assert stdin == ""
