"""The end of an adopted container's output, when the engine's log was behind while it was followed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import docker
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squire_pipelines.agents.container import Container, after
from squire_pipelines.agents.logs import LogSink

LINES = st.lists(st.sampled_from([b"\n", b"same\n", b"x\n", b"yy\n"]), max_size=30).map(b"".join)


def kept_of(known: bytes, new: bytes, begin: int) -> bytes:
    """What the engine kept: from a line's beginning in what was known, or where that ends."""
    starts = [0, *(place + 1 for place, byte in enumerate(known) if byte == ord("\n"))]
    return (known + new)[starts[min(begin, len(starts) - 1)] :]


@given(known=LINES, new=LINES, begin=st.integers(0, 40))
def test_nothing_is_taken_twice(known: bytes, new: bytes, begin: int) -> None:
    assert new.endswith(after(known, kept_of(known, new, begin)))


@given(known=st.integers(0, 30), new=st.integers(0, 30), begin=st.integers(0, 40))
def test_of_lines_that_differ_none_is_lost(known: int, new: int, begin: int) -> None:
    lines = [b"%d\n" % number for number in range(known + new)]
    read, unread = b"".join(lines[:known]), b"".join(lines[known:])
    assert after(read, kept_of(read, unread, begin)) == unread


@pytest.mark.parametrize(
    ("last", "kept", "new"),
    [
        (b"a\nb\n", b"a\nb\n", b""),
        (b"a\nb\n", b"b\nc\n", b"c\n"),
        (b"a\nb", b"a\nbb\n", b"b\n"),
        (b"b\nc\n", b"a\nb\nc\nd\n", b"d\n"),
        (b"b\na\n", b"a\nb\na\nd\n", b"d\n"),
        (b"", b"a\n", b"a\n"),
        (b"a\n", b"", b""),
        (b"a\n", b"y\nz\n", b"y\nz\n"),
        (b"x\n" * 9, b"x\n" * 4, b""),
    ],
)
def test_the_two_are_laid_over_each_other(last: bytes, kept: bytes, new: bytes) -> None:
    assert after(last, kept) == new


class LaggingApi:
    """An engine whose log, when it is followed, ends before the output does."""

    def logs(self, _id: str, *, stream: bool = False, **_: Any) -> Iterator[bytes] | bytes:
        return iter([b"1\n", b"2\n"]) if stream else b"2\n3\n4\n"

    def wait(self, *_: Any, **__: Any) -> None:
        """Ended."""

    def inspect_container(self, _id: str) -> dict[str, Any]:
        return {"State": {"Running": False, "Status": "exited", "ExitCode": 0}}


class LaggingClient:
    api = LaggingApi()


@pytest.mark.parametrize(("running", "there"), [(True, "1\n2\n3\n4\n"), (False, "1\n2\n")])
def test_what_the_engine_wrote_too_late_is_read_in_the_end(tmp_path: Path, *, running: bool, there: str) -> None:
    sink = LogSink(tmp_path / "log", limit_bytes=1000)
    container = Container(cast("docker.DockerClient", LaggingClient()), "c", sink)
    container.replay(running=running)
    assert container.wait(1)
    container.finish_output()
    sink.close()
    assert (tmp_path / "log").read_text() == there


class FarBehindApi(LaggingApi):
    """An engine whose followed log ends long before the output does; its short end has nothing in common with it."""

    def logs(self, _id: str, *, stream: bool = False, tail: int | str = "all", **_: Any) -> Iterator[bytes] | bytes:
        numbers = [b"%d\n" % number for number in range(1, 2001)]
        if stream:
            return iter(numbers[:2])
        return b"".join(numbers[-tail:] if isinstance(tail, int) else numbers)


def test_when_thousands_of_lines_came_too_late_none_is_missed(tmp_path: Path) -> None:
    sink = LogSink(tmp_path / "log", limit_bytes=100_000)
    client = LaggingClient()
    client.api = FarBehindApi()
    container = Container(cast("docker.DockerClient", client), "c", sink)
    container.replay(running=True)
    assert container.wait(1)
    container.finish_output()
    sink.close()
    assert (tmp_path / "log").read_text().split() == [str(number) for number in range(1, 2001)]
