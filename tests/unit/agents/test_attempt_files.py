"""Taking over what a hostile agent left, and writing what it is given."""

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from squire_pipelines.agents.attempt_files import (
    add_input,
    measure,
    read_notes,
    read_result,
    take_bundle,
    write_inputs,
)
from squire_pipelines.agents.model import AttemptFolder, ResultStatus
from squire_pipelines.domain.canary import canary_for
from squire_pipelines.errors import WorkspaceError
from tests.support.attempts import make_inputs

GOOD: dict[str, Any] = {
    "schema": 1,
    "status": "changed",
    "agent_exit_code": 0,
    "head_sha": "b" * 40,
    "commits": 1,
    "uncommitted_committed": True,
    "error": None,
    "timings": {
        "clone_s": 0.1,
        "agent_start": "2026-01-01T00:00:00.000Z",
        "agent_end": "2026-01-01T00:00:01.000Z",
        "bundle_s": None,
    },
    "agent_version": None,
}


@pytest.fixture
def folder(tmp_path: Path) -> AttemptFolder:
    made = AttemptFolder(tmp_path / "attempt")
    for path in (made.root, made.inbox, made.out, made.keep):
        path.mkdir()
    return made


def plant(folder: AttemptFolder, kind: str, name: str) -> None:
    """Put something that is no ordinary file where the host will look."""
    target = folder.out / name
    secret = folder.root / "secret"
    secret.write_text(json.dumps(GOOD), encoding="utf-8")
    match kind:
        case "symlink":
            target.symlink_to(secret)
        case "relative symlink":
            target.symlink_to("../secret")
        case "dangling symlink":
            target.symlink_to("nowhere")
        case "device":
            target.symlink_to("/dev/zero")
        case "pipe":
            os.mkfifo(target)
        case "directory":
            target.mkdir()
        case "huge":
            with target.open("wb") as file:
                file.truncate(10 * 2**30)


HOSTILE = ["symlink", "relative symlink", "dangling symlink", "device", "pipe", "directory", "huge"]


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_result_is_refused_without_waiting(folder: AttemptFolder, kind: str) -> None:
    plant(folder, kind, "result.json")
    with pytest.raises(WorkspaceError, match=r"result\.json"):
        read_result(folder.out)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_bundle_is_refused_without_waiting(folder: AttemptFolder, kind: str) -> None:
    plant(folder, kind, "result.bundle")
    with pytest.raises(WorkspaceError, match=r"result\.bundle"):
        take_bundle(folder, max_bytes=2**20)
    assert list(folder.keep.iterdir()) == []


def test_an_out_directory_that_is_a_symlink_is_refused(folder: AttemptFolder) -> None:
    elsewhere = folder.root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "result.json").write_text(json.dumps(GOOD), encoding="utf-8")
    folder.out.rmdir()
    folder.out.symlink_to(elsewhere)
    with pytest.raises(WorkspaceError):
        read_result(folder.out)
    assert measure(folder.out).bounded


def test_a_good_result_is_read(folder: AttemptFolder) -> None:
    (folder.out / "result.json").write_text(json.dumps(GOOD | {"new_field": 1}), encoding="utf-8")
    result = read_result(folder.out)
    assert result.status is ResultStatus.CHANGED
    assert result.timings.clone_s == 0.1


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"status": "fine"},
        {"head_sha": "--upload-pack=x"},
        {"commits": -1},
        pytest.param({"commits": 10**5000}, id="commits of 5,000 digits"),
        {"commits": "1"},
        pytest.param({"agent_exit_code": 10**4400}, id="exit code of 4,400 digits"),
        {"timings": {"bundle_s": "1"}},
        {"timings": {"clone_s": -1}},
        {"agent_version": "v" * 1000},
        {"error": "text"},
    ],
)
def test_a_result_that_no_entrypoint_writes_is_refused(folder: AttemptFolder, change: dict[str, Any]) -> None:
    (folder.out / "result.json").write_text(_json(GOOD | change), encoding="utf-8")
    with pytest.raises(WorkspaceError, match=f"{next(iter(change))}|number out of range"):
        read_result(folder.out)


def _json(document: dict[str, Any]) -> str:
    """Return the document as JSON, whose numbers may have thousands of digits."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(document)
    finally:
        sys.set_int_max_str_digits(limit)


@pytest.mark.parametrize("text", ["", "nonsense", "[" * 100_000, "[]", "\x00"])
def test_text_that_is_no_result_is_refused(folder: AttemptFolder, text: str) -> None:
    (folder.out / "result.json").write_text(text, encoding="utf-8")
    with pytest.raises(WorkspaceError):
        read_result(folder.out)


def test_a_missing_result_is_named_and_a_missing_bundle_is_none(folder: AttemptFolder) -> None:
    with pytest.raises(WorkspaceError, match="missing"):
        read_result(folder.out)
    assert take_bundle(folder, 100) is None


def test_a_bundle_is_copied_whole(folder: AttemptFolder) -> None:
    content = os.urandom(3 * 2**20)
    (folder.out / "result.bundle").write_bytes(content)
    taken = take_bundle(folder, len(content))
    assert taken == folder.keep / "result.bundle"
    assert taken.read_bytes() == content


def test_a_bundle_that_cannot_be_kept_is_an_error(folder: AttemptFolder) -> None:
    (folder.out / "result.bundle").write_bytes(b"x")
    (folder.keep / "result.bundle").mkdir()
    with pytest.raises(WorkspaceError):
        take_bundle(folder, 100)


def test_notes_for_the_pull_request_are_kept_where_no_agent_reaches(tmp_path: Path) -> None:
    bundle = tmp_path / "b"
    bundle.write_bytes(b"bundle")
    folder = write_inputs(make_inputs(tmp_path, command=("true",)), bundle, notes=("No submodules.",))
    assert read_notes(folder) == ("No submodules.",)
    assert (folder.keep / "notes.json").parent == folder.keep
    (folder.keep / "notes.json").unlink()
    assert read_notes(folder) == ()


def test_inputs_are_written_so_that_any_user_of_a_container_can_read_them(tmp_path: Path) -> None:
    bundle = tmp_path / "b"
    bundle.write_bytes(b"bundle")
    bundle.chmod(0o600)
    inputs = make_inputs(tmp_path, command=("true",))
    folder = write_inputs(inputs, bundle)
    names = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.inbox.iterdir()}
    file_names = ("attempt.json", "task.json", "prompt.md", "repo.bundle", "deploy.env")
    assert names == dict.fromkeys(file_names, 0o644)
    assert canary_for(inputs.attempt_id) in (folder.inbox / "deploy.env").read_text()
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.out.stat().st_mode) == 0o700
    document = json.loads((folder.inbox / "attempt.json").read_text())
    assert document["schema"] == 1
    assert document["agent"] == {"kind": "command", "argv": ["true"], "environment": {}, "files": {}, "version": []}
    assert document["hands_out"] is True


def test_writing_again_keeps_what_the_agent_has_done(tmp_path: Path) -> None:
    bundle = tmp_path / "b"
    bundle.write_bytes(b"bundle")
    inputs = make_inputs(tmp_path, command=("true",))
    folder = write_inputs(inputs, bundle)
    (folder.out / "result.json").write_text("{}")
    write_inputs(inputs, bundle)
    assert (folder.out / "result.json").exists()


def test_inputs_that_cannot_be_written_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="cannot be written"):
        write_inputs(make_inputs(tmp_path, command=("true",)), tmp_path / "no-bundle")


def test_measuring_counts_files_in_folders_and_follows_nothing(folder: AttemptFolder) -> None:
    (folder.out / "a").write_bytes(b"x" * 1000)
    deep = folder.out / "d" / "e"
    deep.mkdir(parents=True)
    (deep / "b").write_bytes(b"x" * 100_000)
    (folder.out / "loop").symlink_to(folder.out)
    usage = measure(folder.out)
    assert not usage.bounded
    assert usage.entries == 5
    assert 101_000 <= usage.bytes < 200_000
    assert usage.exceeds(100_000)
    assert not usage.exceeds(10**6)


def test_measuring_stops_at_its_bounds(folder: AttemptFolder) -> None:
    for number in range(20):
        (folder.out / str(number)).touch()
    assert measure(folder.out, max_entries=10).exceeds(10**9)
    deep = folder.out
    for _ in range(12):
        deep /= "d"
        deep.mkdir()
    assert measure(folder.out).bounded


def test_a_directory_that_is_not_there_measures_nothing(tmp_path: Path) -> None:
    assert measure(tmp_path / "no").bytes == 0


def test_input_that_others_may_not_read_is_made_readable_for_the_container(folder: AttemptFolder) -> None:
    private = folder.root / "setup.tar"
    private.touch(mode=0o600)
    add_input(folder, private, "setup.tar")
    assert stat.S_IMODE((folder.inbox / "setup.tar").stat().st_mode) == 0o644
