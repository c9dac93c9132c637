"""A home is served by one machine: another one that comes is refused while the first lives, and not for ever."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.cli.context import CliContext
from squire_pipelines.cli.doctor.sharing import check_sharing
from squire_pipelines.errors import RefusedError
from squire_pipelines.home_presence import (
    HomePresence,
    Machine,
    find_other_machine,
    presence_file,
    read_presence,
    this_machine,
)

ONE, TWO = Machine("boot-1", "one"), Machine("boot-2", "two")


def no_sleep(_seconds: float) -> None:
    pass


def beats(presence: HomePresence) -> Callable[[float], None]:
    def beat(_seconds: float) -> None:
        presence.repeat()

    return beat


def never(_seconds: float) -> None:
    pytest.fail("nothing is waited for")


def test_another_machine_is_refused_while_the_first_one_lives(tmp_path: Path) -> None:
    lines: list[str] = []
    with HomePresence(tmp_path / "run", machine=ONE) as first:
        with pytest.raises(RefusedError, match=f"another machine, one, serves {tmp_path}"):
            HomePresence(tmp_path / "run", machine=TWO, sleep=beats(first), say=lines.append).__enter__()
        first.check()
        assert lines == ["one has served this home; looking for 12 s whether it still does"]
    assert not presence_file(tmp_path / "run").exists()
    with HomePresence(tmp_path / "run", machine=TWO, sleep=never):
        pass


def test_a_machine_that_was_killed_keeps_nobody_out(tmp_path: Path) -> None:
    run = tmp_path / "run"
    killed = HomePresence(run, machine=ONE)
    killed.repeat()
    with HomePresence(run, machine=TWO, sleep=no_sleep) as second:
        assert read_presence(run) == (TWO, 1)
        killed.repeat()  # it was only suspended
        with pytest.raises(RefusedError, match="another machine, two"):
            killed.check()
        second.check()


def test_processes_of_one_machine_share_its_mark(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with HomePresence(run, machine=ONE) as services:
        with HomePresence(run, machine=ONE, sleep=never):
            pass
        services.repeat()
        assert read_presence(run) == (ONE, 1)
        assert find_other_machine(run, ONE, sleep=never) is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"boot": "x"}', '{"boot": "x", "host": "y", "beat": "z"}', "\x00" * 9000]
)
def test_a_mark_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    presence_file(tmp_path).write_text(content)
    assert read_presence(tmp_path) is None
    presence_file(tmp_path).unlink()
    presence_file(tmp_path).symlink_to("/etc/hostname")
    assert read_presence(tmp_path) is None


def test_a_shorter_mark_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    presence_file(tmp_path).write_text(" " * 500)
    HomePresence(tmp_path, machine=ONE).repeat()
    assert json.loads(presence_file(tmp_path).read_text()) == {"boot": "boot-1", "host": "one", "beat": 1}
    assert this_machine() == this_machine()


@pytest.fixture
def lines() -> Callable[..., list[tuple[str, str]]]:
    def look(**options: Any) -> list[tuple[str, str]]:
        return [(line.status, line.message) for line in check_sharing(CliContext(), **options)]

    return look


def test_the_doctor_says_who_serves_the_home_and_on_what(lines: Callable[..., list[tuple[str, str]]]) -> None:
    nfs = "1 1 0:1 / / rw - nfs4 server:/x rw\n"
    assert lines(mounts=nfs.replace("nfs4", "ext4")) == [("ok", "this machine alone serves the home, on ext4")]
    assert [status for status, _ in lines(mounts=nfs)] == ["fail", "fail"]
    home = CliContext().home
    other = HomePresence(home.run, machine=TWO)
    other.repeat()
    ((status, message),) = lines(mounts="", sleep=beats(other))
    assert status == "fail"
    assert "another machine, two" in message
