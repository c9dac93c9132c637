"""The end of a run: removals that fail, a full disk. The engine is a stand-in with injected faults."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import docker
import pytest
import requests
from docker.errors import APIError

from squire_pipelines.agents import container, reap
from squire_pipelines.agents.endings import SupervisionResult
from squire_pipelines.agents.logs import LogSink, OutputOptions
from squire_pipelines.agents.run_recorder import RunRecorder
from squire_pipelines.domain.endings import Cause
from squire_pipelines.errors import EngineError, WorkspaceError
from tests.support.attempts import make_inputs

ATTEMPT = "t000000001-1"
CREATED = {
    "Id": "c0ffee",
    "Name": f"/squire-{ATTEMPT}",
    "Config": {"Labels": {"squire.attempt": ATTEMPT, "squire.role": "agent"}},
    "State": {"Running": True, "Status": "running", "StartedAt": "2026-11-22T10:00:00.5Z"},
}


def answer(status: int) -> APIError:
    response = requests.Response()
    response.status_code = status
    return APIError("refused", response=response)


@dataclass
class StubbornApi:
    """An engine with one container; each call fails with the next of its faults, if there is one."""

    faults: list[Exception] = field(default_factory=list)
    kill_faults: list[Exception] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)

    def inspect_container(self, _: str) -> dict[str, Any]:
        return CREATED

    def remove_container(self, name: str, **_: bool) -> None:
        self.calls.append(f"remove {name}")
        if self.faults:
            raise self.faults.pop(0)

    def kill(self, name: str, signal: str) -> None:
        self.calls.append(f"{signal} {name}")
        if self.kill_faults:
            raise self.kill_faults.pop(0)


@dataclass
class StubbornClient:
    api: StubbornApi


def client_of(api: StubbornApi) -> docker.DockerClient:
    return cast("docker.DockerClient", StubbornClient(api))


def test_a_removal_that_is_under_way_is_a_removal() -> None:
    assert reap.remove(client_of(StubbornApi([answer(409)])), "c0ffee")


@pytest.mark.parametrize("fault", [answer(500), requests.ConnectionError("gone")])
def test_a_removal_that_fails_is_an_engine_error(fault: Exception) -> None:
    with pytest.raises(EngineError):
        reap.remove(client_of(StubbornApi([fault])), "c0ffee")


def test_a_removal_is_tried_again() -> None:
    api = StubbornApi([answer(500), requests.ReadTimeout("slow")])
    assert container.remove_with_retry(client_of(api), "c0ffee", ATTEMPT, pause_s=0)
    assert len(api.calls) == 3


def test_a_container_that_cannot_be_removed_is_left_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    api = StubbornApi([answer(500)] * 10)
    assert not container.remove_with_retry(client_of(api), "c0ffee", ATTEMPT, pause_s=0)
    assert len(api.calls) == 3
    assert "agent.container_left_behind" in caplog.messages


def test_a_container_of_another_attempt_is_not_removed() -> None:
    api = StubbornApi()
    assert not container.remove_with_retry(client_of(api), "c0ffee", "another", pause_s=0)
    assert api.calls == []


@pytest.mark.parametrize("fault", [answer(409), answer(404), answer(500), requests.ConnectionError("gone")])
def test_a_signal_that_does_not_arrive_is_no_reason_to_stop_watching(tmp_path: Path, fault: Exception) -> None:
    api = StubbornApi(kill_faults=[fault])
    sink = LogSink(tmp_path / "log", limit_bytes=100)
    watched = container.Container(client_of(api), "c0ffee", sink)
    watched.terminate()
    watched.kill()
    watched.finish_output()
    sink.close()
    assert api.calls == ["SIGTERM c0ffee", "SIGKILL c0ffee"]


class BrokenStream:
    """A stream that ends in an error and cannot be closed."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self._begun = False

    def __iter__(self) -> "BrokenStream":
        return self

    def __next__(self) -> bytes:
        if self._begun:
            raise self._error
        self._begun = True
        return b"first\n"

    def close(self) -> None:
        raise AttributeError


@pytest.mark.parametrize("error", [OSError("gone"), ValueError("closed file")])
def test_a_stream_that_breaks_ends_the_drain_with_what_came_before(tmp_path: Path, error: Exception) -> None:
    sink = LogSink(tmp_path / "log", limit_bytes=100)
    drain = container.Drain(BrokenStream(error), sink)
    drain.finish()
    sink.close()
    assert drain.error == str(error)
    assert not drain.alive
    assert sink.tail == ("first",)


@pytest.fixture
def recorder(tmp_path: Path) -> RunRecorder:
    inputs = make_inputs(tmp_path, command=("true",))
    for folder in (inputs.attempt_dir, inputs.folder.out, inputs.folder.keep):
        folder.mkdir()
    return RunRecorder(inputs)


def test_a_log_that_cannot_be_written_stops_the_run_as_a_full_disk(recorder: RunRecorder) -> None:
    assert recorder.problem() is None
    recorder.sink.failure = OSError(28, "No space left on device")
    assert recorder.problem() is Cause.DISK_FULL
    ending = recorder.finish(SupervisionResult(exit_code=137, stop=Cause.DISK_FULL)).ending
    assert ending.cause is Cause.DISK_FULL
    assert ending.evidence.facts["log_failure"] == "No space left on device"


def test_a_flood_stops_the_run(recorder: RunRecorder) -> None:
    recorder.sink.feed((b"y" * 99 + b"\n") * 60_000)
    assert recorder.problem() is Cause.LOG_OVERFLOW
    recorder.sink.close()


def test_a_log_that_cannot_be_opened_is_a_workspace_error(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"agent\.log"):
        RunRecorder(make_inputs(tmp_path, command=("true",)))


def test_the_message_is_redacted(recorder: RunRecorder) -> None:
    hide: Callable[[str], str] = lambda text: text.replace("exit code", "***")  # noqa: E731
    recorder.output = OutputOptions(redact=hide)
    assert "***" in recorder.finish(SupervisionResult(exit_code=3)).ending.message
