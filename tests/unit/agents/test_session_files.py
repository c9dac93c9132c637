"""A program's own file about its session becomes the transcript: bounded, redacted, and never the run's end."""

import json
from pathlib import Path

import pytest

from squire_pipelines.agents import hand_out
from squire_pipelines.agents.adapters.protocol import (
    MAX_SESSION_FILE_BYTES,
    AgentConfig,
    GatewaySeen,
    LaunchSpec,
    SessionFile,
)
from squire_pipelines.agents.adapters.registry import find
from squire_pipelines.agents.adapters.session import FILE, read
from squire_pipelines.agents.adapters.transcript import Entry, ModelText
from squire_pipelines.agents.endings import SupervisionResult
from squire_pipelines.agents.logs import OutputOptions
from squire_pipelines.agents.model import AttemptInputs, RunResult
from squire_pipelines.agents.run_recorder import RunRecorder
from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import ConfigError
from tests.support.attempts import make_inputs

RESULT = {"schema": 1, "status": "no_changes", "agent_exit_code": 0, "timings": {}}
TRAJECTORY = {"messages": [{"role": "assistant", "content": "The key is s3cret\x1b[0m.", "extra": {}}]}


def finish(inputs: AttemptInputs, report: bytes | None) -> RunResult:
    """Return how a run ends whose program left that file."""
    for folder in (inputs.folder.out, inputs.folder.keep):
        folder.mkdir(parents=True, exist_ok=True)
    recorder = RunRecorder(inputs, OutputOptions(redact=lambda line: line.replace("s3cret", "***")))
    recorder.gateway_seen = lambda: GatewaySeen(calls=1, answers=1)
    (inputs.folder.out / "result.json").write_text(json.dumps(RESULT), encoding="utf-8")
    if report is not None:
        (inputs.folder.out / "session.json").write_bytes(report)
    return recorder.finish(SupervisionResult(exit_code=0))


@pytest.fixture
def inputs(tmp_path: Path) -> AttemptInputs:
    return make_inputs(tmp_path, agent=find("mini-swe-agent"), order=AgentConfig(model="m"))


def test_a_report_becomes_the_transcript(inputs: AttemptInputs) -> None:
    run = finish(inputs, json.dumps(TRAJECTORY, indent=2).encode())
    entries = list(read(inputs.folder.keep / FILE))
    assert [entry.text for entry in entries if isinstance(entry, ModelText)] == ["The key is ***\x1b[0m."]
    assert run.ending.evidence.session["steps"] == 1


@pytest.mark.parametrize(
    "report",
    [None, b"", b"{", b"\xff" * 100, b"[1]", b'{"messages":' * 100_000],
    ids=["none", "empty", "begun", "no text", "a list", "deep"],
)
def test_a_report_that_is_none_changes_nothing(inputs: AttemptInputs, report: bytes | None) -> None:
    run = finish(inputs, report)
    assert run.ending.cause is Cause.NO_CHANGES
    assert not (inputs.folder.keep / FILE).exists()


def test_a_report_that_is_too_long_is_a_fact(inputs: AttemptInputs) -> None:
    run = finish(inputs, b" " * (MAX_SESSION_FILE_BYTES + 1))
    assert run.ending.cause is Cause.NO_CHANGES
    assert "session.json has" in str(run.ending.evidence.facts["session_file_failure"])


def test_it_is_taken_out_of_the_container_before_the_result(inputs: AttemptInputs) -> None:
    taken = list(hand_out.handed_out(inputs))
    assert taken[1:] == [("session.json", MAX_SESSION_FILE_BYTES), taken[-1]]
    assert taken[-1][0] == "result.json"


def _nothing(_text: str) -> tuple[Entry, ...]:
    return ()


@pytest.mark.parametrize("name", ["result.json", "../session.json", "report", ".session.json", "a/session.json"])
def test_a_report_has_a_name_of_its_own(name: str) -> None:
    with pytest.raises(ConfigError, match="is no relative file name"):
        LaunchSpec(argv=("x",), session_file=SessionFile(name, _nothing)).checked("x")
    LaunchSpec(argv=("x",), session_file=SessionFile("session.md", _nothing)).checked("x")
