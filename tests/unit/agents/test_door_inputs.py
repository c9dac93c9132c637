"""The archive of an attempt's inputs: all of `in/`, and nothing else."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from squire_pipelines.agents import door_inputs
from squire_pipelines.agents.door_inputs import InputArchive
from squire_pipelines.errors import WorkspaceError


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "attempt" / "in"
    (folder / "skills" / "deep" / "empty").mkdir(parents=True)
    (folder / "task.json").write_bytes(b"{}")
    (folder / "empty").touch()
    (folder / "skills" / ("n" * 200 + "é.md")).write_bytes(b"x" * 1025)
    (folder / "skills" / "run").write_bytes(b"#!/bin/sh\n")
    (folder / "skills" / "run").chmod(0o700)
    return folder


def read(archive: InputArchive) -> tarfile.TarFile:
    content = b"".join(archive.chunks())
    assert len(content) == archive.size
    return tarfile.open(fileobj=io.BytesIO(content))


def test_all_files_and_folders_are_there_as_nobodys(inbox: Path) -> None:
    with read(InputArchive(inbox)) as tar:
        members = {member.name: member for member in tar}
        assert set(members) == {str(path.relative_to(inbox)) for path in inbox.rglob("*")}
        for name, member in members.items():
            assert (member.uid, member.gid, member.uname, member.mtime) == (0, 0, "", 0)
            if member.isreg():
                file = tar.extractfile(member)
                assert file is not None
                assert file.read() == (inbox / name).read_bytes()
        assert [members[name].mode for name in ("task.json", "skills/run", "skills")] == [0o644, 0o755, 0o755]


def test_nothing_beside_the_folder_is_sent(inbox: Path, tmp_path: Path) -> None:
    secret = tmp_path / "attempt" / "keep"
    secret.mkdir()
    (secret / "secret").write_text("secret")
    (inbox / "link").symlink_to(secret / "secret")
    (inbox / "folder").symlink_to(secret)
    os.mkfifo(inbox / ".order")
    (inbox / ".repo.bundle.part").write_text("half")
    with read(InputArchive(inbox)) as tar:
        assert not {"link", "folder", "folder/secret", ".order", ".repo.bundle.part"} & set(tar.getnames())
        assert not [member.name for member in tar if not (member.isreg() or member.isdir())]


@pytest.mark.parametrize("replaced", ["task.json", "skills"])
def test_what_becomes_a_symlink_meanwhile_is_not_followed(inbox: Path, tmp_path: Path, replaced: str) -> None:
    archive = InputArchive(inbox)
    outside = tmp_path / "outside"
    (inbox / replaced).rename(outside)
    (inbox / replaced).symlink_to(outside)
    with pytest.raises(OSError, match=r".+"):
        list(archive.chunks())


def test_a_file_that_became_shorter_is_an_error_and_one_that_grew_is_cut(inbox: Path) -> None:
    archive = InputArchive(inbox)
    (inbox / "task.json").write_bytes(b"{}more")
    with read(archive) as tar:
        file = tar.extractfile("task.json")
        assert file is not None
        assert file.read() == b"{}"
    (inbox / "task.json").write_bytes(b"")
    with pytest.raises(OSError, match="shorter"):
        list(archive.chunks())


def test_a_folder_that_is_none_too_deep_or_too_full_is_refused(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WorkspaceError, match="cannot be read"):
        InputArchive(tmp_path / "none")
    (tmp_path / "link").symlink_to(inbox)
    with pytest.raises(WorkspaceError, match="cannot be read"):
        InputArchive(tmp_path / "link")
    inbox.joinpath(*"d" * (door_inputs.MAX_DEPTH + 1)).mkdir(parents=True)
    with pytest.raises(WorkspaceError, match="more than"):
        InputArchive(inbox)
    monkeypatch.setattr(door_inputs, "MAX_ENTRIES", 3)
    with pytest.raises(WorkspaceError, match="more than 3 entries"):
        InputArchive(inbox)
