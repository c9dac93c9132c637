"""What holds for every store: a folder, a bucket on a server that speaks S3, and any other that fsspec knows."""

from pathlib import Path

import pytest

from squire_pipelines.file_store.errors import StoredFileLargeError, StoredFileMissingError, StoredFileTakenError
from squire_pipelines.file_store.model import MAX_SMALL
from squire_pipelines.file_store.store import FileStore

KEY = "attempts/t1-1/keep/result.bundle"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "bundle"
    path.write_bytes(b"the work" * 1000)
    return path


def test_a_file_is_put_once_and_comes_back_whole(store: FileStore, bundle: Path, tmp_path: Path) -> None:
    assert store.find(KEY) is None
    assert store.read_small(KEY) is None
    put = store.put(KEY, bundle)
    again = store.put(KEY, bundle)  # a success: the same content is there
    assert (put.key, put.size, put.sha256) == (again.key, 8000, again.sha256)

    bundle.write_bytes(b"other work")
    with pytest.raises(StoredFileTakenError, match=KEY) as refused:
        store.put(KEY, bundle)
    assert refused.value.hint
    store.get(KEY, tmp_path / "elsewhere" / "copy")
    assert (tmp_path / "elsewhere" / "copy").read_bytes() == b"the work" * 1000
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["copy"]
    assert store.read_range(KEY, 4, 8) == b"workthe "
    assert store.read_range(KEY, 7998, 100) == b"rk"


def test_what_is_not_there_or_too_large_is_named(store: FileStore, bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(StoredFileMissingError, match="no attempts/"):
        store.get(KEY, tmp_path / "copy")
    store.put(KEY, bundle)
    with pytest.raises(StoredFileLargeError, match="8000 bytes"):
        store.get(KEY, tmp_path / "copy", max_bytes=7999)
    assert not (tmp_path / "copy").exists()


def test_a_pointer_is_replaced(store: FileStore) -> None:
    store.replace("warehouse/latest.json", b"first")
    store.replace("warehouse/latest.json", b"second")
    assert store.read_small("warehouse/latest.json") == b"second"
    with pytest.raises(ValueError, match="small"):
        store.replace("warehouse/latest.json", b"x" * (MAX_SMALL + 1))


def test_files_and_folders_are_listed_in_order_and_removed_by_prefix(store: FileStore, bundle: Path) -> None:
    # As a bucket orders names: by their bytes, the slash among them.
    keys = ["a/1/x", "a/1-b/x", "a/1-b/y", "a/1.c", "a/2/deep/x", "ab/x"]
    for key in keys:
        store.put(key, bundle)
    assert [file.key for file in store.files("a/")] == sorted(keys[:5])
    assert [file.key for file in store.files("a/", after="a/1-b/x")] == ["a/1-b/y", "a/1.c", "a/1/x", "a/2/deep/x"]
    assert sorted(store.folders("a/")) == ["1", "1-b", "2"]
    assert {file.size for file in store.files("a/")} == {8000}
    assert store.remove("a/1/") == 1
    assert store.remove("a/") == 4
    assert list(store.files("a/")) == []
    assert store.find("ab/x") is not None


def test_an_empty_file_is_one(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert store.put("attempts/t1-1/agent.log", tmp_path / "empty").size == 0
    store.get("attempts/t1-1/agent.log", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b""
