"""Programs that do what no program should, in the place of Claude Code's: each ends with a name and the next step."""

from pathlib import Path

import pytest

from squire_pipelines.agents.adapters.protocol import AgentConfig, GatewaySeen
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.agents.local_runner import LocalRunner
from squire_pipelines.agents.model import RunResult
from squire_pipelines.agents.program_locks import find_program
from squire_pipelines.domain.endings import Cause
from tests.support.attempts import Origin, go_on

ANSWERED = GatewaySeen(calls=2, answers=2)
EDIT = "echo changed >> README.md"


def run_program(origin: Origin, folder: Path, script: str | None, seen: GatewaySeen = ANSWERED) -> RunResult:
    """An attempt with a script as the program, which says its version when asked; None is one that is not there."""
    program = folder / "program"
    if script is not None:
        asked = 'if [ "$1" = --version ]; then echo "9.9.9 (Claude Code)"; exit; fi\n'
        program.write_text(f"#!/bin/sh\n{asked}{script}\n", encoding="utf-8")
        program.chmod(0o755)
    order = AgentConfig((str(program),), "m", protocol="anthropic")
    inputs = origin.prepared(folder, agent=find("claude-code"), order=order, prompt="Do it.")
    return LocalRunner().run(inputs, heartbeat=go_on, gateway_seen=lambda: seen)


def test_one_that_is_not_there_names_the_command_that_brings_it(origin: Origin, tmp_path: Path) -> None:
    ending = run_program(origin, tmp_path, None, GatewaySeen()).ending
    assert ending.cause is Cause.AGENT_NOT_FOUND
    assert "run `squire agents build claude-code`" in ending.message


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'Error: stdin is not a terminal' >&2; exit 1", "it asks for a terminal, and there is none"),
        ("read answer </dev/tty || exit 1", "it asks for a terminal, and there is none"),
        ("echo 'ENOSPC: no space left on device' >&2; exit 1", "raise the one of agent.limits that it fills"),
        ('echo \'{"type": "nothing.known"}\'; exit 1', "none of its 1 events has a form that this Squire knows"),
        ("exit 1", f"tried with {find_program('claude-code').version}: `squire agents build claude-code`"),
    ],
    ids=["needs a terminal", "opens the terminal", "full disk", "other events", "other version"],
)
def test_what_one_lacks_is_in_the_message_of_its_failure(
    origin: Origin, tmp_path: Path, script: str, words: str
) -> None:
    ending = run_program(origin, tmp_path, script).ending
    assert ending.cause is Cause.AGENT_ERROR
    assert words in ending.message
    assert ending.evidence.facts["agent_version"] == "9.9.9 (Claude Code)"


def test_one_whose_events_have_changed_is_judged_by_the_gateway_and_the_evidence_says_so(
    origin: Origin, tmp_path: Path
) -> None:
    events = 'echo \'{"type": "v2.start"}\'; echo \'{"type": "v2.end"}\''
    run = run_program(origin, tmp_path, f"{events}; {EDIT}")
    assert run.ending.cause is Cause.COMPLETED, run.ending
    assert run.ending.evidence.session == {"unread_events": 2}
    failed = GatewaySeen(calls=1, failures=1, last_error="overloaded", last_status=529)
    other = tmp_path / "other"
    other.mkdir()
    assert run_program(origin, other, events, failed).ending.cause is Cause.PROVIDER_ERROR


def test_one_that_waits_on_standard_input_gets_its_end_at_once(origin: Origin, tmp_path: Path) -> None:
    run = run_program(origin, tmp_path, f"cat > read.txt; cat; {EDIT}")
    assert run.ending.cause is Cause.COMPLETED, run.ending
    assert run.bundle is not None
    assert origin.file_after(run.bundle, "squire/t000000001-do-it", "read.txt") == "Do it."


def test_one_that_leaves_a_server_behind_ends_with_its_change(origin: Origin, tmp_path: Path) -> None:
    server = "setsid python3 -c 'import socket, time; s = socket.create_server((\"127.0.0.1\", 0)); time.sleep(300)'"
    run = run_program(origin, tmp_path, f"{server} >/dev/null 2>&1 & {EDIT}")
    assert run.ending.cause is Cause.COMPLETED, run.ending
    assert run.timings["total_s"] < 30
