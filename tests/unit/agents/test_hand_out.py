"""What is taken out of a container's memory, and when, with an engine that only answers."""

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker

from squire_pipelines.agents.hand_out import TAKEN_SIGNAL, HandOut
from squire_pipelines.agents.model import AttemptInputs
from tests.support.attempts import make_inputs

CONTAINER = "c0ffee"
# More than the looks that are needed for the longest pause.
QUIET_LOOKS = 8


class FakeEngine:
    """Has files in `/out`, and notes who was told that they were taken."""

    def __init__(self, **files: bytes) -> None:
        self.files = files
        self.api = self
        self.looks = 0
        self.taken = threading.Event()

    def exec_create(self, container: str, command: list[str], *, user: str) -> dict[str, str]:
        """Remember nothing: the id is the file's name."""
        assert (container, ":" in user) == (CONTAINER, True)
        return {"Id": command[-2].removeprefix("/out/")}

    def exec_start(self, name: str, *, stream: bool, demux: bool) -> Any:
        """Say what the script in the container would say."""
        assert stream
        assert demux
        content = self.files.get(name.replace(".", "_"))
        self.looks += 1

        def chunks() -> Iterator[tuple[bytes, None]]:
            yield (b"none\n" if content is None else f"{len(content)}\n".encode() + content), None

        return chunks()

    def kill(self, container: str, *, signal: str) -> None:
        """Tell the entrypoint."""
        assert (container, signal) == (CONTAINER, TAKEN_SIGNAL)
        self.taken.set()


def _line_after(quiet: int, then: Any) -> threading.Event:
    """Return an event that is not set for so many waits, which take no time; then it is, after `then` was called."""
    waits = iter(range(quiet))
    line = threading.Event()

    def wait(_timeout: float | None = None) -> bool:
        if next(waits, None) is None and not line.is_set():
            then()
            line.set()
        return line.is_set()

    return SimpleNamespace(wait=wait, set=line.set, clear=line.clear)  # type: ignore[return-value] # all that is used


def _inputs(tmp_path: Path) -> AttemptInputs:
    inputs = make_inputs(tmp_path)
    inputs.folder.out.mkdir(parents=True)
    return inputs


def test_result_is_taken_as_soon_as_the_entrypoint_says_so_however_long_nothing_was_there(tmp_path: Path) -> None:
    engine, inputs = FakeEngine(), _inputs(tmp_path)
    line = _line_after(QUIET_LOOKS, lambda: engine.files.update(result_json=b"{}", result_bundle=b"# bundle"))
    client: docker.DockerClient = engine  # type: ignore[assignment] # all of it that is used
    with HandOut(client, CONTAINER, inputs, line):
        assert engine.taken.wait(10)  # the pauses of so many lines would take longer
    assert (inputs.folder.out / "result.json").read_bytes() == b"{}"
    assert (inputs.folder.out / "result.bundle").read_bytes() == b"# bundle"


def test_file_that_is_longer_than_it_may_be_is_cut(tmp_path: Path) -> None:
    inputs = _inputs(tmp_path)
    most = inputs.limits.output
    engine = FakeEngine(result_json=b"{}", result_bundle=b"x" * (most + 1000))
    client: docker.DockerClient = engine  # type: ignore[assignment] # all of it that is used
    with HandOut(client, CONTAINER, inputs, threading.Event(), adopted=True):
        assert engine.taken.wait(10)
    assert (inputs.folder.out / "result.bundle").stat().st_size == most + 1
